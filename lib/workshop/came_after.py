"""Merging, leaving out and pruning, measured as in lesson 07: the same weights, clips, questions and budgets.

`make compare-later` writes data/measured/came_after.json, on the thousand clips of `make compare` and in the same form,
and data/measured/pruned.json, on the first 192 of them. Pruning reads the clip again for every question, so an answer
costs about ten times as much. Nothing was trained for these methods: all of them run on the shipped tiny.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lib import toybox
from lib.files import DATA
from lib.packing import IGNORE, encode_turns
from lib.reducers import DyCoke, PatchMerger, SpatialPool
from lib.toybox.world import GRID
from lib.vlm.fastv import FastV
from lib.vlm.loading import load
from lib.vlm.model import VideoLM
from lib.workshop.same_budget import (
    COMPARED_CLIPS,
    Counts,
    Method,
    count_right,
    in_processes,
    read_same_budget,
    write_same_budget,
)

CAME_AFTER, PRUNED = DATA / "measured" / "came_after.json", DATA / "measured" / "pruned.json"
COMMAND = "make compare-later"
PRUNED_CLIPS = 192  # of the thousand, the first ones
SEEN_FRAMES = 16  # of a clip
SWEPT = (1, 2, 3)  # layers after which 64 of 256 tokens are kept


def exposed_together(vlm: VideoLM, frames: np.ndarray, group: int = 2) -> Tensor:
    """(T, H, W, 3) frames -> features (T / group, h, w, C) of pictures that are the mean of `group` frames each.

    Qwen2.5-VL's patch embedding reads two frames. It does the same if its kernel holds CLIP's twice, each half as
    large: the layer is linear, so the mean of the pixels suffices.
    """
    pixels = vlm.preprocess(frames).unflatten(0, (-1, group)).mean(dim=1)
    with torch.no_grad():
        return vlm.features_of(pixels)


@dataclass(frozen=True, eq=False)
class Exposed(Method):
    """Frames that were blended before the vision tower saw them: `group` of the clip's frames in one picture."""

    group: int = 2


@dataclass(frozen=True, eq=False)
class Pruned(Method):
    """A reducer's tokens, pruned inside the language model. The count is the average over its layers."""

    fastv: FastV = field(default_factory=FastV)
    layers: int = 4  # of tiny's language model

    @property
    def tokens(self) -> int:
        return ceil(self.fastv.mean_tokens(self.reducer.count(self.frames, GRID, GRID), self.layers))

    def marks(self, vlm: VideoLM, features: Sequence[Tensor], asked: Sequence[Sequence[toybox.QA]]) -> list[list[bool]]:
        """Each question is its own sequence: the pruning depends on it, so nothing can be shared."""
        return [self.of_clip(vlm, self.look(vlm, seen), asks) for seen, asks in zip(features, asked, strict=True)]

    def of_clip(self, vlm: VideoLM, visual: Tensor, asked: Sequence[toybox.QA]) -> list[bool]:
        """Would greedy decoding write exactly the true answer to each question?"""
        head = [vlm.tokenizer.bos_token_id, *vlm.tokenizer.encode("USER: ", add_special_tokens=False)]
        turns = [encode_turns(vlm.tokenizer, [(qa.question, qa.answer)])[:2] for qa in asked]
        ids, labels = ([torch.tensor(part, device=vlm.device) for part in parts] for parts in zip(*turns, strict=True))
        ids, labels = pad_sequence(ids, batch_first=True), pad_sequence(labels, batch_first=True, padding_value=IGNORE)
        start, embed = len(head) + len(visual), vlm.model.get_input_embeddings()
        before = torch.cat([embed(torch.tensor(head, device=vlm.device)), visual]).expand(len(ids), -1, -1)
        decoder, place = vlm.model.model.language_model, slice(len(head), start)
        last = start - 1 + (labels != IGNORE).int().argmax(dim=1)  # before the first token of the answer
        with self.fastv.pruning(decoder, place, last):
            states = decoder(inputs_embeds=torch.cat([before, embed(ids)], dim=1), use_cache=False).last_hidden_state
        chosen = vlm.model.lm_head(states[:, -ids.shape[1] :][:, :-1]).argmax(dim=-1)
        return ((chosen == labels[:, 1:]) | (labels[:, 1:] == IGNORE)).all(dim=1).tolist()


class AtRandom(DyCoke):
    """A control for DyCoke: as many tokens of each frame, drawn at random."""

    def kept(self, grid: Tensor, frame: int) -> Tensor:
        count = len(super().kept(grid, frame))
        return torch.randperm(grid.shape[1], generator=torch.Generator().manual_seed(frame))[:count].sort().values


def at_random(attention: Tensor) -> Tensor:
    """Ranks for FastV that do not look at the attention."""
    return torch.rand(attention.shape, generator=torch.Generator().manual_seed(0)).to(attention)


