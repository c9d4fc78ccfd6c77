"""Small twins of the real models: folders in the Hub's layout, with random weights.

A twin keeps everything that decides whether code works. These are the classes, the patch grids (24 x 24, 27 x 27), the
layer that the projector reads, and CLS. They are also token numbers and vocabularies, positions and RoPE scaling,
grouped query heads, and the names and shards of the weights. It has smaller widths and fewer layers, so it loads in
seconds. Its answers mean nothing.
"""

import copy
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from lib.known import CONFIGS, GIB
from lib.vlm.loading import FAMILIES
from lib.vlm.pixels import CLIP_MEAN, CLIP_STD

SMALL_VISION = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4)
SMALL_TEXT = dict(intermediate_size=128, num_hidden_layers=2, head_dim=16)
TWIN_SPECIALS = {  # kind of language model -> its special tokens and their numbers
    "vicuna": {"<unk>": 0, "<s>": 1, "</s>": 2},
    "yi": {"<unk>": 0, "<|startoftext|>": 1, "<|endoftext|>": 2, "<|im_start|>": 6, "<|im_end|>": 7},
    "qwen": {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645},
}


def real_config(name: str) -> PreTrainedConfig:
    """The configuration of a real model, as transformers reads it. Raises ValueError for a name not in CONFIGS.

    >>> config = real_config("llava-hf/LLaVA-NeXT-Video-34B-hf")
    >>> config.text_config.num_key_value_heads, config.video_token_id
    (8, 64003)
    """
    if name not in CONFIGS:
        raise ValueError(f"no configuration of {name}: choose one of {', '.join(CONFIGS)}")
    return as_transformers(CONFIGS[name])


def as_transformers(settings: dict) -> PreTrainedConfig:
    """The contents of a config.json -> a configuration."""
    return FAMILIES[settings["model_type"]].model_class.config_class.from_dict(copy.deepcopy(settings))


def shrink(settings: dict) -> dict:
    """The contents of a real config.json -> those of its twin.

    >>> small = shrink(CONFIGS["llava-hf/LLaVA-NeXT-Video-7B-hf"])
    >>> small["text_config"]["hidden_size"], small["text_config"]["rope_scaling"], small["vision_config"]["image_size"]
    (64, {'factor': 2.5, 'type': 'linear'}, 336)
    """
    text = settings["text_config"]
    sharing = text["num_attention_heads"] // text["num_key_value_heads"]
    keys = 4 if sharing == 1 else 1
    heads = dict(num_attention_heads=sharing * keys, num_key_value_heads=keys, hidden_size=16 * sharing * keys)
    small = {"text_config": text | SMALL_TEXT | heads, "vision_config": settings["vision_config"] | SMALL_VISION}
    return settings | small


def write_twin(name: str, folder: str | Path, full_size: bool = False, **text) -> Path:
    """Writes the twin of a real model into a folder that `lib.vlm.load` takes, and returns the folder.

    full_size: as large as the real one, 14 GB for the 7B, so that it needs the real model's memory.
    text: fields of the language model's configuration that differ, for instance rope_scaling=None.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = copy.deepcopy(CONFIGS[name]) if full_size else shrink(CONFIGS[name])
    settings["text_config"] |= text
    kind = "clip" if settings["vision_config"]["model_type"].startswith("clip") else "siglip"
    mean, std = (CLIP_MEAN, CLIP_STD) if kind == "clip" else ((0.5,) * 3, (0.5,) * 3)
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "image_std": std}))
    tokenizer_of(settings).save_pretrained(folder)
    write_weights(random_weights(as_transformers(settings), 0.02 if full_size else 0.15), folder)
    return folder


def random_weights(config: PreTrainedConfig, spread: float = 0.15) -> Iterator[tuple[str, Tensor]]:
    """Weights in bfloat16, one by one, under the names of the Hub's files; a small model's logits differ by units."""
    with torch.device("meta"):  # shapes only: transformers' own random weights are not needed
        model = FAMILIES[config.model_type].model_class(config)
    generator = torch.Generator().manual_seed(0)
    for key, weight in model.named_parameters():  # a tied layer appears once
        yield hub_name(key), random_weight(key, weight.shape, generator, spread).bfloat16()


def random_weight(name: str, shape: torch.Size, generator: torch.Generator, spread: float) -> Tensor:
    """Biases are 0 and the scales of norms are 1, as in an untrained model; everything else is drawn."""
    if name.endswith("bias"):
        return torch.zeros(shape)
    return torch.ones(shape) if "norm" in name else spread * torch.randn(shape, generator=generator)


def hub_name(key: str) -> str:
    """The name of a weight in transformers 5 -> that in the Hub's files, which transformers 4.42 to 4.45 wrote.

    >>> hub_name("model.language_model.norm.weight"), hub_name("model.image_newline")
    ('language_model.model.norm.weight', 'image_newline')
    """
    for new, old in (
        ("model.language_model.", "language_model.model."),
        ("lm_head.", "language_model.lm_head."),
        ("model.vision_tower.", "vision_tower.vision_model."),
    ):
        if key.startswith(new):
            return old + key.removeprefix(new)
    return key.removeprefix("model.")


def write_weights(weights: Iterable[tuple[str, Tensor]], folder: Path, shard_bytes: int = 2 * GIB) -> None:
    """Shards, at least two, and the index of the weights' places. One shard at a time is in memory."""
    shards, held = [], {}
    for name, weight in weights:
        if held and (not shards or sum(one.nbytes for one in held.values()) + weight.nbytes > shard_bytes):
            shards.append(write_part(held, folder / f"shard-{len(shards)}"))
            held = {}
        held[name] = weight
    shards.append(write_part(held, folder / f"shard-{len(shards)}"))
    places, total = {}, 0
    for number, (names, size) in enumerate(shards):
        file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        (folder / f"shard-{number}").rename(folder / file)
        places, total = places | dict.fromkeys(names, file), total + size
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_part(weights: dict[str, Tensor], path: Path) -> tuple[list[str], int]:
    """One file of weights: their names and bytes."""
    save_file(weights, path, metadata={"format": "pt"})
    return [*weights], sum(weight.nbytes for weight in weights.values())


def tokenizer_of(settings: dict) -> PreTrainedTokenizerFast:
    """A tokenizer of single bytes. Its special tokens have the real numbers; the numbers between are unused words.

    >>> tokenizer = tokenizer_of(CONFIGS["llava-hf/LLaVA-NeXT-Video-7B-hf"])
    >>> tokenizer("<video>é").input_ids[:2], len(tokenizer)
    ([1, 32000], 32002)
    """
    text = settings["text_config"]
    family = "qwen" if text["model_type"] == "qwen2" else "vicuna" if text["eos_token_id"] == 2 else "yi"
    specials = TWIN_SPECIALS[family] | {
        "<video>": settings["video_token_index"],
        "<image>": settings["image_token_index"],
    }
    taken = {number: token for token, number in specials.items()}
    letters = iter(sorted(pre_tokenizers.ByteLevel.alphabet()))
    numbers = range(max(taken) + 1)
    words = {number: taken.get(number) or next(letters, f"#{number}") for number in numbers}
    tokenizer = Tokenizer(models.BPE({word: number for number, word in words.items()}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(specials))
    if family == "vicuna":
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {f"{role}_token": words[text[f"{role}_token_id"]] for role in ("pad", "bos", "eos")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
