"""Figures draw without a warning, Hangul included (a warning is an error here)."""

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

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
    for group in (
        ("patch", "newline", "separator", "context", "content", "text"),
        ("slow", "fast"),
        ("predicted", "measured"),
        ("right", "wrong"),
    ):
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


def test_token_timelines_stack_the_tokens_of_a_frame_and_keep_their_order():
    sequences = {"some": ([0, 2, 2, 0], ["slow", "fast", "fast", "fast"])}
    bars, order = plots.token_timelines(sequences, {"slow": "detail", "fast": "outline"}).axes
    stacked = [(bar.get_x() + 0.4, bar.get_y(), bar.get_height()) for bar in bars.patches if bar.get_height()]
    assert np.allclose(stacked, [(0, 0, 1), (0, 1, 1), (2, 0, 2)])
    drawn = [list(zip(line.get_xdata().tolist(), line.get_ydata().tolist(), strict=True)) for line in order.lines]
    assert drawn == [[(0, 0)], [(1, 2), (2, 2), (3, 0)]]


def test_tokens_that_read_no_rectangle_are_counted_and_stand_out():
    numbers = np.array([[0, 0, 1], [1, 2, -1]])
    cell = plots.token_numbers({"pairs": numbers}).axes[0]
    assert cell.get_title() == "pairs\n3 tokens, 1 torn; 1 patch unread"
    assert [text.get_text() for text in cell.texts] == ["0", "0", "1", "1", "2", "–"]
    image = cell.images[0].get_array()
    assert (image[0, 2] == image[1, 0]).all() and (image[0, 2] != image[0, 0]).any() and (image[1, 2] == 1).all()


def test_frames_without_a_token_are_faded_and_the_others_cut_where_their_tokens_end():
    pixels = np.full((3, 16, 16, 3), 90, np.uint8)
    frame, box = np.array([0, 0, 2]), np.array([[0, 4, 0, 8], [4, 8, 0, 8], [0, 8, 0, 8]])
    (cell,) = plots.spent_tokens(pixels, {"some": (frame, box)}, patches=8).axes
    assert cell.images[0].get_array()[0, [0, 22, 44], 0].tolist() == [90, 228, 90]  # frames are 22 pixels apart
    assert [len(lines.get_segments()) for lines in cell.collections] == [3, 2, 2, 2]
    starts = [lines.get_segments()[0][0].tolist() for lines in cell.collections]
    assert starts == [[-0.5, -0.5], [-0.5, -0.5], [43.5, -0.5], [43.5, -0.5]]


def test_needed_tokens_are_redder_the_more_is_lost_and_each_answer_has_its_own_scale():
    pixels, box = np.zeros((3, 16, 16, 3), np.uint8), np.array([[0, 8, 0, 4], [0, 8, 4, 8], [0, 8, 0, 8]])
    rows = {"code": np.array([4.0, -1, 2]), "flash": np.array([0, 0, 0.5])}
    figure = plots.needed_tokens(pixels, box, {"slow 1": (1, [0, 1]), "fast 2": (2, [2])}, rows, 8, "title")
    assert [[square.get_alpha() for square in cell.patches] for cell in figure.axes] == [
        [0.85, 0],
        [0.425],
        [0, 0],
        [0.85],
    ]
    assert [square.get_xy() for square in figure.axes[0].patches] == [(-0.5, -0.5), (7.5, -0.5)]
    assert [cell.get_ylabel() for cell in figure.axes[::2]] == ["code\nup to 4.0", "flash\nup to 0.5"]


def test_a_share_table_fills_every_cell_and_parts_the_groups():
    means = np.array([[0.1, 0.9], [0.25, 0.5], [1, 0]])
    shares = np.stack([means, means - 0.04, means + 0.02], axis=-1)
    figure = plots.share_table(["a", "b", "c"], [64, 64, 128], ["code", "flash"], shares)
    (cell,) = figure.axes
    assert [text.get_text() for text in cell.texts] == ["10 ±3", "90 ±3", "25 ±3", "50 ±3", "100 ±3", "0 ±3"]
    assert [line.get_ydata()[0] for line in cell.lines] == [1.5]
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_where_less_is_better_a_share_table_is_dark_at_small_shares():
    means = np.array([[1.0, 0.0], [0.0, 1.0]])
    shares = np.stack([means] * 3, axis=-1)
    (cell,) = plots.share_table(["good", "bad"], [0, 0], ["facts", "CHAIR"], shares, lower=[1], title="A").axes
    assert cell.images[0].get_array().tolist() == [[1, 1], [0, 0]]
    assert [label.get_text() for label in cell.get_xticklabels()] == ["facts ↑", "CHAIR ↓"]
    assert [text.get_color() for text in cell.texts] == ["white", "white", "black", "black"]
    assert shares[0, 1, 0] == 0  # what was given stays as it is


def test_nothing_is_above_the_pareto_line():
    scores = {
        ("uniform", "a", 64): 0.5,
        ("SlowFast-LLaVA", "b", 128): 0.9,
        ("uniform", "c", 128): 0.6,
        ("LLaVA-Video", "d", 256): 0.7,
    }
    points = [(*key, (mean, mean - 0.1, mean + 0.1, 9)) for key, mean in scores.items()]
    figure = plots.pareto(points, "share", guests=[("LLaMA-VID", "e", 32, (1.0, 0.9, 1.0, 9))])
    cell = figure.axes[0]
    line = cell.lines[-1]
    assert line.get_xdata().tolist() == [64, 128, 128, 256] and line.get_ydata().tolist() == [0.5, 0.6, 0.9, 0.9]
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["uniform", "SlowFast-LLaVA", "LLaVA-Video", "LLaMA-VID, weights of its own"]
    assert {text.get_text() for text in cell.texts} == set("abcde")


