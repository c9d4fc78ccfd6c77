"""The training loop is transformers' Trainer; this module configures it and writes its files.

A run has a plan (steps, batch size, learning rate), a sequence of examples, and weights that may change.
`lib.finetune.adapters` chooses those weights; `fit` trains them. With a folder, `fit` keeps a checkpoint and a log
there. An interrupted run continues from its last checkpoint and ends with the same weights as one without a break
(`lib.finetune.checkpoints`).

Lesson 08 writes the loop by hand and shows that both are equal. The vision tower is never trained, because its features
are computed once.
"""

import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from lib.data.batches import Collator
from lib.data.videos import Example
from lib.finetune.adapters import changed_weights, short_digest, tensor_digest, trainable, without_deprecations
from lib.finetune.checkpoints import Files, Step, adapter_settings, reducer_settings
from lib.packing import IGNORE
from lib.vlm.loading import compute_dtype, weights_digest
from lib.vlm.model import VideoLM
from lib.vlm.sharded import is_sharded


@dataclass(frozen=True)
class Plan:
    """The length of a run, its batch size, and its peak learning rate.

    A step uses `batch` examples at a time, `accumulation` times, in each of `processes`.

    >>> Plan(steps=25, batch=2, accumulation=4).examples
    200
    """

    steps: int
    batch: int = 8
    learning_rate: float = 5e-3
    warmup: int = 5  # steps
    checkpointing: bool = False  # keep each layer's input only and compute the rest again: less memory, more time
    accumulation: int = 1
    schedule: str = "cosine"  # or another name of transformers' schedules: "linear", "constant_with_warmup"
    seed: int = 0  # of dropout
    every: int = 0  # steps from one checkpoint and validation to the next; 0: ten times in a run

    @property
    def examples(self) -> int:
        """Examples of the whole run."""
        return self.steps * self.step_size

    @property
    def step_size(self) -> int:
        """Examples of one step, over all processes."""
        return self.batch * self.accumulation * processes()

    @property
    def interval(self) -> int:
        """Steps from one checkpoint and validation to the next."""
        return self.every or math.ceil(self.steps / 10)

    def due(self, step: int) -> bool:
        """Whether a checkpoint is written after this step."""
        return step % self.interval == 0 or step == self.steps


def processes() -> int:
    """How many processes train together: torchrun and accelerate set it in the environment."""
    return int(os.environ.get("WORLD_SIZE", 1))


def mixed(main: Sequence[Example], other: Sequence[Example], count: int, share: float, seed: int = 0) -> list[Example]:
    """`count` examples in the order of training: an even `share` of them from `other`, the rest from `main`.

    Each of the two is used in a random order, then in another one, and so on. Evenly: with a share of 1/4
    every fourth example is from `other`, so every batch is mixed.

    >>> mixed("ab", "x", count=8, share=0.25)
    ['b', 'a', 'b', 'x', 'a', 'b', 'a', 'x']
    """
    rng = random.Random(f"mixed {seed}")
    sources = again_and_again(main, rng), again_and_again(other, rng)
    return [next(sources[int((i + 1) * share) > int(i * share)]) for i in range(count)]


def again_and_again(examples: Sequence[Example], rng: random.Random) -> Iterator[Example]:
    """The examples in a random order, then in another, without end. Raises ValueError if there are none."""
    if not examples:
        raise ValueError("there are no examples to draw from: give at least one, or a share of 0")
    while True:
        yield from rng.sample(examples, len(examples))


