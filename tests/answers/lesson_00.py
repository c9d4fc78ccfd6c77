"""Right and wrong answers to the exercises of lesson 00."""

import numpy as np

RIGHT = {
    "00.visual_tokens": [lambda f, p, q, s: sum(1 for _ in range(f) for _ in np.ndindex(p // q // s, p // q // s))],
    "00.sequence": [1163.0, np.int64(1163)],
    "00.interval": ["C 1", "c, 1"],
    "00.cheapest": [4 * 16, np.float64(64)],
}

WRONG = {
    "00.visual_tokens": [
        (lambda f, p, q, s: f * (p // (q * s)), "one row of each frame"),
        (lambda f, p, q, s: len(range(0, p // q - s + 1, s)) ** 2, "a single frame"),
        (lambda f, p, q, s: np.ones((f, p // q, p // q)).sum(), "not pooled yet"),
        (lambda f, p, q, s: f * (p // q) ** 2 // s, "a quarter is left"),
        (lambda f, p, q, s: np.float32(f) * (p / (q * s)) ** 2, "no parts of tokens"),
        (lambda f, p, q, s: f * ((p // q) ** 2 // (s * s)), "Round each side down"),
    ],
    "00.sequence": [(8 * 144 + 12, "does not stay"), (8 * 144, "words around"), (20, "144 tokens, not one")],
    "00.interval": [("a1", "0.60 to 0.98"), ("b2", "nothing new"), ("c2", "greedy"), ("c3", "above chance")],
    "00.cheapest": [(256, "fewer tokens do"), (128, "half of these frames"), (16, "of one frame"), (32, "below 90 %")],
}

EXPERIMENTS = {
    "00.cheapest": """
spent = {}
for stride in (8, 4, 2, 1):
    for frames in (1, 2, 4, 8, 16):
        if (tokens := frames * (8 // stride) ** 2) <= 64:
            spent[tokens, frames] = np.mean(right_answers(frames, stride, ("motion",))["motion"])
my_tokens = min(tokens for (tokens, _), share in spent.items() if share >= 0.9)
""",
}
