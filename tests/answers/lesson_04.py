"""Right and wrong answers to the exercises of lesson 04."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lib.reducers.spatial_pool import pool_2d, with_newlines


def pool_in_numpy(hidden, height, width, stride):
    """float64, patch by patch."""
    grid = np.asarray(hidden, np.float64)[:, 1:].reshape(len(hidden), height, width, -1)
    rows, columns = height // stride, width // stride
    out = np.zeros((len(hidden), rows, columns, grid.shape[-1]))
    for row, column in np.ndindex(rows, columns):
        window = grid[:, row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
        out[:, row, column] = window.mean(axis=(1, 2))
    return out


def pool_with(change, mode="average"):
    """`lib`'s pooling of a grid that was made in some other way."""
    return lambda hidden, height, width, stride: pool_2d(change(hidden, height, width), stride, mode)


def grid(hidden, height, width):
    return hidden[:, 1:].unflatten(1, (height, width))


def no_crop(hidden, height, width, stride):
    channels_first = grid(hidden, height, width).permute(0, 3, 1, 2)
    return nn.AvgPool2d(stride, ceil_mode=True)(channels_first).permute(0, 2, 3, 1)


RIGHT = {
    "04.pool": [
        pool_in_numpy,
        pool_with(grid),
        lambda x, h, w, s: F.avg_pool2d(grid(x.double(), h, w).permute(0, 3, 1, 2), s).permute(0, 2, 3, 1),
    ],
    "04.order": ["b1"],
    "04.splice": [
        lambda words, visual, at: np.concatenate([words.numpy()[:at], visual.numpy(), words.numpy()[at + 1 :]]),
        lambda words, visual, at: [*words[:at], *visual, *words[at + 1 :]],
    ],
    "04.newlines": [
        lambda tokens, newline: [vector for frame in tokens for row in frame for vector in [*row, newline]],
        lambda tokens, newline: with_newlines(tokens.double(), "grid", newline),
    ],
    "04.factor": [0.48, np.float32(0.5), 0.45],
}

WRONG = {
    "04.pool": [
        (pool_with(lambda hidden, h, w: hidden[:, :-1].unflatten(1, (h, w))), "pooled the CLS token"),
        (pool_with(lambda hidden, h, w: hidden[:, 1:].unflatten(1, (w, h))), "come row by row"),
        (pool_with(grid, "max"), "maximum of each window"),
        (lambda hidden, h, w, s: grid(hidden, h, w)[:, : h // s * s : s, : w // s * s : s], "picked one patch"),
        (no_crop, "as a smaller window"),
    ],
    "04.order": [("a1", "GELU of the mean"), ("c1", "no newline"), ("b2", "tokens change"), ("b3", "where they are")],
    "04.splice": [
        (lambda words, visual, at: torch.vstack([words[:at], visual, words[at:]]), "behind the video"),
        (lambda words, visual, at: torch.vstack([words[: at + 1], visual, words[at + 1 :]]), "before the video"),
        (lambda words, visual, at: np.delete(np.r_[words, visual], at, axis=0), "at the end"),
        (lambda words, visual, at: np.delete(np.r_[visual, words], at + len(visual), axis=0), "at the start"),
    ],
    "04.newlines": [
        (lambda tokens, newline: with_newlines(tokens, "frame", newline), "each frame with a newline"),
        (lambda tokens, newline: with_newlines(tokens, "one", newline), "one newline for the whole clip"),
        (lambda tokens, newline: [v for frame in tokens for row in frame for v in [newline, *row]], "before each row"),
        (lambda tokens, newline: with_newlines(tokens.swapaxes(1, 2), "grid", newline), "swapped"),
        (lambda tokens, newline: tokens.reshape(-1, tokens.shape[-1]), "no newline yet"),
    ],
    "04.factor": [(0.9, "That is factor 1"), (0.63, "That is factor 2"), (47.6, "As a share")],
}

EXPERIMENTS = {
    "04.factor": """
slowed = stretched(image_model, 1.5)
my_share = np.mean(right_answers(slowed, [tokens[0] for tokens in whole], few, THINGS, batch=8))
""",
}
