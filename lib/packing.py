"""Batches for training and scoring: many questions about a clip in one sequence.

A clip costs a hundred visual tokens, a question about it a dozen. So all questions on a clip share one visual prefix,

    <s>USER: [visual tokens] | \\nWhat is the code? ASSISTANT: 472</s> | \\nWhat colour ... </s> | ...

and an attention mask keeps each question from seeing the others. Position ids start again after the prefix. So the
model computes for a question exactly what it computes for that question alone (a test proves it).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORE = -100  # the label of everything that is not an answer: the prompt, visual tokens, padding


@dataclass(frozen=True, eq=False)
class Packed:
    """B clips, each with its questions, as S positions of width D."""

    embeds: Tensor  # (B, S, D)
    mask: Tensor  # (B, 1, S, S) bool, True where row may look at column
    positions: Tensor  # (B, S)
    labels: Tensor  # (B, S) token ids of the answers, IGNORE elsewhere
    turn: Tensor  # (B, S) which question a position belongs to, -1 in prefix and padding
    visual: slice  # the place of the visual tokens in S


def encode_turns(tokenizer, turns: Sequence[tuple[str, str]]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Token ids, labels, turn numbers and positions (from 0) of all (question, answer) turns of one clip."""
    texts = [f"\n{question} ASSISTANT:" for question, _ in turns] + [f" {answer}" for _, answer in turns]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]  # one call is faster than many
    ids, labels, turn, positions = [], [], [], []
    for number, (asked, answer) in enumerate(zip(encoded[: len(turns)], encoded[len(turns) :], strict=True)):
        answered = answer + [tokenizer.eos_token_id]
        ids += asked + answered
        labels += [IGNORE] * len(asked) + answered
        turn += [number] * (len(asked) + len(answered))
        positions += range(len(asked) + len(answered))
    return ids, labels, turn, positions


def pack_questions(model, tokenizer, visual: Sequence[Tensor], turns: Sequence[Sequence[tuple[str, str]]]) -> Packed:
    """Packs B clips: `visual` holds B tensors (N, D) of the same N, `turns` B lists of (question, answer).

    Raises ValueError if the clips differ in their number of visual tokens or a clip has no question.
    """
    if len({len(tokens) for tokens in visual}) != 1 or not all(turns):
        raise ValueError("clips packed together need the same number of visual tokens and at least one question each")
    prefix = [tokenizer.bos_token_id] + tokenizer.encode("USER: ", add_special_tokens=False)
    start, rows = len(prefix) + len(visual[0]), [encode_turns(tokenizer, of_clip) for of_clip in turns]
    longest = max(len(ids) for ids, *_ in rows)
    device = visual[0].device

    def padded(column: int, fill: int) -> Tensor:
        return torch.tensor([row[column] + [fill] * (longest - len(row[0])) for row in rows], device=device)

    embed = model.get_input_embeddings()
    head = embed(torch.tensor(prefix, device=device)).expand(len(rows), -1, -1)
    embeds = torch.cat([head, torch.stack(tuple(visual)).to(head), embed(padded(0, tokenizer.pad_token_id))], dim=1)
    before = torch.arange(start, device=device).expand(len(rows), -1)
    none = torch.full_like(before, -1)
    turn = torch.cat([none, padded(2, -1)], dim=1)
    return Packed(
        embeds=embeds,
        mask=packed_mask(turn, start),
        positions=torch.cat([before, padded(3, 0) + start], dim=1),
        labels=torch.cat([torch.full_like(before, IGNORE), padded(1, IGNORE)], dim=1),
        turn=turn,
        visual=slice(len(prefix), start),
    )


def packed_mask(turn: Tensor, start: int) -> Tensor:
    """(B, S) turn numbers, the prefix being the first `start` positions -> (B, 1, S, S): which position may look at
    which.

    >>> packed_mask(torch.tensor([[-1, 0, 0, 1]]), start=1).int()[0, 0].tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    """
    length = turn.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=turn.device).tril()
    in_prefix = torch.arange(length, device=turn.device) < start
    same = turn[:, :, None] == turn[:, None, :]
    return (causal & (same | in_prefix)).unsqueeze(1)


def states(model, packed: Packed) -> tuple[Tensor, ...]:
    """The language model's states for the batch: (B, S, D) before its first layer, and after each."""
    barred = torch.zeros_like(packed.mask, dtype=packed.embeds.dtype).masked_fill(~packed.mask, -torch.inf)
    return model.model.language_model(
        inputs_embeds=packed.embeds,
        attention_mask=barred,  # added to the scores; from booleans, every layer would build it again
        position_ids=packed.positions,
        use_cache=False,
        output_hidden_states=True,
    ).hidden_states


def answer_logits(model, packed: Packed, last: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (M, vocabulary) for every answer token of the batch, and the right tokens (M,).

    `last` are the states (B, S, D) after the last layer. Only the M positions go through the output layer: they are a
    tenth of the sequence.
    """
    target = packed.labels[:, 1:]
    answers = target != IGNORE
    return model.lm_head(last[:, :-1][answers]), target[answers]
