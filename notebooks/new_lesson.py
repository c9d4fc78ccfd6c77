"""The first draft of a lesson: every part that the tests ask for, and one measurement that runs.

    python -m notebooks.new_lesson 14_time_tokens "Time tokens"      or: make new-lesson NAME=... TITLE="..."

Writes the source, notebooks/14_time_tokens.py, and nothing else. CONTRIBUTING.md says what comes next.
"""

import re
import sys
from pathlib import Path
from string import Template

from lib.files import write_text
from notebooks import build
from notebooks.address import address

NAME = re.compile(r"[0-9]{2}(_[a-z0-9]+)+")

TEMPLATE = Template("""\
# %% [markdown]
# # $number $title
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)]\
(https://colab.research.google.com/github/$repository/blob/$tag/notebooks/$name.ipynb)
#
# | | |
# |---|---|
# | **You will be able to** | build it by hand; measure it; say when it pays |
# | **Minutes** | 45 to read and think; 1 to run on two CPU cores or on a T4 |
# | **Memory** | 1 GB |
# | **Downloads** | none |
# | **Needs** | lesson 00 |

# %% [markdown]
# ## 한국어 요약
#
# 이 수업의 내용을 네 문장에서 여덟 문장으로 요약합니다. 무엇을 직접 만들고, 무엇을 재며, 무엇을 기억해야 하는지 씁니다.

# %% tags=["setup"]
$setup

# %%
import torch

from lib import plots, toybox
from lib.exercises import calibration, predict
from lib.reducers import SpatialPool

plots.style()

# %% [markdown]
# ## 1. What is claimed
#
# **Claim.** A frame of 8 x 8 patches, averaged over windows of 2 x 2, is 16 tokens (LLaVA-NeXT-Video, blog of 30 April
# 2024). By hand, with the mean colour of each patch as its features:

# %%
frame = toybox.render(toybox.sample(0))[0]  # (64, 64, 3)
patches = torch.tensor(frame).float().unflatten(0, (8, 8)).unflatten(2, (8, 8)).mean(dim=(1, 3))  # (8, 8, 3)
by_hand = patches.unflatten(0, (4, 2)).unflatten(2, (4, 2)).mean(dim=(1, 3)).flatten(0, 1)  # (16, 3)
plots.token_grids(frame, 8, 4)

# %% [markdown]
# **Predict before you run.** How many tokens are 16 such frames?

# %%
my_tokens = None  # your guess

tokens = SpatialPool(stride=2)(patches.expand(16, 8, 8, 3))
predict("tokens of 16 frames", my_tokens, len(tokens))
print("by hand and lib:", "equal" if torch.allclose(tokens.embeds[:16], by_hand) else "DIFFERENT")

# %%
calibration()

# %% [markdown]
# ## What to remember
#
# - One line for each thing that a learner should still know in a month.
""")


def check(name: str, title: str) -> None:
    """Raises ValueError for a name or a title that no lesson can have, or whose number another lesson has."""
    if not NAME.fullmatch(name):
        raise ValueError(f'{name!r} is no lesson: say make new-lesson NAME=14_time_tokens TITLE="Time tokens"')
    if not title.strip() or len(title.splitlines()) > 1:
        raise ValueError(f'give {name} a title of one line: make new-lesson NAME={name} TITLE="Time tokens"')
    taken = [path.name for path in sorted(build.HERE.glob(f"{name[:2]}_*"))]
    if taken:
        raise ValueError(f"there is notebooks/{taken[0]}: choose another number than {name[:2]}")


def draft(name: str, title: str) -> str:
    """The source of the lesson. Its set-up cell is that of the first one: they are alike in all lessons."""
    cells = build.read_source(build.lessons()[0]).cells
    (setup,) = [cell.source for cell in cells if "setup" in cell.metadata.get("tags", [])]
    repository, tag = address()
    return TEMPLATE.substitute(
        number=name[:2], title=title.strip(), name=name, repository=repository, tag=tag, setup=setup
    )


def main(arguments: list[str]) -> int:
    """Writes the lesson and says where; 0, or 2 for a name or title that cannot be."""
    name, title = [*arguments, "", ""][:2]
    path: Path = build.HERE / f"{name}.py"
    try:
        check(name, title)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write_text(path, draft(name, title))
    print(f"notebooks/{path.name} is there; CONTRIBUTING.md says what a lesson needs beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
