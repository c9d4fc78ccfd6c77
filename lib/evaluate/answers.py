"""A model's answers as records: captions, free answers, and the most likely of given options."""

from collections.abc import Callable, Sequence
from itertools import takewhile

import torch

from lib import toybox
from lib.evaluate.metrics import Record
from lib.evaluate.questions import Asked, CaptionedVideo
from lib.packing import IGNORE, answer_logits, pack_questions, states

Look = Callable[[CaptionedVideo], torch.Tensor]  # a video's features (T, h, w, C), as lib.data.Features gives them


def caption_limit(vlm, videos: Sequence[CaptionedVideo], language: str = "en") -> int:
    """5/4 of the tokens of the longest caption of these videos.

    Give training videos: a limit taken from the test captions would reveal how long the answers are.
    """
    return 5 * max(len(vlm.tokenizer(video.captions[language]).input_ids) for video in videos) // 4


def captions_by(
    vlm,
    system: str,
    videos: Sequence[CaptionedVideo],
    look: Look,
    language: str = "en",
    reducer=None,
    batch: int = 16,
    limit: int | None = None,
) -> list[Record]:
    """Captions every video with the model. A caption is cut off after `limit` tokens.

    The default limit is the `caption_limit` of these same videos: fine for a look, not for a comparison.
    """
    prompt = toybox.CAPTION_PROMPTS[language]
    limit = limit or caption_limit(vlm, videos, language)
    records = []
    for start in range(0, len(videos), batch):
        some = videos[start : start + batch]
        outputs = vlm.answers([look(video) for video in some], [prompt] * len(some), reducer, limit)
        for video, output in zip(some, outputs, strict=True):
            about = (system, video.name, "caption", language, prompt, video.captions[language])
            records.append(Record(*about, output, **vlm.origin))
    return records


@torch.inference_mode()
def answers_by(
    vlm,
    system: str,
    videos: Sequence[CaptionedVideo],
    look: Look,
    asked: Sequence[Sequence[Asked]],
    reducer=None,
    batch: int = 8,
) -> list[Record]:
    """Asks the model all questions about every video; those about one video share its visual tokens.

    With options, the output is the most likely of them. Without options, it is the beginning of greedy decoding, which
    is enough for `exact_match`. It goes up to the first token that differs from the reference, with "…" unless the
    answer ends there. The clips of a batch need the same number of frames. For tiny and its relatives: prompts are
    Vicuna's.
    """
    reducer, records = reducer or vlm.default_reducer, []
    for start in range(0, len(videos), batch):
        some, about = videos[start : start + batch], asked[start : start + batch]
        visual = [reducer(look(video), vlm.project).embeds for video in some]
        outputs = (chosen if about[0][0].options else written)(vlm, visual, about)
        for video, of_video, texts in zip(some, about, outputs, strict=True):
            for one, text in zip(of_video, texts, strict=True):
                question = " / ".join([one.question, *one.options])
                asked_of = (system, video.name, one.task, "en", question, one.reference)
                records.append(Record(*asked_of, text, **vlm.origin))
    return records


def written(vlm, visual: Sequence[torch.Tensor], asked: Sequence[Sequence[Asked]]) -> list[list[str]]:
    """For each of B clips, the visual tokens (N, D) and the questions: the beginning of what greedy decoding writes."""
    turns = [[(one.question, one.reference) for one in of_clip] for of_clip in asked]
    tokens = [[[] for _ in of_clip] for of_clip in asked]
    for clip, turn, scores, target in _answer_tokens(vlm, visual, turns):
        tokens[clip][turn].append((int(scores.argmax()), target))
    return [[_spelled(vlm.tokenizer, pairs) for pairs in of_clip] for of_clip in tokens]


def _spelled(tokenizer, pairs: Sequence[tuple[int, int]]) -> str:
    """Tokens beside those of the reference, as text, up to the first that differs: up to there, greedy writes them."""
    same = [choice for choice, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    ids = [choice for choice, _ in pairs[: len(same) + 1]]
    return tokenizer.decode(ids, skip_special_tokens=True).strip() + "…" * (ids[-1] != tokenizer.eos_token_id)


def chosen(vlm, visual: Sequence[torch.Tensor], asked: Sequence[Sequence[Asked]]) -> list[list[str]]:
    """For each of B clips, the visual tokens (N, D) and the questions: the most likely option, its end included."""
    turns = [[(one.question, option) for one in of_clip for option in one.options] for of_clip in asked]
    likelihood = [[0.0] * len(of_clip) for of_clip in turns]
    for clip, turn, scores, target in _answer_tokens(vlm, visual, turns):
        likelihood[clip][turn] += float(scores[target])
    picks = []
    for of_clip, values in zip(asked, map(iter, likelihood), strict=True):
        ranked = [[(next(values), option) for option in one.options] for one in of_clip]
        picks.append([max(options, key=lambda pair: pair[0])[1] for options in ranked])
    return picks


def _answer_tokens(vlm, visual: Sequence[torch.Tensor], turns: Sequence[Sequence[tuple[str, str]]]):
    """For every token of every answer: which clip, which turn, the log-likelihood of all tokens, the token itself."""
    packed = pack_questions(vlm.model, vlm.tokenizer, visual, turns)
    logits, target = answer_logits(vlm.model, packed, states(vlm.model, packed)[-1])
    answers = packed.labels[:, 1:] != IGNORE
    clips, turn = answers.nonzero()[:, 0], packed.turn[:, 1:][answers]
    return zip(clips.tolist(), turn.tolist(), logits.float().log_softmax(dim=-1).cpu(), target.tolist(), strict=True)
