"""Right and wrong answers to the exercises of lesson 05."""

import numpy as np
import torch
from torch import nn

from lib.reducers import LlavaVideo, SlowFastLlava
from lib.reducers.slowfast_llava import SlowFastSpec, pool_slow


def spec(pool):
    return SlowFastSpec(1, pool, 1, 1)


def pairs_in_numpy(grid):
    columns = [np.asarray(grid, np.float64)[:, :, i : i + 2].max(axis=2) for i in range(0, grid.shape[2] - 1, 2)]
    return np.stack(columns, axis=2)


def video_tokens(newline=1, end=1):
    """`lib`'s own count, with or without newlines and frame tokens."""

    def count(frames, every, side, stride):
        vectors = [torch.zeros(1) if part else None for part in (newline, end)]
        return LlavaVideo(every, stride, 2 * stride, "average", *vectors).count(frames, side, side)

    return count


def floored(frames, every, side, stride):
    slow, rows, coarse = frames // every, side // stride, side // (2 * stride)
    return slow * (rows * (rows + 1) + 1) + (frames - slow) * (coarse * (coarse + 1) + 1)


def squared(frames, every, side, stride):
    vector = torch.zeros(1)
    return LlavaVideo(every, stride, stride**2, "average", vector, vector).count(frames, side, side)


RIGHT = {
    "05.slow_indices": [
        lambda total, n: [i * total // n for i in range(n)],
        lambda total, n: np.linspace(0, total, n, endpoint=False).astype(int),
        lambda total, n: SlowFastLlava.from_spec(f"slowfast-slow_{n}frms_concat-fast_1x1").slow_indices(total),
    ],
    "05.slow_pool": [pairs_in_numpy, lambda grid: pool_slow(grid, spec("spatial_1d_max_pool"))],
    "05.video_tokens": [
        video_tokens(),
        lambda frames, every, side, stride: len(
            LlavaVideo(every, stride, 2 * stride, "average", torch.zeros(1), torch.zeros(1))(
                torch.zeros(frames, side, side, 1)
            )
        ),
    ],
    "05.second_scene": [10 / 24, np.float32(0.4), 0.45],
}

WRONG = {
    "05.slow_indices": [
        (lambda total, n: np.linspace(0, total, n + 1).astype(int), "without dropping the last"),
        (lambda total, n: np.linspace(0, total - 1, n).astype(int), "both ends"),
        (lambda total, n: [total // n * i for i in range(n)], "before multiplying"),
        (lambda total, n: np.arange(n) * total / n, "frame numbers are whole"),
    ],
    "05.slow_pool": [
        (lambda g: nn.MaxPool2d((2, 1))(g.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), "Rows and columns are swapped"),
        (lambda grid: pool_slow(grid, spec("spatial_1d_avg_pool")), "mean of the two"),
        (lambda grid: pool_slow(grid, spec("spatial_2d_max_pool")), "2 x 2"),
        (lambda g: nn.MaxPool1d(2)(g.flatten(1, 2).transpose(1, 2)).transpose(1, 2), "flattened rows"),
        (lambda grid: grid[:, :, 0 : grid.shape[2] - 1 : 2], "the left one"),
    ],
    "05.video_tokens": [
        (floored, "rounded up"),
        (video_tokens(newline=0), "newlines at the ends"),
        (video_tokens(end=0), "end of each frame is missing"),
        (squared, "not its square"),
    ],
    "05.second_scene": [(2 / 24, "frame 0 does not show"), (17 / 24, "over the budget"), (41.7, "As a share")],
}

EXPERIMENTS = {
    "05.second_scene": """
late = [clip for clip in map(toybox.sample, range(48, 400)) if not toybox.still(clip, 0).code][:24]
two_slow = SlowFastLlava.from_spec("slowfast-slow_2frms_spatial_1d_max_pool-fast_2x2")
with torch.no_grad():
    looked = [two_slow(tiny.encode(toybox.render(clip)), tiny.project).embeds for clip in late]
my_share = share(right_answers(tiny, looked, late, ("code",))["code"]).mean
""",
}
