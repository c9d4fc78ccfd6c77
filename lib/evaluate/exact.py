"""Exact answers without decoding: one forward pass shows whether greedy decoding would write the true answer."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import torch

from lib import toybox
from lib.packing import IGNORE, answer_logits, pack_questions, states
from lib.video import sample_uniform


@torch.inference_mode()
def exact_match(
    vlm, clips: Sequence[toybox.Clip], reducer=None, frames: int = 16, batch: int = 8
) -> dict[str, list[bool]]:
    """Asks every question about every clip; returns for each kind of question which answers were exactly right.

    The model looks at `frames` frames of each clip, chosen by LLaVA-NeXT's rule, through `reducer` (default: its own).
    An answer is right if each of its tokens, and the end token, is the model's first choice given the tokens before.
    Exactly then greedy decoding writes the true answer. So nothing needs to be decoded, and all questions about a clip
    share its visual tokens. Clips with different numbers of frames cannot share a batch.

    Returns kind -> one bool per question, in the order of the clips.
    """
    reducer = reducer or vlm.default_reducer
    right = defaultdict(list)
    for start in range(0, len(clips), batch):
        some = clips[start : start + batch]
        asked = [toybox.questions(clip) for clip in some]
        marks = grade(vlm, [visual_tokens(vlm, clip, reducer, frames) for clip in some], asked)
        for of_clip, row in zip(asked, marks, strict=True):
            for qa, hit in zip(of_clip, row, strict=True):
                right[qa.kind].append(hit)
    return dict(right)


def clip_shares(
    right: dict[str, list[bool]], clips: Sequence[toybox.Clip], kinds: Collection[str] | None = None
) -> list[float]:
    """The share of right answers about each clip, from the result of `exact_match`, for bootstrap resampling.

    With `kinds`, of answers to these kinds of question alone. A clip that is not asked any of them is left out.
    Raises ValueError if the answers do not belong to these clips' questions.

    >>> clips = [toybox.sample(seed) for seed in (3, 0)]                      # asked one and two questions of colours
    >>> clip_shares({"colour": [True, True, False]}, clips)
    [1.0, 0.5]
    """
    asked = [[qa.kind for qa in toybox.questions(clip)] for clip in clips]
    left, shares = (
        {kind: iter(greedy_correct) for kind, greedy_correct in right.items() if kinds is None or kind in kinds},
        [],
    )
    for kind in left:
        if len(right[kind]) != (count := sum(of_clip.count(kind) for of_clip in asked)):
            raise ValueError(
                f"{len(right[kind])} answers to {count} questions of kind {kind}: give the clips that were asked about"
            )
    for of_clip in asked:
        if greedy_correct := [next(left[kind]) for kind in of_clip if kind in left]:
            shares.append(sum(greedy_correct) / len(greedy_correct))
    return shares


def grade(vlm, visual: Sequence[torch.Tensor], asked: Sequence[Sequence[toybox.QA]]) -> list[list[bool]]:
    """For each of B clips, the visual tokens (N, D) and the questions: was each answer exactly right?"""
    turns = [[(qa.question, qa.answer) for qa in of_clip] for of_clip in asked]
    rows = greedy_correct(vlm.model, pack_questions(vlm.model, vlm.tokenizer, visual, turns)).tolist()
    return [row[: len(of_clip)] for row, of_clip in zip(rows, asked, strict=True)]  # the rest of a row is padding


def visual_tokens(vlm, clip: toybox.Clip, reducer, frames: int) -> torch.Tensor:
    """The visual tokens (N, D) of a clip."""
    indices = sample_uniform(clip.frames, min(frames, clip.frames))
    return reducer(vlm.encode(toybox.render(clip, indices=indices)), vlm.project).embeds


@torch.inference_mode()
def token_needs(
    vlm, tokens, question: str, answer: str, groups: Sequence[Sequence[int]] | None = None, batch: int = 32
) -> torch.Tensor:
    """How much log-probability an answer loses when each group of visual tokens is replaced by the mean of all.

    tokens: VisualTokens, N of them; groups: the numbers of those that are replaced together (default: each alone).
    Returns one number a group. Below 0, the answer became likelier.

    >>> from lib.vlm import load
    >>> vlm = load("tiny")
    >>> features = vlm.encode(toybox.render(toybox.sample(7), indices=[0, 1]))
    >>> tokens = vlm.default_reducer(features, vlm.project)
    >>> token_needs(vlm, tokens, "What is the code?", "457", [range(16), range(16, 32)]).shape
    torch.Size([2])
    """
    groups = [[number] for number in range(len(tokens))] if groups is None else groups
    words = vlm.tokenizer(f" {answer}", add_special_tokens=False, return_tensors="pt").input_ids[0].to(vlm.device)
    asked = vlm.sequence(tokens, vlm.prompt(question))
    sequence = torch.cat([asked, vlm.model.get_input_embeddings()(words[:-1])])
    first = vlm.tokenizer(vlm.prompt(question)).input_ids.index(vlm.model.config.video_token_id)
    rows = sequence.repeat(len(groups) + 1, 1, 1)  # row 0 stays as it is
    for row, group in zip(rows[1:], groups, strict=True):
        row[[first + number for number in group]] = tokens.embeds.mean(dim=0).to(row)
    logits = torch.cat([vlm.model(inputs_embeds=part).logits[:, -len(words) :] for part in rows.split(batch)])
    likely = logits.log_softmax(dim=-1)[:, range(len(words)), words].sum(dim=1)
    return likely[0] - likely[1:]


def greedy_correct(model, packed) -> torch.Tensor:
    """(B, most questions) bool: was every token of the answer the model's first choice?"""
    logits, target = answer_logits(model, packed, states(model, packed)[-1])
    answers = packed.labels[:, 1:] != IGNORE
    wrong = torch.zeros_like(answers)
    wrong[answers] = logits.argmax(dim=-1) != target
    turns = packed.turn[:, 1:].clamp(min=0)
    return torch.zeros(len(wrong), int(turns.max()) + 1).scatter_add_(1, turns.cpu(), wrong.float().cpu()) == 0
