"""The weights that may train (projector, LoRA, all but the vision tower), and adapters as files."""

import hashlib
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from peft.import_utils import is_gptqmodel_available, is_torchao_available
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from lib.vlm.loading import model_files, weights_digest
from lib.vlm.model import VideoLM
from lib.vlm.sharded import is_sharded

LANGUAGE_LAYER = re.compile(r"(?:^|\.)language_model\..*\.(\w+)$")
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "base.json")
# Each new LoRA layer raises ImportError if one of these packages is installed in a version too old for peft (Colab's
# torchao is). The course quantizes with bitsandbytes only, so it hides such a package from this process.
for package, available in {"torchao": is_torchao_available, "gptqmodel": is_gptqmodel_available}.items():
    try:
        available()
    except ImportError:
        sys.modules[package] = None


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

    Raises ValueError for a model in 4 bits: integers of 4 bits have no gradient.
    """
    if getattr(vlm.model, "is_loaded_in_4bit", False):
        fix = "load it without four_bit, or use add_lora"
        raise ValueError(f"{vlm.name} is loaded in 4 bits, which cannot be trained: {fix}")
    train_only(vlm, vlm.model.model.multi_modal_projector, vlm.model.model.language_model, vlm.model.lm_head)


def train_only(vlm: VideoLM, *parts: nn.Module) -> None:
    """Freezes everything but the parts, and makes those float32: gradients of float16 weights cannot be unscaled."""
    vlm.model.requires_grad_(False)
    for part in parts:
        part.float().requires_grad_(True)


def add_lora(vlm: VideoLM, rank: int = 16, seed: int = 0, alpha: int | None = None, dropout: float = 0.0) -> PeftModel:
    """Puts LoRA adapters beside every linear layer of the language model, in place: only they may change.

    alpha: by default twice the rank, which doubles the adapters' output. The second factor starts at 0, so the output
    does not change at first. A base that is not quantised keeps its type. A base in 4 bits becomes QLoRA: the rest of
    it is cast to float32 (`prepare_model_for_kbit_training`). `take_off` first removes an existing adapter,
    or raises ValueError if that was trained.

    >>> from lib.vlm import load
    >>> vlm = load("tiny")
    >>> adapter = add_lora(vlm, rank=4)
    >>> sum(weight.numel() for weight in trainable(vlm).values())       # 4 layers x (4 x 256 + 3 x 512) x 4
    40960
    """
    take_off(vlm)
    freeze(vlm)
    config = LoraConfig(
        r=rank, lora_alpha=alpha or 2 * rank, lora_dropout=dropout, target_modules=language_targets(vlm.model)
    )
    vlm.model.adapter_start = f"seed {seed}"
    with torch.random.fork_rng(), without_deprecations():
        torch.manual_seed(seed)
        return get_peft_model(vlm.model, config)


def freeze(vlm: VideoLM) -> None:
    """Freezes the base. The rest of a base in 4 bits becomes float32, unless it is sharded."""
    if getattr(vlm.model, "is_loaded_in_4bit", False) and not is_sharded(vlm.model):
        prepare_model_for_kbit_training(vlm.model, use_gradient_checkpointing=False)
    vlm.model.requires_grad_(False)


def train_projector(vlm: VideoLM) -> None:
    """The projector may change too, beside an adapter: `save_adapter` saves it with the adapter."""
    vlm.model.model.multi_modal_projector.float().requires_grad_(True)


def take_off(vlm: VideoLM) -> None:
    """Removes the model's adapter, if it has one, so that a cell that adds one may run twice.

    Raises ValueError for one that was trained since it was added: its training would be lost.
    """
    if adapter_digest(vlm) != getattr(vlm.model, "adapter_digest", None) and any(
        "lora_B" in name and weight.any() for name, weight in vlm.model.named_parameters()
    ):
        raise ValueError(
            f"{vlm.name} has an adapter that was trained: `fit` trains it further, `save_adapter` saves it; "
            "for another one load the model again"
        )
    for name, layer in [*vlm.model.named_modules()]:
        if isinstance(layer, LoraLayer):
            vlm.model.set_submodule(name, layer.get_base_layer())
    if hasattr(vlm.model, "peft_config"):
        del vlm.model.peft_config


def adapter_digest(vlm: VideoLM) -> str:
    """A digest of the LoRA weights, which shows whether an adapter is still the one that was loaded."""
    weights = vlm.model.named_parameters()
    return short_digest({name: tensor_digest(weight) for name, weight in weights if "lora_" in name})


@contextmanager
def without_deprecations() -> Iterator[None]:
    """peft and TRL still use the name `gradient_checkpointing`; transformers 5.23 uses `activation_checkpointing`.

    This hides the warning, because users of peft and TRL cannot fix its cause.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.* is deprecated", FutureWarning)
        yield


