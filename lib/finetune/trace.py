"""The memory of an answer and of a step of QLoRA, counted byte by byte without a GPU and without weights.

The model has its real size, but its tensors are fake: they have a shape and a type, and no numbers (torch's
`FakeTensorMode`). The code that runs is that of real use: `VideoLM.answers`, `add_lora`, transformers' forward,
bitsandbytes' 4-bit layers, AdamW. `Held` counts each storage while it lives. `make traced` compares the formulas of
`lib.budget` with what is counted, and writes data/measured/traced.json.

Three things differ from a GPU. CUDA's own state is not counted (`Memory.context`), nor is what a kernel uses inside.
Attention runs torch's fused kernel for CPUs, which keeps what CUDA's fused kernels keep. Autocast is that of CPUs: its
list of float32 operations is shorter, and the models here compute those in float32 themselves.
"""

import json
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import bitsandbytes as bnb
import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Cache
from transformers.initialization import no_init_weights
from transformers.integrations.bitsandbytes import replace_with_bnb_linear

from lib import budget
from lib.budget import Memory, ModelSpec
from lib.budget.specs import _lookup
from lib.files import DATA, write_text
from lib.finetune.adapters import add_lora, trainable
from lib.finetune.train import checkpointing as checkpoints
from lib.known import CONFIGS, FRAMES_PER_BLOCK, GIB, HUB_IDS
from lib.reducers import Reducer
from lib.vlm import FAMILIES, VICUNA, PixelSettings, VideoLM, twins
from lib.vlm.loading import four_bit_config
from lib.vlm.model import check_context

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "nf4": torch.float16, "nf4-double": torch.float16}
BLOCK = 512  # bytes: CUDA's allocator rounds up to these
FUSED_ROWS = 4  # bitsandbytes multiplies so few tokens without unpacking the matrix
SMALL = 4096  # numbers: bookkeeping such as a reducer's choice of frames


class Held(TorchDispatchMode):
    """The most bytes of tensors that are held at one time, beyond those from before; each storage in blocks of 512.

    >>> with Held() as held:
    ...     _ = torch.ones(1000) + torch.ones(1000)
    >>> held.peak
    12288
    """

    def __init__(self):
        super().__init__()
        self.sizes, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.prim.device.default:  # two of three calls, and they hold nothing
            return args[0].fake_device
        kwargs = kwargs or {}
        inputs = list(tensors_in((*args, *kwargs.values())))
        self.notice(inputs, new=False)
        result = self.result(operation, inputs, args, kwargs)
        self.notice(tensors_in((result,)), new=True)
        return result

    def result(self, operation, inputs, args, kwargs):
        return operation(*args, **kwargs)

    def notice(self, tensors: Iterable[Tensor], new: bool) -> None:
        """Counts storages that were not seen before: their bytes if they are new, else 0."""
        for storage in (tensor.untyped_storage() for tensor in tensors):
            if storage._cdata not in self.sizes:
                self.sizes[storage._cdata] = -(-storage.nbytes() // BLOCK) * BLOCK if new else 0
                self.now += self.sizes[storage._cdata]
                weakref.finalize(storage, self.forget, storage._cdata)
        self.peak = max(self.peak, self.now)

    def forget(self, key: int) -> None:
        self.now -= self.sizes.pop(key)


class FakeHeld(Held):
    """`Held` inside FakeTensorMode. Token ids, masks and positions are real numbers, since they decide what runs."""

    def result(self, operation, inputs, args, kwargs):
        if inputs and not any(isinstance(tensor, FakeTensor) for tensor in inputs):
            return really(operation, *args, **kwargs)
        result = operation(*args, **kwargs)
        if operation is torch.ops.bitsandbytes.gemm_4bit.default and args[0].shape[:-1].numel() > FUSED_ROWS:
            unpacked = torch.empty(args[2], dtype=result.dtype)  # CUDA's kernel does this inside
            self.notice([result, unpacked], new=True)
        if isinstance(result, Tensor) and not inputs and (is_whole(result) or result.numel() <= SMALL):
            return really(operation, *args, **kwargs)
        if isinstance(result, Tensor) and is_whole(result) and result.dtype != torch.uint8:
            return really(torch.zeros, result.shape, dtype=result.dtype)  # the next token: any will do
        return result


class CudaSoftmax(TorchFunctionMode):
    """CUDA's softmax from float16 to float32 is one kernel (aten/src/ATen/native/SoftMax.cpp); a CPU copies first."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is nn.functional.softmax and args[0].dtype is torch.float16 and kwargs.get("dtype"):
            return torch._softmax(args[0], kwargs["dim"], half_to_float=True)
        return function(*args, **kwargs)


def tensors_in(values: Iterable) -> Iterator[Tensor]:
    """The tensors among the arguments of an operation, and in lists of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)