def fit(
    vlm: VideoLM,
    collate: Collator,
    examples: Sequence[Example],
    plan: Plan,
    folder: str | Path | None = None,
    validation: Sequence[Example] = (),
    watch: Callable[[Step, bool], None] | None = None,
    report_to: str = "none",
) -> list[Step]:
    """Trains the weights that may change, batch by batch in the order of the examples; returns the log, one Step per
    step.

    transformers' Trainer with AdamW without weight decay, gradients clipped to a norm of 1. A GPU computes in its
    16-bit type; with float16 the loss is scaled up, so that small gradients do not vanish. The loss of a step is the
    mean over all its answer tokens, however they are spread over batches and processes.

    folder: for `checkpoint.safetensors` and `log.jsonl`, written atomically when `plan.due`. A run in the folder
    continues; with more steps than before it is extended.
    watch: called with the step when a checkpoint is due, and with whether its validation loss is the lowest so far
    (without validation each is).
    report_to: "none", "tensorboard" or "wandb".

    Raises ValueError if the plan holds no step, the examples are too few, nothing may change, or the loss is NaN or
    infinite. Also if the folder's checkpoint or log is damaged, or was begun with other settings (`run_fingerprint`).
    """
    weights = check(vlm, examples, plan)
    settings_of_run = cache(lambda steps: run_fingerprint(vlm, collate, examples, plan, steps))  # 14 GB are read once
    files = Files(Path(folder), settings_of_run) if folder else None
    log = files.read() if files else []
    if len(log) >= plan.steps:
        files.load_weights(weights)
        return log
    settings = trainer_arguments(vlm, plan, folder, bool(validation), report_to)
    recorder = Recorder(weights, plan, files, log, watch)
    kept, looking = checkpointing(vlm, plan.checkpointing), vlm.looking_through(collate.reducer)
    with kept, looking, ready_for_trainer(vlm), without_deprecations():
        rest = examples[len(log) * plan.step_size : plan.examples]
        trainer = recorder.trainer = CaptionTrainer(
            vlm.model, settings, collate, list(rest), list(validation) or None, callbacks=[recorder]
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return log


def trainer_arguments(
    vlm: VideoLM, plan: Plan, folder: str | Path | None, validate: bool, report_to: str
) -> TrainingArguments:
    """The plan as transformers' settings. `Recorder` writes the files, so Trainer saves nothing."""
    return TrainingArguments(
        output_dir=str(folder or tempfile.gettempdir()), seed=plan.seed,
        max_steps=plan.steps, per_device_train_batch_size=plan.batch, gradient_accumulation_steps=plan.accumulation,
        learning_rate=plan.learning_rate, lr_scheduler_type=plan.schedule, warmup_steps=plan.warmup,
        weight_decay=0.0, max_grad_norm=1.0, train_sampling_strategy="sequential", remove_unused_columns=False,
        dataloader_pin_memory=False, ddp_find_unused_parameters=False, per_device_eval_batch_size=plan.batch,
        eval_strategy="steps" if validate else "no", eval_steps=plan.interval,
        logging_steps=1, logging_nan_inf_filter=False, save_strategy="no", report_to=report_to, disable_tqdm=True,
        use_cpu=vlm.device.type == "cpu", **precision(vlm.device),
    )  # fmt: skip


def precision(device: torch.device) -> dict[str, bool]:
    """Mixed precision on a GPU: bfloat16 if its hardware has it, else float16 with a loss scaler.

    >>> precision(torch.device("cpu"))
    {'fp16': False, 'bf16': False}
    """
    dtype = compute_dtype(device)
    return {"fp16": dtype == torch.float16, "bf16": dtype == torch.bfloat16}


@contextmanager
def ready_for_trainer(vlm: VideoLM) -> Iterator[None]:
    """Inside, Trainer accepts a 4-bit model whose adapter lies in it and not around it; afterwards all is as before.

    accelerate must not know that a model is already sharded: it would look for something to shard.
    """
    config, marked = vlm.model.config, getattr(vlm.model, "_hf_peft_config_loaded", False)
    cached, config.text_config.use_cache = config.text_config.use_cache, False  # keys and values that nothing uses
    vlm.model._hf_peft_config_loaded = True  # what transformers' own add_adapter leaves
    fsdp = os.environ.pop("ACCELERATE_USE_FSDP", None) if is_sharded(vlm.model) else None
    try:
        yield
    finally:
        os.environ.update({"ACCELERATE_USE_FSDP": fsdp} if fsdp else {})
        vlm.model._hf_peft_config_loaded = marked
        config.text_config.use_cache = cached
        vars(config).pop("use_cache", None)  # Trainer's, meant for models without text_config
        vlm.model.eval()


@contextmanager
def checkpointing(vlm: VideoLM, on: bool) -> Iterator[None]:
    """Inside, if `on`, layers keep their inputs only; afterwards, even after an error, the model is as it was."""
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
    """A bar in a terminal; nothing in a notebook or a file, because it would print a line for every step."""
    return tqdm(total=steps, initial=done, unit="step", disable=None)


def check(vlm: VideoLM, examples: Sequence[Example], plan: Plan) -> dict[str, nn.Parameter]:
    """The weights that may change. Raises ValueError as `fit` does."""
    counts = min(plan.steps, plan.batch, plan.accumulation)
    if counts < 1 or min(plan.warmup, plan.every) < 0 or not 0 <= plan.learning_rate < math.inf:
        raise ValueError(
            f"{plan} cannot train: give at least 1 step and a batch of 1, and no negative warmup or learning rate"
        )
    if len(examples) < plan.examples:
        raise ValueError(
            f"{plan.steps} steps of {plan.step_size} need {plan.examples} examples, there are {len(examples)}: "
            "`mixed` repeats them, or plan fewer steps"
        )
    if not (weights := trainable(vlm)):
        raise ValueError(
            f"no weights of {vlm.name} may change: call projector_only, add_lora or all_but_tower first, or "
            "load_adapter with is_trainable=True"
        )
    return weights


class CaptionTrainer(Trainer):
    """A Trainer that stops if the loss is NaN or infinite, and passes every batch's loss to its callback."""

    def _wrap_model(self, model: nn.Module, *args, **kwargs) -> nn.Module:
        """DDP averages the gradients, also beside FSDP, because every process holds all trained weights."""
        if not is_sharded(model):
            return super()._wrap_model(model, *args, **kwargs)
        cut = [name for name, weight in model.named_parameters() if isinstance(weight, DTensor)]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, cut)
        ready = self.accelerator.prepare_model(model, device_placement=False, evaluation_mode=True)  # mixed precision
        return DistributedDataParallel(ready)

    def training_step(self, model: nn.Module, inputs: dict, num_items_in_batch: Tensor | None = None) -> Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not loss.isfinite():
            rate = self.optimizer.param_groups[0]["lr"]
            raise ValueError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}: lower the learning rate ({rate:.1e})"
            )
        self.state.loss += loss.item()
        return loss

    @torch.no_grad()
    def evaluate(self, *_, **__) -> dict[str, float]:
        """The mean loss over all answer tokens of the validation examples, however many processes share them."""
        self.model.eval()
        size, state = self.args.per_device_eval_batch_size, self.accelerator
        sums = torch.zeros(2, device=self.args.device)  # of losses, of tokens
        for start in range(0, len(self.eval_dataset), size * state.num_processes):  # equally often on each: FSDP waits
            mine = self.eval_dataset[start + state.process_index * size :][:size]
            batch = self._prepare_inputs(self.data_collator(mine or self.eval_dataset[:1]))
            tokens = (batch["labels"][:, 1:] != IGNORE).sum() * bool(mine)
            sums += torch.stack([self.model(**batch).loss.float() * tokens, tokens])
        loss, tokens = state.reduce(sums, "sum").tolist()
        metrics = {"eval_loss": loss / tokens}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class Recorder(TrainerCallback):
    """Restores a run from its checkpoint, and writes its log. Trainer calls its methods.

    Trainer's own log counts from the start of a session; this one continues the checkpoint's.
    """

    trainer: CaptionTrainer

    def __init__(
        self,
        weights: dict[str, nn.Parameter],
        plan: Plan,
        files: Files | None,
        log: list[Step],
        watch: Callable[[Step, bool], None] | None,
    ):
        self.weights, self.plan, self.files, self.log, self.watch = weights, plan, files, log, watch
        self.bar = progress(plan.steps, len(log))

    def on_train_begin(self, args, state, control, optimizer, lr_scheduler, **_):
        """Loads the checkpoint's weights and moments; advances the schedule by the steps already taken."""
        done = state.global_step = len(self.log)
        if done:
            self.files.restore(self.weights, optimizer, self.trainer.accelerator.scaler)
            lr_scheduler.last_epoch = done
            rates = zip(optimizer.param_groups, lr_scheduler.base_lrs, lr_scheduler.lr_lambdas, strict=True)
            for group, peak, share in rates:
                group["lr"] = peak * share(done)

    def on_step_begin(self, args, state, control, **_):
        """Dropout draws from the step's own seed, so a resumed run draws the same numbers."""
        torch.manual_seed(hash((self.plan.seed, state.global_step, args.process_index)))
        state.loss, self.began = 0.0, time.monotonic()

    def on_pre_optimizer_step(self, args, state, control, optimizer, **_):
        self.rate = optimizer.param_groups[0]["lr"]

    def on_step_end(self, args, state, control, **_):
        loss = torch.tensor(state.loss, dtype=torch.float64 if args.device.type == "cpu" else torch.float32)
        loss = self.trainer.accelerator.reduce(loss.to(args.device), "mean").item()
        self.log.append(Step(state.global_step, loss, self.rate, time.monotonic() - self.began))
        self.bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        self.bar.update()
        if self.plan.due(state.global_step):
            if self.trainer.eval_dataset is None:
                self.save(best=True)
            else:
                control.should_evaluate = True

    def on_evaluate(self, args, state, control, metrics, **_):
        before = [step.validation for step in self.log if step.validation is not None]
        self.log[-1] = self.log[-1]._replace(validation=metrics["eval_loss"])
        self.save(best=metrics["eval_loss"] <= min(before, default=math.inf))

    def save(self, best: bool) -> None:
        """Shows a step before it writes it: a run that is killed in between shows the step again."""
        if self.watch:
            self.watch(self.log[-1], best)
        if self.files:
            self.files.save(self.weights, self.trainer.optimizer, self.trainer.accelerator.scaler, self.log)

    def on_train_end(self, args, state, control, **_):
        self.bar.close()


