"""Fine-tuning: the projector alone, LoRA, QLoRA, or all of the language model; and adapters as files.

A run is a plan (how long, on how much at a time, how fast), a sequence of examples in the order in which they are
trained on, and what may change. `projector_only`, `add_lora` or `all_but_tower` decide that; `fit` trains it. With a
folder, `fit` keeps a checkpoint and a log there, and a run that was interrupted goes on where its last checkpoint
stands and ends with the same weights as one that was not.

What this module does not do: train the vision tower (its features are computed once), several GPUs (lesson 12).
"""

import hashlib
import json
import math
import os
import random
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from peft.import_utils import is_gptqmodel_available, is_torchao_available
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedModel

from lib.data.batches import Collator
from lib.data.videos import Example
from lib.files import differences, write_text, written_whole
from lib.reducers import Reducer
from lib.vlm.loading import compute_dtype, model_files, weights_digest
from lib.vlm.model import VideoLM

LANGUAGE_LAYER = re.compile(r"(?:^|\.)language_model\..*\.(\w+)$")
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "base.json")

# Each new LoRA layer raises ImportError where one of these packages is installed in a version too old for peft (Colab's
# torchao is). The course quantizes with bitsandbytes only, so it hides such a package from this process.
for package, available in {"torchao": is_torchao_available, "gptqmodel": is_gptqmodel_available}.items():
    try:
        available()
    except ImportError:
        sys.modules[package] = None


# ---------------------------------------------------------------------------------------------------------------------
# What may change
# ---------------------------------------------------------------------------------------------------------------------


def language_targets(model: nn.Module) -> str:
    """The linear layers of the language model, as a regular expression for peft's `target_modules`.

    A list of names such as "q_proj" would match the ends of all names, and CLIP's attention has layers of that name.

    >>> from lib.vlm import load
    >>> language_targets(load("tiny").model)
    '.*\\\\blanguage_model\\\\..*\\\\.(down_proj|gate_proj|k_proj|o_proj|q_proj|up_proj|v_proj)'
    """
    linear = (name for name, module in model.named_modules() if isinstance(module, nn.Linear))
    leaves = sorted({found[1] for name in linear if (found := LANGUAGE_LAYER.search(name))})
    return rf".*\blanguage_model\..*\.({'|'.join(leaves)})"


def projector_only(vlm: VideoLM) -> None:
    """Only the projector may change: LLaVA's first stage, feature alignment."""
    train_only(vlm, vlm.model.model.multi_modal_projector)


def all_but_tower(vlm: VideoLM) -> None:
    """Projector and language model may change: full fine-tuning, as in LLaVA's second stage.

    Raises ValueError for a model in 4 bits: whole numbers of 4 bits have no gradient.
    """
    if getattr(vlm.model, "is_loaded_in_4bit", False):
        raise ValueError(f"{vlm.name} is loaded in 4 bits, which cannot be trained: load it whole, or use add_lora")
    train_only(vlm, vlm.model.model.multi_modal_projector, vlm.model.model.language_model, vlm.model.lm_head)


def train_only(vlm: VideoLM, *parts: nn.Module) -> None:
    """Freezes everything but the parts, and makes those float32: gradients of float16 weights cannot be unscaled."""
    vlm.model.requires_grad_(False)
    for part in parts:
        part.float().requires_grad_(True)


def add_lora(vlm: VideoLM, rank: int = 16, seed: int = 0) -> PeftModel:
    """Puts LoRA adapters beside every linear layer of the language model, in place: only they may change.

    alpha is twice the rank, so the adapters' output is doubled. A model in 4 bits becomes QLoRA: the rest of it is
    cast to float32 (`prepare_model_for_kbit_training`). The second factor starts at 0: at first nothing changes.
    An adapter that the model already has is taken off first: `take_off` says when that is refused.

    >>> from lib.vlm import load
    >>> vlm = load("tiny")
    >>> adapter = add_lora(vlm, rank=4)
    >>> sum(weight.numel() for weight in trainable(vlm).values())       # 4 layers x (4 x 256 + 3 x 512) x 4
    40960
    """
    take_off(vlm)
    prepare_model_for_kbit_training(vlm.model, use_gradient_checkpointing=False)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=language_targets(vlm.model))
    vlm.model.adapter_start = f"seed {seed}"
    with torch.random.fork_rng(), without_deprecations():
        torch.manual_seed(seed)
        return get_peft_model(vlm.model, config)


