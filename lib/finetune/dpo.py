"""Direct preference optimisation: make the better of two captions likelier, without a reward model.

A pair is a true caption and the same with one fact changed (`falsehood_pairs`). Or the model samples several captions
and a judge compares them (`lib.workshop.dpo_judge`). The loss is that of Rafailov et al. (arXiv 2305.18290, equation
7). It compares the model with a reference: the model as it was, that is, with its adapter switched off. TRL's
DPOTrainer trains; it takes our batches and, inside `vlm.looking_through(reducer)`, any reducer.

What this module does not do: sample captions, or ask a judge which one is better.
"""

import random
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from datasets import Dataset, disable_progress_bars
from peft import PeftModel
from torch import Tensor
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer

from lib import toybox
from lib.data.batches import Collator
from lib.data.videos import Pair, Video
from lib.finetune.adapters import without_deprecations
from lib.finetune.train import Plan
from lib.toybox.facts import compare
from lib.vlm.loading import compute_dtype
from lib.vlm.model import VideoLM

FALSE_KINDS = ("shape", "size", "code", "flash")  # facts that one look at a clip shows


# ---------------------------------------------------------------------------------------------------------------------
# Pairs
# ---------------------------------------------------------------------------------------------------------------------


def falsehood_pairs(
    videos: Sequence[Video], language: str = "en", kinds: Sequence[str] = FALSE_KINDS, seed: int = 0
) -> list[Pair]:
    """One pair per Toybox clip: its true caption, and the same with one fact of these kinds changed, drawn at random.

    >>> from lib.data import toybox_videos
    >>> pair = falsehood_pairs(toybox_videos([7]), kinds=["size"])[0]
    >>> [mine for mine, other in zip(pair.chosen.split(), pair.rejected.split()) if mine != other]
    ['big']
    """
    pairs = []
    for video in videos:
        false = [one.caption for one in toybox.false_captions(video.clip, language) if one.kind in kinds]
        rejected = random.Random(f"falsehood {seed} {video.name}").choice(false)
        pairs.append(Pair(video, toybox.CAPTION_PROMPTS[language], video.captions[language], rejected))
    return pairs


def check_pairs(pairs: Sequence[Pair], language: str = "en", sampled: bool = False) -> None:
    """Raises ValueError unless every pair holds two different answers, of which the first is true of its clip.

    The truth is known for Toybox only: a caption must not claim what the clip does not show. For answers `sampled` from
    a model this is not checked, because even the better of two may invent something.

    >>> from lib.data import toybox_videos
    >>> video = toybox_videos([7])[0]
    >>> check_pairs([Pair(video, "Describe the video.", video.captions["en"], video.captions["en"])])
    Traceback (most recent call last):
    ValueError: pair 0 (toybox-7): chosen and rejected are the same, which prefers nothing: leave the pair out
    """
    if not pairs:
        raise ValueError("there are no pairs: a model that invents nothing needs no DPO, or give it more videos")
    for number, pair in enumerate(pairs):
        where = f"pair {number} ({pair.video.name})"
        if not pair.chosen.strip() or not pair.rejected.strip():
            raise ValueError(f"{where}: an answer is empty: leave the pair out")
        if pair.chosen.split() == pair.rejected.split():
            raise ValueError(f"{where}: chosen and rejected are the same, which prefers nothing: leave the pair out")
        told = not sampled and pair.video.clip and compare(pair.chosen, pair.video.clip, language)
        if told and told.invented:
            raise ValueError(
                f"{where}: its chosen answer invents {told.invented} facts, as if it described another video: "
                "pair each video with its own captions"
            )


# ---------------------------------------------------------------------------------------------------------------------
# The loss
# ---------------------------------------------------------------------------------------------------------------------


def log_probs(logits: Tensor, input_ids: Tensor, completion_mask: Tensor) -> Tensor:
    """(B, L, V) scores, (B, L) ids and 1 where the answer is -> (B,): the log-likelihood of each answer.

    Position i scores the token at i + 1. The log-probabilities of the answer's tokens are summed, not averaged: long
    answers are less likely than short ones.

    >>> logits = torch.zeros(1, 4, 10)                                   # all of ten tokens equally likely
    >>> log_probs(logits, torch.tensor([[1, 2, 3, 4]]), torch.tensor([[0, 0, 1, 1]])).exp()
    tensor([0.0100])
    """
    each = logits[:, :-1].float().log_softmax(dim=-1).gather(-1, input_ids[:, 1:, None]).squeeze(-1)
    return (each * completion_mask[:, 1:]).sum(dim=-1)


