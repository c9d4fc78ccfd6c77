"""A model whose language model is divided among several processes (FSDP2, PyTorch's `fully_shard`).

Each process keeps its rows of every weight of the layers, the embedding and the head. Before a layer computes, all
processes fetch the others' rows; afterwards they drop them. Every process keeps a full copy of the small rest: the
vision tower, the projector, and the adapters, which are added later and trained. Each computes its own features.

Weights are read and sharded one layer at a time, so no process ever holds the whole model. accelerate cannot do that:
it shards a model that is already loaded, and on CPUs it falls back to DDP.
"""

import os
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import init_empty_weights
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from transformers import BitsAndBytesConfig, GenerationConfig, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from lib.vlm.hub import weight_files

LAYERS = "model.language_model.layers."


def wanted() -> bool:
    """Whether accelerate's configuration asks for FSDP; `accelerate launch` writes it into the environment.

    Raises ValueError if there is only one process, or if DeepSpeed is requested. DeepSpeed could not be tested here,
    because accelerate silently turns it off on CPUs.

    >>> wanted()
    False
    """
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() in ("1", "true"):
        raise ValueError("DeepSpeed is not supported: use jobs/accelerate/fsdp.yaml, which cuts weights as ZeRO-3 does")
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() not in ("1", "true"):
        return False
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        raise ValueError("FSDP needs several processes, and this is the only one: start more, or leave FSDP out")
    return True


def is_sharded(model: nn.Module) -> bool:
    """Whether this process holds only its part of the model."""
    return isinstance(model, FSDPModule)


def held_numbers(model: nn.Module) -> tuple[int, int]:
    """How many of a model's numbers this process holds, and how many there are (bytes, for 4 bits).

    >>> held_numbers(nn.Linear(3, 2))
    (8, 8)
    """
    parts = [w.to_local() if isinstance(w, DTensor) else w for w in model.parameters()]
    return sum(part.numel() for part in parts), sum(weight.numel() for weight in model.parameters())


def read_sharded(
    model_class: type[PreTrainedModel],
    folder: Path,
    config: PreTrainedConfig,
    device: torch.device,
    dtype: torch.dtype,
    four_bit: BitsAndBytesConfig | None = None,
) -> PreTrainedModel:
    """This process's part of a model. Raises KeyError with the name of a weight that is missing or has another shape.

    Every process of the group must call it. With `four_bit` the layers are quantised before they are sharded. The bytes
    are stored as numbers of `dtype`, because FSDP cannot hold integers.
    """
    config.dtype = dtype
    with init_empty_weights(), no_init_weights():
        model = model_class(config)
    model.tie_weights()
    if (folder / "generation_config.json").exists():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    places, mesh = find_weights(folder), init_device_mesh(device.type, (dist.get_world_size(),))
    tied = model.lm_head.weight is model.get_input_embeddings().weight
    ends = [] if tied else ["model.language_model.embed_tokens", "lm_head"]
    for name in [*(f"{LAYERS}{number}" for number in range(len(model.model.language_model.layers))), *ends]:
        unit = model.get_submodule(name)
        if four_bit and name.startswith(LAYERS):
            fill(unit, f"{name}.", places, device, dtype)
            quantise(unit, four_bit)
        fully_shard(unit, mesh=mesh)
        fill(unit, f"{name}.", places, device, dtype)
    fill(model, "", places, device, dtype)
    if tied:
        model.tie_weights()
    if four_bit:
        keep_settings(model, four_bit)
        model.is_loaded_in_4bit = True
    rest = {weight for weight in model.parameters() if not isinstance(weight, DTensor)}
    return fully_shard(model, mesh=mesh, ignored_params=rest)


def find_weights(folder: Path) -> dict[str, tuple[Path, str]]:
    """The place of each weight, by its short name: the file and the key in it."""
    places = {}
    for path in (folder / file for file in weight_files(folder)):
        with safe_open(path, framework="pt") as file:
            places |= {short(key): (path, key) for key in file.keys()}
    return places


def short(key: str) -> str:
    """The common part of a weight's names, in old and new files and in memory.

    >>> short("language_model.model.norm.weight") == short("model.language_model.norm.weight")
    True
    >>> short("language_model.lm_head.weight") == short("lm_head.weight")
    True
    """
    parts = [part for part in key.split(".") if part not in ("model", "vision_model")]
    return ".".join(parts[1:] if "lm_head" in parts[1:] else parts)


def fill(module: nn.Module, prefix: str, places: dict, device: torch.device, dtype: torch.dtype) -> None:
    """Reads the weights that are not loaded yet; of a sharded weight, only this process's rows.

    A file is opened for one weight at a time, so that its pages leave memory again.
    """
    for name, empty in [*module.named_parameters()]:
        if not empty.is_meta:
            continue
        path, key = places[short(prefix + name)]
        with safe_open(path, framework="pt") as file:
            if file.get_slice(key).get_shape() != list(empty.shape):
                raise KeyError(prefix + name)
            weight = file.get_slice(key)[rows_of(empty)].to(device, dtype, copy=True)
        if isinstance(empty, DTensor):
            shape = dict(shape=empty.shape, stride=empty.stride())
            weight = DTensor.from_local(weight, empty.device_mesh, empty.placements, run_check=False, **shape)
        owner, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(owner), leaf, nn.Parameter(weight, requires_grad=False))
    for part in module.modules():
        for name, buffer in [*part.named_buffers(recurse=False)]:
            setattr(part, name, buffer.to(device))


def rows_of(weight: Tensor) -> slice:
    """The rows of a weight that this process keeps: all, or as torch.chunk cuts them."""
    if not isinstance(weight, DTensor):
        return slice(None)
    start = weight.device_mesh.get_local_rank() * -(-len(weight) // weight.device_mesh.size())
    return slice(start, start + len(weight.to_local()))


def quantise(layer: nn.Module, settings: BitsAndBytesConfig) -> None:
    """Replaces every linear layer by bitsandbytes' 4-bit layer."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, old in [*layer.named_modules()]:
        if isinstance(old, nn.Linear):
            dtype, device = settings.bnb_4bit_compute_dtype, old.weight.device
            with torch.device("meta"):
                new = Linear4bit(
                    old.in_features, old.out_features, old.bias is not None, dtype,
                    settings.bnb_4bit_use_double_quant, settings.bnb_4bit_quant_type, dtype,
                )  # fmt: skip
            new.weight = Params4bit(
                old.weight.data, False, compress_statistics=settings.bnb_4bit_use_double_quant,
                quant_type=settings.bnb_4bit_quant_type, quant_storage=dtype, module=new,
            ).to(device)  # fmt: skip
            new.bias = old.bias
            new.support_avx512bf16_for_cpu = False  # it would repack weights on first use, and FSDP brings the old ones
            layer.set_submodule(name, new)


def keep_settings(layer: nn.Module, settings: BitsAndBytesConfig) -> None:
    """peft needs these attributes of a 4-bit layer's weights; a sharded weight has lost them."""
    for module in layer.modules():
        if hasattr(module, "quant_state"):
            module.weight.compress_statistics = settings.bnb_4bit_use_double_quant
            module.weight.quant_type = settings.bnb_4bit_quant_type
