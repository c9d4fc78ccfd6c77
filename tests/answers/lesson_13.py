"""Right and wrong answers to the exercises of lesson 13."""

import math

import numpy as np
import torch


def merged_by_slices(features):
    corners = [features[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    return torch.cat(corners, dim=-1)


def merged_down_first(features):
    return torch.cat([features[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=-1)


def merged_by_channel(features):
    corners = torch.stack([features[:, row::2, column::2] for row in (0, 1) for column in (0, 1)], dim=-1)
    return corners.flatten(-2)


def similarity(before, frame):
    before, frame = np.asarray(before), np.asarray(frame)
    return (before * frame).sum(-1) / np.linalg.norm(before, axis=-1) / np.linalg.norm(frame, axis=-1)


def kept_by_argsort(before, frame, keep):
    return sorted(np.argsort(similarity(before, frame))[:keep].tolist())


def keep_by_counting(visual, layers, after, budget):
    """The largest number that fits."""
    fits = [n for n in range(visual + 1) if after * visual + (layers - after) * n <= layers * budget]
    return max(fits, default=0)


RIGHT = {
    "13.merge": [merged_by_slices],
    "13.kept": [kept_by_argsort],
    "13.keep": [keep_by_counting],
    "13.many": ["a2"],
    "13.pairs": [2, 4.5],
}

WRONG = {
    "13.merge": [
        (lambda features: sum(features[:, r::2, c::2] for r in (0, 1) for c in (0, 1)) / 4, "mean of the four"),
        (merged_down_first, "down first"),
        (merged_by_channel, "values of each channel"),
        (
            lambda f: f.reshape(f.shape[0], f.shape[1] // 2, f.shape[2] // 2, 4 * f.shape[3]),
            "four patches of one row",
        ),
    ],
    "13.kept": [
        (lambda b, f, k: sorted(np.argsort(-similarity(b, f))[:k].tolist()), "tokens that repeat"),
        (lambda b, f, k: np.argsort(similarity(b, f))[:k].copy(), "sort the numbers"),
        (lambda b, f, k: sorted(np.argsort((b * f).sum(-1).numpy())[:k].tolist()), "length of the tokens"),
        (lambda b, f, k: sorted(((b - f) ** 2).sum(-1).argsort(descending=True)[:k].tolist()), "largest distance"),
    ],
    "13.keep": [
        (lambda visual, layers, after, budget: budget if budget < visual else visual, "read all tokens"),
        (lambda v, n, k, b: (n * b - k * v) // (n - k), "below 0"),
        (lambda v, n, k, b: min(max(-((k * v - n * b) // (n - k)), 0), v), "round down"),
        (lambda v, n, k, b: min(max(math.floor(b - v * k / n), 0), v), "divide by their number"),
    ],
    "13.many": [
        ("b2", "ranked by the first"),
        ("c2", "made from the question"),
        ("a1", "number of tokens"),
        ("a3", "before the"),
    ],
    "13.pairs": [(0.03, "share"), (-10, "two frames in one"), (250, "hundred twice")],
}

EXPERIMENTS = {
    "13.pairs": """
clips = [toybox.sample(seed) for seed in range(2000, 2128)]
ours = came_after.count_later(vlm, clips, [came_after.merged(64, 4, 2)])
plain = same_budget.count_right(vlm, clips, [same_budget.uniform(64, 4, 2)])
merged_share, plain_share = (counts.right[:, 0].sum(0) / counts.asked.sum(0) for counts in (ours, plain))
my_points = 100 * (plain_share - merged_share).mean()
""",
}
