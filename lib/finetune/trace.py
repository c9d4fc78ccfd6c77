"""The memory of an answer and of a training step, counted byte by byte without a GPU and without weights.

It runs the real code on a model without data (`lib.finetune.fakes`): `VideoLM.answers` with
transformers' generate, `add_lora`, transformers' forward, bitsandbytes' 4-bit layers, AdamW.

`make traced` compares the formulas of `lib.budget` with these counts, and writes data/measured/traced.json.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import Cache

from lib import budget, quiet
from lib.budget import Memory
from lib.budget.specs import MODELS, _lookup
from lib.files import DATA, write_text
from lib.finetune.adapters import add_lora, all_but_tower, trainable
from lib.finetune.fakes import DTYPES, CudaSoftmax, FakeHeld, fill_fakes, skeleton
from lib.finetune.train import checkpointing as checkpoints
from lib.known import CONFIGS, GIB, HUB_IDS
from lib.reducers import Reducer
from lib.vlm import VideoLM
from lib.vlm.model import check_context

TABLE = DATA / "measured" / "traced.json"


def trace_answering(
    model: str | dict,
    frames: int,
    precision: str = "nf4-double",
    attention: str = "sdpa",
    prompt: int = 100,
    answer: int = 256,
    reducer: Reducer | None = None,
    batch: int = 1,
) -> Memory:
    """The traced memory that `lib.budget.answering` plans: `VideoLM.answers` about `batch` clips up to its second
    token, then the last token of the answer on a cache of that length. `activations` holds the cache too.

    model: a short name or Hub id of `lib.known`, or the contents of a config.json.

    >>> memory, plan = trace_answering("7b", 8), budget.answering(budget.MODELS["7b"], 8)
    >>> round(memory.tensors / GIB, 2), round(plan.tensors / GIB, 2)
    (5.0, 5.0)

    Raises ValueError for an unknown model, and if frames, prompt and answer exceed the context.
    """
    vlm = skeleton(settings_of(model), precision, attention, prompt)
    with FakeTensorMode(allow_non_fake_inputs=True), CudaSoftmax():
        weights, pixels = fill_fakes(vlm.model), vlm.block
        fitting(vlm, frames, prompt + answer, reducer)
        vlm.model.model.language_model.register_forward_pre_hook(lengthening(answer - 1), with_kwargs=True)
        with FakeHeld() as held:
            held.notice([*weights, pixels], new=False)
            vlm.answers([np.zeros((frames, 2, 2, 3), np.uint8)] * batch, ["?"] * batch, reducer, max_new_tokens=2)
    return Memory(size_of(weights), activations=held.peak)


def fitting(vlm: VideoLM, frames: int, text: int, reducer: Reducer | None) -> tuple[Reducer, tuple[int, ...]]:
    """The reducer, and the shape of a clip's features. Raises ValueError if the clip and the text are too long."""
    vision = vlm.model.config.vision_config
    side = vision.image_size // vision.patch_size
    shape, reducer = (frames, side, side, vision.hidden_size), reducer or vlm.default_reducer
    check_context(vlm.context, text, reducer, shape)
    return reducer, shape


def lengthening(tokens: int) -> Callable:
    """A hook before the decoder. It extends the first full cache that it finds to its length at the answer's end."""
    done = []

    def hook(module, args, kwargs):
        layers = next(value for value in kwargs.values() if isinstance(value, Cache)).layers
        for layer in layers if layers and layers[0].is_initialized and not done else ():
            *shape, length, width = layer.keys.shape
            layer.keys = layer.keys.new_empty(*shape, length + tokens - 1, width)
            layer.values = layer.keys.new_empty(layer.keys.shape)
            done.append(layer)

    return hook


def trace_training(
    model: str | dict,
    frames: int,
    precision: str = "nf4-double",
    attention: str = "sdpa",
    prompt: int = 100,
    answer: int = 256,
    reducer: Reducer | None = None,
    rank: int = 16,
    checkpointing: bool = False,
    batch: int = 1,
) -> Memory:
    """The traced memory that `lib.budget.training` plans: `training_step` on `batch` clips whose features are known.

    `adapters` holds LoRA's weights and the optimizer's moments, `activations` everything else, gradients included. In a
    batch of more than one clip the captions differ in length, so there is a mask.

    Raises ValueError as `trace_answering` does.
    """
    parts = trace_step("lora", model, frames, precision, attention, prompt, answer, reducer, rank, checkpointing, batch)
    adapters = parts.trained + parts.moments
    return Memory(parts.frozen, activations=parts.gradients + parts.activations, adapters=adapters)


class StepBytes(NamedTuple):
    """The parts of a training step's memory at its peak, in bytes."""

    frozen: int  # weights that do not change
    trained: int  # weights that change
    gradients: int
    moments: int  # AdamW's two
    activations: int  # and everything else at the peak


def trace_step(
    method: str,
    model: str | dict,
    frames: int,
    precision: str = "nf4-double",
    attention: str = "sdpa",
    prompt: int = 100,
    answer: int = 256,
    reducer: Reducer | None = None,
    rank: int = 16,
    checkpointing: bool = False,
    batch: int = 1,
) -> StepBytes:
    """The memory of one training step by its parts, counted on a model without data.

    method: "lora" (with precision "nf4-double": QLoRA) or "full", which trains projector and language model in float32
    and needs weights that are not quantised. Raises ValueError for another method, and as `trace_answering` does.
    """
    vlm, prepare = skeleton(settings_of(model), precision, attention), {"lora": add_lora, "full": all_but_tower}
    _lookup(prepare, method, "method")(vlm, **({"rank": rank} if method == "lora" else {}))
    with FakeTensorMode(allow_non_fake_inputs=True), CudaSoftmax():
        weights, trained = fill_fakes(vlm.model.train()), list(trainable(vlm).values())
        reducer, shape = fitting(vlm, frames, prompt + answer, reducer)
        optimizer, moments = optimizer_of(trained)
        with vlm.looking_through(reducer), checkpoints(vlm, checkpointing), FakeHeld() as held:
            held.notice([*weights, *moments], new=False)
            training_step(vlm, optimizer, inputs_of(vlm, reducer, shape, prompt + answer, batch), DTYPES[precision])
    changes = size_of(trained)
    return StepBytes(size_of(weights) - changes, changes, changes, size_of(moments), held.peak - changes)


