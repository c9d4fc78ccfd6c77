"""Intervals of scores: of a share, of a paired difference, and of any mean by the bootstrap over clips."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Score(NamedTuple):
    """A share of right answers, with its 95 % interval."""

    mean: float
    low: float
    high: float
    asked: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.asked}"


def score(right: Sequence[bool]) -> Score:
    """The share of True with its Wilson 95 % interval, which stays inside 0 to 1 and is right for small n too.

    >>> print(score([True] * 95 + [False] * 5))
    0.950 [0.888, 0.978] n=100
    """
    if not len(right):
        raise ValueError("no answers to score: ask at least one question")
    interval = stats.binomtest(int(sum(right)), len(right)).proportion_ci(method="wilson")
    return Score(sum(right) / len(right), float(interval.low), float(interval.high), len(right))


def difference(first: Sequence[bool], second: Sequence[bool], seed: int = 0) -> Score:
    """How much larger the share of True is in `first` than in `second`: answers to the same questions in one order.

    The interval is the 95 % percentile bootstrap over the pairs, 2,000 resamples.

    >>> print(difference([True] * 90 + [False] * 10, [True] * 70 + [False] * 30))
    0.200 [0.130, 0.280] n=100
    """
    pairs = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    interval = stats.bootstrap(
        (pairs,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return Score(float(pairs.mean()), float(interval.low), float(interval.high), len(pairs))


def bootstrap_shares(right: np.ndarray, asked: np.ndarray, redraws: int = 2000, seed: int = 0) -> np.ndarray:
    """Shares of right answers by kind, on all clips and on `redraws` bootstrap resamples of them.

    right: (clips, ..., kinds) how many answers to the questions of each kind were right, for any number of systems;
    asked: (clips, kinds) how many there were. Returns (1 + redraws, ..., kinds): first all clips, then the resamples.

    Answers about one clip are correlated, so a thousand clips with ten questions each are not ten thousand
    measurements. Here whole clips are drawn, with replacement and with all their questions. All systems get the same
    draws, so the difference of two systems is paired. `percentile_interval` turns any mean or difference of the shares
    into an interval.

    Raises ValueError if a draw has no question of some kind: the clips are too few.

    >>> asked = np.array([[2, 1], [1, 1], [3, 1]] * 20)
    >>> shares = bootstrap_shares(asked * [1, 0], asked)         # the first kind always right, the second never
    >>> shares.shape, shares[0].tolist()
    ((2001, 2), [1.0, 0.0])
    >>> print(percentile_interval(shares.mean(axis=1), clips=60))
    0.500 [0.500, 0.500] n=60
    """
    clips = len(asked)
    times = resample_counts(clips, redraws, seed)
    out_of = times @ asked
    if (out_of == 0).any():
        raise ValueError(f"{clips} clips are too few: some draws hold no question of a kind. Give more clips")
    hits = (times @ right.reshape(clips, -1)).reshape(len(times), *right.shape[1:])
    return hits / out_of.reshape(len(times), *[1] * (right.ndim - 2), -1)


def resample_counts(clips: int, redraws: int = 2000, seed: int = 0) -> np.ndarray:
    """(1 + redraws, clips): how often each clip is drawn, with replacement; row 0 holds each clip once."""
    rng = np.random.default_rng(seed)
    draws = [np.bincount(rng.integers(clips, size=clips), minlength=clips) for _ in range(redraws)]
    return np.stack([np.ones(clips), *draws])


def percentile_interval(values: np.ndarray, clips: int) -> Score:
    """Point estimate `values[0]` with the 2.5 and 97.5 % quantiles of the bootstrap replicates `values[1:]`.

    >>> print(percentile_interval(np.array([0.5, *np.linspace(0.4, 0.6, 101)]), clips=80))
    0.500 [0.405, 0.595] n=80
    """
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return Score(float(values[0]), float(low), float(high), clips)
