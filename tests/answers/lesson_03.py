"""Right and wrong answers to the exercises of lesson 03."""

import numpy as np

from lib.anyres import anyres_grid, unpadded_box


def canvas_by_loop(height, width, canvases):
    """As both official codes write it: a loop that keeps the best so far."""
    best, most, least = None, 0, float("inf")
    for h, w in canvases:
        scale = min(w / width, h / height)
        shown = min(int(width * scale) * int(height * scale), width * height)
        wasted = h * w - shown
        if shown > most or (shown == most and wasted < least):
            best, most, least = (h, w), shown, wasted
    return np.array(best)


def shown(height, width, canvas):
    scale = min(canvas[0] / height, canvas[1] / width)
    return int(height * scale) * int(width * scale)


def biggest_first(height, width, canvases):
    best = None
    for one in canvases:
        if best is None or min(shown(height, width, one), height * width) > min(
            shown(height, width, best), height * width
        ):
            best = one
    return best


def boxed(change):
    """A count from the number of rows and columns that remain."""

    def tokens(height, width, rows, columns, side):
        top, bottom, left, right = unpadded_box(height, width, rows * side, columns * side)
        return change(bottom - top, right - left, side)

    return tokens


RIGHT = {
    "03.canvas": [
        canvas_by_loop,
        lambda h, w, canvases: [side * 336 for side in anyres_grid(h, w, canvases)],
    ],
    "03.image_tokens": [boxed(lambda h, w, side: np.ones((h, w + 1)).sum() + side * side)],
    "03.columns": [0.86, np.float32(0.9), 0.8],
}

WRONG = {
    "03.canvas": [
        (lambda h, w, canvases: sorted(canvases, key=lambda c: abs(c[1] / c[0] - w / h))[0], "nearest shape"),
        (lambda h, w, canvases: canvas_by_loop(w, h, canvases), "swapped"),
        (lambda h, w, c: sorted(c, key=lambda one: (-shown(h, w, one), one[0] * one[1]))[0], "shows no more"),
        (biggest_first, "take the smallest"),
        (lambda h, w, canvases: canvas_by_loop(h, w, [*reversed(canvases)]), "the first one counts"),
    ],
    "03.image_tokens": [
        (boxed(lambda h, w, side: h * w + h), "overview comes first"),
        (boxed(lambda h, w, side: h * w + side * side), "ends in a newline"),
        (lambda h, w, r, c, side: side**2 + r * side * c * side + r * side, "padding is still in"),
        (boxed(lambda h, w, side: h * w + w + side * side), "for each column"),
        (boxed(lambda h, w, side: h * w + h + side * side + 1), "CLS is dropped"),
    ],
    "03.columns": [(0, "still read by rows"), (0.3, "tile by tile"), (0.135, "is left"), (87, "As a share")],
}

EXPERIMENTS = {
    "03.columns": """
def by_columns(image):
    tokens = looks(image)["AnyRes"]
    return torch.cat([tokens[:64], tokens[64:].unflatten(0, (16, 17)).transpose(0, 1).flatten(0, 1)])
with torch.inference_mode():
    turned = right_answers([by_columns(image) for image in images["far, cut"]], stills)["code"]
my_fall = np.mean(right["far, cut", "code", "AnyRes"]) - np.mean(turned)
""",
}
