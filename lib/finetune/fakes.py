"""A model of real size whose tensors hold no data, and the bytes that they would take on a GPU.

The tensors are fake: they have a shape, a type and a device, but no data (torch's `FakeTensorMode`). `Held` counts
each storage while it lives. `lib.finetune.trace` runs the real code on such a model.

Where this differs from a GPU:

- CUDA's own state, and what a kernel allocates inside, are not counted (`Memory.context` holds the first).
- Attention runs the fused kernel for CPUs, which keeps what CUDA's fused kernels keep.
- The tensors lie on a fake CPU: autograd on any other device needs a build with CUDA. Autocast on a CPU has a shorter
  list of float32 operations; the models here ask for float32 themselves wherever the lists differ. `CudaSoftmax` is
  the one difference in bytes. With both, a forward pass on a fake GPU holds the same bytes.
"""

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import bitsandbytes as bnb
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.initialization import no_init_weights
from transformers.integrations.bitsandbytes import replace_with_bnb_linear

from lib.budget.specs import _lookup
from lib.known import FRAMES_PER_BLOCK
from lib.vlm import FAMILIES, VICUNA, PixelSettings, VideoLM, twins
from lib.vlm.loading import four_bit_config

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "nf4": torch.float16, "nf4-double": torch.float16}
FUSED_ROWS = 4  # bitsandbytes multiplies at most so many tokens without unpacking the matrix
SMALL = 4096  # numbers: bookkeeping such as a reducer's choice of frames


class Held(TorchDispatchMode):
    """The peak bytes of the tensors that are made inside.

    >>> with Held() as held:
    ...     _ = torch.ones(1000) + torch.ones(1000)
    >>> held.peak
    12000
    """

    block = 1  # bytes up to which a storage is rounded

    def __init__(self):
        super().__init__()
        self.sizes, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.prim.device.default:  # two calls in three, and they allocate nothing
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
                self.sizes[storage._cdata] = -(-storage.nbytes() // self.block) * self.block if new else 0
                self.now += self.sizes[storage._cdata]
                weakref.finalize(storage, self.forget, storage._cdata)
        self.peak = max(self.peak, self.now)

    def forget(self, key: int) -> None:
        self.now -= self.sizes.pop(key)


class FakeHeld(Held):
    """`Held` inside FakeTensorMode. Integers and masks are real, because token ids and positions decide what runs."""

    block = 512  # as CUDA's allocator does

    def result(self, operation, inputs, args, kwargs):
        if inputs and not any(isinstance(tensor, FakeTensor) for tensor in inputs):
            return really(operation, *args, **kwargs)
        result = operation(*args, **kwargs)
        if operation is torch.ops.bitsandbytes.gemm_4bit.default and args[0].shape[:-1].numel() > FUSED_ROWS:
            unpacked = torch.empty(args[2], dtype=result.dtype)  # CUDA's kernel allocates this inside
            self.notice([result, unpacked], new=True)
        if not isinstance(result, Tensor):
            return result
        if not inputs:
            small = not result.is_floating_point() or result.numel() <= SMALL
            return really(operation, *args, **kwargs) if small else result
        if result.dtype in (torch.int64, torch.bool):  # a token that the model chose: any value works
            return really(torch.zeros, result.shape, dtype=result.dtype)
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


def really(operation, *args, **kwargs):
    """The result of an operation on real tensors while FakeTensorMode is on."""
    with unset_fake_temporarily():
        return operation(*args, **kwargs)


class OnDevice(VideoLM):
    """A model whose pixel values lie in the CPU's memory, which is not counted; their copy on the device is."""

    @cached_property
    def block(self) -> Tensor:
        return torch.empty(FRAMES_PER_BLOCK, 3, self.pixels.size, self.pixels.size)

    def preprocess(self, frames):
        return self.block[: len(frames)]


@dataclass
class Words:
    """A substitute tokenizer: every prompt is `<video>` and `length` other tokens, every answer is empty."""

    length: int
    video: int
    pad_token_id: int = 0

    def __call__(self, prompt, return_tensors):
        return SimpleNamespace(input_ids=torch.tensor([[1] * (self.length - 1) + [self.video, 1]]))

    def batch_decode(self, ids, **_):
        return [""] * len(ids)


def skeleton(settings: dict, precision: str, attention: str, prompt: int = 1) -> OnDevice:
    """The model of a config.json, its layers as `lib.vlm.load` makes them, on torch's "meta" device.

    prompt: the tokens of each prompt, without `<video>`. Raises ValueError for an unknown precision.
    """
    config, dtype = twins.as_transformers(settings), _lookup(DTYPES, precision, "precision")
    # bitsandbytes keeps the first table that it makes; one made on "meta" would stay empty.
    bnb.functional.quantize_4bit(torch.ones(64), compress_statistics=True)
    with torch.device("meta"), no_init_weights():
        family = FAMILIES[config.model_type]
        model = family.model_class._from_config(config, dtype=dtype, attn_implementation=attention)
        if precision.startswith("nf4"):
            how = four_bit_config(dtype)
            model = replace_with_bnb_linear(model, how.llm_int8_skip_modules, how)
    model.tie_weights()
    for layer in model.modules():
        if isinstance(layer, bnb.nn.Linear4bit):
            quantise_fake(layer, dtype, precision == "nf4-double")
    model.is_loaded_in_4bit = precision.startswith("nf4")
    pixels = PixelSettings(config.vision_config.image_size, family.crop)
    return OnDevice(
        model.eval().requires_grad_(False), Words(prompt, config.video_token_id), pixels, config.model_type, VICUNA
    )


def quantise_fake(layer: bnb.nn.Linear4bit, dtype: torch.dtype, double: bool) -> None:
    """Quantises a layer on "meta", as `Params4bit.to` does on a GPU."""
    how = {"quant_type": "nf4", "compress_statistics": double}
    packed, layer.quant_state = bnb.functional.quantize_4bit(layer.weight.data.to(dtype), **how)
    layer.weight = bnb.nn.Params4bit(packed, quant_state=layer.quant_state, bnb_quantized=True, module=layer, **how)
    layer.support_avx512bf16_for_cpu = False  # a GPU does not pack them once more


def fill_fakes(model: nn.Module) -> list[Tensor]:
    """Fake tensors on the CPU replace those on "meta", which autocast does not support; returns them all."""
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
