"""Finding, checking and loading a model: "tiny", a folder, or a repository of the Hugging Face Hub. Safetensors only.

(Not named `load`, because a module of that name would hide the function `lib.vlm.load`.)
"""

import copy
import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from lib import machine, quiet
from lib.files import DATA
from lib.known import GIB, REAL_MODELS, REVISIONS, nf4_bytes
from lib.vlm.chat import QWEN, VICUNA, YI, Chat
from lib.vlm.hub import SETTINGS, Source, ask_hub, cached_folder, weight_files
from lib.vlm.model import VideoLM
from lib.vlm.pixels import PixelSettings
from lib.vlm.sharded import read_sharded

TINY = DATA / "tiny-vlm"
OTHER_MODELS = f"Load 'tiny', a folder that save_pretrained wrote, or a Hub id such as {REAL_MODELS[0]}"
ROPE_KINDS = ("default", *ROPE_INIT_FUNCTIONS)
HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


@dataclass(frozen=True)
class Family:
    """What differs between the model classes."""

    model_class: type[PreTrainedModel]
    chatml: Chat  # for models whose tokenizer knows <|im_start|>
    crop: bool  # see PixelSettings


FAMILIES = {
    "llava_next_video": Family(LlavaNextVideoForConditionalGeneration, YI, crop=True),
    "llava_onevision": Family(LlavaOnevisionForConditionalGeneration, QWEN, crop=False),
}


def load(
    name: str | os.PathLike = "tiny",
    four_bit: bool = False,
    device: str | torch.device | None = None,
    dtype: torch.dtype | Literal["stored"] | None = None,
    revision: str | None = None,
    rope: dict | None = None,
    sharded: bool = False,
) -> VideoLM:
    """Loads "tiny", a model of the Hugging Face Hub, or a folder that save_pretrained wrote. Safetensors only.

    four_bit: the language model in 4 bits (QLoRA's nf4, doubly quantised); vision tower and projector are not
    quantised.
    device: by default a GPU, if there is one. dtype: float32 on a CPU; on a GPU float16, or bfloat16 if its hardware
    has it; "stored" is the type in its files.
    revision: a commit, branch or tag of the Hub; by default the one in REVISIONS. `VideoLM.revision` records the
    commit.
    rope: RoPE scaling that replaces the configuration's, for instance {"rope_type": "linear", "factor": 2.0}. The older
    key "type" works too.
    sharded: each of several processes loads its part of the language model only (`lib.vlm.sharded`).

    Disk and memory are checked before weights are downloaded or read.

    Raises FileNotFoundError if a folder holds no model. Raises ValueError for a model that is unknown, unreachable, too
    large, damaged, or of another architecture.

    >>> vlm = load("tiny")
    >>> vlm.name, vlm.context, vlm.model.num_parameters() < 2_000_000
    ('tiny', 2048, True)
    """
    quiet()
    found = find(name)
    revision = revision or REVISIONS.get(found)
    source = Source(str(name), Path(found)) if Path(found).is_dir() else ask_hub(found, revision)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        source.fetch([file for file in SETTINGS if file in source.sizes])
        config = read_config(name, source.folder, rope)
        dtype = stored_dtype(config, source.folder) if dtype == "stored" else dtype or compute_dtype(device)
        check_memory(name, config, four_bit, device, dtype, dist.get_world_size() if sharded else 1)
        tokenizer = load_tokenizer(source.folder)  # before gigabytes of weights are downloaded
        check_video_token(name, tokenizer, config.video_token_id)
        family = FAMILIES[config.model_type]
        pixels = pixel_settings(source.folder, family, config.vision_config.image_size)
        source.fetch(weight_files(source.folder))
        source.remember(revision)
        read = read_part if sharded else read_weights
        model = read(name, source.folder, config, four_bit, device, dtype)
    except (OSError, SafetensorError) as error:
        reasons = [str(error).splitlines()[0].rstrip("."), *filter(None, [source.problem])]  # it may be the cause
        raise ValueError(f"cannot load the model {name}: {'; '.join(reasons)}. {OTHER_MODELS}") from None
    chat = family.chatml if "<|im_start|>" in tokenizer.get_vocab() else VICUNA
    return VideoLM(model.eval(), tokenizer, pixels, str(name), chat)


def stored_dtype(config: PreTrainedConfig, folder: Path) -> torch.dtype:
    """The type of the weights in their files; if the configuration does not name it, that of the largest weight."""
    if config.dtype:
        return config.dtype
    sizes = {}
    for path in sorted(folder.glob("*.safetensors"))[:1]:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (it is no dictionary)
                weight = file.get_slice(name)
                sizes[weight.get_dtype()] = max(sizes.get(weight.get_dtype(), 0), math.prod(weight.get_shape()))
    largest = max(sizes, key=sizes.get, default="F32")
    return {"F16": torch.float16, "BF16": torch.bfloat16}.get(largest, torch.float32)


