"""Figures of patches and tokens (lessons 00 and 02 to 07)."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from lib.plots.base import COLORS, canvas, draw_grid, outline, show_pixels

Box = tuple[str, str]  # a box of the pipeline: its name and its content


def pipeline(video: Sequence[Box], text: Sequence[Box], joined: Sequence[Box], title: str) -> Figure:
    """How a video LLM works: boxes from left to right, the frames' path above the words' path, until they join.

    Each box has a name and a smaller line on what it holds.

    >>> figure = pipeline([("frames", "8"), ("tower", "")], [("question", "")], [("language model", "")], "title")
    >>> [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    ['frames', '8', 'tower', 'question', 'language model']
    """
    first = max(len(video), len(text))
    figure, axes = canvas(1.62 * (first + len(joined)), 2.6)
    cell = axes[0, 0]
    ways = [([*range(len(video))], 1.5, video, "light"), ([*range(first - len(text), first)], 0, text, "text")]
    for columns, row, steps, colour in (*ways, ([*range(first, first + len(joined))], 0.75, joined, "patch")):
        for column, (name, holds) in zip(columns, steps, strict=True):
            fill = 0.65 + 0.35 * np.array(to_rgb(COLORS[colour]))
            look = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": fill, "edgecolor": COLORS[colour]}
            cell.add_patch(FancyBboxPatch((column - 0.42, row - 0.3), 0.84, 0.6, **look))
            cell.text(column, row + (0.1 if holds else 0), name, ha="center", va="center", fontsize=10)
            cell.text(column, row - 0.12, holds, ha="center", va="center", fontsize=8)
            if column < columns[-1]:
                arrow(cell, (column + 0.42, row), (column + 0.58, row))
            elif steps is not joined:
                arrow(cell, (column + 0.42, row), (first - 0.42, 0.85 if row else 0.65))
    cell.set(xlim=(-0.5, first + len(joined) - 0.5), ylim=(-0.4, 1.9))
    cell.axis("off")
    cell.set_title(title)
    return figure


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow in the units of the axes."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": COLORS["line"], "shrinkA": 0, "shrinkB": 0})


def token_grids(frame: np.ndarray, patches: int, pooled: int) -> Figure:
    """One frame (H, W, 3): as it is, cut into patches x patches, and into pooled x pooled (the tokens that remain).

    >>> len(token_grids(np.zeros((64, 64, 3), np.uint8), 8, 4).axes)
    3
    """
    figure, axes = canvas(9, 3.3, columns=3)
    titles = ("pixels", f"{patches} x {patches} = {patches**2} patches", f"{pooled} x {pooled} = {pooled**2} tokens")
    for cell, side, title in zip(axes.flat, (1, patches, pooled), titles, strict=True):
        show_pixels(cell, frame, title)
        edges = np.arange(1, side) * frame.shape[0] / side - 0.5
        cell.hlines(edges, -0.5, frame.shape[1] - 0.5, color=COLORS["light"], linewidth=1.2)
        cell.vlines(edges, -0.5, frame.shape[0] - 0.5, color=COLORS["light"], linewidth=1.2)
    return figure


def stacked_bars(
    labels: Sequence[str],
    parts: dict[str, Sequence[float]],
    colours: Sequence[str],
    limits: dict[str, float],
    unit: str,
) -> Figure:
    """One horizontal bar per label, made of the parts (colours: names in COLORS), against lines at the named limits.

    >>> len(stacked_bars(["a", "b"], {"text": [1, 2], "video": [3, 4]}, ["text", "patch"], {"room": 5}, "tokens").axes)
    1
    """
    figure, axes = canvas(9, 1.7 + 0.42 * len(labels))
    cell, left = axes[0, 0], np.zeros(len(labels))
    for (name, values), colour in zip(parts.items(), colours, strict=True):
        cell.barh(labels, values, left=left, color=COLORS[colour], label=name, height=0.62)
        left = left + np.asarray(values)
    for name, value in limits.items():
        cell.axvline(value, color=COLORS["line"], linewidth=1, linestyle="--")
        cell.text(value, -0.62, name, ha="center", va="bottom", fontsize=9)
    cell.set_ylim(len(labels) - 0.5, -0.6)
    cell.set_xlabel(unit)
    figure.legend(loc="outside lower center", ncols=len(parts), fontsize=10)
    return figure


def token_views(pixels: np.ndarray, views: dict[str, tuple[np.ndarray, int]], patches: int) -> Figure:
    """Per method: the part of a frame that one token sees, and the places of all tokens in the sequence.

    pixels: a clip (T, H, H, 3). views: name -> (N, 7) of each token its frame, the number of its layout, its kind and
    its box (`explorer.sight`), and which token is highlighted; boxes are in patches, `patches` per side.

    >>> tokens = np.array([[0, 0, 0, 0, 2, 0, 2], [1, 0, 0, 0, 2, 0, 2]])
    >>> figure = token_views(np.zeros((2, 8, 8, 3), np.uint8), {"whole frames": (tokens, 1)}, patches=2)
    >>> [axes.get_title() for axes in figure.axes]
    ['whole frames\\n2 tokens', 'token 2: frame 2']
    """
    figure, axes = canvas(2.3 * len(views), 4.5, 2, len(views), height_ratios=(1.5, 1))
    size, names = pixels.shape[1], {"slow": "all frames alike, or the fine ones", "fast": "the coarse ones"}
    for (picture, order), (name, (tokens, chosen)) in zip(axes.T, views.items(), strict=True):
        frame, layout = tokens[chosen, :2]
        of_piece = (tokens[:, 0] == frame) & (tokens[:, 1] == layout)
        show_pixels(picture, pixels[frame], f"{name}\n{len(tokens):,} tokens")
        for row0, row1, col0, col1 in tokens[of_piece, 3:] * size / patches:
            corner = (col0 - 0.5, row0 - 0.5)
            picture.add_patch(Rectangle(corner, col1 - col0, row1 - row0, fill=False, edgecolor="white", linewidth=0.5))
        outline(picture, tokens[chosen, 3:] * size / patches)
        for number, colour in enumerate(names):
            place = np.flatnonzero((tokens[:, 1] == number) & (tokens[:, 0] >= 0))
            order.plot(place + 1, tokens[place, 0] + 1, "s", color=COLORS[colour], markersize=3)
        order.plot(chosen + 1, frame + 1, "s", color=COLORS["newline"], markersize=8, markeredgecolor=COLORS["line"])
        order.set_title(f"token {chosen + 1:,}: frame {frame + 1}", fontsize=10)
        order.set_xlabel("place in the sequence")
        order.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        order.label_outer()
    axes[1, 0].set_ylabel("frame")
    handles = [Patch(color=COLORS[colour], label=name) for colour, name in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=10)
    return figure


def anyres_maps(edges: np.ndarray, grids: np.ndarray, tokens: np.ndarray, extra: np.ndarray) -> Figure:
    """Over image sizes, `edges` pixels wide (right) and high (up), n x n each: the grid's name, tokens, extra tokens.

    >>> names = np.array([["1 x 2", "2 x 1"], ["2 x 1", "2 x 2"]])
    >>> figure = anyres_maps(np.array([100, 200]), names, np.ones((2, 2)), np.eye(2))
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['1 x 2', '2 x 1', '2 x 2']
    """
    figure, axes = canvas(12.5, 4.3, columns=3, sharey=True)
    half = (edges[1] - edges[0]) / 2
    place = {"origin": "lower", "extent": (edges[0] - half, edges[-1] + half) * 2}
    colours = dict(zip(np.unique(grids), ("patch", "fast", "context", "newline", "content", "light"), strict=False))
    axes[0, 0].imshow([[to_rgb(COLORS[colours[name]]) for name in row] for row in grids], **place)
    handles = [Patch(color=COLORS[colour], label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(colours), fontsize=10)
    figure.colorbar(axes[0, 1].imshow(tokens, cmap="viridis", **place), shrink=0.85)
    most = np.abs(extra).max()
    figure.colorbar(axes[0, 2].imshow(extra, cmap="RdBu", vmin=-most, vmax=most, **place), shrink=0.85)
    titles = "grid, rows x columns (transformers)", "tokens (transformers)", "extra tokens under the original rule"
    for cell, title in zip(axes.flat, titles, strict=True):
        cell.set(title=title, xlabel="width in pixels")
    axes[0, 0].set_ylabel("height in pixels")
    return figure


def anyres_crops(image: np.ndarray, on_canvas: np.ndarray, crops: np.ndarray, grid: tuple[int, int]) -> Figure:
    """An image (H, W, 3), the same on its canvas with the cuts of its grid, and the crops: overview, then tiles.

    >>> picture, squares = np.zeros((6, 8, 3), np.uint8), np.zeros((3, 8, 8, 3), np.uint8)
    >>> figure = anyres_crops(picture, np.zeros((8, 16, 3), np.uint8), squares, (1, 2))
    >>> [axes.get_title() for axes in figure.axes]
    ['image, 6 x 8', 'canvas, 8 x 16', 'overview', 'tile 1', 'tile 2']
    """
    titles = [f"{name}, {some.shape[0]} x {some.shape[1]}" for name, some in (("image", image), ("canvas", on_canvas))]
    titles += ["overview", *(f"tile {number}" for number in range(1, len(crops)))]
    figure, axes = canvas(1.75 * len(titles), 2.2, columns=len(titles))
    for cell, pixels, title in zip(axes.flat, [image, on_canvas, *crops], titles, strict=True):
        show_pixels(cell, pixels, title)
    draw_cuts(axes[0, 1], on_canvas, grid)
    return figure


def draw_cuts(axes: Axes, on_canvas: np.ndarray, grid: tuple[int, int]) -> None:
    """The borders between the tiles of a canvas that the axes show."""
    height, width = on_canvas.shape[:2]
    look = {"color": COLORS["newline"], "linewidth": 2}
    axes.hlines(np.arange(1, grid[0]) * height / grid[0] - 0.5, -0.5, width - 0.5, **look)
    axes.vlines(np.arange(1, grid[1]) * width / grid[1] - 0.5, -0.5, height - 0.5, **look)


def anyres_page(on_canvas: np.ndarray, grid: tuple[int, int], side: int, box: tuple[int, int, int, int]) -> Figure:
    """A canvas of tiles, side x side patches each, in reading order: the patches in `box`, then newlines.

    Each kept row is labelled with the position of its first token in the sequence; the overview stands before it.

    >>> figure = anyres_page(np.zeros((16, 16, 3), np.uint8), (2, 2), 2, (1, 3, 0, 4))
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]       # 4 of the overview; rows of 4 + newline
    ['4', '9']
    """
    top, bottom, left, right = box
    patch = on_canvas.shape[0] // (grid[0] * side)
    pixels = on_canvas.astype(float)
    kept = np.zeros(pixels.shape[:2], bool)
    kept[top * patch : bottom * patch, left * patch : right * patch] = True
    pixels[~kept] = 0.25 * pixels[~kept] + 0.75 * 255  # faded: cut off
    figure, axes = canvas(7, 4.6)
    cell = axes[0, 0]
    cell.imshow(pixels.astype(np.uint8))
    edges_x, edges_y = np.arange(left, right + 1) * patch - 0.5, np.arange(top, bottom + 1) * patch - 0.5
    cell.hlines(edges_y, edges_x[0], edges_x[-1], color=COLORS["light"], linewidth=0.7)
    cell.vlines(edges_x, edges_y[0], edges_y[-1], color=COLORS["light"], linewidth=0.7)
    draw_cuts(cell, on_canvas, grid)
    rows = (np.arange(top, bottom) + 0.5) * patch - 0.5
    cell.barh(rows, 0.8 * patch, 0.8 * patch, edges_x[-1] + 0.1 * patch, color=COLORS["newline"], clip_on=False)
    first = side**2 + np.arange(bottom - top) * (right - left + 1)
    every = max(1, len(rows) // 12)
    cell.set(xticks=[], ylabel="place of the row's first token", xlim=(-0.5, on_canvas.shape[1] + patch - 0.5))
    cell.set_yticks(rows[::every], first[::every])
    cell.set_title("patches (blue grid) and newlines (orange squares); faded: cut off; orange lines: cuts", fontsize=10)
    cell.spines[:].set_visible(False)
    return figure


def rows_of_grids(rows: dict[str, tuple[np.ndarray, int]], titles: Sequence[str] = ()) -> Figure:
    """One row per name: images (N, H, H, 3), each cut into side x side tokens; titles of the columns, if given.

    >>> images = np.zeros((5, 16, 16, 3), np.uint8)
    >>> figure = rows_of_grids({"crops": (images, 8), "frames": (images, 4)})
    >>> [axes.get_ylabel() for axes in figure.axes[::5]]
    ['crops\\n5 x 64 = 320', 'frames\\n5 x 16 = 80']
    """
    columns = max(len(images) for images, _ in rows.values())
    figure, axes = canvas(1.6 * columns + 1.3, 1.75 * len(rows), len(rows), columns)
    for line, (name, (images, side)) in zip(axes, rows.items(), strict=True):
        for cell in line[len(images) :]:
            cell.axis("off")
        for cell, image in zip(line, images, strict=False):
            show_pixels(cell, image)
            draw_grid(cell, image.shape[0], side)
        line[0].set_ylabel(f"{name}\n{len(images)} x {side**2} = {len(images) * side**2}", fontsize=10)
    for cell, title in zip(axes[0], titles, strict=False):
        cell.set_title(title, fontsize=10)
    return figure


def pooled_maps(frame: np.ndarray, maps: dict[str, np.ndarray], boxes: Sequence[tuple[int, int, int, int]]) -> Figure:
    """A frame (H, H, 3), then maps (h, w, 3), with one box (row0, row1, col0, col1) outlined on each.

    The first box is the frame's, in pixels; the others are in the cells of their map.

    >>> colours = {"patches": np.zeros((8, 8, 3)), "tokens": np.zeros((4, 4, 3))}
    >>> boxes = [(0, 16, 0, 16), (0, 2, 0, 2), (0, 1, 0, 1)]
    >>> len(pooled_maps(np.zeros((64, 64, 3), np.uint8), colours, boxes).axes)
    3
    """
    figure, axes = canvas(3.1 * (len(maps) + 1), 3.4, columns=len(maps) + 1)
    for cell, (title, pixels), box in zip(axes.flat, {"the frame": frame, **maps}.items(), boxes, strict=True):
        show_pixels(cell, pixels, title)
        outline(cell, box)
    return figure


def reading_maps(weights: dict[str, np.ndarray]) -> Figure:
    """Maps (h, w) of how much each patch weighs in all tokens together; patches that no token reads are crossed out.

    >>> figure = reading_maps({"average": np.ones((4, 4)), "bilinear": np.eye(4)})
    >>> [axes.get_title() for axes in figure.axes]
    ['average\\n0 of 16 patches unread', 'bilinear\\n12 of 16 patches unread']
    """
    figure, axes = canvas(3 * len(weights), 4.0, columns=len(weights))
    for cell, (title, weight) in zip(axes.flat, weights.items(), strict=True):
        cell.imshow(weight, cmap="Blues", vmin=0, vmax=1.3 * weight.max())
        row, column = np.nonzero(weight == 0)
        cell.plot(column, row, "x", color=COLORS["wrong"], markersize=60 / len(weight), linestyle="none")
        cell.set(xticks=[], yticks=[])
        cell.set_title(f"{title}\n{len(row)} of {weight.size} patches unread", fontsize=10)
        cell.spines[:].set_visible(True)
    return figure


def token_strips(strips: dict[str, Sequence[str]], names: dict[str, str]) -> Figure:
    """One row of squares per strip, a square per token, coloured by its kind; `names` gives the kinds for the legend.

    >>> figure = token_strips({"ids": ["text", "patch", "text"]}, {"text": "a text token", "patch": "a visual token"})
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['a text token', 'a visual token']
    """
    longest = max(map(len, strips.values()))
    figure, axes = canvas(10, 0.9 + 0.42 * len(strips))
    cell = axes[0, 0]
    for row, kinds in enumerate(strips.values()):
        cell.bar(range(len(kinds)), 0.7, 0.86, row - 0.35, color=[COLORS[kind] for kind in kinds])
    cell.set_yticks(range(len(strips)), [f"{name}: {len(kinds)}" for name, kinds in strips.items()])
    cell.set(xlim=(-0.6, longest - 0.4), ylim=(len(strips) - 0.5, -0.5), xticks=[])
    cell.spines[:].set_visible(False)
    cell.tick_params(length=0)
    handles = [Patch(color=COLORS[kind], label=name) for kind, name in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), fontsize=10)
    return figure


def token_timelines(sequences: dict[str, tuple[Sequence[int], Sequence[str]]], names: dict[str, str]) -> Figure:
    """Per sequence of tokens, each with its frame and its colour: how many each frame has, and their order.

    Left, the tokens of every frame; right, the place of each token in the sequence against its frame. `names` maps the
    colours, in the order in which they are stacked, to their meaning in the legend.

    >>> sequences = {"two frames": ([0, 0, 1], ["slow", "slow", "fast"])}
    >>> [axes.get_title("left") for axes in token_timelines(sequences, {"slow": "detail", "fast": "outline"}).axes]
    ['two frames', '3 tokens in their order']
    """
    figure, axes = canvas(10, 0.6 + 2.2 * len(sequences), len(sequences), 2, width_ratios=(2, 3))
    for (bars, order), (title, (frame, kinds)) in zip(axes, sequences.items(), strict=True):
        frame, kinds = np.asarray(frame), np.asarray(kinds)
        bottom = np.zeros(frame.max() + 1)
        for kind in names:
            place = np.flatnonzero(kinds == kind)
            height = np.bincount(frame[place], minlength=len(bottom))
            bars.bar(range(len(bottom)), height, 0.8, bottom, color=COLORS[kind])
            bottom += height
            order.plot(place, frame[place], "s", color=COLORS[kind], markersize=3)
        bars.set_title(title, loc="left")
        bars.set(xlabel="frame", ylabel="tokens")
        bars.xaxis.set_major_locator(MaxNLocator(integer=True))
        order.set_title(f"{len(frame)} tokens in their order", loc="left")
        order.set(xlabel="place in the sequence", ylabel="frame")
    handles = [Patch(color=COLORS[kind], label=name) for kind, name in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), fontsize=10)
    return figure


def token_numbers(maps: dict[str, np.ndarray]) -> Figure:
    """Maps (h, w) of the number of the token that reads each patch, -1 for none; tokens without a rectangle stand out.

    >>> figure = token_numbers({"pairs of a row of three": np.array([[0, 0, 1], [1, 2, 2]])})
    >>> figure.axes[0].get_title()
    'pairs of a row of three\\n3 tokens, 1 torn; 0 patches unread'
    """
    figure, axes = canvas(4.2 * len(maps), 4.0, columns=len(maps))
    for cell, (title, numbers) in zip(axes.flat, maps.items(), strict=True):
        image, torn = np.ones((*numbers.shape, 3)), 0
        for number in range(numbers.max() + 1):
            rows, columns = np.nonzero(numbers == number)
            whole = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == len(rows)
            torn += not whole
            colour = ("patch", "light")[number % 2] if whole else "fast"
            image[rows, columns] = 0.5 + 0.5 * np.array(to_rgb(COLORS[colour]))
        cell.imshow(image)
        for (row, column), number in np.ndenumerate(numbers):
            cell.text(column, row, "–" if number < 0 else number, ha="center", va="center")
        cell.set(xticks=[], yticks=[])
        unread = (numbers < 0).sum()
        count = f"{numbers.max() + 1} tokens, {torn} torn; {unread} {'patch' if unread == 1 else 'patches'} unread"
        cell.set_title(f"{title}\n{count}", fontsize=10)
        cell.spines[:].set_visible(True)
    return figure


def attention_maps(frame: np.ndarray, maps: dict[str, np.ndarray], columns: int = 4) -> Figure:
    """A frame (H, H, 3), then for each question the patches that it looks at: a map (h, w), brightest where it looks
    most.

    >>> figure = attention_maps(np.zeros((64, 64, 3), np.uint8), {"What is the code?": np.eye(8) / 8})
    >>> [axes.get_title() for axes in figure.axes if axes.images]
    ['the frame', 'What is the code?']
    """
    rows, size = -(-(len(maps) + 1) // columns), len(frame)
    figure, axes = canvas(2.6 * columns, 2.95 * rows, rows, columns)
    for cell in axes.flat[len(maps) + 1 :]:
        cell.axis("off")
    show_pixels(axes.flat[0], frame, "the frame")
    grey = frame.mean(axis=-1, keepdims=True).repeat(3, axis=-1).astype(np.uint8)
    for cell, (question, weight) in zip(axes.flat[1:], maps.items(), strict=False):
        show_pixels(cell, grey, textwrap.fill(question, 22))
        edges = (-0.5, size - 0.5, size - 0.5, -0.5)
        cell.imshow(weight, cmap="inferno", alpha=0.75, extent=edges, vmin=0)
    return figure


def spent_tokens(pixels: np.ndarray, rows: dict[str, tuple[np.ndarray, np.ndarray]], patches: int) -> Figure:
    """Which part of a clip (T, H, H, 3) becomes a token of its own: one row of frames per name.

    rows: name -> frame (N,) and box (N, 4) of the tokens; boxes are in patches, `patches` per side. Frames
    without a token are faded.

    >>> tokens = np.array([0, 0]), np.array([[0, 8, 0, 4], [0, 8, 4, 8]])          # the first frame, two halves
    >>> figure = spent_tokens(np.zeros((2, 16, 16, 3), np.uint8), {"halves": tokens}, patches=8)
    >>> figure.axes[0].get_ylabel(), len(figure.axes[0].collections)
    ('halves', 2)
    """
    figure, axes = canvas(0.72 * len(pixels) + 1.6, 0.8 * len(rows), len(rows))
    size = pixels.shape[1]
    for cell, (name, (frame, box)) in zip(axes.flat, rows.items(), strict=True):
        seen = np.isin(range(len(pixels)), frame)[:, None, None, None]
        shown = np.where(seen, pixels, 255 - (255 - pixels) // 6)
        cell.imshow(np.hstack(np.pad(shown, ((0, 0), (0, 0), (0, 6), (0, 0)), constant_values=255)))  # gaps between
        for number in np.unique(frame):
            mine, left = box[frame == number] * size / patches, number * (size + 6) - 0.5
            cell.hlines(np.unique(mine[:, :2]) - 0.5, left, left + size, color="white", linewidth=0.6)
            cell.vlines(np.unique(mine[:, 2:]) + left, -0.5, size - 0.5, color="white", linewidth=0.6)
        cell.set_ylabel(name, rotation=0, ha="right", va="center")
        cell.set(xticks=[], yticks=[])
        cell.spines[:].set_visible(False)
    return figure


def needed_tokens(
    pixels: np.ndarray,
    box: np.ndarray,
    columns: dict[str, tuple[int, Sequence[int]]],
    rows: dict[str, np.ndarray],
    patches: int,
    title: str,
) -> Figure:
    """How much an answer needs the tokens of a clip (T, H, H, 3): redder means more; one row per answer.

    box: (N, 4) of all tokens in patches, `patches` per side. columns: name -> a frame and which of the
    tokens are drawn on it. rows: name -> need (N,); the darkest red of a row is its largest need.

    >>> box = np.array([[0, 8, 0, 8], [0, 8, 0, 8]])
    >>> columns = {"first": (0, [0]), "last": (2, [1])}
    >>> figure = needed_tokens(np.zeros((3, 16, 16, 3), np.uint8), box, columns, {"code": np.array([0, 3.5])}, 8, "")
    >>> figure.axes[0].get_ylabel().split(), [cell.get_title() for cell in figure.axes]
    (['code', 'up', 'to', '3.5'], ['first', 'last'])
    """
    figure, axes = canvas(0.8 * len(columns) + 1, 1.2 * len(rows) + 0.6, len(rows), len(columns))
    size = pixels.shape[1]
    for cell, name in zip(axes[0], columns, strict=True):
        cell.set_title(name, fontsize=10)
    for line, (name, need) in zip(axes, rows.items(), strict=True):
        for cell, (number, which) in zip(line, columns.values(), strict=True):
            grey = pixels[number].mean(axis=-1, keepdims=True).repeat(3, axis=-1).astype(np.uint8)
            show_pixels(cell, grey, cell.get_title())
            for at in which:
                row0, row1, col0, col1 = box[at] * size / patches
                look = {"facecolor": COLORS["fast"], "alpha": 0.85 * max(need[at], 0) / need.max()}
                cell.add_patch(Rectangle((col0 - 0.5, row0 - 0.5), col1 - col0, row1 - row0, edgecolor="none", **look))
        line[0].set_ylabel(f"{name}\nup to {need.max():.1f}", fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def rope_angles(lengths: np.ndarray, angles: dict[str, np.ndarray], trained: tuple[int, float]) -> Figure:
    """The largest angle that a rotary embedding meets in sequences of these lengths, one line for each kind of scaling.

    trained: the longest training sequence, and the largest angle in it: a box around what the model was trained on.

    >>> lengths = np.array([1, 2])
    >>> len(rope_angles(lengths, {"none": lengths, "linear, factor 2": lengths / 2}, (1, 1.0)).axes[0].lines)
    2
    """
    figure, axes = canvas(8, 3.6)
    cell = axes[0, 0]
    cell.add_patch(Rectangle((0, 0), *trained, color=COLORS["light"], alpha=0.25, label="met in training"))
    looks = zip(("text", "slow", "fast", "content", "context"), ("-", "--", "-.", ":", "-"), strict=True)
    for (name, values), (colour, line) in zip(angles.items(), looks, strict=False):
        cell.plot(lengths, values, line, color=COLORS[colour], linewidth=2, label=name)
    cell.set(xlabel="tokens in the sequence", ylabel="largest angle of the slowest pair", xlim=(0, lengths[-1]), ylim=0)
    cell.xaxis.set_major_formatter("{x:,.0f}")
    figure.legend(loc="outside right upper", fontsize=10)
    return figure