def take_off(vlm: VideoLM) -> None:
    """Takes the model's adapter off, if it has one, so that a cell that puts one on may run twice.

    Raises ValueError for an adapter in training: what it has learned would be lost.
    """
    weights = vlm.model.named_parameters()
    if any("lora_B" in name and weight.requires_grad and weight.any() for name, weight in weights):
        raise ValueError(
            f"{vlm.name} has an adapter that was trained: `fit` trains it further, `save_adapter` saves it; "
            "for another one load the model again"
        )
    for name, layer in [*vlm.model.named_modules()]:
        if isinstance(layer, LoraLayer):
            vlm.model.set_submodule(name, layer.get_base_layer())
    if hasattr(vlm.model, "peft_config"):
        del vlm.model.peft_config


@contextmanager
def without_deprecations() -> Iterator[None]:
    """peft and TRL still say `gradient_checkpointing` where transformers 5.23 says `activation_checkpointing`.

    Inside, its warning about that is silent: nobody who uses them can do anything about it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.* is deprecated", FutureWarning)
        yield


def trainable(vlm: VideoLM) -> dict[str, nn.Parameter]:
    """The weights that may change, by name."""
    return {name: weight for name, weight in vlm.model.named_parameters() if weight.requires_grad}


# ---------------------------------------------------------------------------------------------------------------------
# What is trained on, and how fast
# ---------------------------------------------------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------------------------------------------------
# The loop
# ---------------------------------------------------------------------------------------------------------------------


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

    Raises ValueError where the examples are too few, nothing may change, the loss is no number any more, the folder's
    checkpoint or log is damaged, or the folder was begun with other settings (`run_fingerprint`).
    """
    weights = check(vlm, examples, plan)
    run = Run(vlm, weights, torch.optim.AdamW(weights.values(), weight_decay=0), plan)
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
class Run:
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
            loss = self.vlm.model(**batch).loss
        if not loss.isfinite():
            raise ValueError(f"the loss is {loss.item()} at step {number + 1}: lower the learning rate ({rate:.1e})")
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return Step(number + 1, loss.item(), rate, time.monotonic() - began)


# ---------------------------------------------------------------------------------------------------------------------
# Checkpoint and log
# ---------------------------------------------------------------------------------------------------------------------


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


