"""Right and wrong answers to the exercises of lesson 10."""

from statistics import fmean

import numpy as np
import torch

from lib.evaluate import percentile_interval


def as_sets(said, true):
    """Python sets, row by row: what was told and is not so, and what was told."""
    pairs = [({*np.flatnonzero(row)}, {*np.flatnonzero(of_clip)}) for row, of_clip in zip(said, true, strict=True)]
    return [(len(mine - facts), len(mine)) for mine, facts in pairs]


def gaps_by_loop(first, second, drawn):
    """Redraw by redraw, with Python's own sums."""
    differences = []
    for rows in drawn.tolist():
        (right, asked), (other, of) = (np.array([counts[row] for row in rows]).sum(0) for counts in (first, second))
        differences.append(right / asked - other / of)
    return sorted(differences)


def drawn_apart(first, second, drawn):
    return gaps_by_loop(first, np.tile(second.sum(0), (len(second), 1)), drawn)


RIGHT = {
    "10.chair": [
        lambda said, true: np.divide(*np.sum(as_sets(said, true), axis=0)),
        lambda said, true: ((said == 1) & (true == 0)).sum() / np.count_nonzero(said),
        lambda said, true: 1 - torch.tensor(true)[torch.tensor(said).bool()].double().mean(),
    ],
    "10.interval": [
        lambda a, b, drawn: [gaps_by_loop(a, b, drawn)[int(q * len(drawn))] for q in (0.025, 0.975)],
        lambda a, b, drawn: np.percentile(gaps_by_loop(a, b, drawn), (2.5, 97.5)),
        lambda a, b, drawn: percentile_interval(np.array([0, *gaps_by_loop(a, b, drawn)]), len(a))[1:3],
        lambda a, b, drawn: torch.tensor(gaps_by_loop(a, b, drawn)).quantile(torch.tensor([0.025, 0.975]).double()),
    ],
    "10.fooled": ["a2"],
    "10.backwards": [91.7, 92.4],
    "10.yes": [0.76, (0.96 + 1 - (2 * 0.7 - 0.96)) / 2],
}

WRONG = {
    "10.chair": [
        (lambda said, true: sum(wrong for wrong, _ in as_sets(said, true)) / true.sum(), "facts of the clips"),
        (lambda said, true: 1 - (said & true).sum() / true.sum(), "that were missed"),
        (lambda said, true: (said & true).sum() / said.sum(), "share that is so"),
        (lambda said, true: fmean(wrong / told for wrong, told in as_sets(said, true)), "mean over captions"),
        (lambda said, true: fmean(wrong > 0 for wrong, _ in as_sets(said, true)), "CHAIR_s"),
        (lambda said, true: np.abs(said - true).mean(), "every disagreement"),
        (lambda said, true: sum(wrong for wrong, _ in as_sets(said, true)), "a count"),
    ],
    "10.interval": [
        (
            lambda a, b, drawn: np.quantile((a[:, 0] / a[:, 1] - b[:, 0] / b[:, 1])[drawn].mean(1), [0.025, 0.975]),
            "clip by clip",
        ),
        (lambda a, b, drawn: np.percentile(drawn_apart(a, b, drawn), [2.5, 97.5]), "not paired"),
        (lambda a, b, drawn: np.percentile(gaps_by_loop(a, b, drawn), [5, 95]), "90 % interval"),
        (lambda a, b, drawn: np.percentile(gaps_by_loop(b, a, drawn), [2.5, 97.5]), "sign is turned"),
        (lambda a, b, drawn: np.percentile(gaps_by_loop(a, b, drawn), [97.5, 2.5]), "lower end"),
        (lambda a, b, drawn: gaps_by_loop(a, b, drawn)[:: len(drawn) - 1], "smallest and the largest"),
    ],
    "10.fooled": [("b2", "same way"), ("c2", "does not see"), ("a1", "chance does not"), ("a3", "A short")],
    "10.backwards": [
        (0.917, "Out of 100"),
        (86.45, "on words"),
        (98.1, "on characters"),
        (100.9, "order reversed"),
    ],
    "10.yes": [(0.5, "*true* answer"), (0.96, "are there alone"), (0.48, "that are right"), (0.56, "not there alone")],
}

EXPERIMENTS = {
    "10.backwards": """
turned = [". ".join(v.captions["ko"].removesuffix(".").split(". ")[::-1]) + "." for v in videos]
my_score = measure(metrics.bleu("ko-mecab"), system("backwards", turned)).mean
""",
}