def dpo_loss(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """The loss of each pair, (B,): -log sigmoid(beta (chosen - rejected)), equation 7 of arXiv 2305.18290.

    chosen, rejected: (B,) the log-probability that each answer has gained over the reference.

    >>> gain = torch.tensor([0.0, 5.0])
    >>> dpo_loss(gain, -gain, beta=0.1)                                  # log 2 where model and reference agree
    tensor([0.6931, 0.3133])
    """
    return -F.logsigmoid(beta * (chosen - rejected))


class Gains(NamedTuple):
    """log p(answer) of the model minus that of the reference, for the answers of B pairs: (B,) each."""

    chosen: Tensor
    rejected: Tensor


def gains(model: PeftModel, batch: dict[str, Tensor]) -> Gains:
    """The gains of a model over its reference on a batch of `Collator.pairs`, inside `vlm.looking_through`.

    The reference is the model with its adapter switched off; no gradient flows through it.
    """
    inputs = {name: tensor for name, tensor in batch.items() if name != "completion_mask"}
    ours = log_probs(model(**inputs).logits, batch["input_ids"], batch["completion_mask"])
    with torch.no_grad(), model.disable_adapter():
        theirs = log_probs(model(**inputs).logits, batch["input_ids"], batch["completion_mask"])
    return Gains(*(ours - theirs).chunk(2))


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


class PreferenceStep(NamedTuple):
    """One line of the log: means over the pairs of one step, before the step was taken."""

    step: int  # from 1
    loss: float
    chosen: float  # gain in log-probability over the reference
    rejected: float
    preferred: float  # the share of pairs whose chosen answer gained more


def trl_trainer(
    model: PeftModel, collate: Collator, pairs: Sequence[Pair], plan: Plan, beta: float, nll: float = 0.0
) -> DPOTrainer:
    """TRL's DPOTrainer for the pairs in their order: once, `plan.steps` steps of `plan.batch` pairs.

    TRL's own collators support images but not videos. So its data set also holds the number of each pair, and our
    collator makes the batches.
    """
    disable_progress_bars()  # of datasets, one per pass over the pairs
    told = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected, "pair": i} for i, p in enumerate(pairs)]
    with without_deprecations():
        trainer = DPOTrainer(
            model,
            args=trl_settings(collate.vlm, plan, beta, nll),
            train_dataset=Dataset.from_list(told),
            processing_class=collate.vlm.tokenizer,
            data_collator=lambda rows: collate.pairs([pairs[row["pair"]] for row in rows]),
        )
    trainer.remove_callback(PrinterCallback)  # it prints every step; `train_dpo` returns them
    return trainer


def trl_settings(vlm: VideoLM, plan: Plan, beta: float, nll: float = 0.0) -> DPOConfig:
    """The plan as TRL's settings: the schedule and the optimizer of `lib.finetune.fit`, no files, no progress bar.

    nll: how much of the chosen answers' plain loss, the mean over their tokens, is added to DPO's ("sft" in TRL).

    `max_length=None`: TRL's default of 1,024 would cut through the visual tokens of longer clips.
    """
    dtype = compute_dtype(vlm.device)
    return DPOConfig(
        output_dir=tempfile.gettempdir(),  # for checkpoints, which it never writes
        beta=beta, max_length=None,
        loss_type=["sigmoid", "sft"] if nll else ["sigmoid"], loss_weights=[1.0, nll] if nll else None,
        max_steps=plan.steps, per_device_train_batch_size=plan.batch, learning_rate=plan.learning_rate,
        warmup_steps=plan.warmup, lr_scheduler_type="cosine", weight_decay=0.0, max_grad_norm=1.0,
        train_sampling_strategy="sequential", remove_unused_columns=False, dataloader_pin_memory=False,
        gradient_checkpointing=False, use_cpu=vlm.device.type == "cpu",
        bf16=dtype == torch.bfloat16, fp16=dtype == torch.float16,
        save_strategy="no", report_to="none", logging_steps=1, disable_tqdm=True,
    )  # fmt: skip


def train_dpo(
    model: PeftModel,
    collate: Collator,
    pairs: Sequence[Pair],
    plan: Plan,
    beta: float,
    language: str = "en",
    sampled: bool = False,
    nll: float = 0.0,
) -> list[PreferenceStep]:
    """Trains the adapter of a model on pairs, in their order, by TRL; returns the log.

    TRL's reference is a copy of the adapter as it is now, "ref", which is deleted at the end. For a new adapter, the
    reference equals the model without an adapter. sampled: as `check_pairs` takes it; nll: as `trl_settings` takes it.
    Raises ValueError if there are too few pairs or `check_pairs` rejects one.
    """
    if len(pairs) < plan.examples:
        raise ValueError(
            f"{plan.steps} steps of {plan.batch} need {plan.examples} pairs, there are {len(pairs)}: "
            "lib.finetune.mixed repeats them, or plan fewer steps"
        )
    check_pairs(pairs, language, sampled)
    trainer = trl_trainer(model, collate, pairs, plan, beta, nll)
    with collate.vlm.looking_through(collate.reducer), without_deprecations():
        trainer.train()
    model.delete_adapter("ref")
    model.eval()
    return [step_of(line, beta) for line in trainer.state.log_history if "loss" in line]


def step_of(line: dict[str, float], beta: float) -> PreferenceStep:
    """A line of TRL's log. Its rewards are gains times beta."""
    gained = (line[f"rewards/{which}"] / beta for which in ("chosen", "rejected"))
    return PreferenceStep(line["step"], line["loss"], *gained, line["rewards/accuracies"])
