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


def test_patches_that_no_token_reads_are_counted_and_crossed_out():
    weight = np.ones((3, 3))
    weight[2, 1] = 0
    cell = plots.reading_maps({"pooled": weight}).axes[0]
    assert cell.get_title() == "pooled\n1 of 9 patches unread"
    assert [cell.lines[0].get_xdata().tolist(), cell.lines[0].get_ydata().tolist()] == [[1], [2]]


def test_token_strips_draw_one_square_per_token_in_its_colour():
    kinds = ["text", "patch", "patch", "newline"]
    cell = plots.token_strips({"some": kinds, "none": []}, {"text": "a word"}).axes[0]
    drawn = [matplotlib.colors.to_hex(square.get_facecolor()).upper() for square in cell.patches]
    assert drawn == [plots.COLORS[kind] for kind in kinds]
    assert [label.get_text() for label in cell.get_yticklabels()] == ["some: 4", "none: 0"]


def test_a_box_is_outlined_around_whole_cells():
    boxes = [(0, 2, 4, 8), (0, 1, 2, 4)]
    figure = plots.pooled_maps(np.zeros((8, 8, 3), np.uint8), {"map": np.zeros((4, 4, 3))}, boxes)
    edges = [(set(axes.lines[0].get_ydata()), set(axes.lines[0].get_xdata())) for axes in figure.axes]
    assert edges == [({-0.5, 1.5}, {3.5, 7.5}), ({-0.5, 0.5}, {1.5, 3.5})]


def test_colours_of_a_mean_are_the_mean_of_the_colours():
    features = np.random.default_rng(0).normal(size=(4, 4, 8))
    colours = plots.feature_colours(features, features.reshape(16, 8))
    mean = plots.feature_colours(features.mean(axis=(0, 1), keepdims=True), features.reshape(16, 8))
    assert np.allclose(mean[0, 0], colours.mean(axis=(0, 1)))
    assert colours.min() >= 0 and colours.max() <= 1 and np.ptp(colours, axis=(0, 1)).min() > 0.4


def test_each_row_of_grids_is_cut_into_its_own_tokens():
    images = np.zeros((3, 16, 16, 3), np.uint8)
    figure = plots.rows_of_grids({"crops": (images, 4), "frames": (images[:2], 2)})
    lines = [len(collection.get_segments()) for axes in figure.axes for collection in axes.collections]
    assert lines == [3, 3] * 3 + [1, 1] * 2
