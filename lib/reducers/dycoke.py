"""DyCoke (arXiv 2411.15024): if a frame repeats an earlier one, only the tokens that changed most are kept.

Official code: KD-TAO/DyCoke at dd74634, `llava/model/llava_arch.py`, lines 35-89 (dycole_ttm), called at line 389 on
the projected and pooled tokens of LLaVA-OneVision. The paper calls it temporal token *merging*. The code merges
nothing; it drops tokens. In every four frames the first keeps all tokens. The second is compared with the first, the
fourth with the third, and the third with the first. Each comparison uses the full frames, token by token, by cosine
similarity.

Three details of the code matter. Kept tokens are sorted by similarity, least similar first, not by their place in the
frame; `order="place"` restores their places. The third frame of the *last* four keeps all tokens
(`range(0, num_frames - 4, 4)`); so it does here. The code loses the last of an odd number of frames and fails for four
frames or fewer. Here a frame without a partner keeps all tokens, and any number of frames works.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.reducers.base import Project, Reducer, VisualTokens, identity
from lib.reducers.spatial_pool import SpatialPool, check_choice


class DyCoke(Reducer):
    """The tokens of another reducer, without those that repeat an earlier frame.

    prune: the share of a compared frame's tokens that is left out (0.7 in the official code).
    first: makes the tokens, as many for each frame and no newlines among them. Default: 2 x 2 means.
    order: kept tokens by "similarity", as in the official code, or in their "place" in the frame.

    The number of kept tokens does not depend on the frames' content: int((1 - prune) * tokens), as in the official
    code.
    Raises ValueError for a share outside 0 to 1, an unknown order, or a reducer whose frames differ in their tokens.

    >>> reducer = DyCoke(prune=0.75)
    >>> [reducer.compared_with(t, 8) for t in range(8)]            # frame 6 is the third of the last four: whole
    [None, 0, 0, 2, None, 4, None, 6]
    >>> tokens = reducer(torch.randn(8, 8, 8, 96))
    >>> len(tokens), reducer.count(8, 8, 8), tokens.frame.bincount().tolist()
    (68, 68, [16, 4, 4, 4, 16, 4, 16, 4])
    """

    def __init__(
        self,
        prune: float = 0.7,
        first: Reducer | None = None,
        order: Literal["similarity", "place"] = "similarity",
    ):
        super().__init__()
        if not 0 <= prune <= 1:
            raise ValueError(f"prune={prune}: give the share of tokens to leave out, from 0 to 1")
        check_choice("order", order, ("similarity", "place"))
        self.prune, self.first, self.order = prune, first or SpatialPool(2), order

    def compared_with(self, frame: int, frames: int) -> int | None:
        """The earlier frame that `frame` is compared with; None if it keeps all tokens."""
        if frame % 2:
            return frame - 1
        return frame - 2 if frame % 4 == 2 and frame + 2 < frames else None

    def forward(self, features: Tensor, project: Project = identity, question: str | None = None) -> VisualTokens:
        self.check(features, question)
        tokens, frames = self.first(features, project), len(features)
        per_frame = self.per_frame(*features.shape[1:3])
        if tokens.frame.tolist() != [t for t in range(frames) for _ in range(per_frame)]:
            raise ValueError("DyCoke compares frames token by token: give it a reducer with as many tokens for each")
        grid = tokens.embeds.unflatten(0, (frames, per_frame))
        kept = [t * per_frame + self.kept(grid, t) for t in range(frames)]
        return tokens.map(lambda field: field[torch.cat(kept)])

    def kept(self, grid: Tensor, frame: int) -> Tensor:
        """(T, N, D) tokens -> the numbers of the tokens that one frame keeps."""
        before = self.compared_with(frame, len(grid))
        if before is None:
            return torch.arange(grid.shape[1], device=grid.device)
        similarity = F.cosine_similarity(grid[before], grid[frame], dim=-1)
        least = similarity.topk(self.keeps(grid.shape[1]), largest=False).indices
        return least if self.order == "similarity" else least.sort().values

    def keeps(self, per_frame: int) -> int:
        """The number of tokens that a compared frame keeps."""
        return int((1 - self.prune) * per_frame)

    def per_frame(self, height: int, width: int) -> int:
        return self.first.count(1, height, width)

    def count(self, frames: int, height: int, width: int) -> int:
        per_frame = self.per_frame(height, width)
        whole = [self.compared_with(t, frames) is None for t in range(frames)]
        return sum(per_frame if alone else self.keeps(per_frame) for alone in whole)
