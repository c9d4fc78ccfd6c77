"""LLaMA-VID (arXiv 2311.17043): two tokens for a frame, one of which depends on the question.

Official code: dvlab-research/LLaMA-VID `llamavid/model/llamavid_arch.py` (vlm_attention, token_generation). A Q-Former
reads the question and the frame and writes 32 queries; each attends to the patches of the frame. The mean of their
results, projected, is the *context token*. The *content tokens* are plain means of patches. Context comes first.

    Q = Linear(Q-Former(question, X))     K = W_k X     E = mean over queries of softmax(Q K^T / sqrt(C)) X

The paper's formula leaves out W_k and the square root; the code has both, and so do we. Frames do not depend on each
other, so a video can be read block by block. But every question needs its own tokens: none can be reused for the next
question.
"""

import copy
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.reducers.base import Kind, Project, Reducer, VisualTokens, check_sizes, identity, origin
from lib.reducers.spatial_pool import check_choice, spans

if TYPE_CHECKING:  # importing a pooling layer must not import transformers, which takes three times as long as torch
    from transformers import InstructBlipQFormerConfig

QUERIES = 32  # --num_query in every official script
QUESTION_TOKENS = 256  # a longer question loses its beginning, as in the official code
BLOCK = 64  # frames at a time, as on the official long-video path: this limits memory and changes no result
GRID_SPEC = re.compile(r"grid:([1-9]\d*)(?:x([1-9]\d*))?")