def is_whole(tensor: Tensor) -> bool:
    return not tensor.is_floating_point()


def really(operation, *args, **kwargs):
    """The result of an operation on real tensors, though FakeTensorMode is on."""
    with unset_fake_temporarily():
        return operation(*args, **kwargs)


# A model without numbers


class OnDevice(VideoLM):
    """A model that finds pixel values in the CPU's memory, which is not counted; their copy on the device is."""

    @cached_property
    def block(self) -> Tensor:
        return torch.empty(FRAMES_PER_BLOCK, 3, self.pixels.size, self.pixels.size)

    def preprocess(self, frames):
        return self.block[: len(frames)]


@dataclass
class Words:
    """In place of a tokenizer: every prompt is `<video>` and `length` other tokens, every answer is empty."""

    length: int
    video: int
    pad_token_id: int = 0

    def __call__(self, prompt, return_tensors):
        return SimpleNamespace(input_ids=torch.tensor([[1] * (self.length - 1) + [self.video, 1]]))

    def batch_decode(self, ids, **_):
        return [""] * len(ids)


def skeleton(settings: dict, precision: str, attention: str, prompt: int = 1) -> VideoLM:
    """The model of a config.json as `lib.vlm.load` would load it, on torch's "meta" device."""
    config, dtype = twins.as_transformers(settings), _lookup(DTYPES, precision, "precision")
    bnb.functional.quantize_4bit(torch.ones(64))  # its tables are made once: not on "meta", where they have no numbers
    with torch.device("meta"), no_init_weights():
        family = FAMILIES[config.model_type]
        model = family.model_class._from_config(config, dtype=dtype, attn_implementation=attention)
        if precision.startswith("nf4"):
            how = four_bit_config(dtype)
            model = replace_with_bnb_linear(model, how.llm_int8_skip_modules, how)
    model.tie_weights()
    for layer in model.modules():
        if isinstance(layer, bnb.nn.Linear4bit):
            pack(layer, dtype, precision == "nf4-double")
    model.is_loaded_in_4bit = precision.startswith("nf4")
    pixels = PixelSettings(config.vision_config.image_size, family.crop)
    return OnDevice(model.eval().requires_grad_(False), Words(prompt, config.video_token_id), pixels, "fake", VICUNA)


def pack(layer: bnb.nn.Linear4bit, dtype: torch.dtype, double: bool) -> None:
    """Quantises a layer on "meta", as `Params4bit.to` does on a GPU."""
    how = {"quant_type": "nf4", "compress_statistics": double}
    packed, layer.quant_state = bnb.functional.quantize_4bit(layer.weight.data.to(dtype), **how)
    layer.weight = bnb.nn.Params4bit(packed, quant_state=layer.quant_state, bnb_quantized=True, module=layer, **how)
    layer.support_avx512bf16_for_cpu = False  # a GPU does not pack them once more


def fill(model: nn.Module) -> list[Tensor]:
    """Fake tensors on the CPU take the place of those on "meta", which autocast does not know; returns them all."""
    fakes = {}

    def fake(tensor: Tensor) -> Tensor:
        if id(tensor) not in fakes:  # the embedding may be the output layer too
            made = torch.empty(tensor.shape, dtype=tensor.dtype)
            fakes[id(tensor)] = nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made
        return fakes[id(tensor)]

    for module in model.modules():
        packed = [module.quant_state, module.quant_state.state2] if isinstance(module, bnb.nn.Linear4bit) else []
        for held in (module._parameters, module._buffers, *(vars(state) for state in packed if state)):
            held.update({name: fake(tensor) for name, tensor in held.items() if isinstance(tensor, Tensor)})
        if packed:
            module.weight.quant_state = module.quant_state
    return list(fakes.values())


