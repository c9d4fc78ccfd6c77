"""The training loop: a plan, examples in the order in which they are trained on, a checkpoint and a log.

A run is a plan (how long, on how much at a time, how fast), a sequence of examples, and what may change:
`lib.finetune.adapters` decides that, `fit` trains it. With a folder, `fit` keeps a checkpoint and a log there, and a
run that was interrupted goes on where its last checkpoint stands and ends with the same weights as one that was not.

Not in it: training the vision tower (its features are computed once), several GPUs (lesson 12).
"""

import json
import math
import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from lib.data.batches import Collator
from lib.data.videos import Example
from lib.files import differences, write_text, written_whole
from lib.finetune.adapters import changed_weights, short_digest, tensor_digest, trainable, without_deprecations
from lib.reducers import Reducer
from lib.vlm.loading import compute_dtype, weights_digest
from lib.vlm.model import VideoLM


@dataclass(frozen=True)
class Plan:
    """How long a run trains, on how many examples at a time, and how fast it learns at its peak."""

    steps: int
    batch: int = 8
    learning_rate: float = 5e-3
    warmup: int = 5  # steps
    checkpointing: bool = False  # keep each layer's input only and compute the rest again: less memory, more time

    @property
    def examples(self) -> int:
        return self.steps * self.batch

    def rate(self, step: int) -> float:
        """Up in a line, then down along a cosine to 0: transformers' schedule "cosine".

        >>> plan = Plan(steps=25, learning_rate=1.0, warmup=5)
        >>> [round(plan.rate(step), 3) for step in (0, 1, 5, 15, 25)]
        [0.0, 0.2, 1.0, 0.5, 0.0]
        """
        if step < self.warmup:
            return self.learning_rate * step / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def mixed(main: Sequence[Example], other: Sequence[Example], count: int, share: float, seed: int = 0) -> list[Example]:
    """`count` examples in the order of training: an even `share` of them from `other`, the rest from `main`.

    Each of the two is gone through in a random order, again in another one, and so on. Evenly: with a share of 1/4
    every fourth example is from `other`, so every batch is mixed.

    >>> mixed("ab", "x", count=8, share=0.25)
    ['b', 'a', 'b', 'x', 'a', 'b', 'a', 'x']
    """
    rng = random.Random(f"mixed {seed}")
    sources = again_and_again(main, rng), again_and_again(other, rng)
    return [next(sources[int((i + 1) * share) > int(i * share)]) for i in range(count)]


def again_and_again(examples: Sequence[Example], rng: random.Random) -> Iterator[Example]:
    """The examples in a random order, then in another, without end. Raises ValueError where there are none."""
    if not examples:
        raise ValueError("there are no examples to draw from: give at least one, or a share of 0")
    while True:
        yield from rng.sample(examples, len(examples))


class Step(NamedTuple):
    """One line of the log."""

    step: int  # from 1
    loss: float
    learning_rate: float
    seconds: float


def fit(
    vlm: VideoLM, collate: Collator, examples: Sequence[Example], plan: Plan, folder: str | Path | None = None
) -> list[Step]:
    """Trains what may change, batch by batch in the order of the examples; returns the log, one Step per step.

    AdamW without weight decay, gradients clipped to a norm of 1, as transformers' Trainer does by default. On a GPU in
    its 16-bit type; with float16 the loss is scaled up, so that small gradients do not vanish.
    folder: for `checkpoint.safetensors` and `log.jsonl`, written ten times in a run, whole or not at all.

    Raises ValueError where the plan holds no step, the examples are too few, nothing may change, the loss is no number
    any more, the folder's checkpoint or log is damaged, or it was begun with other settings (`run_fingerprint`).
    """
    weights = check(vlm, examples, plan)
    run = TrainingRun(vlm, weights, torch.optim.AdamW(weights.values(), weight_decay=0), plan)
    files = Files(Path(folder), run_fingerprint(vlm, collate, examples, plan)) if folder else None
    log = files.restore(run) if files else []
    vlm.model.train()
    kept, looking = checkpointing(vlm, plan.checkpointing), vlm.looking_through(collate.reducer)
    with kept, looking, progress(plan.steps, len(log)) as bar:
        for step in range(len(log), plan.steps):
            log.append(run.step(step, collate(examples[step * plan.batch : (step + 1) * plan.batch])))
            bar.set_postfix_str(f"loss {log[-1].loss:.3f}", refresh=False)
            bar.update()
            if files and (len(log) % math.ceil(plan.steps / 10) == 0 or len(log) == plan.steps):
                files.save(run, log)
    vlm.model.eval()
    return log


