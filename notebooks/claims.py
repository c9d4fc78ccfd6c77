"""Claims: what a lesson's sentences say about its outputs, in a form that a test can break.

`notebooks/claims/NN_slug.toml` lists them:

    [[claim]]
    says = "Paired, the interval is {3.8} points wide; unpaired, {14.2}"
    cell = "paired_width = width("
    finds = 'paired (\\d+\\.\\d) points, unpaired (\\d+\\.\\d)'
    within = 0.5

`says` is a piece of the lesson's text, with braces around its numbers; it has to stand in the lesson. `cell` is a piece
of the code whose output is meant; `finds` is searched there, and its groups are the numbers in the same order. Then one
of these holds, as the sentence needs it:

    within = 0.02     each number is as far as this from the output, at most (0 if left out)
    least = 0.8       no number of the output is smaller ("almost all"); `most`: none is larger
    excludes = 0      two groups, an interval: both ends lie on the same side of this number ("better")
    includes = 0      two groups, an interval: the number lies inside ("no difference is seen")
    order = "falling" each group is larger than the next ("SlowFast above uniform"); "rising": smaller

`times = 100` multiplies what the output says, for a sentence in points about an output in shares. With `excludes`,
`includes` and `order`, `says` needs no numbers.
"""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent / "claims"
KEYS = {"says", "cell", "finds", "times", "within", "least", "most", "excludes", "includes", "order"}
BRACED = re.compile(r"\{([^{}]+)\}")


def read_claims(name: str) -> list[dict]:
    """The claims of a lesson; none where it has no file."""
    path = FOLDER / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))["claim"] if path.exists() else []


def broken_claims(nb: NotebookNode, claims: list[dict]) -> list[str]:
    """What the executed lesson no longer shows or no longer says, one line for each claim that fails."""
    text = squeezed("\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown"))
    return [f"claim {claim.get('says', claim)!r}: {why}" for claim in claims if (why := trouble(nb, text, claim))]


def trouble(nb: NotebookNode, text: str, claim: dict) -> str | None:
    """Why a claim fails, in words; None where it holds."""
    if unknown := sorted(claim.keys() - KEYS) or sorted({"says", "cell", "finds"} - claim.keys()):
        return f"keys unknown or missing: {', '.join(unknown)}"
    if squeezed(BRACED.sub(r"\1", claim["says"])) not in text:
        return "the lesson does not say this"
    outputs = [output_of(cell) for cell in nb.cells if cell.cell_type == "code" and claim["cell"] in cell.source]
    if len(outputs) != 1:
        return f"{len(outputs)} cells hold {claim['cell']!r}, one is needed"
    found = re.search(claim["finds"], outputs[0])
    if not found or not found.groups():
        return f"the output has nothing like {claim['finds']!r}"
    shown = [claim.get("times", 1) * number(group) for group in found.groups()]
    return compared(shown, [number(group) for group in BRACED.findall(claim["says"])], claim)


def compared(shown: list[float], said: list[float], claim: dict) -> str | None:
    """Do the output's numbers bear the sentence out?"""
    if order := claim.get("order"):
        holds = all((a > b) if order == "falling" else (a < b) for a, b in pairwise(shown)) and len(shown) > 1
        return None if holds and order in ("falling", "rising") else f"{shown} is not {order}"
    if ends := [claim[key] for key in ("excludes", "includes") if key in claim]:
        inside = len(shown) != 2 or min(shown) <= ends[0] <= max(shown)
        return None if len(shown) == 2 and inside == ("includes" in claim) else f"the interval is {shown}"
    if "least" in claim or "most" in claim:
        low, high = claim.get("least", float("-inf")), claim.get("most", float("inf"))
        return None if all(low <= value <= high for value in shown) else f"the output says {shown}"
    within = claim.get("within", 0) + 1e-9
    if len(said) != len(shown) or not said:
        return f"{len(said)} numbers in the sentence, {len(shown)} in the output"
    same = all(abs(a - b) <= within for a, b in zip(said, shown, strict=True))
    return None if same else f"the output says {', '.join(f'{value:g}' for value in shown)}"


def output_of(cell: NotebookNode) -> str:
    """The text that a cell has printed or shown; what it printed may lie in several pieces, cut anywhere."""
    texts = [output.get("text", "") or output.get("data", {}).get("text/plain", "") + "\n" for output in cell.outputs]
    return "".join(texts)


def number(text: str) -> float:
    """
    >>> number("1,234"), number("−0.64"), number("82 %")
    (1234.0, -0.64, 82.0)
    """
    return float(text.replace(",", "").replace("−", "-").strip(" %+"))


def squeezed(text: str) -> str:
    """One blank for each run of white space: lines of the source are wrapped anywhere."""
    return " ".join(text.split())
