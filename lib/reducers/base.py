"""The shared base of all reducers: their signature, and tokens that store their origin."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor, nn

Project = Callable[[Tensor], Tensor]  # (..., C) -> (..., D), the projector of a model
Span = tuple[int, int]  # first and last + 1 of the patch rows (or columns) that a token summarises
Origin = tuple[Tensor, Tensor, Tensor]  # the origin of tokens: frame, kind and box of VisualTokens


class Kind(IntEnum):
    """What a visual token is."""

    PATCH = 0  # summarises patches of one frame
    NEWLINE = 1  # learned vector that ends a row, a frame or a clip
    SEPARATOR = 2  # learned vector between frames
    CONTEXT = 3  # the part of a frame that the question asks about (LLaMA-VID)
    CONTENT = 4  # a frame's content, the same for every question (LLaMA-VID)


@dataclass(frozen=True, eq=False)
class VisualTokens:
    """The visual tokens of one clip, in the order in which the language model reads them.

    Clips of one size may share `frame`, `kind` and `box`: do not write into them.

    >>> layout = patch_layout(rows=[(0, 2), (2, 4)], cols=[(0, 4)]).flatten(0, 1)      # two tokens in a frame
    >>> tokens = VisualTokens(torch.randn(4, 3), *origin([0, 5], [layout, layout], torch.device("cpu")))
    >>> len(tokens), tokens.frame.tolist()
    (4, [0, 0, 5, 5])
    >>> tokens.box[1].tolist()                                    # rows 2 and 3, columns 0 to 3
    [2, 4, 0, 4]
    """

    embeds: Tensor  # (N, D)
    frame: Tensor  # (N,) index of the source frame, -1 if there is none
    kind: Tensor  # (N,) a Kind
    box: Tensor  # (N, 4) row0, row1, col0, col1 of the patches it summarises, half-open; zeros if there are none

    def __len__(self) -> int:
        return self.embeds.shape[0]

    def map(self, change: Callable[[Tensor], Tensor]) -> "VisualTokens":
        """The same change of the first dimension (an index, for instance) applied to all four tensors."""
        return VisualTokens(change(self.embeds), change(self.frame), change(self.kind), change(self.box))

    @staticmethod
    def cat(parts: Sequence["VisualTokens"]) -> "VisualTokens":
        """The parts, concatenated."""
        fields = zip(*((part.embeds, part.frame, part.kind, part.box) for part in parts), strict=True)
        return VisualTokens(*(torch.cat(tensors) for tensors in fields))


def identity(features: Tensor) -> Tensor:
    """The projector that changes nothing.

    >>> identity(torch.ones(2)).tolist()
    [1.0, 1.0]
    """
    return features


class Reducer(nn.Module):
    """Turns the features of one clip into visual tokens.

    A subclass writes `forward` and `count`, and keeps `count(T, H, W) == len(forward(features))`.
    """

    takes_question = False

    def forward(self, features: Tensor, project: Project = identity, question: str | None = None) -> VisualTokens:
        """(T, H, W, C) -> (N, D). `project` is the model's projector, C -> D; the paper defines where it is applied."""
        raise NotImplementedError

    def count(self, frames: int, height: int, width: int) -> int:
        """The number of tokens that `frames` frames of height x width patches become."""
        raise NotImplementedError

    def split(self) -> tuple[Project, "Reducer"]:
        """The steps on each frame before anything learned, and a reducer for the rest.

        The first part's result may be stored on disk in place of the features: `rest(first(features), project)` equals
        the whole reducer's result, bit for bit (except boxes). By default the first part changes nothing.
        """
        return identity, self

    def check(self, features: Tensor, question: str | None) -> None:
        """Raises ValueError unless the features are (T, H, W, C) and a question is given exactly if one is used."""
        if features.dim() != 4:
            raise ValueError(
                f"features have shape {tuple(features.shape)}: give (T, H, W, C), as VideoLM.encode(frames) returns"
            )
        check_sizes(*features.shape[:3])
        name = type(self).__name__
        if question is not None and not self.takes_question:
            raise ValueError(f"{name} does not look at the question: leave question=None")
        if question is None and self.takes_question:
            raise ValueError(f"{name} needs the question: pass question='...'")


def check_sizes(frames: int, height: int, width: int) -> None:
    """Raises ValueError if there is no frame or no patch to reduce."""
    if min(frames, height, width) < 1:
        raise ValueError(
            f"{frames} frames of {height} x {width} patches: a reducer needs at least one frame and one patch; "
            "read at least one frame"
        )


def check_learned(name: str, embed: Tensor | None, width: int) -> None:
    """Raises ValueError if a learned vector is not as wide as the tokens around it."""
    if embed is not None and embed.shape != (width,):
        raise ValueError(
            f"{name} has shape {tuple(embed.shape)} but the tokens are {width} wide: pass one of shape ({width},); "
            "one as wide as the language model needs project=... too"
        )


# A *layout* describes the tokens of a frame, for any frame: a row of five numbers each, Kind and box.
NEWLINE = torch.tensor([Kind.NEWLINE, 0, 0, 0, 0])
SEPARATOR = torch.tensor([Kind.SEPARATOR, 0, 0, 0, 0])


def patch_layout(rows: Sequence[Span], cols: Sequence[Span]) -> Tensor:
    """(h, w, 5): the grid of tokens that summarise these rows and columns of patches.

    >>> patch_layout(rows=[(0, 2)], cols=[(0, 2), (2, 4)]).tolist()
    [[[0, 0, 2, 0, 2], [0, 0, 2, 2, 4]]]
    """
    return torch.tensor([[(Kind.PATCH, *row, *col) for col in cols] for row in rows])


def origin(frames: Sequence[int], layouts: Sequence[Tensor], device: torch.device) -> Origin:
    """The origin of a clip's tokens: frame frames[0] with layout layouts[0], then frames[1] with layouts[1], and so on.

    >>> frame, kind, box = origin([3, -1], [patch_layout([(0, 2)], [(0, 2), (2, 4)])[0], NEWLINE[None]], "cpu")
    >>> frame.tolist(), kind.tolist(), box[1].tolist()
    ([3, 3, -1], [0, 0, 1], [0, 2, 2, 4])
    """
    with torch.inference_mode(False):  # reducers keep the result, and inference tensors cannot be used in training
        frame = torch.tensor(frames).repeat_interleave(torch.tensor([len(layout) for layout in layouts]))
        tokens = torch.cat(list(layouts))
        return frame.to(device), tokens[:, 0].to(device), tokens[:, 1:].to(device)
