"""Holds the estimates of lib.budget to a GPU: `make gpu-check`, ten minutes or so on one with 24 GiB or more.

Builds LLaVA-NeXT-Video-7B in its real size with random weights, on the GPU and matrix by matrix: memory and speed do
not depend on what the numbers are, so nothing is downloaded, and a T4's memory is enough. With the process held to the
memory of a T4, then of an L4, it answers about 4 to 56 frames and takes steps of QLoRA, and compares PyTorch's peak
with the estimate. Then it times reading and writing by method at equal frames, and each reducer against the time that
moving its bytes takes. data/measured/gpu.json holds the results; the lessons read it with lib.tools.doctor.

A smaller card does what fits. Without an NVIDIA GPU: one sentence, exit code 2.
"""

import gc
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import accelerate
import bench_reducers as bench
import bitsandbytes as bnb
import numpy as np
import torch
from torch import Tensor, nn

from lib import budget, finetune
from lib.budget import Memory, ModelSpec
from lib.files import write_text
from lib.finetune.fakes import Held
from lib.known import CONFIGS, GIB
from lib.reducers import LlamaVid, LlavaVideo, Reducer, SlowFastLlava, SpatialPool
from lib.tools.real_check import machine_of
from lib.vlm import FAMILIES, VICUNA, PixelSettings, VideoLM, twins
from lib.vlm.loading import compute_dtype

REPORT = bench.MEASURED / "gpu.json"
NO_GPU = "make gpu-check needs an NVIDIA GPU that PyTorch can use, and there is none on this machine."
NAME = "llava-hf/LLaVA-NeXT-Video-7B-hf"
QUESTION = "Please describe this video in detail: what is there, what happens, and in which order?"
LIMITS = ("T4", "L4")  # the process is held to the memory of the first; to that of the second if that was too little
ANSWER = 64  # tokens written where memory is measured; the cache's growth by more is arithmetic


@dataclass(frozen=True)
class Case:
    """One thing whose memory is measured."""

    task: str  # "answer", "train" or "train, checkpointing"
    precision: str
    attention: str
    frames: int

    def estimate(self, spec: ModelSpec, text: int) -> Memory:
        """`text`: the tokens of the prompt without the video's."""
        settings = {"precision": self.precision, "attention": self.attention, "prompt": text}
        if self.task == "answer":
            return budget.answering(spec, self.frames, answer=ANSWER, **settings)
        checkpointing = self.task != "train"
        return budget.training(spec, self.frames, answer=budget.CAPTION, checkpointing=checkpointing, **settings)


def cases(frames: Sequence[int] = (4, 8, 16, 32, 56)) -> list[Case]:
    """What is measured: answers in all ways, and training where it has a chance on a card of 24 GiB."""
    ways = [(precision, attention) for precision in ("nf4-double", "float16") for attention in ("sdpa", "eager")]
    found = [Case("answer", *way, count) for way in ways for count in frames]
    found += [Case("train, checkpointing", *ways[0], count) for count in frames[:4]]
    return found + [Case("train", *ways[0], 2)]


# Building


def build(settings: dict, precision: str, dtype: torch.dtype, device: str) -> VideoLM:
    """A model of that config.json with random weights, made on the device in `dtype`, or quantised there one by one."""
    config = twins.as_transformers(settings)
    with accelerate.init_empty_weights():
        model = FAMILIES[config.model_type].model_class._from_config(config, dtype=dtype)
    for name in [name for name, _ in model.named_modules()]:  # no list of modules: it would keep the large matrices
        module = model.get_submodule(name)
        materialise(module, dtype, device)
        if precision.startswith("nf4") and isinstance(module, nn.Linear) and "language_model" in name:
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, quantised(module, precision == "nf4-double"))
    model.tie_weights()
    model.is_loaded_in_4bit = precision.startswith("nf4")  # what peft asks for
    model.generation_config.eos_token_id = None  # every answer is as long as it may be
    pixels = PixelSettings(config.vision_config.image_size, crop=True)
    return VideoLM(model.eval().requires_grad_(False), twins.tokenizer_of(settings), pixels, "random", VICUNA)


def materialise(module: nn.Module, dtype: torch.dtype, device: str) -> None:
    """Random numbers for the module's own parameters, and its tables on the device."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        weight = torch.empty(parameter.shape, dtype=dtype, device=device).normal_(std=0.02)
        setattr(module, name, nn.Parameter(weight, requires_grad=False))
    for name, buffer in list(module.named_buffers(recurse=False)):
        setattr(module, name, buffer.to(device))


def quantised(layer: nn.Linear, double: bool) -> bnb.nn.Linear4bit:
    """The same layer in 4 bits, as transformers loads it."""
    settings = {"quant_type": "nf4", "compress_statistics": double}
    dtype, device = layer.weight.dtype, layer.weight.device
    small = bnb.nn.Linear4bit(
        layer.in_features, layer.out_features, layer.bias is not None, dtype, device="meta", **settings
    )
    small.weight = bnb.nn.Params4bit(layer.weight.data, requires_grad=False, module=small, **settings).to(device)
    small.bias = layer.bias
    return small


# Memory


def stored_bytes(model: nn.Module) -> int:
    """Bytes of a model's weights, with the scales of those in 4 bits."""
    found = list(model.parameters())
    for state in (weight.quant_state for weight in found if hasattr(weight, "quant_state")):
        found += [state.absmax, state.state2.absmax] if state.nested else [state.absmax]
    return sum(tensor.nbytes for tensor in found)


