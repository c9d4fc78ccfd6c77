"""Right and wrong answers to the exercises of lesson 02."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from lib import budget


def counted_by_pooling(height, width, stride, mode, newline):
    """Pools an empty frame and counts."""
    grid = torch.zeros(1, 1, height, width)
    if mode == "bilinear":
        pooled = F.interpolate(grid, size=(math.ceil(height / stride), math.ceil(width / stride)))[0, 0]
    else:
        pooled = F.max_pool2d(grid, stride)[0, 0]
    if newline == "grid":
        pooled = F.pad(pooled, (0, 1))
    return pooled.numel() + (newline == "frame")


def with_rounding(rounding):
    def tokens(height, width, stride, mode, newline):
        return budget.tokens_per_frame(rounding(height / stride), rounding(width / stride), newline)

    return tokens


def with_newlines(count):
    def tokens(height, width, stride, mode, newline):
        rows, columns = budget.pooled_side(height, stride, mode), budget.pooled_side(width, stride, mode)
        return rows * columns + count(columns, newline)

    return tokens


RIGHT = {
    "02.frame_tokens": [
        counted_by_pooling,
        lambda h, w, stride, mode, newline: budget.tokens_per_frame(
            budget.pooled_side(h, stride, mode), budget.pooled_side(w, stride, mode), newline
        ),
    ],
    "02.max_frames": [budget.max_frames, lambda c, f, p, a: float(max(0, math.floor((c - p - a) / f)))],
    "02.kv_bytes": [
        lambda layers, heads, kv, width, size, tokens: sum(
            np.empty((kv, tokens, width // heads), f"f{size}").nbytes for _ in range(2 * layers)
        )
    ],
    "02.crossing": [51, 50.7, np.float64(53)],
}

WRONG = {
    "02.frame_tokens": [
        (with_rounding(math.floor), "Bilinear pooling rounds up"),
        (with_rounding(math.ceil), "leave out the last row"),
        (with_newlines(lambda c, newline: {"grid": c, "frame": 1, "none": 0}[newline]), "as many as rows"),
        (with_newlines(lambda c, newline: 0 if newline == "none" else 1), "every row gets a newline"),
        (with_newlines(lambda c, newline: 0), "newlines are tokens too"),
    ],
    "02.max_frames": [
        (lambda c, f, p, a: budget.max_frames(c, f, p, 0), "The answer needs positions"),
        (lambda c, f, p, a: budget.max_frames(c, f, 0, a), "The prompt's words"),
        (lambda c, f, p, a: c // f, "leave room"),
        (lambda c, f, p, a: max(0, math.ceil((c - p - a) / f)), "round down"),
        (lambda c, f, p, a: math.floor((c - p - a) / f), "not negative"),
    ],
    "02.kv_bytes": [
        (lambda layers, heads, kv, width, size, tokens: layers * kv * width // heads * size * tokens, "twice as much"),
        (lambda layers, heads, kv, width, size, tokens: 2 * layers * width * size * tokens, "several of them share"),
        (lambda layers, heads, kv, width, size, tokens: 2 * layers * kv * width * size * tokens, "width / heads wide"),
        (lambda layers, heads, kv, width, size, tokens: 2 * kv * width // heads * size * tokens, "Every layer"),
    ],
    "02.crossing": [(832, "in tokens"), (102, "two thirds"), (26, "a third")],
}

EXPERIMENTS = {
    "02.crossing": """
frames = np.array([20, 70, 120])
square, line, fixed = np.polyfit(16 * frames + text, [float(operations(int(number))) for number in frames], 2)
half = (line + (line**2 + 4 * square * fixed) ** 0.5) / (2 * square)
my_crossing = (half - text) / 16
""",
}
