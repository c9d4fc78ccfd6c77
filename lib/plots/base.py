"""The shared base of all figures: fonts, colours, canvases, pixels.

Figures are made by `canvas`, not by pyplot: pyplot keeps its figures open, and a notebook would show them twice.
"""

import io

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.files import DATA

FONT = DATA / "fonts" / "NanumSquareR.ttf"
# One colour for one thing throughout the course. Okabe and Ito's palette, which colour-blind readers can tell apart.
COLORS = {
    "patch": "#0072B2",  # blue: a visual token made of patches
    "newline": "#E69F00",  # orange: a learned newline token
    "separator": "#F0E442",  # yellow
    "context": "#009E73",  # green: LLaMA-VID's context token
    "content": "#CC79A7",  # purple: LLaMA-VID's content token
    "text": "#999999",  # grey: a text token
    "slow": "#0072B2",
    "fast": "#D55E00",  # vermilion
    "predicted": "#E69F00",
    "measured": "#0072B2",
    "right": "#009E73",
    "wrong": "#D55E00",
    "line": "#000000",
    "light": "#56B4E9",  # sky blue: a second shade beside blue
}
FAMILY_COLOURS = {  # of methods that spend tokens
    "uniform": "patch", "SlowFast-LLaVA": "fast", "LLaVA-Video": "context", "LLaMA-VID": "content",
}  # fmt: skip


def style() -> None:
    """Set fonts (Latin and Hangul), sizes and colours for all figures that follow; a notebook calls it once, on top.

    Everything else is matplotlib's default; a learner's own matplotlibrc is ignored.

    Raises FileNotFoundError if the course's data folder is missing.

    >>> style()
    >>> matplotlib.rcParams["font.family"]
    ['DejaVu Sans', 'NanumSquare']
    """
    matplotlib.rcdefaults()
    font_manager.fontManager.addfont(FONT)  # bundled, because most machines have no Hangul font that matplotlib finds
    matplotlib.rcParams.update(
        {
            "font.family": ["DejaVu Sans", "NanumSquare"],  # the second is for characters that the first lacks
            "font.size": 11,
            "axes.titlesize": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": matplotlib.cycler(color=list(dict.fromkeys(COLORS.values()))),
            "figure.dpi": 80,
            "figure.constrained_layout.use": True,  # labels never overlap and are never cut off
            "image.interpolation": "nearest",  # a pixel is a square, not a blur
            "legend.frameon": False,
            "text.parse_math": False,  # a $ in a question is a dollar, not the beginning of a formula
        }
    )


class Picture(Figure):
    """A Figure that any notebook shows as a PNG, whichever backend matplotlib has there."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", metadata={"Software": None})  # the same picture, the same bytes
        return file.getvalue()


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """A figure of width x height inches with rows x columns axes (always a 2-D array); options go to `subplots`.

    >>> figure, axes = canvas(8, 2, columns=4)
    >>> axes.shape
    (1, 4)
    """
    figure = Picture(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def titled(figure: Figure, finding: str) -> Figure:
    """The same figure with a title that states its finding.

    >>> titled(canvas(4, 2)[0], "Codes are the hardest").get_suptitle()
    'Codes are the hardest'
    """
    figure.suptitle(finding, fontsize=11)
    return figure


def show_pixels(axes: Axes, pixels: np.ndarray, title: str = "") -> None:
    """Draw one image (H, W, 3) uint8 into axes, with a thin frame and no ticks."""
    axes.imshow(pixels)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10)
    axes.spines[:].set_visible(True)


def draw_grid(axes: Axes, size: int, side: int) -> None:
    """Cut an image of size x size pixels that the axes show into side x side squares, by thin lines."""
    edges = np.arange(1, side) * size / side - 0.5
    axes.hlines(edges, -0.5, size - 0.5, color=COLORS["light"], linewidth=0.7)
    axes.vlines(edges, -0.5, size - 0.5, color=COLORS["light"], linewidth=0.7)


def feature_colours(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Features (h, w, C) as colours (h, w, 3): the three directions in which the reference (N, C) varies most.

    >>> reference = np.random.default_rng(0).normal(size=(64, 8))
    >>> feature_colours(reference.reshape(8, 8, 8), reference).shape
    (8, 8, 3)
    """
    mean = reference.mean(axis=0)
    directions = np.linalg.svd(reference - mean, full_matrices=False)[2][:3]
    spread = np.abs((reference - mean) @ directions.T).max(axis=0)
    return np.clip(0.5 + 0.5 * (features - mean) @ directions.T / spread, 0, 1)


def outline(axes: Axes, box: tuple[int, int, int, int]) -> None:
    """Frame the rows row0 to row1 and columns col0 to col1 (half-open) of an image that the axes show."""
    row0, row1, col0, col1 = box
    x, y = np.array([col0, col1, col1, col0, col0]) - 0.5, np.array([row0, row0, row1, row1, row0]) - 0.5
    axes.plot(x, y, color=COLORS["newline"], linewidth=3, clip_on=False)