def merged(budget: int, group: int, side: int) -> Method:
    """All 16 frames, `group` of them in one, and `side` x `side` patches in one: the mean of the features."""
    name = f"{SEEN_FRAMES // group} x {(GRID // side) ** 2}"
    return Method("merged features", budget, name, SEEN_FRAMES, PatchMerger(side, group, shared=True))


def exposed(budget: int, group: int, side: int) -> Exposed:
    """The same groups, blended as pixels."""
    name = f"{SEEN_FRAMES // group} x {(GRID // side) ** 2}"
    return Exposed("merged pixels", budget, name, SEEN_FRAMES // group, SpatialPool(side), group)


def left_out(budget: int, frames: int, side: int, prune: float, kind=DyCoke, family="DyCoke", **settings) -> Method:
    """DyCoke on frames pooled over `side` x `side` patches."""
    name = f"{frames} x {(GRID // side) ** 2} less {prune:.0%}"
    return Method(family, budget, name, frames, kind(prune, SpatialPool(side), **settings))


def pruned(budget: int, frames: int, side: int, layer: int, keep: int, family="FastV", **settings) -> Pruned:
    """FastV on frames pooled over `side` x `side` patches."""
    name = f"{frames} x {(GRID // side) ** 2} then {keep} after {layer}"
    return Pruned(family, budget, name, frames, SpatialPool(side), FastV(layer, keep, **settings))


LATER = (
    merged(64, 4, 2),
    exposed(64, 4, 2),
    left_out(64, 8, 2, 0.8),
    merged(128, 2, 2),
    exposed(128, 2, 2),
    left_out(128, 16, 2, 0.75),
    merged(256, 4, 1),
    exposed(256, 4, 1),
    left_out(256, 8, 1, 0.8125),
    # controls: all but one thing as in DyCoke at 128
    left_out(128, 16, 2, 0.75, family="DyCoke in place", order="place"),
    left_out(128, 16, 2, 0.75, AtRandom, "at random"),
)
PRUNING = (
    pruned(64, 8, 2, 1, 42),
    pruned(64, 7, 2, 2, 16),
    pruned(128, 16, 2, 1, 85),
    pruned(128, 12, 2, 2, 64),
    pruned(256, 8, 1, 1, 170),
    pruned(256, 6, 1, 2, 128),
    # controls: the same layers and numbers of tokens, chosen in other ways
    pruned(128, 16, 2, 1, 85, "FastV at random", rank=at_random),
    pruned(128, 16, 2, 1, 85, "FastV least", rank=torch.neg),
    *(pruned(256, 16, 2, layer, 64) for layer in SWEPT),
    *(pruned(256, 16, 2, layer, 64, "FastV at random", rank=at_random) for layer in SWEPT),
    *(pruned(256, 16, 2, layer, 64, "FastV without positions", positions=False) for layer in SWEPT),
)


def count_later(vlm: VideoLM, clips: Sequence[toybox.Clip], methods: Sequence[Method] = LATER) -> Counts:
    """`count_right` for these methods: if frames are blended, the vision tower sees other pictures."""
    parts: dict[str, np.ndarray] = {}
    for group in sorted({getattr(method, "group", 1) for method in methods}):
        some = [method for method in methods if getattr(method, "group", 1) == group]
        counts = count_right(vlm, clips, some, partial(exposed_together, group=group) if group > 1 else VideoLM.encode)
        parts |= {method.key: right for method, right in zip(some, counts.right.swapaxes(0, 1), strict=True)}
    return Counts(np.stack([parts[method.key] for method in methods], axis=1), counts.asked)


def read_came_after() -> Counts:
    """The counts of LATER that `make compare-later` wrote. Raises as `read_same_budget` does."""
    return read_same_budget(CAME_AFTER, LATER, COMMAND)


def read_pruned() -> Counts:
    """The counts of PRUNING. Raises as `read_same_budget` does."""
    return read_same_budget(PRUNED, PRUNING, COMMAND)


def count_later_seeds(seeds: range, methods: Sequence[Method]) -> Counts:
    """One process's share of the clips."""
    torch.set_num_threads(1)
    return count_later(load("tiny", device="cpu"), [toybox.sample(seed) for seed in seeds], methods)


def main() -> None:
    """Measures all methods, on every core, and writes both files."""
    for path, methods, clips in ((CAME_AFTER, LATER, COMPARED_CLIPS), (PRUNED, PRUNING, PRUNED_CLIPS)):
        counts = in_processes(partial(count_later_seeds, methods=methods), clips)
        write_same_budget(counts, path, methods, COMMAND)


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m lib.workshop.came_after",
        description="Ask lesson 07's clips through merging, leaving out and pruning at the same budgets.",
    ).parse_args()
    main()
