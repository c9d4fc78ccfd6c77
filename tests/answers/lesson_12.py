"""Right and wrong answers to the exercises of lesson 12."""

import math
from math import ceil

import numpy as np
import torch

from lib.data.shards import ShardPlan, World


def todo_by_lib(clips, size, rank, world, there):
    mine = ShardPlan(tuple(map(str, range(clips))), size, "").of(World(rank, world))
    return np.setdiff1d(mine, there)


def todo_by_clips(clips, size, rank, world, there):
    """The shard of each clip, kept where it is mine and not there."""
    shards = dict.fromkeys(clip // size for clip in range(clips))
    return [shard for shard in shards if shard % world == rank and shard not in there]


def missing(clips, size, there):
    return sorted(set(range(ceil(clips / size))) - set(there))


def gradient_by_loop(gradients, tokens):
    """float64, token by token."""
    total = np.zeros(gradients.shape[1])
    for gradient, count in zip(gradients.numpy(), tokens.numpy(), strict=True):
        for _ in range(int(count)):
            total += gradient
    return total / float(tokens.sum())


def weighted(weights):
    return lambda gradients, tokens: torch.einsum("wn,w->n", gradients, weights(tokens))


def accumulation_by_trying(examples, batch, machines, cards):
    fits = [n for n in range(1, examples + 1) if n * batch * machines * cards == examples]
    return fits[0] if fits else 0


RIGHT = {
    "12.todo": [todo_by_lib, todo_by_clips],
    "12.gradient": [
        gradient_by_loop,
        lambda gradients, tokens: np.average(gradients, axis=0, weights=tokens),
        lambda gradients, tokens: (gradients.double() * tokens[:, None]).sum(0) / tokens.sum(),
    ],
    "12.gap": [1.32, 1.3227, np.float64(1.33)],
    "12.again": [
        accumulation_by_trying,
        lambda examples, *sizes: (examples / math.prod(sizes)) * (examples % math.prod(sizes) == 0),
    ],
    "12.way": ["c3"],
}

WRONG = {
    "12.todo": [
        (lambda c, s, r, w, there: [n for n in range(c // s) if n % w == r and n not in there], "is not full"),
        (lambda c, s, r, w, there: missing(c, s, there), "missing in all"),
        (lambda c, s, r, w, there: missing(c, s, there)[r::w], "share out what is missing"),
        (lambda c, s, r, w, there: np.arange(ceil(c / s))[r::w], "made again"),
        (lambda c, s, r, w, there: sorted(n for n in there if n % w == r), "there already"),
        (lambda c, s, r, w, there: [n for n in range(c) if n % w == r and n not in there], "Those are clips"),
    ],
    "12.gradient": [
        (lambda gradients, tokens: np.mean(gradients.numpy(), axis=0), "A plain mean"),
        (lambda gradients, tokens: np.sum(gradients.numpy(), axis=0), "plain sum"),
        (weighted(lambda tokens: tokens), "divide by their number"),
        (weighted(lambda tokens: tokens / len(tokens)), "not of the processes"),
        (lambda gradients, tokens: (gradients * (tokens / tokens.sum())[:, None]).mean(0), "Divided twice"),
        (weighted(lambda tokens: 1 - tokens / tokens.sum()), "turned round"),
        (lambda gradients, tokens: torch.einsum("wn,w->wn", gradients, tokens) / tokens.sum(), "add them up"),
    ],
    "12.gap": [
        (1.065, "divide the larger by the smaller"),
        (1.2755, "the ratio in each batch"),
        (1.196, "it gets 0 and 2"),
        (1.007, "after sorting"),
        (0.323, "add 1"),
    ],
    "12.again": [
        (lambda examples, *sizes: int(examples / math.prod(sizes)), "You rounded"),
        (lambda *all_of_it: accumulation_by_trying(*all_of_it) or 1, "where none fits"),
        (
            lambda examples, batch, machines, cards: accumulation_by_trying(examples, batch, machines, 1),
            "has a process",
        ),
        (lambda examples, batch, machines, cards: accumulation_by_trying(examples, 1, machines, cards), "divide by it"),
        (lambda examples, batch, machines, cards: accumulation_by_trying(examples, batch, 1, cards), "their number"),
    ],
    "12.way": [("a3", "whole model"), ("b3", "too small"), ("c1", "exchanges more"), ("c2", "how DDP works")],
}

EXPERIMENTS = {
    "12.gap": """
pairs = []
for start in range(0, 160, 4):
    some = examples[start : start + 4]
    pairs.append(sorted((answer_tokens(some[0::2]), answer_tokens(some[1::2]))))
my_gap = sum(larger / smaller for smaller, larger in pairs) / len(pairs)
""",
}
