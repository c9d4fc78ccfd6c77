"""Right and wrong answers to the exercises of lesson 07."""

from statistics import fmean

import numpy as np
import torch


def score_by_loop(right, asked):
    kinds = range(right.shape[1])
    return fmean(float(sum(right[:, kind])) / float(sum(asked[:, kind])) for kind in kinds)


def line_by_sorting(tokens, scores):
    """From the cheapest up, keeping what is at least as good as everything before."""
    kept, best = [], -np.inf
    for i in sorted(range(len(tokens)), key=lambda i: (tokens[i], -scores[i])):
        if scores[i] >= best:
            kept, best = [*kept, i], scores[i]
    return sorted(kept)


RIGHT = {
    "07.score": [
        score_by_loop,
        lambda right, asked: (torch.tensor(right).sum(0) / torch.tensor(asked).sum(0)).mean(),
    ],
    "07.leads": [
        lambda first, second, drawn: [fmean(first[i] - second[i] for i in row) for row in drawn],
        lambda first, second, drawn: first[drawn].mean(1) - second[drawn].mean(1),
        lambda first, second, drawn: torch.tensor(first - second)[torch.tensor(drawn)].mean(-1),
    ],
    "07.line": [line_by_sorting],
    "07.last": [22 / 23, 0.96],
    "07.which": ["a2"],
}

WRONG = {
    "07.score": [
        (lambda right, asked: float(np.sum(right) / np.sum(asked)), "All answers count the same"),
        (lambda right, asked: fmean(right.sum(1) / asked.sum(1)), "mean over clips"),
        (lambda right, asked: np.ma.masked_invalid(right / np.where(asked, asked, np.nan)).mean(), "single clips"),
        (lambda right, asked: right.sum(0) / asked.sum(0), "now their mean"),
    ],
    "07.leads": [
        (lambda first, second, drawn: [fmean(first[row]) - fmean(second) for row in drawn], "not paired"),
        (lambda first, second, drawn: [fmean(second[row] - first[row]) for row in drawn], "sign is turned"),
        (lambda first, second, drawn: np.take(first - second, drawn).sum(1), "Those are sums"),
        (lambda first, second, drawn: np.take(first - second, drawn).mean(0), "over the resamples"),
    ],
    "07.line": [
        (lambda tokens, scores: [int(np.argmax(scores))], "best method alone"),
        (
            lambda t, s: [i for i in range(len(t)) if not any(t[j] < t[i] and s[j] > s[i] for j in range(len(t)))],
            "*same* tokens",
        ),
        (
            lambda t, s: [i for i in range(len(t)) if not any(t[j] >= t[i] and s[j] > s[i] for j in range(len(t)))],
            "comparison is turned",
        ),
        (lambda tokens, scores: [tokens[i] for i in line_by_sorting(tokens, scores)], "places in the list"),
    ],
    "07.last": [(0.05, "frame 0 as the slow one"), (0.31, "two slow frames"), (95, "As a share")],
    "07.which": [("c2", "14 of 16"), ("b3", "share a token"), ("a1", "All three"), ("a3", "must choose")],
}

EXPERIMENTS = {
    "07.last": """
from lib.evaluate import grade
later = []
for clip in clips[:200]:
    with torch.no_grad():
        projected = vlm.project(vlm.encode(toybox.render(clip)))
    coarse = projected.reshape(16, 2, 4, 2, 4, -1).mean(dim=(2, 4)).flatten(0, 2)
    asked = [qa for qa in toybox.questions(clip) if qa.kind == "code"]
    hits = grade(vlm, [torch.cat([projected[15].flatten(0, 1), coarse])], [asked])[0]
    later += hits if not toybox.still(clip, 0).code else []
my_share = np.mean(later)
""",
}
