"""AnyRes: how LLaVA-NeXT shows an image of any size to an encoder that takes small squares.

image (H, W, 3) uint8 -> `crops`, the whole squashed into one square, then the tiles -> the encoder, as if they were
frames -> features (1 + n, h, w, D), projected -> `pack` -> visual tokens: the overview, then all tiles as one map,
without the patches that are only padding, each row of the map ended by the learned newline.

Which grid of tiles an image gets, and how many tokens that makes, is arithmetic: `anyres_grid`, `unpadded_box` and
`anyres_tokens`. `VideoLM.image_tokens` puts the parts together.

Not implemented: OneVision's "anyres_max_N", which also shrinks the map of a large grid.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from PIL import Image

from lib.reducers.base import NEWLINE, VisualTokens, check_learned, patch_layout
from lib.reducers.spatial_pool import check_choice

# The canvases that LLaVA-NeXT cuts into tiles, pixels (the default of transformers' LlavaNextConfig; LLaVA-NeXT
# `scripts/train/dpo.sh:37`). The blog of 30 January 2024 names 1 x 4 and 4 x 1 tiles too; the code leaves them out.
LLAVA_NEXT_PINPOINTS = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
ANYRES_RULES = ("hf", "original")  # read a pinpoint as (height, width) or as (width, height)


def anyres_grid(
    height: int,
    width: int,
    pinpoints: Sequence[Sequence[int]] = LLAVA_NEXT_PINPOINTS,
    tile: int = 336,
    rule: str = "hf",
) -> tuple[int, int]:
    """(rows, columns) of tiles for an image: the canvas that shows most pixels, and of equals the smallest.

    scale = min(canvas width / width, canvas height / height)
    shown = min(floor(width * scale) * floor(height * scale), width * height)

    If two are equal in both, the first in the list wins. The official codes agree on this. They disagree on what a
    pinpoint is: (height, width) in transformers (rule "hf", `image_processing_utils.py` select_best_resolution),
    (width, height) in LLaVA-NeXT ("original", `llava/mm_utils.py:119-149`). The usual list holds each shape in both
    orientations, so the grids differ only for ties. Ties are images of at most 336 x 336, which every canvas shows
    whole. (Lines one pixel thin and over 1,008 long tie too: the floor leaves no pixel of them.)

    >>> anyres_grid(480, 640), anyres_grid(300, 900)
    ((2, 2), (1, 3))
    >>> anyres_grid(56, 28), anyres_grid(56, 28, rule="original")
    ((1, 2), (2, 1))

    Raises ValueError for an empty image, an unknown rule, and pinpoints that tiles do not fill.
    """
    check_choice("rule", rule, ANYRES_RULES)
    if min(height, width) < 1:
        raise ValueError(f"an image of {height} x {width} pixels cannot be cut: give its height and width, 1 or more")
    if not pinpoints or any(side < 1 or side % tile for pinpoint in pinpoints for side in pinpoint):
        raise ValueError(f"pinpoints {pinpoints} are not made of tiles of {tile} pixels: give multiples, or tile=...")

    def shown(canvas: tuple[int, int]) -> tuple[int, int]:
        scale = min(canvas[1] / width, canvas[0] / height)
        pixels = min(int(width * scale) * int(height * scale), width * height)
        return pixels, -canvas[0] * canvas[1]

    canvases = [tuple(pinpoint if rule == "hf" else reversed(pinpoint)) for pinpoint in pinpoints]
    rows, columns = max(canvases, key=shown)  # max keeps the first of equals
    return rows // tile, columns // tile


def unpadded_box(height: int, width: int, rows: int, columns: int, rule: str = "hf") -> tuple[int, int, int, int]:
    """(row0, row1, col0, col1), half-open: the patches of a rows x columns canvas that an image centred in it covers.

    If width / height > columns / rows, the image fills the width and floor(height * columns / width) rows. Half of the
    other rows, rounded down, are cut off above and as many below, so one row of padding may stay. Otherwise the same
    holds for columns.

    Computed as height * (columns / width), it may land just below a whole number: 110 * (48 / 352) gives 14.999...98.
    transformers rounds to 7 digits before the floor (`unpad_image`; huggingface/transformers#35779), the original code
    does not (LLaVA-NeXT `llava/model/llava_arch.py`). It matters if the whole number is odd:

    >>> unpadded_box(480, 640, 48, 48), unpadded_box(640, 480, 48, 48)
    ((6, 42, 0, 48), (0, 48, 6, 42))
    >>> unpadded_box(110, 352, 24, 48), unpadded_box(110, 352, 24, 48, rule="original")
    ((4, 20, 0, 48), (5, 19, 0, 48))

    Raises ValueError for an unknown rule.
    """
    check_choice("rule", rule, ANYRES_RULES)
    fills_width = width / height > columns / rows
    covered = height * (columns / width) if fills_width else width * (rows / height)
    covered = int(round(covered, 7) if rule == "hf" else covered)
    padding = ((rows if fills_width else columns) - covered) // 2
    return (padding, rows - padding, 0, columns) if fills_width else (0, rows, padding, columns - padding)


def anyres_tokens(
    height: int,
    width: int,
    pinpoints: Sequence[Sequence[int]] = LLAVA_NEXT_PINPOINTS,
    tile: int = 336,
    patch: int = 14,
    rule: str = "hf",
) -> int:
    """side**2 of the overview + h * w patches of the tiles, without padding, + h newlines, one at the end of each row.

    LLaVA-NeXT `llava/model/llava_arch.py:393-406`; transformers `processing_llava_next.py` `_get_number_of_features`
    (less one: it counts CLS, which is dropped). 2 x 2 tiles fill 2,928 tokens, the most of LLaVA-NeXT's list:

    >>> [anyres_tokens(height, width) for height, width in ((672, 672), (480, 640), (640, 480), (720, 1280))]
    [2928, 2340, 2352, 1948]
    >>> anyres_tokens(56, 28), anyres_tokens(56, 28, rule="original")
    (888, 1776)

    Raises ValueError as `anyres_grid` does, and if a patch does not fit in a tile.
    """
    if not 0 < patch <= tile:
        raise ValueError(f"a patch of {patch} does not fit a tile of {tile}: use 0 < patch <= tile")
    side = tile // patch
    rows, columns = anyres_grid(height, width, pinpoints, tile, rule)
    top, bottom, left, right = unpadded_box(height, width, rows * side, columns * side, rule)
    return side**2 + (bottom - top) * (right - left + 1)


def check_image(image: np.ndarray) -> None:
    """Raises ValueError unless the image is (H, W, 3) uint8 with at least one pixel."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(
            f"an image must be a uint8 array (H, W, 3), not {found}: pass np.asarray(Image.open(path).convert('RGB'))"
        )
    if 0 in image.shape:
        raise ValueError(f"an image of shape {image.shape} holds no pixels: give at least one")


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) -> (height, width, 3) uint8, by Pillow's bicubic filter, as both official codes do.

    >>> resize(np.full((4, 6, 3), 7, np.uint8), 2, 3)[0, 0].tolist()
    [7, 7, 7]
    """
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def on_canvas(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) -> (height, width, 3): scaled to fit with its proportions kept, centred on black.

    LLaVA-NeXT `llava/mm_utils.py` resize_and_pad_image; transformers `image_processing_pil_llava_next.py`.

    >>> on_canvas(np.full((1, 2, 3), 9, np.uint8), 4, 4)[..., 0].tolist()
    [[0, 0, 0, 0], [9, 9, 9, 9], [9, 9, 9, 9], [0, 0, 0, 0]]
    """
    scale = min(height / image.shape[0], width / image.shape[1])
    rows, columns = min(ceil(image.shape[0] * scale), height), min(ceil(image.shape[1] * scale), width)
    top, left = (height - rows) // 2, (width - columns) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + rows, left : left + columns] = resize(image, rows, columns)
    return canvas