def size_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


# What is traced


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
    """What `lib.budget.answering` plans, traced: `VideoLM.answers` about `batch` clips, to its second word, then the
    last word of the answer on a cache of that length. `activations` holds the cache too.

    model: a short name or Hub id of `lib.known`, or the contents of a config.json.

    >>> memory, plan = trace_answering("7b", 8), budget.answering(budget.MODELS["7b"], 8)
    >>> round(memory.tensors / GIB, 2), round(plan.tensors / GIB, 2)
    (4.92, 4.95)

    Raises ValueError for an unknown model, and where frames, prompt and answer exceed the context.
    """
    vlm = skeleton(settings_of(model), precision, attention, prompt)
    with FakeTensorMode(allow_non_fake_inputs=True), CudaSoftmax():
        weights, pixels = fill(vlm.model), vlm.block
        checked(vlm, frames, prompt + answer, reducer)
        vlm.model.model.language_model.register_forward_pre_hook(lengthening(answer - 1), with_kwargs=True)
        with FakeHeld() as held:
            held.notice([*weights, pixels], new=False)
            vlm.answers([np.zeros((frames, 2, 2, 3), np.uint8)] * batch, ["?"] * batch, reducer, max_new_tokens=2)
    return Memory(size_of(weights), activations=held.peak)


def checked(vlm: VideoLM, frames: int, text: int, reducer: Reducer | None) -> tuple[Reducer, tuple[int, ...]]:
    """The reducer, and the shape of a clip's features. Raises ValueError where the clip and the text are too long."""
    vision = vlm.model.config.vision_config
    side = vision.image_size // vision.patch_size
    shape, reducer = (frames, side, side, vision.hidden_size), reducer or vlm.default_reducer
    check_context(vlm.context, text, reducer, shape)
    return reducer, shape


def lengthening(tokens: int) -> Callable:
    """A hook before the decoder that makes the first cache that it finds full as long as it is at the answer's end."""
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
    """What `lib.budget.training` plans, traced: `training_step` on `batch` clips whose features are known.

    `adapters` holds LoRA's weights and the optimizer's moments, `activations` all else, gradients too. In a batch of
    more than one clip the captions differ in length, so there is a mask.

    Raises ValueError as `trace_answering` does, and for OneVision, which `VideoLM.looking_through` refuses.
    """
    vlm = skeleton(settings_of(model), precision, attention)
    add_lora(vlm, rank)
    with FakeTensorMode(allow_non_fake_inputs=True), CudaSoftmax():
        weights, trained = fill(vlm.model.train()), list(trainable(vlm).values())
        reducer, shape = checked(vlm, frames, prompt + answer, reducer)
        optimizer, moments = optimizer_of(trained)
        with vlm.looking_through(reducer), checkpoints(vlm, checkpointing), FakeHeld() as held:
            held.notice([*weights, *moments], new=False)
            training_step(vlm, optimizer, inputs_of(vlm, reducer, shape, prompt + answer, batch), DTYPES[precision])
    adapters = size_of(trained) + size_of(moments)
    return Memory(size_of(weights) - size_of(trained), activations=held.peak, adapters=adapters)


def optimizer_of(weights: Sequence[nn.Parameter]) -> tuple[torch.optim.Optimizer, list[Tensor]]:
    """AdamW and its moments, which it makes in its first step."""
    optimizer = torch.optim.AdamW(weights, weight_decay=0, fused=True)
    for weight in weights:
        weight.grad = torch.empty_like(weight)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer, [value for state in optimizer.state.values() for value in state.values()]


def inputs_of(vlm: VideoLM, reducer: Reducer, shape: Sequence[int], text: int, batch: int) -> dict[str, Tensor]:
    """What `lib.data.Collator` makes of `batch` clips with captions of which all but the first are one token shorter."""
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