def read_config(name: str | os.PathLike, folder: Path, rope: dict | None) -> PreTrainedConfig:
    """The configuration of a model, with another RoPE scaling if one is given: it must be set before the weights
    load."""
    if not (folder / "config.json").exists():
        raise ValueError(no_model(name, folder))
    settings = PreTrainedConfig.get_config_dict(folder)[0]
    config_class = family_of(name, settings).model_class.config_class
    try:
        config = config_class.from_dict(settings)
        if rope is not None:
            text = config.text_config
            text.rope_parameters = {"rope_theta": text.rope_parameters["rope_theta"], **rope}
            text.standardize_rope_params()  # "type", the older key, becomes "rope_type"
            text.validate_rope()
    except StrictDataclassError as error:
        field = (
            str(error).splitlines()[0].rstrip(":").replace("rope_parameters'", "rope_parameters' (or 'rope_scaling')")
        )
        raise ValueError(f"{folder / 'config.json'}: {field}. Correct it, or download the file again") from None
    except (KeyError, TypeError) as error:
        raise ValueError(f"the configuration of {name}, with rope={rope}, is wrong: {error.args[0]}") from None
    check_rope(name, config.text_config.rope_parameters)
    config._commit_hash = folder.name if folder.parent.name == "snapshots" else None  # the layout of the Hub's cache
    return config


def check_rope(name: str | os.PathLike, rope: dict) -> None:
    """Raises ValueError for a RoPE scaling of an unknown kind, or with a factor that stretches nothing.

    >>> check_rope("tiny", {"rope_type": "linear", "factor": 2.0})
    """
    kind, factor = rope["rope_type"], rope.get("factor", 1.0)
    stretches = isinstance(factor, int | float) and (factor == 1 if kind == "default" else 1 <= factor < float("inf"))
    if kind not in ROPE_KINDS or not stretches:
        raise ValueError(
            f"{name} has RoPE scaling {rope}: give rope_type, one of {', '.join(ROPE_KINDS)}, "
            "and a factor of 1 or more (none for default)"
        )


