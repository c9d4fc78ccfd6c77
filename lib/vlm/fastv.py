"""FastV (arXiv 2403.06764): after a few layers of the language model most visual tokens are dropped.

Official code: pkunlp-icler/FastV at d165972, `src/transformers/src/transformers/models/llama/modeling_llama.py`, lines
729-762 (`fast_v_inplace`). After `layer` layers the visual tokens are ranked by the attention of the prompt's last
token in that layer, averaged over its heads. The first `keep` continue, in their order and with their old positions.
(The official code's table of positions ends at 1,000: a longer sequence raises IndexError there.)

This is not a reducer. The ranking needs the question and the language model's own attention, so it happens while the
model reads. A second question about the clip needs a second reading.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv

from lib.reducers import Reducer
from lib.vlm.model import Seen, VideoLM

Rank = Callable[[Tensor], Tensor]  # (B, N) attention on the visual tokens -> (B, N) numbers; the largest are kept


@dataclass(frozen=True)
class FastV:
    """Keep `keep` visual tokens after `layer` layers.

    rank: replaces attention's order by another.
    positions: False ranks by attention without rotary positions, as if all tokens had one position (2412.13180).

    >>> from lib.vlm import load
    >>> vlm = load("tiny", device="cpu")
    >>> FastV(layer=1, keep=40).mean_tokens(visual=128, layers=4)          # 128 in one layer, 40 in three
    62.0
    >>> FastV(layer=1, keep=40).answer(vlm, torch.zeros(8, 8, 8, 96), "What is the code?") != ""
    True
    """

    layer: int = 2  # the paper's K
    keep: int = 64  # (1 - R) * visual tokens, in the paper's letters
    rank: Rank | None = None
    positions: bool = True

    def __post_init__(self):
        if self.layer < 1 or self.keep < 0:
            raise ValueError(f"layer={self.layer}, keep={self.keep}: give a layer from 1 on, and 0 or more tokens")

    def mean_tokens(self, visual: int, layers: int) -> float:
        """Visual tokens per layer, on average, as a budget: the KV cache and the linear layers grow with them."""
        return (self.layer * visual + (layers - self.layer) * min(self.keep, visual)) / layers

    @contextmanager
    def pruning(self, decoder: nn.Module, visual: slice, last: Tensor) -> Iterator[dict[str, Tensor]]:
        """Inside, `decoder` (a LlamaModel) drops visual tokens whenever it reads more than one position at once.

        visual: their positions in all B sequences; last: (B,) the last position of each prompt. Sequences may be padded
        only on the right. Yields a dictionary; its "kept" are the positions (B, S') that continue.
        """
        if not 1 <= self.layer < len(decoder.layers):
            raise ValueError(f"layer={self.layer}: choose from 1 to {len(decoder.layers) - 1}, so that layers remain")
        seen: dict[str, Tensor] = {}

        def find(layer, args, given):
            if args[0].shape[1] > 1:
                around = given["position_embeddings"] if self.positions else (torch.ones(1), torch.zeros(1))
                attention = attention_of(layer, args[0], tuple(part.to(args[0]) for part in around), last)[:, visual]
                ranked = self.rank(attention) if self.rank else attention
                order = ranked.topk(min(self.keep, attention.shape[1])).indices + visual.start
                stays = torch.ones(args[0].shape[:2], dtype=torch.bool, device=args[0].device)
                stays[:, visual] = False
                stays.scatter_(1, order, True)
                seen["kept"] = stays.nonzero()[:, 1].unflatten(0, (len(stays), -1))

        def drop(layer, args, given):
            if given.get("attention_mask") is not None:
                raise ValueError("FastV needs attention without a mask: one clip, or padding on the right alone")
            hidden, kept = args[0], seen["kept"]
            if hidden.shape[1] == 1:  # a token is generated: each layer attends to what it kept
                return None
            rows = torch.arange(len(kept), device=kept.device)[:, None]
            if hidden.shape[1] != kept.shape[1]:  # the first of the layers that see fewer
                hidden = hidden[rows, kept]
            around = tuple(part.expand(len(kept), -1, -1)[rows, kept] for part in given["position_embeddings"])
            return (hidden,), given | {"position_embeddings": around, "position_ids": kept}

        handles = [decoder.layers[self.layer - 1].register_forward_pre_hook(find, with_kwargs=True)]
        handles += [layer.register_forward_pre_hook(drop, with_kwargs=True) for layer in decoder.layers[self.layer :]]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def answer(self, vlm: VideoLM, clip: Seen, question: str, reducer: Reducer | None = None, **options) -> str:
        """As `VideoLM.answer`, with pruning."""
        prompt = vlm.prompt(question)
        ids, length = vlm.tokenizer(prompt).input_ids, len(vlm.sequence(clip, prompt, reducer))
        start = ids.index(vlm.model.config.video_token_id)
        visual, last = slice(start, start + length - len(ids) + 1), torch.tensor([length - 1], device=vlm.device)
        with self.pruning(vlm.model.model.language_model, visual, last):
            return vlm.answer(clip, question, reducer, **options)


def attention_of(layer: nn.Module, hidden: Tensor, around: tuple[Tensor, Tensor], last: Tensor) -> Tensor:
    """The attention weights of one position of each sequence in a decoder layer, averaged over the heads: (B, S).

    hidden: (B, S, D), the layer's input; around: cosines and sines of the positions; last: (B,).
    """
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    made = [made(normed).unflatten(-1, (-1, attention.head_dim)) for made in (attention.q_proj, attention.k_proj)]
    queries, keys = apply_rotary_pos_emb(*(part.transpose(1, 2) for part in made), *around)  # (B, heads, S, d)
    query = queries[torch.arange(len(last), device=last.device), :, last]
    keys = repeat_kv(keys, attention.num_key_value_groups)
    scores = torch.einsum("bhd,bhsd->bhs", query, keys) * attention.scaling
    later = torch.arange(hidden.shape[1], device=last.device) > last[:, None]
    return scores.masked_fill(later[:, None], -torch.inf).softmax(dim=-1).mean(dim=1)
