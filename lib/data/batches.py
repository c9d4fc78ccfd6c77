"""From examples to the tensors that a trainer takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib.data.videos import Example, Pair, Video
from lib.packing import IGNORE
from lib.reducers import Reducer
from lib.vlm.model import VideoLM, check_context


@dataclass(frozen=True, eq=False)
class Collator:
    """Examples -> the batch that the model takes inside `vlm.looking_through(reducer)`, on the CPU, as trainers expect.

    `<video>` is repeated once for each visual token that the reducer will make. The answer ends with the end token. The
    labels mask everything but the answer. Nothing is truncated: cut visual tokens would fail later, and a cut answer
    would teach captions without an end.

    `features` is any function Video -> (T, h, w, C), such as Features. Raises ValueError for a reducer that looks at
    the question: transformers' forward does not pass it on. Also for a sequence longer than the context, and for
    answers that are empty or hold special tokens.

    >>> from lib.data.videos import toybox_videos
    >>> from lib.data.videos import captioning
    >>> from lib.data.features import Features
    >>> from lib import vlm as models
    >>> vlm = models.load("tiny")
    >>> collator = Collator(vlm, vlm.default_reducer, Features(vlm, frames=4))
    >>> batch = collator(captioning(toybox_videos([7, 8]), "en"))
    >>> batch["pixel_values_videos"].shape, int((batch["input_ids"] == vlm.model.config.video_token_id).sum())
    (torch.Size([2, 4, 8, 8, 96]), 128)
    >>> with vlm.looking_through(vlm.default_reducer):
    ...     vlm.model(**batch).loss.item() > 0
    True
    """

    vlm: VideoLM
    reducer: Reducer
    features: Callable[[Video], Tensor]

    def __post_init__(self):
        if self.reducer.takes_question:
            raise ValueError(
                f"{type(self.reducer).__name__} looks at the question, which transformers' forward does not pass on: "
                "use a reducer that does not (LlamaVid with keep='content'), or train with lib.workshop.llama_vid"
            )

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """For training, padded on the right: input_ids, attention_mask and labels (B, L), pixel_values_videos."""
        seen = self.look([example.video for example in examples])
        rows = [self.row(*example, seen.shape[1:]) for example in examples]
        labels = [[IGNORE] * asked + ids[asked:] for ids, asked in rows]
        return self.inputs(rows) | {"labels": padded(labels, IGNORE), "pixel_values_videos": seen}

    def pairs(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """For TRL's DPOTrainer: 2 B rows, the chosen ones first. completion_mask is 1 on answers and end tokens."""
        seen = self.look([pair.video for pair in pairs])
        chosen = [Example(pair.video, pair.prompt, pair.chosen) for pair in pairs]
        rejected = [Example(pair.video, pair.prompt, pair.rejected) for pair in pairs]
        rows = [self.row(*example, seen.shape[1:]) for example in chosen + rejected]
        answers = [[0] * asked + [1] * (len(ids) - asked) for ids, asked in rows]
        return self.inputs(rows) | {"completion_mask": padded(answers, 0), "pixel_values_videos": torch.cat([seen] * 2)}

    def prompts(self, examples: Sequence[Example], new_tokens: int = 0) -> dict[str, Tensor]:
        """For generation: prompts without answers, padded on the left; `new_tokens` more must fit into the context."""
        seen = self.look([example.video for example in examples])
        rows = [self.row(video, prompt, None, seen.shape[1:], new_tokens) for video, prompt, _ in examples]
        return self.inputs(rows, left=True) | {"pixel_values_videos": seen}

    def look(self, videos: Sequence[Video]) -> Tensor:
        """The features (B, T, h, w, C) of B videos."""
        if not videos:
            raise ValueError("a batch needs an example: give at least one")
        return torch.stack([self.features(video) for video in videos])

    def row(
        self, video: Video, prompt: str, answer: str | None, shape: Sequence[int], new_tokens: int = 0
    ) -> tuple[list[int], int]:
        """The token ids of one sequence, `<video>` repeated, and how many of them are the prompt."""
        asked = self.vlm.prompt(prompt)
        self.vlm.chat.check(asked, has_video=True)
        ids = self.vlm.tokenizer(asked).input_ids
        try:
            answered = [] if answer is None else self.answer_ids(asked, ids, answer)
            check_context(self.vlm.context, len(ids) - 1 + len(answered) + new_tokens, self.reducer, shape)
        except ValueError as error:
            raise ValueError(f"{video.name}: {error}") from None
        token = self.vlm.model.config.video_token_id
        at, visual = ids.index(token), [token] * self.reducer.count(*shape[:3])
        ids = ids[:at] + visual + ids[at + 1 :]
        return ids + answered, len(ids)

    def answer_ids(self, asked: str, asked_ids: list[int], answer: str) -> list[int]:
        """The tokens of an answer and the end token. Prompt and answer are tokenised as one text, as in generation."""
        tokenizer, config = self.vlm.tokenizer, self.vlm.model.config
        if not answer.strip():
            raise ValueError("its answer is empty: leave the example out")
        gap = "" if asked[-1].isspace() else " "
        ids = tokenizer(asked + gap + answer.strip()).input_ids
        if ids[: len(asked_ids)] != asked_ids:
            raise ValueError(f"the tokenizer joins the end of the prompt to the answer {answer[:20]!r}: reword it")
        answered = ids[len(asked_ids) :]
        special = {*tokenizer.all_special_ids, config.video_token_id, config.image_token_id}
        for token in special - {tokenizer.unk_token_id}:
            if token in answered:
                raise ValueError(f"its answer holds the special token {tokenizer.decode([token])}: take it out")
        return answered + [tokenizer.eos_token_id]

    def inputs(self, rows: Sequence[tuple[list[int], int]], left: bool = False) -> dict[str, Tensor]:
        """input_ids and attention_mask (B, L) of the rows' tokens."""
        tokenizer = self.vlm.tokenizer
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        ids = [ids for ids, _ in rows]
        return {
            "input_ids": padded(ids, pad, left),
            "attention_mask": padded([[1] * len(row) for row in ids], 0, left),
        }


def padded(rows: Sequence[list[int]], fill: int, left: bool = False) -> Tensor:
    """(B, longest): the rows, filled up on the right or on the left.

    >>> padded([[1, 2], [3]], 0).tolist(), padded([[1, 2], [3]], 0, left=True).tolist()
    ([[1, 2], [3, 0]], [[1, 2], [0, 3]])
    """
    longest = max(map(len, rows))
    fills = [[fill] * (longest - len(row)) for row in rows]
    return torch.tensor([more + row if left else row + more for row, more in zip(rows, fills, strict=True)])