class LlamaVid(Reducer):
    """One context token and the content tokens of each frame, frame by frame.

    vision_dim, language_dim: the widths C of the features and D of the language model.
    compress: "mean" (1 content token), "grid:g" (g x g of them; "grid:1x2" one row of two, which the official code
        lacks), or None (every patch).
    keep: "both", or only the "context" or the "content" tokens, to measure each alone.
    tokenizer: tokenises the question for the Q-Former (official: bert-base-uncased; here the language model's).
        Without it only `generate_tokens` works, and keep="content", which needs no question.
    qformer: its size; default `small_qformer`.

    The content tokens are means of patches, projected *after* that, as in the official code.
    The official code pools with kernel and stride side // g. On 16 x 16 patches "grid:5" leaves out the last row and
    column, as `box` shows. "grid:6" would give 64 tokens and not 36, and raises ValueError instead. So does an unknown
    setting, no frame, a missing tokenizer, a missing question, and a question with keep="content", which does not use
    it.

    >>> reducer = LlamaVid(96, 128, compress="grid:2").eval()
    >>> reducer.count(3600, 8, 8)
    18000
    >>> text_query, features = torch.randn(4, 32, 96), torch.randn(4, 64, 96)
    >>> reducer.generate_tokens(text_query, features, nn.Linear(96, 128)).shape
    torch.Size([4, 5, 128])
    >>> content = reducer.with_tokens("mean", keep="content")(torch.randn(4, 8, 8, 96), nn.Linear(96, 128))
    >>> content.frame.tolist(), content.box[0].tolist()
    ([0, 1, 2, 3], [0, 8, 0, 8])
    """

    def __init__(
        self,
        vision_dim: int,
        language_dim: int,
        compress: str | None = "mean",
        keep: Literal["both", "context", "content"] = "both",
        tokenizer=None,
        qformer: "InstructBlipQFormerConfig | None" = None,
    ):
        from transformers import InstructBlipQFormerModel

        super().__init__()
        self.set_tokens(compress, keep)
        config = qformer or small_qformer(vision_dim, len(tokenizer) if tokenizer else 1)
        self.tokenizer = tokenizer
        self.vision_norm = nn.LayerNorm(vision_dim)
        self.queries = nn.Parameter(torch.randn(1, QUERIES, config.hidden_size) * config.initializer_range)
        self.qformer = InstructBlipQFormerModel(config)
        self.query_proj = nn.Linear(config.hidden_size, vision_dim)
        self.key_proj = nn.Linear(vision_dim, vision_dim)
        self.value_proj = nn.Linear(vision_dim, language_dim)

    def set_tokens(self, compress: str | None, keep: str) -> None:
        check_choice("keep", keep, ("both", "context", "content"))
        self.cells = content_cells(compress)  # (rows, columns) of content tokens, None for one per patch
        self.keep = keep
        self.takes_question = keep != "content"

    def with_tokens(self, compress: str | None = "mean", keep: str = "both") -> "LlamaVid":
        """The same weights, other tokens: training one of the two trains both.

        >>> reducer = LlamaVid(8, 16)
        >>> reducer.with_tokens("grid:1x2", keep="content").key_proj is reducer.key_proj
        True
        """
        other = copy.copy(self)
        other.set_tokens(compress, keep)
        return other

    # vlm_attention in the official code: the question and a frame -> 32 queries

    def read(self, questions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B questions -> token ids (B, L) and the mask (B, L), 0 on padding. Raises ValueError without a tokenizer."""
        if self.tokenizer is None:
            raise ValueError("a question needs a tokenizer: LlamaVid(..., tokenizer=vlm.tokenizer)")
        rows = [self.tokenizer(question).input_ids[-QUESTION_TOKENS:] for question in questions]
        longest, device = max(map(len, rows)), self.queries.device
        ids = torch.tensor([row + [self.tokenizer.pad_token_id] * (longest - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
        return ids, mask

    def text_query(self, ids: Tensor, mask: Tensor, features: Tensor) -> Tensor:
        """Questions (B, L) with their mask and B frames (B, N, C) -> one text query per frame, (B, 32, C)."""
        queries = self.queries.expand(len(features), -1, -1)
        seen = self.qformer(
            input_ids=ids,
            attention_mask=torch.cat([mask.new_ones(queries.shape[:2]), mask], dim=1),
            query_embeds=queries,
            encoder_hidden_states=self.vision_norm(features),
        )
        return self.query_proj(seen.last_hidden_state[:, :QUERIES])

    # token_generation in the official code: queries and patches -> tokens

    def context_attention(self, text_query: Tensor, features: Tensor) -> Tensor:
        """(T, L, C) queries, (T, N, C) patches -> (T, N): how much each patch counts in the context token.

        The mean over the queries is taken here, on the weights: it equals the mean of the queries' results, L times
        faster.
        """
        scores = text_query @ self.key_proj(features).transpose(1, 2) / math.sqrt(features.shape[-1])
        return scores.softmax(dim=-1).mean(dim=1)

    def generate_tokens(self, text_query: Tensor, features: Tensor, content_project: Project = identity) -> Tensor:
        """(T, L, C) queries and T frames of patches -> (T, 1 + n, D), context first.

        features: (T, H, W, C), or as in the official code (T, H * W, C) of a square grid.
        """
        grid = features if features.dim() == 4 else as_square(features)
        parts = []
        if self.keep != "content":
            patches = grid.flatten(1, 2)
            found = self.context_attention(text_query, patches)[:, None] @ patches
            parts.append(self.value_proj(found))
        if self.keep != "context":
            parts.append(content_project(self.content_means(grid)))
        return torch.cat(parts, dim=1)

    def content_means(self, grid: Tensor) -> Tensor:
        """(T, H, W, C) -> (T, n, C): the means over the cells of the grid, row by row."""
        rows, columns = self.cell_size(*grid.shape[1:3])
        return F.avg_pool2d(grid.permute(0, 3, 1, 2), (rows, columns)).flatten(2).transpose(1, 2)

    def cell_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches in one content token. Raises ValueError if the patches do not divide into these
        cells."""
        if self.cells is None:
            return 1, 1
        rows, columns = self.cells
        if not (pools_to(height, rows) and pools_to(width, columns)):
            fit = [f"grid:{side}" for side in range(1, height + 1) if pools_to(height, side) and pools_to(width, side)]
            raise ValueError(
                f"{height} x {width} patches cannot be pooled to {rows} x {columns} content tokens: "
                f"use compress='mean', None, or {', '.join(fit)}"
            )
        return height // rows, width // columns

    # The reducer

    def forward(self, features: Tensor, project: Project = identity, question: str | None = None) -> VisualTokens:
        return self.stream(features.split(BLOCK), project, question)

    def stream(
        self, blocks: Iterable[Tensor], project: Project = identity, question: str | None = None
    ) -> VisualTokens:
        """The tokens of a video that comes in blocks of features (t, H, W, C), from a generator for instance.

        At most two blocks are in memory at a time, so hours need no more memory than minutes, except for the tokens.
        Raises ValueError if there is no block.

        >>> reducer = LlamaVid(8, 16, keep="content")
        >>> len(reducer.stream((torch.randn(16, 4, 4, 8) for _ in range(225)), nn.Linear(8, 16)))      # one hour
        3600
        """
        done, frames = [], 0
        for block in blocks:
            self.check(block, question)
            done.append(self.block_tokens(block, project, question, frames))
            frames += len(block)
        if not done:
            raise ValueError("the video has no frames: give at least one block of features (t, H, W, C)")
        return VisualTokens.cat(done)

    def block_tokens(self, block: Tensor, project: Project, question: str | None, first: int) -> VisualTokens:
        """The tokens of a block of frames, numbered from `first`."""
        query = self.ask(block, question) if self.takes_question else None
        embeds = self.generate_tokens(query, block, project)
        numbers, layout = range(first, first + len(block)), self.layout(*block.shape[1:3])
        return VisualTokens(embeds.flatten(0, 1), *origin(numbers, [layout] * len(block), embeds.device))

    def layout(self, height: int, width: int) -> Tensor:
        """(1 + n, 5): Kind and box of the tokens of a frame. The context token may read any of its patches."""
        rows, columns = self.cell_size(height, width)
        spans_down, spans_across = spans(height, rows, "average"), spans(width, columns, "average")
        cells = [(Kind.CONTENT, *row, *column) for row in spans_down for column in spans_across]
        whole = [(Kind.CONTEXT, 0, height, 0, width)]
        return torch.tensor({"both": whole + cells, "context": whole, "content": cells}[self.keep])

    def ask(self, features: Tensor, question: str) -> Tensor:
        """One question about T frames (T, H, W, C) -> their text queries (T, 32, C)."""
        ids, mask = self.read([question])
        return self.text_query(ids.expand(len(features), -1), mask.expand(len(features), -1), features.flatten(1, 2))

    def attention_map(self, features: Tensor, question: str) -> Tensor:
        """(T, H, W, C) -> (T, H, W): the weight of each patch for the question; each map sums to 1.

        Raises ValueError for no frame, and without a tokenizer.
        """
        self.check(features, question)
        maps = [self.context_attention(self.ask(part, question), part.flatten(1, 2)) for part in features.split(BLOCK)]
        return torch.cat(maps).unflatten(1, features.shape[1:3])

    def count(self, frames: int, height: int, width: int) -> int:
        check_sizes(frames, height, width)
        return frames * len(self.layout(height, width))


def small_qformer(vision_dim: int, vocabulary: int) -> "InstructBlipQFormerConfig":
    """A Q-Former of 0.2 million parameters: two layers. The first looks at the frame, as every second one does.

    >>> small_qformer(96, 1024).cross_attention_frequency
    2
    """
    from transformers import InstructBlipQFormerConfig

    return InstructBlipQFormerConfig(
        vocab_size=vocabulary, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        encoder_hidden_size=vision_dim, max_position_embeddings=QUESTION_TOKENS, pad_token_id=0,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.08,
    )  # fmt: skip


def content_cells(compress: str | None) -> tuple[int, int] | None:
    """The content tokens of a frame, (rows, columns), or None for one per patch.

    >>> content_cells("mean"), content_cells("grid:4"), content_cells("grid:1x2")
    ((1, 1), (4, 4), (1, 2))
    """
    if compress is None:
        return None
    match = GRID_SPEC.fullmatch("grid:1" if compress == "mean" else compress)
    if match is None:
        raise ValueError(f"compress={compress!r} is unknown: write 'mean', 'grid:4' (4 x 4), 'grid:1x2', or None (all)")
    rows, columns = match.groups()
    return int(rows), int(columns or rows)


def pools_to(size: int, cells: int) -> bool:
    """Whether windows of size // cells patches, one beside the other, are as many as `cells`.

    >>> pools_to(16, 5), pools_to(16, 6)                       # 5 windows of 3 patches; 8 of 2
    (True, False)
    """
    return cells <= size and size // (size // cells) == cells


def as_square(features: Tensor) -> Tensor:
    """(T, N, C) -> (T, H, W, C) with H = W, as the official code assumes. Raises ValueError if N is not a square.

    >>> as_square(torch.zeros(1, 256, 8)).shape
    torch.Size([1, 16, 16, 8])
    """
    side = math.isqrt(features.shape[1])
    if side * side != features.shape[1]:
        raise ValueError(f"{features.shape[1]} patches do not make a square grid: give (T, H, W, C), without CLS")
    return features.unflatten(1, (side, side))