def trainable(vlm: VideoLM) -> dict[str, nn.Parameter]:
    """The weights that may change, by name."""
    return {name: weight for name, weight in vlm.model.named_parameters() if weight.requires_grad}


def tensor_digest(tensor: Tensor) -> str:
    """A digest of a tensor's shape and of its numbers as float32."""
    digest = hashlib.sha256(repr(tuple(tensor.shape)).encode())
    digest.update(tensor.detach().float().cpu().contiguous().numpy())
    return digest.hexdigest()[:12]


def changed_weights(vlm: VideoLM) -> dict[str, Tensor]:
    """The weights of the base that differ from its files, by name: trained, or with an adapter merged in.

    The names in a file are often older than those in memory, so numbers are compared. Weights in 4 bits and weights
    sharded over processes are left out: they cannot be trained.
    """
    own = {name: weight for name, weight in vlm.model.named_parameters() if "lora_" not in name}
    own = {name: w for name, w in own.items() if w.is_floating_point() and not isinstance(w, DTensor)}
    shapes, dtype, filed = {tuple(weight.shape) for weight in own.values()}, vlm.model.config.dtype, set()
    for path in model_files(vlm.name, vlm.revision):
        with safe_open(path, framework="pt") as file:
            keys = (key for key in file.keys() if tuple(file.get_slice(key).get_shape()) in shapes)
            filed |= {tensor_digest(file.get_tensor(key).to(dtype)) for key in keys}
    return {name: weight for name, weight in own.items() if tensor_digest(weight) not in filed}


