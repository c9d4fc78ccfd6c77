# %% [markdown]
# # 13 What came after: merge, leave out, prune
#
# [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/frames-to-tokens/frames-to-tokens/blob/main/notebooks/13_what_came_after.ipynb)
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
import sys
from pathlib import Path

COURSE = Path("/content/frames-to-tokens") if "google.colab" in sys.modules else Path.cwd()
if not COURSE.exists():  # on Colab: fetch the course once
    get_ipython().system(
        f"git clone -q --depth 1 --branch main https://github.com/frames-to-tokens/frames-to-tokens {COURSE}"
    )
found = [folder for folder in (COURSE, *COURSE.parents) if (folder / "lib" / "colab.py").exists()]
if not found:
    raise FileNotFoundError(f"no course in {COURSE} or above it: start this lesson in the course's folder notebooks")
sys.path.insert(0, str(found[0]))
from lib import colab

colab.set_up()

# %%
import torch

from lib import plots, toybox
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
my_tokens = 16  # change me

tokens = SpatialPool(stride=2)(patches.expand(16, 8, 8, 3))
print(f"predicted {my_tokens}, measured {len(tokens)}")
print("by hand and lib:", "equal" if torch.allclose(tokens.embeds[:16], by_hand) else "DIFFERENT")

# %% [markdown]
# ## What to remember
#
# - One line for each thing that a learner should still know in a month.