def run_fingerprint(
    vlm: VideoLM, collate: Collator, examples: Sequence[Example], plan: Plan, steps: int | None = None
) -> dict:
    """The settings that determine a run's final weights, by name: a checkpoint belongs to one run.

    `steps`: those of the run's first session, if it is extended now. The GPU's compute type and the number of processes
    are left out, so that a run may continue on other cards.
    """
    steps = plan.steps if steps is None else steps
    told = [(one.video.name, one.prompt, one.answer) for one in examples[: steps * plan.step_size]]
    data = dict(zip(("clips", "prompts", "answers"), map(short_digest, zip(*told, strict=True)), strict=True))
    weights = trainable(vlm)
    before = {name: tensor_digest(weight) for name, weight in changed_weights(vlm).items() if name not in weights}
    numbers = {name: value for name, value in asdict(plan).items() if name not in ("batch", "accumulation", "every")}
    return numbers | {"steps": steps, "batch": plan.step_size} | data | adapter_settings(vlm) | {
        "frames": len(collate.features(examples[0].video)),
        "reducer": reducer_settings(collate.reducer),
        "prompt": repr(vlm.prompt("...")),
        "rope": str(vlm.model.config.text_config.rope_parameters),
        "four bits": getattr(vlm.model, "is_loaded_in_4bit", False),
        "base": weights_digest(vlm.name, vlm.revision)[:12],
        "base in memory": short_digest(before) if before else "as in its files",
        "weights in training": short_digest([(name, tuple(weight.shape)) for name, weight in weights.items()]),
    }  # fmt: skip
