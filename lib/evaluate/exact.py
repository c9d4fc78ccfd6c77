"""Exact answers without decoding: whether greedy decoding would write the true answer, read off one forward pass."""

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
    """Asks every question about every clip; says for each kind of question which answers were exactly right.

    The model looks at `frames` frames of each clip, chosen by LLaVA-NeXT's rule, through `reducer` (default: its own).
    An answer counts as right where every token of it, and the end token, is the model's first choice given the tokens
    before: just then greedy decoding writes exactly the true answer. So nothing needs to be decoded, and all questions
    about a clip share its visual tokens. Clips with other numbers of frames cannot share a batch.

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
    """The share of right answers about each clip, from what `exact_match` says of these clips: numbers to redraw.

    With `kinds`, of answers to these kinds of question alone. A clip that is not asked any of them is left out.
    Raises ValueError where the answers are not those to the clips' questions.

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


def greedy_correct(model, packed) -> torch.Tensor:
    """(B, most questions) bool: was every token of the answer the model's first choice?"""
    logits, target = answer_logits(model, packed, states(model, packed)[-1])
    answers = packed.labels[:, 1:] != IGNORE
    wrong = torch.zeros_like(answers)
    wrong[answers] = logits.argmax(dim=-1) != target
    turns = packed.turn[:, 1:].clamp(min=0)
    return torch.zeros(len(wrong), int(turns.max()) + 1).scatter_add_(1, turns.cpu(), wrong.float().cpu()) == 0
