"""Right and wrong answers to the exercises of lesson 01."""

from bisect import bisect_left, bisect_right
from itertools import pairwise

import numpy as np
import torch

from lib.video import sample_fps, sample_uniform


def decoded_by_walking(keys, wanted):
    """Walks over every group of pictures and counts."""
    ends = [*sorted(keys), 10**9]
    count = 0
    for key, following in pairwise(ends):
        here = [frame for frame in wanted if key <= frame < following]
        count += len(range(key, max(here) + 1)) if here else 0
    return count


def key_of(keys, frame):
    return sorted(keys)[bisect_right(sorted(keys), frame) - 1]


RIGHT = {
    "01.decoded": [decoded_by_walking],
    "01.on_screen": [
        lambda times: [bisect_right(times, second) - 1 for second in range(int(times[-1]) + 1)],
        lambda times: np.searchsorted(times, np.arange(int(times[-1]) + 1), side="right") - 1,
        lambda times: sample_fps(times, 1),
    ],
    "01.uniform": [
        lambda total, n: [i * (total - 1) // max(n - 1, 1) for i in range(n)],
        lambda total, n: torch.tensor(sample_uniform(total, n)),
    ],
    "01.ends": [0.2316, np.float32(0.2), torch.tensor([0.28])],
    "01.enough": [36, 0.9 * 40, np.float32(36)],
}

WRONG = {
    "01.decoded": [
        (lambda keys, wanted: sum(f - key_of(keys, f) + 1 for f in wanted), "for every wanted frame"),
        (lambda keys, wanted: max(wanted) + 1, "from the start of the file"),
        (lambda keys, wanted: len({*wanted}), "without those since its key frame"),
        (
            lambda keys, wanted: sum(
                max(f for f in wanted if key_of(keys, f) == key) - key for key in {key_of(keys, f) for f in wanted}
            ),
            "Both ends are decoded",
        ),
    ],
    "01.on_screen": [
        (lambda t: [round(s * (len(t) - 1) / t[-1]) for s in range(int(t[-1]) + 1)], "average rate"),
        (lambda t: [bisect_left(t, s) for s in range(int(t[-1]) + 1)], "took the next frame"),
        (
            lambda t: [int(np.abs(np.array(t) - s).argmin()) for s in range(int(t[-1]) + 1)],
            "may not have come yet",
        ),
        (lambda t: [bisect_right(t, s) - 1 for s in range(int(t[-1]))], "last whole second"),
    ],
    "01.uniform": [
        (lambda total, n: [int(i) for i in torch.linspace(0, total, n)], "does not exist"),
        (lambda total, n: [i * total // max(n, 1) for i in range(n)], "starts of n equal parts"),
        (lambda total, n: sample_uniform(total, n, "slowfast_llava"), "middles of n equal parts"),
        (lambda total, n: [round(i) for i in np.linspace(0, total - 1, n)], "cuts down"),
        (lambda total, n: torch.linspace(0, total - 1, n, dtype=torch.float64), "frame numbers are whole"),
    ],
    "01.ends": [
        (23.2, "As a share"),
        (-0.23, "other way round"),
        (0.836, "subtract the other"),
        (0.14, "SlowFast-LLaVA"),
    ],
    "01.enough": [(40, "none is missed"), (4, "nine of ten"), (108, "one second"), (91, "drawn at random")],
}

EXPERIMENTS = {
    "01.ends": """
from lib.reducers import SpatialPool as Pool
shares = []
for rule in ("llava_next", "huggingface"):
    marks = []
    for clip in (toybox.sample(seed) for seed in range(64)):
        asked = [qa for qa in toybox.questions(clip) if qa.question.endswith(" end?")]
        pixels = toybox.render(clip, indices=video.sample_uniform(16, 2, rule))
        marks += asked and grade(tiny, [Pool(1)(tiny.encode(pixels), tiny.project).embeds], [asked])[0]
    shares.append(np.mean(marks))
my_gain = shares[0] - shares[1]
""",
}