def short_digest(content: object) -> str:
    """Twelve hexadecimal digits for whatever `repr` tells apart."""
    return hashlib.sha256(repr(content).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def tensor_digest(tensor: Tensor) -> str:
    """The same for the numbers of a tensor as float32, and its shape."""
    digest = hashlib.sha256(repr(tuple(tensor.shape)).encode())
    digest.update(tensor.detach().float().cpu().contiguous().numpy())
    return digest.hexdigest()[:12]


def changed_weights(vlm: VideoLM) -> dict[str, Tensor]:
    """The weights of the base, by name, that are not in its files: trained, or an adapter was merged into them.

    The names in a file are often older than those in memory, so numbers are compared. Weights in 4 bits are left out:
    they cannot be trained.
    """
    dtype, filed = vlm.model.config.dtype, set()
    for path in model_files(vlm.name, vlm.revision):
        with safe_open(path, framework="pt") as file:
            filed |= {tensor_digest(file.get_tensor(key).to(dtype)) for key in file.keys()}
    own = {name: weight for name, weight in vlm.model.named_parameters() if "lora_" not in name}
    return {name: w for name, w in own.items() if w.is_floating_point() and tensor_digest(w) not in filed}


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

    def save(self, run: Run, log: Sequence[Step]) -> None:
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

    def restore(self, run: Run) -> list[Step]:
        """Loads the checkpoint into the run, if there is one; returns the log up to it."""
        if not self.checkpoint.exists():
            return []
        try:
            with safe_open(self.checkpoint, framework="pt", device=str(run.vlm.device)) as file:
                where = file.metadata()
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


def load_tensors(run: Run, tensors: dict[str, Tensor]) -> None:
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


# ---------------------------------------------------------------------------------------------------------------------
# Adapters as files
# ---------------------------------------------------------------------------------------------------------------------


def save_adapter(vlm: VideoLM, adapter: PeftModel, folder: str | Path) -> None:
    """Writes an adapter as peft reads it, and beside it in base.json which base it belongs to.

    Weights of the base that were trained before (a projector, mostly) are saved with it: `load_adapter`, and peft,
    put them back.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    adapter.peft_config["default"].base_model_name_or_path = vlm.name  # peft would write this machine's path
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        adapter.save_pretrained(beside, save_embedding_layers=False)  # or peft asks the Hub whether they are new
        if changed := changed_weights(vlm):
            tensors = {f"base_model.model.{name}": weight.detach() for name, weight in changed.items()}
            path = Path(beside, ADAPTER_FILES[1])
            save_file(load_file(path) | tensors, path, metadata={"format": "pt"})
        base = {"base": vlm.name, "revision": vlm.revision, "sha256": weights_digest(vlm.name, vlm.revision)}
        Path(beside, "base.json").write_text(json.dumps(base, indent=1) + "\n", encoding="utf-8")
        drop_nulls(Path(beside, "adapter_config.json"))
        for file in ADAPTER_FILES:
            os.replace(Path(beside, file), folder / file)


def drop_nulls(file: Path) -> None:
    """Removes the fields that are null, which is their default: an older peft warns about fields it does not know."""
    config = json.loads(file.read_text(encoding="utf-8"))
    config = {name: value for name, value in config.items() if value is not None}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_adapter(vlm: VideoLM, folder: str | Path, is_trainable: bool = False) -> PeftModel:
    """Puts a saved adapter on its base, in place. The base may be loaded whole or in 4 bits.

    is_trainable: `fit` may train it further. An adapter that the model already has is taken off (`take_off`).

    Raises FileNotFoundError where the folder lacks a file, and ValueError for an adapter of another base or one that
    is cut off: LoRA's numbers are differences to certain weights, and on others they are noise.
    """
    folder = Path(folder)
    if missing := [file for file in ADAPTER_FILES if not (folder / file).exists()]:
        raise FileNotFoundError(f"{folder} holds no adapter ({missing[0]} is missing): save one with save_adapter")
    try:
        base = json.loads((folder / "base.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        raise ValueError(f"{folder / 'base.json'} is cut off: restore it, or train the adapter again") from None
    if base["sha256"] != weights_digest(vlm.name, vlm.revision):
        raise ValueError(
            f"the adapter in {folder} was trained on other weights than those of {vlm.name} now (it says: "
            f"{base['base']}, sha256 {base['sha256'][:12]}...): load that base, or train the adapter again"
        )
    try:
        tensors = load_file(folder / ADAPTER_FILES[1])
    except SafetensorError:
        raise ValueError(f"{folder / ADAPTER_FILES[1]} is cut off or damaged: restore it, or train it again") from None
    take_off(vlm)
    check_base(vlm, folder, [key.removeprefix("base_model.model.").replace(".base_layer", "") for key in tensors])
    if is_trainable:
        prepare_model_for_kbit_training(vlm.model, use_gradient_checkpointing=False)
    vlm.model.adapter_start = short_digest({name: tensor_digest(tensor) for name, tensor in tensors.items()})
    with without_deprecations():
        return PeftModel.from_pretrained(vlm.model, folder, is_trainable=is_trainable)


def check_base(vlm: VideoLM, folder: Path, names: Sequence[str]) -> None:
    """Raises ValueError unless the base is as it was loaded, but for weights that come with the adapter (`names`)."""
    if changed := [name for name in changed_weights(vlm) if name not in names]:
        raise ValueError(
            f"{vlm.name} was trained since it was loaded ({changed[0]}), and the adapter in {folder} belongs to the "
            "weights as they were: load the model again"
        )
    whole = dict(vlm.model.named_parameters())
    if packed := [name for name in names if name in whole and not whole[name].is_floating_point()]:
        raise ValueError(
            f"the adapter in {folder} comes with {packed[0]}, which is in 4 bits here: load {vlm.name} whole"
        )


def size_on_disk(folder: str | Path) -> int:
    """Bytes of an adapter's weights."""
    return (Path(folder) / ADAPTER_FILES[1]).stat().st_size


def parts_hit(model: PreTrainedModel | PeftModel) -> dict[str, int]:
    """How many layers with an adapter lie in each part of a model: vision tower, projector, language model."""
    names = [name for name, _ in model.named_modules() if name.endswith("lora_A")]
    parts = ("vision_tower", "multi_modal_projector", "language_model")
    return {part: sum(part in name for name in names) for part in parts}
