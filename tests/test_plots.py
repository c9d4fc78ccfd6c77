"""Figures draw without a warning, Hangul included (a warning is an error here)."""

import matplotlib
import numpy as np
import pytest

from lib import plots


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context():
        plots.style()
        yield


def test_hangul_latin_and_minus_are_drawn_without_a_missing_glyph():
    figure, axes = plots.canvas(4, 2)
    axes[0, 0].set(title="빨간 공이 왼쪽으로 움직입니다 → 뷁", xlabel="frames × tokens", ylabel="−1")
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_without_the_bundled_font_hangul_would_be_missing():
    matplotlib.rcParams["font.family"] = ["DejaVu Sans"]
    figure, axes = plots.canvas(4, 2)
    axes[0, 0].set_title("공")
    with pytest.raises(UserWarning, match="missing from font"):
        figure._repr_png_()


def test_colours_are_valid_and_named_things_that_meet_in_one_figure_differ():
    assert all(matplotlib.colors.is_color_like(colour) for colour in plots.COLORS.values())
    for group in (("patch", "newline", "separator", "context", "content", "text"), ("slow", "fast"),
                  ("predicted", "measured"), ("right", "wrong")):
        assert len({plots.COLORS[name] for name in group}) == len(group)


def test_frame_strip_shows_every_frame_once_in_order():
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.full((5, 4, 4, 3), 50, np.uint8)
    figure = plots.frame_strip(pixels, titles=list("abcde"), columns=3)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == list("abcde")
    assert [int(axes.images[0].get_array()[0, 0, 0]) for axes in shown] == [0, 50, 100, 150, 200]


def test_the_same_data_draw_the_same_bytes():
    first, second = (plots.frame_strip(np.zeros((2, 4, 4, 3), np.uint8))._repr_png_() for _ in range(2))
    assert first == second
