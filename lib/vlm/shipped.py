"""The LLaMA-VID that the course ships: its weights in data/llama-vid, loaded with the tiny model."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from lib.files import DATA
from lib.reducers import LlamaVid
from lib.vlm.loading import digest, load
from lib.vlm.model import VideoLM

LLAMA_VID = DATA / "llama-vid"
READER = ("reducer.vision_norm", "reducer.queries", "reducer.qformer")
ATTENTION = ("reducer.query_proj", "reducer.key_proj")
VALUE = ("reducer.value_proj",)  # before stage 1 it is only fitted
PROJECTIONS = (*ATTENTION, *VALUE, "model.multi_modal_projector")
LANGUAGE = ("model.language_model",)
TRAINED = {  # what each stage trains; the paper's stage 3 reads features from disk, so it freezes the token makers
    "reading": READER + ATTENTION + VALUE,
    "alignment": PROJECTIONS,
    "instruction": READER + PROJECTIONS + LANGUAGE,
    "long": ("model.multi_modal_projector", *LANGUAGE),
}


def new_reducer(vlm: VideoLM, seed: int = 0) -> LlamaVid:
    """An untrained reducer for the tiny model; the same seed gives the same weights."""
    config = vlm.model.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaVid(config.vision_config.hidden_size, config.text_config.hidden_size, tokenizer=vlm.tokenizer)


def trained_parts(vlm: VideoLM, reducer: LlamaVid, stage: str) -> dict[str, nn.Parameter]:
    """The parameters that a stage trains, by name."""
    named = dict(vlm.model.named_parameters())
    named |= {f"reducer.{name}": parameter for name, parameter in reducer.named_parameters()}
    return {name: parameter for name, parameter in named.items() if name.startswith(TRAINED[stage])}


def origin_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


@torch.no_grad()
def restore_parts(weights: dict[str, Tensor], path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        for name, tensor in weights.items():
            tensor.copy_(file.get_tensor(name))


def load_llama_vid(stage: str = "long", folder: Path = LLAMA_VID) -> tuple[VideoLM, LlamaVid]:
    """The tiny model and its LlamaVid after a stage: "reading", "alignment", "instruction" or "long".

    Raises FileNotFoundError if the weights are missing. Raises ValueError for an unknown stage, and for weights that
    were trained on another tiny model.

    >>> from lib import toybox
    >>> vlm, reducer = load_llama_vid("instruction")
    >>> features = vlm.encode(toybox.render(toybox.sample(12)))
    >>> len(reducer(features, vlm.project, "What colour is the circle?"))
    32
    """
    if stage not in TRAINED:
        raise ValueError(f"there is no stage {stage!r}: choose one of {', '.join(TRAINED)}")
    vlm = load("tiny", device="cpu")
    reducer = new_reducer(vlm).eval()
    for name in list(TRAINED)[: list(TRAINED).index(stage) + 1]:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: restore it with git, or run `make llama-vid`")
        if origin_of(path)["base"] != digest():
            raise ValueError(f"{path} was trained on another tiny model than data/tiny-vlm: run `make llama-vid`")
        restore_parts(trained_parts(vlm, reducer, name), path)
    return vlm, reducer
