"""Figures of training runs (lessons 04, 08 and 09)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.plots.base import COLORS, canvas


def loss_curves(losses: dict[str, Sequence[float]], window: int = 1) -> Figure:
    """The loss after each step, a line per run; each point the mean of the last `window` steps.

    >>> figure = loss_curves({"ours": [3.0, 2.0, 1.0], "theirs": [3.0, 2.0, 1.0]}, window=2)
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [3.0, 2.5, 1.5]
    """
    figure, axes = canvas(8, 3.4)
    cell = axes[0, 0]
    colours = ("patch", "newline", "context", "content", "fast", "text")
    for number, ((name, curve), colour) in enumerate(zip(losses.items(), colours, strict=False)):
        smooth = [np.mean(curve[max(0, end - window) : end]) for end in range(1, len(curve) + 1)]
        style = ("-", "--", ":")[number % 3]  # overlapping curves stay distinguishable
        cell.plot(range(1, len(curve) + 1), smooth, style, color=COLORS[colour], linewidth=2, label=name)
    cell.set(xlabel="step", ylabel="loss")
    cell.xaxis.set_major_locator(MaxNLocator(integer=True))
    cell.grid(axis="y", color="0.9")
    figure.legend(loc="outside lower center", ncols=3, fontsize=10)  # leaves room for a title above
    return figure


def preference_losses(betas: Sequence[float], margins: np.ndarray) -> Figure:
    """DPO's loss over the margin (how much more the chosen answer gained), and its gradient, a line per beta.

    >>> len(preference_losses([0.1, 1.0], np.linspace(-20, 20, 9)).axes)
    2
    """
    figure, axes = canvas(8, 3, columns=2)
    for beta, colour in zip(betas, ("measured", "predicted", "wrong"), strict=False):
        loss = np.logaddexp(0, -beta * margins)
        pull = beta / (1 + np.exp(beta * margins))
        for cell, values in zip(axes[0], (loss, pull), strict=True):
            cell.plot(margins, values, color=COLORS[colour], label=f"beta {beta:g}")
    axes[0, 0].set(xlabel="margin: gain of chosen - gain of rejected", ylabel="loss", title="loss of a pair")
    axes[0, 1].set(xlabel="margin", ylabel="beta x sigmoid(-beta x margin)", yscale="log", ylim=(1e-3, 1))
    axes[0, 1].set_title("pull on the margin")
    axes[0, 1].yaxis.set_major_formatter("{x:g}")  # the default, 10 to the power of -3, is a formula
    axes[0, 0].axhline(np.log(2), color=COLORS["text"], linewidth=0.8, linestyle="--", label="log 2")
    axes[0, 0].legend(frameon=False)
    return figure


def gains_over_steps(runs: dict[str, Sequence[tuple[float, float]]], window: int = 5) -> Figure:
    """One panel per run: the gains in likelihood of chosen and rejected answers, step by step, as running means.

    >>> len(gains_over_steps({"a run": [(0, 0), (1, -2)]}).axes[0].lines)
    3
    """
    figure, axes = canvas(max(4, 2.2 * len(runs)), 3, columns=len(runs), sharey=True)
    for cell, (name, gains) in zip(axes[0], runs.items(), strict=True):
        cell.axhline(0, color=COLORS["text"], linewidth=0.8, linestyle="--")
        for column, (which, colour) in enumerate((("chosen", "right"), ("rejected", "wrong"))):
            values = np.array([pair[column] for pair in gains], dtype=float)
            means = [values[max(0, i + 1 - window) : i + 1].mean() for i in range(len(values))]
            cell.plot(range(1, len(values) + 1), means, color=COLORS[colour], label=which)
        cell.set(xlabel="step", title=name)
        cell.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes[0, 0].set_ylabel("gain in log-probability")
    axes[0, 0].legend(frameon=False)
    return figure