@contextmanager
def checkpointing(vlm: VideoLM, on: bool) -> Iterator[None]:
    """Inside, if `on`, layers keep their inputs only; outside, also after an error, the model is as it was."""
    if not on:
        yield
        return
    with without_deprecations():
        vlm.model.gradient_checkpointing_enable({"use_reentrant": False})
    try:
        yield
    finally:
        with without_deprecations():
            vlm.model.gradient_checkpointing_disable()


def progress(steps: int, done: int) -> tqdm:
    """A bar in a terminal; nothing in a notebook or a file, where it would leave a line for every step."""
    return tqdm(total=steps, initial=done, unit="step", disable=None)


def check(vlm: VideoLM, examples: Sequence[Example], plan: Plan) -> dict[str, nn.Parameter]:
    """The weights that may change. Raises ValueError as `fit` says."""
    if plan.steps < 1 or plan.batch < 1 or plan.warmup < 0 or not 0 <= plan.learning_rate < math.inf:
        raise ValueError(
            f"{plan} trains nothing, or away from the answers: give at least 1 step and a batch of 1, and no negative "
            "warmup or learning rate"
        )
    if len(examples) < plan.examples:
        raise ValueError(
            f"{plan.steps} steps of {plan.batch} need {plan.examples} examples, there are {len(examples)}: "
            "`mixed` repeats them, or plan fewer steps"
        )
    if not (weights := trainable(vlm)):
        raise ValueError(
            f"nothing of {vlm.name} may change: call projector_only, add_lora or all_but_tower first, or load_adapter "
            "with is_trainable=True"
        )
    return weights