def peak_of(call: Callable[[], object], vlm: VideoLM) -> int:
    """PyTorch's peak while `call` runs, all that is there included; on a CPU the weights and what comes on top."""
    if vlm.device.type != "cuda":
        with Held() as held:
            call()
        return stored_bytes(vlm.model) + held.peak
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


@contextmanager
def limited(card: str) -> Iterator[None]:
    """Inside, this process has no more of the GPU's memory than a `card` leaves to PyTorch."""
    if not torch.cuda.is_available():
        yield
        return
    share = (budget.card_bytes(card) - budget.CONTEXT_BYTES) / torch.cuda.mem_get_info()[1]
    gc.collect()  # a 4-bit weight knows its layer and the layer its weight: only this frees a model that is done with
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, share))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def answer_once(vlm: VideoLM, case: Case) -> tuple[Callable[[], object], int]:
    """What a case of answering runs, and the tokens of its prompt."""
    size = vlm.pixels.size
    clip = np.random.default_rng(0).integers(0, 256, (case.frames, size, size, 3), dtype=np.uint8)
    text = len(vlm.tokenizer(vlm.prompt(QUESTION)).input_ids) - 1
    return lambda: vlm.answer(clip, QUESTION, max_new_tokens=ANSWER), text


def train_once(vlm: VideoLM, case: Case) -> tuple[Callable[[], object], int]:
    """A step of lib.finetune on one clip and a caption, after one that has made the optimizer's moments."""
    model, reducer = vlm.model, SpatialPool()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the newest transformers has another name for it
        if case.task == "train":
            model.gradient_checkpointing_disable()
        else:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    weights = list(finetune.trainable(vlm).values())
    optimizer, dtype = torch.optim.AdamW(weights, 1e-4, weight_decay=0), compute_dtype(vlm.device)
    scaler = torch.amp.GradScaler(vlm.device.type, enabled=dtype == torch.float16)
    batch = {name: tensor.to(vlm.device) for name, tensor in one_example(vlm, reducer, case.frames).items()}

    def step() -> None:
        """As Trainer takes one."""
        model.train()
        with vlm.looking_through(reducer), torch.autocast(vlm.device.type, dtype, enabled=dtype != torch.float32):
            loss = model(**batch, use_cache=False).loss  # as `fit` sets it
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(weights, 1.0)
        scaler.step(optimizer)
        scaler.update()
        model.eval()

    step()
    return step, 1


def one_example(vlm: VideoLM, reducer: Reducer, frames: int) -> dict[str, Tensor]:
    """A clip's features, its placeholders, and a caption to learn: any words will do."""
    config = vlm.model.config
    side = config.vision_config.image_size // config.vision_config.patch_size
    video = torch.full((1, reducer.count(frames, side, side)), config.video_token_id)
    caption = torch.full((1, budget.CAPTION), 3)
    ids = torch.cat([torch.ones(1, 1, dtype=torch.long), video, caption], dim=1)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.where(ids == 3, ids, -100),
        "pixel_values_videos": torch.zeros(1, frames, side, side, config.vision_config.hidden_size),
    }


def measure(vlm: VideoLM, case: Case, limits: Sequence[str] = LIMITS) -> dict:
    """One case: estimate and peak in bytes, and on which of the cards it fits and should fit."""
    vlm.model.set_attn_implementation(case.attention)
    spec, fits, peak, text = ModelSpec.from_config(vlm.model.config), {}, None, 1
    for card in limits:
        try:
            with limited(card):
                call, text = (answer_once if case.task == "answer" else train_once)(vlm, case)
                peak = peak_of(call, vlm)
            fits[card] = True
            break
        except torch.OutOfMemoryError:
            fits[card] = False
    memory = case.estimate(spec, text)
    expected = {card: memory.total <= budget.card_bytes(card) for card in fits}
    ratio = None if peak is None else round(peak / memory.tensors, 4)
    return asdict(case) | {"peak": peak, "estimate": memory.tensors, "ratio": ratio, "fits": fits, "expected": expected}


def measure_all(settings: dict, wanted: Sequence[Case], dtype: torch.dtype, device: str) -> list[dict]:
    """Every case; one model for each precision, and one for training, which changes its weights."""
    found = []
    for precision, trained in dict.fromkeys((case.precision, case.task != "answer") for case in wanted):
        vlm = build(settings, precision, dtype, device)
        if trained:
            finetune.add_lora(vlm)
        for case in wanted:
            if (case.precision, case.task != "answer") == (precision, trained):
                found.append(measure(vlm, case))
                print(line(found[-1]), flush=True)
        del vlm
        gc.collect()
    return found


