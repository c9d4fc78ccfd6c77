"""An English text that changes calls for a look at its Korean twin; in the README both say and link the same."""

import doctest
import json
import re
from collections import Counter

import pytest

from notebooks import build, korean_twins
from notebooks.address import ROOT
from notebooks.korean_twins import Twins, digest, numbers, problems, recorded, twins

PAIRS = twins()
README = [pair for pair in PAIRS if pair.name.startswith("README.md")]
EDITIONS = [pair for pair in PAIRS if pair.korean_place.startswith("docs/ko/")]
PAGES = ("README.md", "README.ko.md", "docs/glossary.md", "docs/onboarding.md", "docs/lead.md",
         *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs" / "ko").glob("*.md"))))  # fmt: skip


def test_every_korean_twin_was_looked_at_since_its_english_text_changed():
    found = problems(PAIRS, recorded())
    assert found == [], "\n" + "\n".join(found)


def test_what_is_covered():
    files = Counter(pair.name.split(":")[0] for pair in PAIRS)
    assert files["docs/onboarding.md"] == 7 and files["docs/lead.md"] == 8  # sections, and what stands before them
    assert sum(count for name, count in files.items() if name.startswith("notebooks/")) == len(build.notebooks())
    assert files["README.md"] >= 10 and files["docs/glossary.md"] >= 80
    assert len({pair.name for pair in PAIRS}) == len(PAIRS)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_twins_are_there_each_in_its_language(pair):
    hangul = re.compile("[가-힣]")
    assert len(pair.english.split()) > 2 and pair.korean
    assert hangul.search(pair.korean) and not hangul.search(pair.english.split("\n")[0])


def changed_lesson(pair):
    return pair._replace(english=pair.english.replace("remember", "recall") + "\n- One more thing.")


@pytest.mark.parametrize(
    "change",
    [
        changed_lesson,
        lambda pair: pair._replace(english=pair.english.replace("1", "2")),
        lambda pair: pair._replace(english=pair.english + " not"),
    ],
)
def test_a_change_is_noticed_and_named(change):
    pair = next(pair for pair in PAIRS if "01_frames" in pair.name)
    others = [other for other in PAIRS if other is not pair]
    record = {one.name: digest(one.english) for one in PAIRS}
    assert problems(PAIRS, record) == []
    assert problems([*others, change(pair)], record) == [
        "notebooks/01_frames.py: card and What to remember changed; look at notebooks/01_frames.py: 한국어 요약, "
        "then run: make korean-looked"
    ]


def test_new_and_vanished_texts_are_noticed():
    pair = Twins("README.md: New", "new", "새것", "README.ko.md: 새것")
    assert problems([pair], {"README.md: Old": digest("old")}) == [
        "README.md: New changed; look at README.ko.md: 새것, then run: make korean-looked",
        "README.md: Old is gone; is its Korean twin? Then run: make korean-looked",
    ]


def test_another_address_or_line_break_is_no_change():
    text = "git clone https://github.com/{} here"
    ours = korean_twins.repository()
    assert digest(text.format(ours)) == digest(text.format(ours).replace(" here", "\n  here"))
    moved = digest(text.format("OWNER/NAME"))
    assert digest(text.format(ours)) == moved != digest("git clone here")


def test_the_examples_in_its_docstrings_run():
    assert doctest.testmod(korean_twins) == (0, 4)


def test_the_command_records_and_says_what(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(korean_twins, "RECORD", tmp_path / "korean.json")
    monkeypatch.setattr(korean_twins, "twins", lambda: PAIRS[:3])
    assert korean_twins.main([]) == 0
    assert f"{PAIRS[0].name} -> {PAIRS[0].korean_place}\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "korean.json").read_text()) == {p.name: digest(p.english) for p in PAIRS[:3]}
    assert korean_twins.main([]) == 0
    assert capsys.readouterr().out.startswith("0 of 3 English texts recorded anew")
    assert [path.name for path in tmp_path.iterdir()] == ["korean.json"]


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["--check"], 2)])
def test_asked_for_help_or_for_what_it_cannot_do_it_writes_nothing(tmp_path, monkeypatch, capsys, arguments, code):
    monkeypatch.setattr(korean_twins, "RECORD", tmp_path / "korean.json")
    with pytest.raises(SystemExit) as stop:
        korean_twins.main(arguments)
    said = capsys.readouterr()
    assert stop.value.code == code and "usage: python -m notebooks.korean_twins" in said.out + said.err
    assert list(tmp_path.iterdir()) == []


def test_a_section_without_a_twin_is_one_clear_line(monkeypatch, capsys):
    texts = {"README.md": "# T\n## One\n## Two\n", "README.ko.md": "# 제목\n## 하나\n"}
    monkeypatch.setattr(korean_twins, "read", texts.__getitem__)
    assert korean_twins.main([]) == 2
    assert "README.md has 3 sections and README.ko.md 2: top, One, Two | top, 하나" in capsys.readouterr().err


@pytest.mark.parametrize("pair", README, ids=lambda pair: pair.name)
def test_numbers_agree(pair):
    body = pair.english.split("\n", 1)[1]  # the heading is named after the English one
    assert numbers(body) == numbers(pair.korean), pair.korean_place


@pytest.mark.parametrize(
    ("english", "korean", "agree"),
    [
        ("7 billion parameters on 2 cores", "코어 2개에서 파라미터 70억 개", True),
        ("16 frames, 16 times", "프레임 16장을 한 번", False),
        ("at most 0.2 ms", "많아야 2 ms", False),
    ],
)
def test_numbers_are_compared_with_their_scale_and_their_frequency(english, korean, agree):
    assert (numbers(english) == numbers(korean)) is agree


@pytest.mark.parametrize("pair", EDITIONS, ids=lambda pair: pair.name)
def test_no_number_of_a_page_is_lost_in_korean(pair):
    assert set(numbers(pair.english.split("\n", 1)[1])) - set(numbers(pair.korean)) == set(), pair.korean_place


def commands(text):
    """Everything in a text that is code: blocks without their comments, spans, and where links lead."""
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    spans = set(re.findall(r"`([^`\n]+)`", re.sub(r"```\n.*?```", "", text, flags=re.DOTALL)))
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("README")]
    links = sorted(target.replace("docs/ko/", "docs/").replace(".ko.ipynb", ".ipynb") for target in targets)
    return lines, spans, links


@pytest.mark.parametrize("pair", README, ids=lambda pair: pair.name)
def test_commands_names_and_links_agree(pair):
    assert commands(pair.english) == commands(pair.korean), pair.korean_place


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []
