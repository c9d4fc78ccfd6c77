"""A claim fails where the sentence, its number or the output has changed."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from notebooks.claims import broken_claims

OUTPUT = "SlowFast   flash 1.00   motion 0.82\nuniform    flash 0.31   motion 0.96\ndifference -14.0 [-15.4, -12.4]\n"
SAYS = "SlowFast reads the flash (1.00) and\npays with motion, 0.82 against 0.96."
RIGHT = {
    "two numbers": {
        "says": "pays with motion, {0.82} against {0.96}",
        "finds": r"(?s)SlowFast.*?motion (\S+).*motion (\S+)",
        "within": 0.02,
    },
    "one": {"says": "reads the flash ({1.00})", "finds": r"SlowFast +flash (\S+)"},
    "percent": {"says": "motion, {0.82}", "finds": r"difference (-\d+.\d)", "times": -0.0585714, "within": 0.001},
    "at least": {"says": "SlowFast reads the flash", "finds": r"SlowFast +flash (\S+)", "least": 0.9},
    "at most": {"says": "pays with motion", "finds": r"difference (\S+)", "most": -5},
    "surely": {"says": "pays with motion", "finds": r"\[(\S+), (\S+)\]", "excludes": 0},
    "no difference": {"says": "pays with motion", "finds": r"\[(\S+), (\S+)\]", "includes": -13},
    "above": {"says": "SlowFast reads", "finds": r"(?s)SlowFast +flash (\S+).*flash (\S+)", "order": "falling"},
}


def lesson(says=SAYS, output=OUTPUT):
    printed = new_output("stream", name="stdout", text=output)
    return new_notebook(cells=[new_code_cell("show(table)", outputs=[printed]), new_markdown_cell(says)])


def whole(claim):
    return {"cell": "show(table)"} | claim


@pytest.mark.parametrize("name", RIGHT)
def test_a_true_claim_holds(name):
    assert broken_claims(lesson(), [whole(RIGHT[name])]) == []


@pytest.mark.parametrize("name", RIGHT)
def test_a_changed_output_breaks_it(name):
    changed = OUTPUT.replace("flash 1.00", "flash 0.10").replace("0.82", "0.92")
    changed = changed.replace("-14.0 [-15.4, -12.4]", "-1.0 [-2.5, 0.5]")
    (problem,) = broken_claims(lesson(output=changed), [whole(RIGHT[name])])
    assert problem.startswith(f"claim {RIGHT[name]['says']!r}: ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"says": "pays with motion, {0.72} against {0.96}"}, "the lesson does not say this"),
        ({"says": "pays with motion, {0.82} against 0.96"}, "1 numbers in the sentence, 2 in the output"),
        ({"says": "pays with motion"}, "0 numbers in the sentence, 2 in the output"),
        ({"cell": "show("}, None),
        ({"cell": "draw("}, "0 cells hold 'draw('"),
        ({"finds": r"LLaMA-VID (\S+)"}, "the output has nothing like"),
        ({"finds": r"SlowFast"}, "the output has nothing like"),
        ({"witin": 1}, "keys unknown or missing: witin"),
        ({"within": 0, "says": "motion, {0.82} against {0.96}"}, None),
        ({"order": "up"}, "is not up"),
        ({"order": "falling"}, "is not falling"),
        ({"includes": 0.9}, None),
        ({"excludes": 0.9}, "the interval is"),
        ({"finds": r"SlowFast +flash (\S+)", "order": "rising"}, "is not rising"),
    ],
)
def test_what_a_claim_needs(changes, words):
    found = broken_claims(lesson(), [whole(RIGHT["two numbers"] | changes)])
    assert found == [] if words is None else words in found[0]


def test_what_was_printed_in_pieces_is_one_text():
    """A kernel cuts what a cell prints anywhere, between the lines too."""
    nb, (first, rest) = lesson(), (OUTPUT[:36], OUTPUT[36:])
    nb.cells[0].outputs = [new_output("stream", name="stdout", text=piece) for piece in (first, rest)]
    across = {"says": "pays with motion, {0.82}", "finds": r"flash 1.00   motion (\S+)\nuniform"}
    assert first.endswith("0.82\n") and broken_claims(nb, [whole(across)]) == []


def test_a_changed_number_in_the_sentence_breaks_it():
    claim = whole(RIGHT["two numbers"] | {"says": "pays with motion, {0.62} against {0.96}"})
    (problem,) = broken_claims(lesson(SAYS.replace("0.82", "0.62")), [claim])
    assert problem.endswith("the output says 0.82, 0.96")