def read_weights(
    name: str | os.PathLike,
    folder: Path,
    config: PreTrainedConfig,
    four_bit: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> PreTrainedModel:
    """The model with its weights. Raises ValueError if they do not fit the configuration."""
    quantization = {"quantization_config": four_bit_config(dtype)} if four_bit else {}
    model, report = FAMILIES[config.model_type].model_class.from_pretrained(
        folder, config=config, dtype=dtype, device_map=str(device), use_safetensors=True, trust_remote_code=False,
        output_loading_info=True, ignore_mismatched_sizes=True, **quantization,
    )  # fmt: skip
    layers = {key for key in report["unexpected_keys"] if ".layers." in key and key.endswith(".weight")}
    mismatched = {key for key, *_ in report["mismatched_keys"]}
    if wrong := sorted({*report["missing_keys"], *mismatched, *layers}):
        raise ValueError(misfit(name, wrong[0], len(wrong)))
    return model


def read_part(
    name: str | os.PathLike,
    folder: Path,
    config: PreTrainedConfig,
    four_bit: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> PreTrainedModel:
    """The same for one of several processes: its part of the model."""
    settings = four_bit_config(dtype) if four_bit else None
    try:
        return read_sharded(FAMILIES[config.model_type].model_class, folder, config, device, dtype, settings)
    except KeyError as error:
        raise ValueError(misfit(name, error.args[0], 1)) from None


def misfit(name: str | os.PathLike, first: str, count: int) -> str:
    return f"the weights of {name} do not fit its config.json ({first}, {count} in all): download it again"


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, never with code of its own. Raises OSError if there is none that can be read."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # tokenizers and transformers raise KeyError, ValueError or plain Exception
        reason = "it asks for code of its own, which is never run here" if "remote_code" in str(error) else str(error)
        raise OSError(f"it has no tokenizer that can be read ({reason.splitlines()[0]})") from None


def check_video_token(name: str | os.PathLike, tokenizer: PreTrainedTokenizerBase, expected: int) -> None:
    """Raises ValueError unless the tokenizer writes `<video>` as the number that the configuration expects.

    The conversion of the 34B wrote 64000 into its configuration; its tokenizer has 64003, as do newer configurations.
    """
    found = tokenizer.convert_tokens_to_ids("<video>")
    if found != expected:
        raise ValueError(
            f"the tokenizer of {name} writes <video> as {found}, its configuration expects {expected}: "
            "take another revision of the model"
        )


def find(name: str | os.PathLike) -> str:
    """The folder or Hub id that a name stands for. Raises FileNotFoundError if there is neither.

    >>> find("llava-hf/LLaVA-NeXT-Video-7B-hf")
    'llava-hf/LLaVA-NeXT-Video-7B-hf'
    """
    if name == "tiny" and not (TINY / "config.json").exists():
        raise FileNotFoundError(f"the tiny model is missing from {TINY}: restore it with git, or run `make tiny`")
    folder = TINY if name == "tiny" else Path(name)
    if (folder / "config.json").exists():
        return str(folder)
    if isinstance(name, str) and HUB_ID.fullmatch(name) and not folder.exists():
        return name
    raise FileNotFoundError(no_model(name, folder))


def no_model(name: str | os.PathLike, folder: Path) -> str:
    """The kind of a folder without config.json, and the fix."""
    if (folder / "adapter_config.json").exists():
        return f"{name} is a LoRA adapter, not a model: load its base model, then lib.finetune.load_adapter"
    return f"there is no model in {name}: a model's folder holds config.json. {OTHER_MODELS}"


def model_files(name: str | os.PathLike, revision: str | None = None) -> list[Path]:
    """The files of a model's weights on this machine, in the order of their names."""
    found = find(name)
    folder = Path(found) if Path(found).is_dir() else cached_folder(found, revision)
    if folder is None:
        raise FileNotFoundError(f"{name} is not in the cache of this machine: load it first")
    return [folder / file for file in weight_files(folder)]


def weights_digest(name: str | os.PathLike, revision: str | None = None) -> str:
    """The sha256 of a model's weights as they lie on disk, all files in the order of their names.

    >>> weights_digest("tiny") == hashlib.sha256((TINY / "model.safetensors").read_bytes()).hexdigest()
    True
    """
    digest = hashlib.sha256()
    for path in model_files(name, revision):
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def check_memory(
    name: str | os.PathLike,
    config: PreTrainedConfig,
    four_bit: bool,
    device: torch.device,
    dtype: torch.dtype,
    shares: int = 1,
) -> None:
    """Raises ValueError if not even the weights fit. An answer needs more (`lib.budget.plan` computes it)."""
    needed, free = bytes_to_load(config, four_bit, dtype) // shares, free_bytes(device)
    if needed <= free:
        return
    in_four_bits = bytes_to_load(config, True, dtype) // shares
    fix = f"four_bit=True needs {in_four_bits / GIB:.1f} GiB" if in_four_bits <= free else "take a smaller model"
    kind = "4 bits" if four_bit else str(dtype).removeprefix("torch.")
    raise ValueError(
        f"the weights of {name} need {needed / GIB:.1f} GiB in {kind} and {device} has {free / GIB:.1f} GiB free: "
        f"{fix}, or go to a larger machine (lib.budget.plan says which)"
    )


def free_bytes(device: torch.device) -> int:
    """Free memory of a GPU; for any other device, the memory that this process can still get (`lib.machine`)."""
    if device.type == "cuda":  # torch keeps a deleted model's memory, and gives it to the next one
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return machine.free_memory()


def bytes_to_load(config: PreTrainedConfig, four_bit: bool, dtype: torch.dtype) -> int:
    """The bytes of a model's weights, counted on one without any (torch's "meta" device).

    >>> config = load("tiny").model.config
    >>> bytes_to_load(config, False, torch.float32) / bytes_to_load(config, False, torch.float16)
    2.0
    """
    with torch.device("meta"):
        model = FAMILIES[config.model_type].model_class(copy.deepcopy(config))
    total = sum(weight.numel() for weight in model.parameters())
    layers = model.model.language_model.layers.modules() if four_bit else ()
    quantised = sum(layer.weight.numel() for layer in layers if isinstance(layer, nn.Linear))
    return nf4_bytes(quantised) + dtype.itemsize * (total - quantised)


def family_of(name: str | os.PathLike, config: dict) -> Family:
    """The family of a config.json. Raises ValueError for one that this course does not support.

    >>> family_of("some/model", {"model_type": "llava_onevision"}).crop
    False
    """
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise ValueError(f"{name} is a {kind}, not one of {', '.join(FAMILIES)}. {OTHER_MODELS}")
    return FAMILIES[kind]


def compute_dtype(device: torch.device) -> torch.dtype:
    """The type in which a model computes on a device."""
    return dtype_of(torch.cuda.get_device_capability(device) if device.type == "cuda" else None)


def dtype_of(capability: tuple[int, int] | None) -> torch.dtype:
    """float32 on a CPU (None), bfloat16 from compute capability 8.0 (Ampere), else float16.

    torch.cuda.is_bf16_supported() does not help: it is True on a T4, which only emulates bfloat16.
    """
    if capability is None:
        return torch.float32
    return torch.bfloat16 if capability >= (8, 0) else torch.float16


def four_bit_config(dtype: torch.dtype) -> BitsAndBytesConfig:
    """QLoRA's storage: nf4, with the quantisation constants quantised too (arXiv 2305.14314).

    transformers 5 matches the skipped names from the start: "vision_tower" alone would skip nothing.

    >>> four_bit_config(torch.float16).bnb_4bit_quant_type
    'nf4'
    """
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["model.vision_tower", "model.multi_modal_projector", "lm_head"],
    )


def pixel_settings(folder: Path, family: Family, size: int) -> PixelSettings:
    """Mean and deviation from the files that transformers reads, in its order; CLIP's if there are none."""
    for file in ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json"):
        settings = json.loads((folder / file).read_text("utf-8")) if (folder / file).exists() else {}
        settings = settings.get("video_processor", settings)
        if "image_mean" in settings:
            return PixelSettings(size, family.crop, tuple(settings["image_mean"]), tuple(settings["image_std"]))
    return PixelSettings(size, family.crop)


def digest() -> str:
    """The sha256 of the tiny model's weights."""
    return weights_digest("tiny")