def crops(image: np.ndarray, grid: tuple[int, int], tile: int) -> np.ndarray:
    """(H, W, 3) and (rows, columns) of tiles -> (1 + n, tile, tile, 3) uint8: the overview, then the tiles row by row.

    The overview is squashed to a square, not padded: a comment in the official code says that this "seems to be a bug"
    (`llava/mm_utils.py` process_anyres_image). It stays, because the weights were trained with it.

    >>> crops(np.zeros((480, 640, 3), np.uint8), (2, 2), 336).shape
    (5, 336, 336, 3)
    """
    check_image(image)
    rows, columns = grid
    canvas = on_canvas(image, rows * tile, columns * tile)
    tiles = canvas.reshape(rows, tile, columns, tile, 3).swapaxes(1, 2).reshape(-1, tile, tile, 3)
    return np.concatenate([resize(image, tile, tile)[None], tiles])


def side_by_side(tiles: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(rows * columns, h, w, D) -> (rows * h, columns * w, D): tiles, row by row, laid out as one map.

    >>> side_by_side(torch.tensor([1, 2, 3, 4]).reshape(2, 1, 2, 1), (1, 2))[..., 0].tolist()
    [[1, 2, 3, 4]]
    """
    return tiles.unflatten(0, grid).transpose(1, 2).flatten(0, 1).flatten(1, 2)


def arrange(
    patches: torch.Tensor, image_size: tuple[int, int], grid: tuple[int, int], newline: torch.Tensor
) -> torch.Tensor:
    """(1 + rows * columns, h, w, D) -> (N, D): the overview, then the map without padding, `newline` after each row."""
    tiles = side_by_side(patches[1:], grid)
    top, bottom, left, right = unpadded_box(*image_size, *tiles.shape[:2])
    kept = tiles[top:bottom, left:right]  # empty for a very thin image
    lines = torch.cat([kept, newline.to(kept).expand(len(kept), 1, -1)], dim=1)
    return torch.cat([patches[0].flatten(0, 1), lines.flatten(0, 1)])


def crop_layout(count: int, height: int, width: int) -> torch.Tensor:
    """(count, height, width, 6): crop, kind and box of each patch."""
    spans = [[(at, at + 1) for at in range(side)] for side in (height, width)]
    crop = torch.arange(count)[:, None, None, None].expand(count, height, width, 1)
    return torch.cat([crop, patch_layout(*spans).expand(count, -1, -1, -1)], dim=-1)


def pack(
    features: torch.Tensor, image_size: tuple[int, int], grid: tuple[int, int], newline: torch.Tensor
) -> VisualTokens:
    """Projected features (1 + n, h, w, D) of the crops of an image of (height, width) pixels -> its visual tokens.

    `frame` is the crop that a token comes from (0 is the overview) and `box` its patch there. A newline ends a row that
    spans several tiles, so its frame is -1. transformers `modeling_llava_next.py` pack_image_features; LLaVA-NeXT
    `llava/model/llava_arch.py:350-412`, with LLaVA-NeXT's own setting, "spatial_unpad".

    >>> tokens = pack(torch.zeros(3, 3, 3, 4), image_size=(40, 240), grid=(1, 2), newline=torch.ones(4))
    >>> tokens.frame[:9].unique().tolist()                            # 3 x 3 of the overview
    [0]
    >>> tokens.frame[9:].tolist(), tokens.kind[9:].tolist()           # so flat an image covers one row of patches ...
    ([1, 1, 1, 2, 2, 2, -1], [0, 0, 0, 0, 0, 0, 1])
    >>> tokens.box[9].tolist()                                        # ... the middle one
    [1, 2, 0, 1]

    Raises ValueError if the number of crops is wrong or the newline is not D wide.
    """
    expected = 1 + grid[0] * grid[1]
    if features.dim() != 4 or len(features) != expected:
        raise ValueError(
            f"features of shape {tuple(features.shape)} do not fit {grid[0]} x {grid[1]} tiles: "
            f"give ({expected}, h, w, D), those of crops(image, {grid}, tile)"
        )
    check_learned("newline", newline, features.shape[-1])
    no_crop = torch.cat([torch.tensor([-1]), NEWLINE])
    where = arrange(crop_layout(*features.shape[:3]), image_size, grid, no_crop).to(features.device)
    return VisualTokens(arrange(features, image_size, grid, newline), where[:, 0], where[:, 1], where[:, 2:])
