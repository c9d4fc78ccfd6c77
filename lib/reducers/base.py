"""What every reducer shares: its signature, and tokens that remember where they came from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor, nn

Project = Callable[[Tensor], Tensor]  # (..., C) -> (..., D), the projector of a model
Span = tuple[int, int]  # first and last + 1 of the patch rows (or columns) that a token summarises


class Kind(IntEnum):
    """What a visual token is."""

    PATCH = 0  # summarises patches of one frame
    NEWLINE = 1  # learned vector that ends a row, a frame or a clip
    SEPARATOR = 2  # learned vector between frames
    CONTEXT = 3  # what the question asks of a frame (LLaMA-VID)
    CONTENT = 4  # what a frame shows, whatever the question (LLaMA-VID)


@dataclass(frozen=True, eq=False)
class VisualTokens:
    """The visual tokens of one clip, in the order in which the language model reads them.

    While a reducer builds them they may still stand in a grid, (T, h, w); what a reducer returns is flat, (N,).

    >>> grid = torch.arange(8.0).reshape(2, 2, 1, 2)              # 2 frames, 2 rows, 1 column, D = 2
    >>> tokens = grid_tokens(grid, [0, 5], rows=[(0, 2), (2, 4)], cols=[(0, 4)]).flatten()
    >>> len(tokens), tokens.frame.tolist()
    (4, [0, 0, 5, 5])
    >>> tokens.box[1].tolist()                                    # rows 2 and 3, columns 0 to 3
    [2, 4, 0, 4]
    """

    embeds: Tensor  # (N, D)
    frame: Tensor  # (N,) index of the source frame, -1 where there is none
    kind: Tensor  # (N,) a Kind
    box: Tensor  # (N, 4) row0, row1, col0, col1 of the patches it summarises, half-open; zeros where there are none

    def __len__(self) -> int:
        return self.embeds.shape[0]

    def map(self, change: Callable[[Tensor], Tensor]) -> "VisualTokens":
        """The same change of the leading dimensions (an index, a flattening) applied to all four tensors."""
        return VisualTokens(change(self.embeds), change(self.frame), change(self.kind), change(self.box))

    def flatten(self) -> "VisualTokens":
        """(T, h, w) or (T, n) -> (N,): frame by frame, row by row."""
        return self.map(lambda tensor: tensor.flatten(0, self.frame.dim() - 1))

    @staticmethod
    def cat(parts: Sequence["VisualTokens"], dim: int = 0) -> "VisualTokens":
        """The parts one after the other."""
        fields = zip(*((part.embeds, part.frame, part.kind, part.box) for part in parts), strict=True)
        return VisualTokens(*(torch.cat(tensors, dim) for tensors in fields))


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
        """(T, H, W, C) -> (N, D). `project` is the model's projector, C -> D; the paper says where it is applied."""
        raise NotImplementedError

    def count(self, frames: int, height: int, width: int) -> int:
        """The number of tokens that `frames` frames of height x width patches become."""
        raise NotImplementedError

    def check(self, features: Tensor, question: str | None) -> None:
        """Raises ValueError unless the features are (T, H, W, C) and a question is given exactly where one is used."""
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
    """Raises ValueError where there is no frame or no patch to reduce."""
    if min(frames, height, width) < 1:
        raise ValueError(
            f"{frames} frames of {height} x {width} patches: a reducer needs at least one frame and one patch; "
            "read at least one frame"
        )


def check_learned(name: str, embed: Tensor, width: int) -> None:
    """Raises ValueError unless a learned vector is as wide as the tokens it stands among."""
    if embed.shape != (width,):
        raise ValueError(
            f"{name} has shape {tuple(embed.shape)} but the tokens are {width} wide: pass one of shape ({width},); "
            "one as wide as the language model needs project=... too"
        )


def grid_tokens(embeds: Tensor, frames: Sequence[int], rows: Sequence[Span], cols: Sequence[Span]) -> VisualTokens:
    """Pooled features (T, h, w, D) with their origin: `frames` are T frame indices, `rows` h and `cols` w spans."""
    shape, device = embeds.shape[:3], embeds.device
    frame = torch.tensor(frames, device=device)[:, None, None].expand(shape)
    row_spans = torch.tensor(rows, device=device)[:, None].expand(-1, len(cols), -1)
    col_spans = torch.tensor(cols, device=device)[None].expand(len(rows), -1, -1)
    box = torch.cat([row_spans, col_spans], dim=-1).expand(*shape, 4)
    return VisualTokens(embeds, frame, torch.full(shape, int(Kind.PATCH), device=device), box)


def append_learned(tokens: VisualTokens, name: str, embed: Tensor, kind: Kind, dim: int) -> VisualTokens:
    """A learned vector (D,) at the end of every row (dim 2 of (T, h, w)), frame (dim 1) or clip (dim 0: no frame).

    >>> row = grid_tokens(torch.zeros(1, 1, 2, 3), [0], rows=[(0, 1)], cols=[(0, 1), (1, 2)])
    >>> append_learned(row, "newline_embed", torch.ones(3), Kind.NEWLINE, dim=2).embeds[0, 0, :, 0].tolist()
    [0.0, 0.0, 1.0]
    """
    check_learned(name, embed, tokens.embeds.shape[-1])
    last = tokens.map(lambda tensor: tensor.narrow(dim, tensor.shape[dim] - 1, 1))
    learned = VisualTokens(
        embeds=embed.to(last.embeds).expand_as(last.embeds),
        frame=last.frame if dim > 0 else torch.full_like(last.frame, -1),
        kind=torch.full_like(last.kind, int(kind)),
        box=torch.zeros_like(last.box),
    )
    return VisualTokens.cat([tokens, learned], dim)
