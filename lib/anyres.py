"""AnyRes: LLaVA-NeXT's way to show an image of any size to an encoder that takes small squares.

image (H, W, 3) uint8 -> `crops`, the whole squashed into one square, then the tiles -> the encoder, as if they were
frames -> features (1 + n, h, w, D), projected -> `pack` -> visual tokens: the overview, then all tiles as one map,
without the patches that are only padding, each row of the map ended by the learned newline.

Which grid of tiles an image gets, and how many tokens that makes, is arithmetic: `anyres_grid`, `unpadded_box` and
`anyres_tokens` in lib/budget.py. `VideoLM.image_tokens` puts the parts together.

Not here: "anyres_max_N" of OneVision, which also shrinks the map of a large grid.
"""

from math import ceil

import numpy as np
import torch
from PIL import Image

from lib.budget import unpadded_box
from lib.reducers.base import NEWLINE, VisualTokens, check_learned, patch_layout


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
    """(H, W, 3) -> (height, width, 3): as large as it fits with its sides in proportion, centred on black.

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

    The overview is squashed to a square, not padded: the official code says of itself that this "seems to be a bug"
    (`llava/mm_utils.py` process_anyres_image), and keeps it, because the weights are used to it.

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
    kept = tiles[top:bottom, left:right]  # of a very thin image, nothing
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

    `frame` is the crop that a token comes from (0 is the overview) and `box` its patch there; a newline ends a row of
    several tiles, so it has no frame: -1. transformers `modeling_llava_next.py` pack_image_features; LLaVA-NeXT
    `llava/model/llava_arch.py:350-412`, of which this is LLaVA-NeXT's own setting, "spatial_unpad".

    >>> tokens = pack(torch.zeros(3, 3, 3, 4), image_size=(40, 240), grid=(1, 2), newline=torch.ones(4))
    >>> tokens.frame[:9].unique().tolist()                            # 3 x 3 of the overview
    [0]
    >>> tokens.frame[9:].tolist(), tokens.kind[9:].tolist()           # so flat an image covers one row of patches ...
    ([1, 1, 1, 2, 2, 2, -1], [0, 0, 0, 0, 0, 0, 1])
    >>> tokens.box[9].tolist()                                        # ... the middle one
    [1, 2, 0, 1]

    Raises ValueError where the features are not those of so many crops, and where the newline is not D wide.
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