@dataclass(eq=False)
class TrainingRun:
    """What changes from step to step."""

    vlm: VideoLM
    weights: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    plan: Plan

    def __post_init__(self):
        self.dtype = compute_dtype(self.vlm.device)
        self.scaler = torch.amp.GradScaler(self.vlm.device.type, enabled=self.dtype == torch.float16)

    def step(self, number: int, batch: dict[str, Tensor]) -> Step:
        """One step of training."""
        began, rate = time.monotonic(), self.plan.rate(number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = {name: tensor.to(self.vlm.device) for name, tensor in batch.items()}
        with torch.autocast(self.vlm.device.type, self.dtype, enabled=self.dtype != torch.float32):
            loss = self.vlm.model(**batch, use_cache=False).loss
        if not loss.isfinite():
            raise ValueError(f"the loss is {loss.item()} at step {number + 1}: lower the learning rate ({rate:.1e})")
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return Step(number + 1, loss.item(), rate, time.monotonic() - began)


def run_fingerprint(vlm: VideoLM, collate: Collator, examples: Sequence[Example], plan: Plan) -> dict:
    """The settings that decide over the weights that a run ends with, by name: a checkpoint belongs to one run.

    The type in which a GPU computes is left out, so that a run may go on on another card.
    """
    told = [(example.video.name, example.prompt, example.answer) for example in examples[: plan.examples]]
    data = dict(zip(("clips", "prompts", "answers"), map(short_digest, zip(*told, strict=True)), strict=True))
    weights = trainable(vlm)
    before = {name: tensor_digest(weight) for name, weight in changed_weights(vlm).items() if name not in weights}
    return asdict(plan) | data | adapter_settings(vlm) | {
        "frames": len(collate.features(examples[0].video)),
        "reducer": reducer_settings(collate.reducer),
        "prompt": repr(vlm.prompt("...")),
        "rope": str(vlm.model.config.text_config.rope_parameters),
        "four bits": getattr(vlm.model, "is_loaded_in_4bit", False),
        "base": weights_digest(vlm.name, vlm.revision)[:12],
        "base in memory": short_digest(before) if before else "as in its files",
        "weights in training": short_digest([(name, tuple(weight.shape)) for name, weight in weights.items()]),
    }  # fmt: skip


def adapter_settings(vlm: VideoLM) -> dict[str, int | float | str | None]:
    """Rank, alpha, and what the adapter's weights were at first; nothing for a model without one."""
    if not any("lora_" in name for name, _ in vlm.model.named_parameters()):
        return {}
    config = vlm.model.peft_config["default"]
    return {"rank": config.r, "alpha": config.lora_alpha, "adapter": getattr(vlm.model, "adapter_start", None)}


def reducer_settings(reducer: Reducer) -> str:
    """The class of a reducer and its settings; its weights, and tensors among the settings, as a digest.

    >>> from lib.reducers import SpatialPool
    >>> reducer_settings(SpatialPool(4))
    "SpatialPool(stride=4, mode='average', project='after', newline='none', newline_embed=None, conv=None)"
    """
    hidden = ("training", "tokenizer")  # and what torch keeps under names with _
    values = {name: value for name, value in vars(reducer).items() if name[0] != "_" and name not in hidden}
    values |= reducer.state_dict()
    shown = (f"{n}={tensor_digest(v) if isinstance(v, Tensor) else repr(v)}" for n, v in values.items())
    return re.sub(" at 0x[0-9a-f]+", "", f"{type(reducer).__name__}({', '.join(shown)})")


@dataclass(frozen=True)
class Files:
    """The checkpoint and the log of a run, whose settings are its `fingerprint`."""

    folder: Path
    fingerprint: dict

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def again(self) -> str:
        return f"delete the folder {self.folder} to start from nothing"

    def save(self, run: TrainingRun, log: Sequence[Step]) -> None:
        """The log first: a checkpoint always finds the lines up to it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(step._asdict()) + "\n" for step in log)
        write_text(self.log, lines)
        tensors = {f"weight {name}": weight.detach() for name, weight in run.weights.items()}
        for name, weight in run.weights.items():
            tensors |= {f"{moment} {name}": tensor for moment, tensor in run.optimizer.state[weight].items()}
        where = {
            "run": json.dumps(self.fingerprint),
            "steps": str(len(log)),
            "scaler": json.dumps(run.scaler.state_dict()),
        }
        with written_whole(self.checkpoint) as beside:
            save_file(tensors, beside, metadata=where)

    def restore(self, run: TrainingRun) -> list[Step]:
        """Loads the checkpoint into the run, if there is one; returns the log up to it."""
        if not self.checkpoint.exists():
            return []
        try:
            with safe_open(self.checkpoint, framework="pt", device=str(run.vlm.device)) as file:
                where = file.metadata() or {}
                if changed := differences(json.loads(where.get("run", "{}")), self.fingerprint):
                    raise ValueError(
                        f"{self.folder} was begun with other settings ({changed}): keep those, or {self.again}"
                    )
                load_tensors(run, {name: file.get_tensor(name) for name in file.keys()})
        except SafetensorError:
            raise ValueError(f"{self.checkpoint} is cut off or damaged: {self.again}") from None
        if state := json.loads(where["scaler"]):
            run.scaler.load_state_dict(state)
        log = read_log(self.log)[: int(where["steps"])]
        if len(log) < int(where["steps"]):
            raise ValueError(f"{self.log} ends before its checkpoint (step {where['steps']}): {self.again}")
        return log


def load_tensors(run: TrainingRun, tensors: dict[str, Tensor]) -> None:
    """Weights and the optimizer's moments, as `Files.save` named them."""
    for key, tensor in tensors.items():
        kind, name = key.split(" ")
        if kind == "weight":
            run.weights[name].data.copy_(tensor)
        else:
            run.optimizer.state[run.weights[name]][kind] = tensor if tensor.dim() else tensor.cpu()


def read_log(path: str | Path) -> list[Step]:
    """The steps of a `log.jsonl`. Raises FileNotFoundError without one, ValueError where a line is cut off."""
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no log {path}: give fit a folder, and read the log.jsonl in it")
    log = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            log.append(Step(**json.loads(line)))
        except (json.JSONDecodeError, TypeError):
            raise ValueError(f"{path}, line {number} is cut off or no step: delete it and what follows") from None
    return log