def test_names_of_points_do_not_cover_each_other():
    points = [("uniform", f"{number}", 120 + number, (0.5 + number / 1000, 0, 1, 9)) for number in range(5)]
    heights = sorted(text.get_position()[1] for text in plots.pareto(points, "share").axes[0].texts)
    assert np.diff(heights).min() > 0.049


def test_a_name_that_moves_goes_up_or_down_and_a_line_leads_to_its_point():
    scores = {"stays": 0.5, "up": 0.51, "down": 0.52, "alone": 0.9}
    points = [("uniform", name, 128, (mean, 0, 1, 9)) for name, mean in scores.items()]
    cell = plots.pareto(points, "share").axes[0]
    heights = {text.get_text(): text.get_position()[1] for text in cell.texts}
    assert heights == pytest.approx({"stays": 0.5, "up": 0.55, "down": 0.45, "alone": 0.9})
    thin = [line.get_ydata() for line in cell.lines if line.get_linewidth() == 0.6]
    assert np.allclose(thin, [(0.51, 0.55), (0.52, 0.45)])


def test_a_score_of_0_is_drawn_whole():
    cell = plots.score_intervals({"tiny": {"code": (0.0, 0.0, 0.1, 9)}}).axes[0]
    assert cell.get_ylim()[0] < -0.03


def test_every_beta_can_be_seen_to_pull_and_the_line_says_what_it_is():
    loss, pull = plots.preference_losses([0.1, 0.5, 0.01], np.linspace(-30, 30, 61)).axes
    assert [text.get_text() for text in loss.get_legend().get_texts()][-1] == "log 2"
    bottom = pull.transAxes.inverted().transform(pull.transData.transform((0, 0.005)))[1]
    assert bottom > 0.1  # beta 0.01 at its start, as a share of the panel's height


def test_a_page_of_tiles_fades_what_is_cut_off_and_ends_each_kept_row_in_a_newline():
    white = np.full((16, 32, 3), 255, np.uint8)
    cell = plots.anyres_page(white // 255, (1, 2), 4, (1, 3, 0, 8)).axes[0]
    drawn = np.asarray(cell.images[0].get_array())[..., 0]
    assert (drawn[4:12] == 1).all() and (drawn[:4] > 190).all() and (drawn[12:] > 190).all()
    assert [label.get_text() for label in cell.get_yticklabels()] == ["16", "25"]
    assert len(cell.patches) == 2 and min(square.get_x() for square in cell.patches) > 31


def test_cuts_lie_between_the_tiles():
    figure = plots.anyres_crops(*[np.zeros((64, 96, 3), np.uint8)] * 2, np.zeros((7, 32, 32, 3), np.uint8), (2, 3))
    across, down = (lines.get_segments() for lines in figure.axes[1].collections)
    assert [line[0][1] for line in across] == [31.5] and [line[0][0] for line in down] == [31.5, 63.5]


@pytest.mark.parametrize("text", ["Costs $5 or $6?", "$\\frac{", "cost_1 of $x^2$, 값 $5", "100% \\$ {}"])
def test_a_dollar_is_a_dollar_in_every_text(text):
    black = np.zeros((8, 8, 3), np.uint8)
    figures = (
        plots.detail_against_time(np.stack([black] * 4), {text: ([0], 2, {text: (0.5, 0.4, 0.6, 9)})}, text),
        plots.pipeline([(text, text)], [(text, "")], [(text, text)], text),
        plots.attention_maps(black, {text: np.eye(4)}),
        plots.token_strips({text: ["text"]}, {"text": text}),
        plots.progress_board([(text, ["right"])], text),
    )
    for figure in figures:
        assert figure._repr_png_().startswith(b"\x89PNG")
        assert not any(found.get_parse_math() for found in figure.findobj(Text))


def test_no_axis_writes_its_numbers_as_formulas():
    score = (0.5, 0.4, 0.6, 9)
    figures = (
        plots.preference_losses([0.1], np.linspace(-30, 30, 9)),
        plots.scores_by_budget([(4, 576, 2.71), (16, 144, 2.76), (32, 144, 3.12)], "VDD"),
        plots.frames_per_card(["T4"], {"notes": [4], "memory": [86]}, {"4,096 positions": 25}),
        plots.score_curves({"both": {1: score, 512: score}}, "things", "share", log=True),
        plots.pareto([("uniform", "1 x 64", 64, score), ("uniform", "8 x 16", 1024, score)], "share"),
    )
    for figure in figures:
        figure._repr_png_()
        shown = [found.get_text() for found in figure.findobj(Text)]
        assert any(text[:1].isdigit() for text in shown) and not any("$" in text for text in shown)


@pytest.mark.parametrize(
    "mine",
    [
        {"text.usetex": True, "font.serif": ["No Such Font"], "font.family": "serif"},
        {"figure.autolayout": True, "figure.facecolor": "black", "savefig.transparent": True, "savefig.bbox": "tight"},
        {"axes.formatter.use_mathtext": True, "axes.formatter.limits": (0, 0), "axes.unicode_minus": False},
        {"lines.linewidth": 9, "xtick.labelsize": 30, "axes.grid": True, "path.sketch": (1, 100, 2)},
    ],
)
def test_a_learners_matplotlibrc_does_not_change_a_picture(mine):
    curve = {"a run": [3000.0, 20.0, -1.0]}
    ours = plots.loss_curves(curve)._repr_png_()
    matplotlib.rcParams.update(mine)
    plots.style()
    assert plots.loss_curves(curve)._repr_png_() == ours
