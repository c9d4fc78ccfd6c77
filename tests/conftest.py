"""What the tests share: one thread, and untrained models of the official classes, saved and loaded like real ones."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: threads of tiny models wait more than they work
os.environ |= {"F2T_PROGRESS": "off", "F2T_LANGUAGE": "en"}  # a learner's own progress is neither read nor written

import numpy as np
import pytest
import torch
from filelock import FileLock
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from lib import vlm

SPECIALS = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>", "<|im_start|>", "<|im_end|>"]
LANGUAGE = dict(
    hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
    vocab_size=512, max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
VISION = dict(hidden_size=24, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, patch_size=8)
TOKENS = dict(image_token_index=SPECIALS.index("<image>"), video_token_index=SPECIALS.index("<video>"))


def byte_tokenizer(specials: list[str] = SPECIALS) -> PreTrainedTokenizerFast:
    """Byte-level BPE, so that any text survives."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=512, show_progress=False, special_tokens=specials, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(["USER: ASSISTANT: What colour is the circle? red green blue"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = dict(pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def randomised(model):
    """Weights large enough for logits of several units: a difference of 1e-5 then means something."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.15)
    return model.eval()


def next_video_model(**changes) -> LlavaNextVideoForConditionalGeneration:
    """An untrained LLaVA-NeXT-Video: 64-pixel frames of 8 x 8 patches, of which 4 x 4 tokens remain."""
    config = LlavaNextVideoConfig(
        vision_config=dict(model_type="clip_vision_model", image_size=64, projection_dim=24, **VISION),
        text_config=dict(model_type="llama", **LANGUAGE),
        **TOKENS | changes,
    )
    return randomised(LlavaNextVideoForConditionalGeneration(config))


def onevision_model() -> LlavaOnevisionForConditionalGeneration:
    """An untrained LLaVA-OneVision: 40-pixel frames of 5 x 5 patches, of which 3 x 3 tokens remain."""
    config = LlavaOnevisionConfig(
        vision_config=dict(model_type="siglip_vision_model", image_size=40, vision_use_head=False, **VISION),
        text_config=dict(model_type="qwen2", **LANGUAGE),
        **TOKENS,
    )
    return randomised(LlavaOnevisionForConditionalGeneration(config))


def save(model, folder):
    """Writes a model and its tokenizer to the folder, as a real one is written."""
    model.save_pretrained(folder)
    chatml = model.config.model_type == "llava_onevision"  # Vicuna knows no <|im_start|>
    byte_tokenizer(SPECIALS if chatml else SPECIALS[:6]).save_pretrained(folder)
    return folder


def from_hub(model: vlm.VideoLM) -> vlm.VideoLM:
    """A model as if it had come from the Hub: "a/b" at a commit of 40 f's."""
    model.model.config._commit_hash = "f" * 40
    return replace(model, name="a/b")


@pytest.fixture(scope="session")
def random_vlm_folder(tmp_path_factory):
    return save(next_video_model(), tmp_path_factory.mktemp("next-video"))


@pytest.fixture(scope="session")
def random_vlm(random_vlm_folder) -> vlm.VideoLM:
    """Untrained LLaVA-NeXT-Video (CLIP, Vicuna's prompt): features (T, 8, 8, 24), width 64, context 512."""
    return vlm.load(random_vlm_folder)


@pytest.fixture(scope="session")
def random_onevision(tmp_path_factory) -> vlm.VideoLM:
    """Untrained LLaVA-OneVision (SigLIP, Qwen's prompt): features (T, 5, 5, 24), width 64."""
    return vlm.load(save(onevision_model(), tmp_path_factory.mktemp("onevision")))


@pytest.fixture
def make_frames():
    """make_frames(T, height, width, seed) -> smooth random frames (T, height, width, 3) uint8."""

    def make(frames: int = 8, height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
        coarse = np.random.default_rng(seed).uniform(0, 255, (frames, 8, 8, 3)).astype(np.float32)
        tensor = torch.from_numpy(coarse).permute(0, 3, 1, 2)
        smooth = torch.nn.functional.interpolate(tensor, size=(height, width), mode="bilinear")
        return smooth.permute(0, 2, 3, 1).to(torch.uint8).contiguous().numpy()

    return make


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """The website as `make book` makes it: built once, by the first of pytest's processes that needs it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    site, unfinished = folder / "book", folder / "book.part"
    with FileLock(folder / "book.lock"):
        if not site.exists():
            docs = Path(__file__).resolve().parent.parent / "docs"
            command = [sys.executable, "-m", "sphinx", "-qW", "-d", folder / "book-cache", docs, unfinished]
            built = subprocess.run(command, capture_output=True, text=True)
            assert built.returncode == 0, built.stderr
            unfinished.rename(site)
    return site