def optimizer_of(weights: Sequence[nn.Parameter]) -> tuple[torch.optim.Optimizer, list[Tensor]]:
    """AdamW after a first step, which creates its moments."""
    optimizer = torch.optim.AdamW(weights, weight_decay=0, fused=True)
    for weight in weights:
        weight.grad = torch.empty_like(weight)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer, [value for state in optimizer.state.values() for value in state.values()]


def inputs_of(vlm: VideoLM, reducer: Reducer, shape: Sequence[int], text: int, batch: int) -> dict[str, Tensor]:
    """A batch as `lib.data.Collator` makes it: `batch` clips, of which one has a longer caption than the rest."""
    visual = reducer.count(*shape[:3])
    ids = torch.ones(batch, visual + text, dtype=torch.long)
    ids[:, :visual] = vlm.model.config.video_token_id
    mask = torch.ones_like(ids)
    mask[1:, -1] = 0
    seen = torch.empty(batch, *shape, dtype=vlm.dtype)
    return {"input_ids": ids, "attention_mask": mask, "labels": ids, "pixel_values_videos": seen}


def training_step(vlm: VideoLM, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor], dtype: torch.dtype) -> None:
    """Forward, backward, AdamW: what every training loop does. Trainer switches the cache off too."""
    with torch.autocast("cpu", dtype):
        loss = vlm.model(**batch, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def settings_of(model: str | dict) -> dict:
    """The contents of the config.json of a known model."""
    return model if isinstance(model, dict) else _lookup(CONFIGS, HUB_IDS.get(model, model), "model")


def size_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


# The table


def cases() -> Iterator[dict]:
    """A traced case: a task, a model and its settings. The 7B-DPO has the configuration of the 7B."""
    four, whole = "nf4-double", "float16"
    for model, most in (("onevision-0.5b", 56), ("7b", 56), ("34b", 25)):  # the 34B has 4,096 positions
        for frames in (4, 16, most):
            for precision, attention in ((four, "sdpa"), (four, "eager"), (whole, "sdpa")):
                yield dict(task="answering", model=model, frames=frames, precision=precision, attention=attention)
        yield dict(task="answering", model=model, frames=8, batch=4)
    for frames, attention in ((4, "sdpa"), (16, "sdpa"), (16, "eager"), (56, "sdpa")):
        yield dict(task="training", model="7b", frames=frames, attention=attention, checkpointing=True)
    for frames, attention in ((4, "sdpa"), (16, "eager")):
        yield dict(task="training", model="7b", frames=frames, attention=attention, checkpointing=False)
    yield dict(task="training", model="7b", frames=8, answer=budget.CAPTION, checkpointing=True, batch=4)
    yield dict(task="training", model="7b", frames=8, checkpointing=False, batch=2)
    yield dict(task="training", model="7b", frames=8, checkpointing=True, attention="eager", batch=2, rank=64)
    for frames, again, batch in ((4, True, 1), (56, True, 1), (8, False, 1), (8, True, 4)):
        yield dict(task="training", model="onevision-0.5b", frames=frames, checkpointing=again, batch=batch)
    yield dict(task="training", model="34b", frames=25, checkpointing=True)
    yield dict(task="training", model="34b", frames=4, checkpointing=False, batch=2)


STEPS_OF_7B = (
    ("full", "float16", True), ("lora", "float16", True), ("lora", "nf4-double", True), ("lora", "nf4-double", False),
)  # fmt: skip
STEP_OF_7B = {"frames": 8, "answer": 300}  # lesson 08: a clip of 8 frames with a caption of 300 tokens


def traced_steps() -> list[dict]:
    """A step of the 7B by its parts: method, precision, gradient checkpointing, and the bytes of each part."""
    rows = []
    for method, precision, again in STEPS_OF_7B:
        parts = trace_step(method, "7b", precision=precision, checkpointing=again, **STEP_OF_7B)
        rows.append({"method": method, "precision": precision, "checkpointing": again, "parts": parts._asdict()})
    return rows


def planned(task: str, model: str, **settings) -> int:
    """Bytes by the formulas of `lib.budget`."""
    return getattr(budget, task)(MODELS[model], **settings).tensors


def traced(task: str, model: str, **settings) -> int:
    """Bytes as counted."""
    return {"answering": trace_answering, "training": trace_training}[task](model, **settings).tensors


def read_table() -> dict:
    """The table as `make traced` wrote it: the packages' versions, a row for each case, and steps of the 7B."""
    return json.loads(TABLE.read_text("utf-8"))


def main() -> None:
    """Traces every case, prints it beside the plan and writes all of them to data/measured/traced.json."""
    quiet()
    rows = []
    for case in cases():
        rows.append(case | {"planned": planned(**case), "traced": traced(**case)})
        plan, count = rows[-1]["planned"] / GIB, rows[-1]["traced"] / GIB
        what = ", ".join(f"{name} {value}" for name, value in case.items())
        print(f"planned {plan:7.2f} GiB, traced {count:7.2f} ({plan / count:.3f}): {what}", flush=True)
    packages = {name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")}
    table = {"packages": packages, "rows": rows, "steps of the 7B": traced_steps()}
    write_text(TABLE, json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