def line(found: dict) -> str:
    """One result as it is printed."""
    what = f"{found['task']}, {found['precision']}, {found['attention']}, {found['frames']} frames"
    got = "out of memory" if found["peak"] is None else f"{found['peak'] / GIB:.2f} GiB ({found['ratio']:.3f} of it)"
    return f"{what:<48} estimate {found['estimate'] / GIB:6.2f} GiB, measured {got}"


# Speed


def reducers(vlm: VideoLM) -> dict[str, Reducer]:
    """The papers' methods, for this model; LLaMA-VID's with random weights."""
    vision, language = vlm.model.config.vision_config.hidden_size, vlm.model.config.text_config.hidden_size
    token = torch.zeros(language, dtype=vlm.dtype, device=vlm.device)
    llama_vid = LlamaVid(vision, language, tokenizer=vlm.tokenizer).to(vlm.device, vlm.dtype).eval()
    return {
        "LLaVA-NeXT-Video": SpatialPool(),
        "SlowFast-LLaVA": SlowFastLlava.from_spec("slowfast-slow_10frms_spatial_1d_max_pool-fast_4x4"),
        "LLaVA-Video": LlavaVideo(3, 2, 4, "bilinear", token, token),
        "LLaMA-VID": llama_vid,
    }


def seconds(call: Callable[[], object], device: str, rounds: int = 3) -> float:
    """The median of some calls, after one that is not counted."""
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    call()
    times = []
    for _ in range(rounds):
        finish()
        start = time.perf_counter()
        call()
        finish()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@torch.no_grad()
def speed(vlm: VideoLM, frames: int, new_tokens: int = 32) -> list[dict]:
    """Tokens a second that each method's prompt is read with, and an answer written, all at `frames` frames."""
    size, device, prompt = vlm.pixels.size, vlm.device.type, [vlm.prompt(QUESTION)]
    features, found = vlm.encode(np.zeros((frames, size, size, 3), np.uint8)), []
    for name, reducer in reducers(vlm).items():
        inputs = vlm.batch([features], prompt, reducer)
        length = inputs["inputs_embeds"].shape[1]

        def write(count: int, inputs: dict = inputs) -> object:
            return vlm.model.generate(**inputs, do_sample=False, max_new_tokens=count, pad_token_id=0)

        reading = seconds(lambda inputs=inputs: vlm.model(**inputs, use_cache=True, logits_to_keep=1), device)
        writing = seconds(lambda: write(new_tokens + 1), device) - seconds(lambda: write(1), device)
        rates = {"read_per_second": round(length / reading, 1), "written_per_second": round(new_tokens / writing, 2)}
        found.append({"method": name, "frames": frames, "tokens": length} | rates)
        print(f"{name:<20}{length:>6} tokens: {rates}", flush=True)
    return found


def bandwidth(device: str, size: int = GIB) -> float:
    """Bytes a second that are read and written while a tensor is copied."""
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds(lambda: target.copy_(source), device, rounds=10)


@torch.inference_mode()
def floors(shape: tuple[int, int, int, int], dtype: torch.dtype, device: str, size: int = GIB) -> list[dict]:
    """Each reducer's time beside its floor: every feature read once and every token written once."""
    features, rate, found = torch.randn(shape, device=device).to(dtype), bandwidth(device, size), []
    for case in bench.cases(features):
        moved = features.nbytes + bench.embeddings(case.ours, features).nbytes
        took = bench.seconds(case.ours, features)
        times = {"milliseconds": round(1000 * took, 4), "floor": round(1000 * moved / rate, 4)}
        found.append({"reducer": case.name, "bytes": moved} | times)
        print(f"{case.name:<34}{times}", flush=True)
    return found


# The report


def write(report: dict, path: Path) -> None:
    """Beside the file, then in its place."""
    write_text(path, json.dumps(report, indent=1) + "\n")


def check(settings: dict, wanted: Sequence[Case], dtype: torch.dtype, device: str, path: Path, **sizes) -> dict:
    """All of it. The report is written after each part, so that what was measured is not lost with what failed."""
    frames, shape, copied = sizes["frames"], sizes["shape"], sizes["copied"]
    report = {"command": "make gpu-check", "machine": machine_of(device), "memory": [], "speed": [], "reducers": []}
    report["memory"] = measure_all(settings, wanted, dtype, device)
    write(report, path)
    vlm = build(settings, wanted[0].precision, dtype, device)
    report["speed"] = speed(vlm, frames)
    write(report, path)
    report["reducers"] = floors(shape, dtype, device, copied)
    write(report, path)
    return report


def main() -> int:
    """The command: 0 where all is measured, 2 where there is no GPU."""
    if not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 2
    torch.manual_seed(0)
    sizes = {"frames": 16, "shape": (64, 24, 24, 1024), "copied": GIB}
    check(CONFIGS[NAME], cases(), torch.float16, "cuda", REPORT, **sizes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