def save_adapter(
    vlm: VideoLM, adapter: PeftModel, folder: str | Path, notice: str = "", changed: dict[str, Tensor] | None = None
) -> None:
    """Writes an adapter in peft's format, and base.json, which names its base.

    notice: whom everything made from the data must name by its terms of use, adapters included (AI-Hub's: NIA).
    changed: the base's changed weights, if known; comparing the base with its files takes a minute for 14 GB. Weights
    of the base that were trained before (usually a projector) are saved with it: `load_adapter`, and peft, put them
    back.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    adapter.peft_config["default"].base_model_name_or_path = vlm.name  # peft would write this machine's path
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        adapter.save_pretrained(beside, save_embedding_layers=False)  # or peft asks the Hub whether they are new
        changed = changed_weights(vlm) if changed is None else changed
        if changed:
            tensors = {f"base_model.model.{name}": weight.detach() for name, weight in changed.items()}
            path = Path(beside, ADAPTER_FILES[1])
            save_file(load_file(path) | tensors, path, metadata={"format": "pt"})
        base = {"base": vlm.name, "revision": vlm.revision, "sha256": weights_digest(vlm.name, vlm.revision)}
        base |= {"notice": notice} if notice else {}
        Path(beside, "base.json").write_text(json.dumps(base, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        drop_nulls(Path(beside, "adapter_config.json"))
        for file in ADAPTER_FILES:
            os.replace(Path(beside, file), folder / file)


def drop_nulls(file: Path) -> None:
    """Removes the fields that are null, which is their default: an older peft warns about unknown fields."""
    config = json.loads(file.read_text(encoding="utf-8"))
    config = {name: value for name, value in config.items() if value is not None}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_adapter(vlm: VideoLM, folder: str | Path, is_trainable: bool = False) -> PeftModel:
    """Adds a saved adapter to its base, in place. The base may be in 4 bits or not quantised.

    is_trainable: `fit` may train it further. `take_off` first removes an adapter that the model already has.

    Raises FileNotFoundError if a file is missing, and ValueError for a damaged adapter or one of another base. LoRA's
    weights are differences from one base; on another they are noise.
    """
    folder = Path(folder)
    base, tensors = read_adapter(folder)
    if base["sha256"] != weights_digest(vlm.name, vlm.revision):
        raise ValueError(
            f"the adapter in {folder} was trained on other weights than those of {vlm.name} now (its base: "
            f"{base['base']}, sha256 {base['sha256'][:12]}...): load that base, or train the adapter again"
        )
    take_off(vlm)
    check_base(vlm, folder, [key.removeprefix("base_model.model.").replace(".base_layer", "") for key in tensors])
    if is_trainable:
        freeze(vlm)
    vlm.model.adapter_start = short_digest({name: tensor_digest(tensor) for name, tensor in tensors.items()})
    with without_deprecations():
        adapter = PeftModel.from_pretrained(vlm.model, folder, is_trainable=is_trainable)
    vlm.model.adapter_digest = adapter_digest(vlm)
    return adapter


def read_adapter(folder: Path) -> tuple[dict, dict[str, Tensor]]:
    """The contents of base.json, and the weights. Raises FileNotFoundError or ValueError if one is missing or
    damaged."""
    if missing := [file for file in ADAPTER_FILES if not (folder / file).exists()]:
        raise FileNotFoundError(f"{folder} holds no adapter ({missing[0]} is missing): save one with save_adapter")
    for file, key in (("adapter_config.json", "peft_type"), ("base.json", "sha256")):
        try:
            base = json.loads((folder / file).read_text(encoding="utf-8"))
        except ValueError:  # no JSON, or no UTF-8
            base = None
        if not isinstance(base, dict) or key not in base:
            raise ValueError(f"{folder / file} is cut off or damaged: restore it, or train the adapter again")
    try:
        return base, load_file(folder / ADAPTER_FILES[1])
    except SafetensorError:
        raise ValueError(f"{folder / ADAPTER_FILES[1]} is cut off or damaged: restore it, or train it again") from None


def check_base(vlm: VideoLM, folder: Path, names: Sequence[str]) -> None:
    """Raises ValueError if the base has changed since it was loaded, except in weights that come with the adapter
    (`names`)."""
    if changed := [name for name in changed_weights(vlm) if name not in names]:
        raise ValueError(
            f"{vlm.name} was trained since it was loaded ({changed[0]}), and the adapter in {folder} belongs to the "
            "weights as they were: load the model again"
        )
    whole = dict(vlm.model.named_parameters())
    if packed := [name for name in names if name in whole and not whole[name].is_floating_point()]:
        raise ValueError(
            f"the adapter in {folder} comes with {packed[0]}, which is in 4 bits here: load {vlm.name} without four_bit"
        )


def size_on_disk(folder: str | Path) -> int:
    """Bytes of an adapter's weights."""
    return (Path(folder) / ADAPTER_FILES[1]).stat().st_size


def parts_hit(model: PreTrainedModel | PeftModel) -> dict[str, int]:
    """How many layers with an adapter lie in each part of a model: vision tower, projector, language model."""
    names = [name for name, _ in model.named_modules() if name.endswith("lora_A")]
    parts = ("vision_tower", "multi_modal_projector", "language_model")
    return {part: sum(part in name for name in names) for part in parts}


def short_digest(content: object) -> str:
    """The first twelve hexadecimal digits of a hash of `repr`."""
    return hashlib.sha256(repr(content).encode("utf-8", "surrogateescape")).hexdigest()[:12]
