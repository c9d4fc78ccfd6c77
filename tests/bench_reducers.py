"""Times the reducers, and their peak memory, against the obvious torch calls and the poolers of transformers.

`make bench` writes data/measured/reducers_cpu.json, and reducers_cuda.json where there is a GPU; several minutes.
All ways to do one thing take turns in one process, each on the same features: only the ratios mean anything.
A ratio is our cost over that of another way in the same turn, given as lower quartile, median and upper quartile.
On a CPU time is the processor's own account of one thread, so that other programs disturb it little; memory is what
torch allocates beyond the features, the tokens among it. Both from the second clip of a size on: where the tokens
come from is computed with the first.
"""

import itertools
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from transformers.models.llava_next_video.modeling_llava_next_video import LlavaNextVideoPooler
from transformers.models.llava_onevision.modeling_llava_onevision import LlavaOnevisionModel

from lib import quiet
from lib.files import write_text
from lib.reducers import LlamaVid, LlavaVideo, SlowFastLlava, SpatialPool

quiet()  # before gpu_check, which imports this file first, imports bitsandbytes
MEASURED = Path(__file__).resolve().parent.parent / "data" / "measured"
SIZES = [(frames, *grid) for frames in (8, 50, 64) for grid in ((24, 1024), (27, 1152))]  # frames, side, channels
DTYPES = (torch.float32, torch.bfloat16)
QUERIES = 32  # of LLaMA-VID's Q-Former
Way = Callable[[Tensor], Tensor]  # features (T, H, W, C) -> embeddings (N, D)


@dataclass(frozen=True)
class Case:
    """One reducer and the other ways to the same tokens."""

    name: str
    ours: Way
    others: dict[str, Way]


def channels_first(features: Tensor) -> Tensor:
    return features.permute(0, 3, 1, 2)


def tokens_of(pooled: Tensor) -> Tensor:
    """(T, C, h, w) -> (T * h * w, C)"""
    return pooled.permute(0, 2, 3, 1).flatten(0, 2)


# SpatialPool


def their_pooler(mode: str, side: int) -> Way:
    """LLaVA-NeXT-Video's in transformers; it has no weights in these modes."""
    vision = SimpleNamespace(image_size=side, patch_size=1, hidden_size=1)
    pooler = LlavaNextVideoPooler(SimpleNamespace(spatial_pool_mode=mode, spatial_pool_stride=2, vision_config=vision))
    return lambda features: pooler(features.flatten(1, 2)).flatten(0, 1)


def their_onevision(side: int) -> Way:
    """OneVision's apply_pooling in transformers, which reads nothing of the model but the size of its grid."""
    model = SimpleNamespace(config=SimpleNamespace(vision_config=SimpleNamespace(image_size=side, patch_size=1)))
    return lambda features: LlavaOnevisionModel.apply_pooling(model, features.flatten(1, 2)).flatten(0, 1)


def plain_bilinear(features: Tensor) -> Tensor:
    size = [math.ceil(side / 2) for side in features.shape[1:3]]
    return tokens_of(F.interpolate(channels_first(features), size=size, mode="bilinear"))


def plain_newlines(features: Tensor, newline: Tensor) -> Tensor:
    pooled = F.avg_pool2d(channels_first(features), 2).permute(0, 2, 3, 1)
    ends = newline.expand(*pooled.shape[:2], 1, -1)
    return torch.cat([pooled, ends], dim=2).flatten(0, 2)


def spatial_pool_cases(side: int, newline: Tensor) -> Iterator[Case]:
    pools = {"average": F.avg_pool2d, "max": F.max_pool2d}
    for mode, pool in pools.items():
        plain = {"plain": lambda features, pool=pool: tokens_of(pool(channels_first(features), 2))}
        yield Case(f"SpatialPool {mode}", SpatialPool(2, mode), plain | {"transformers": their_pooler(mode, side)})
    ours = SpatialPool(2, "bilinear", "before")
    yield Case("SpatialPool bilinear", ours, {"plain": plain_bilinear, "transformers": their_onevision(side)})
    ours = SpatialPool(2, "average", "before", "grid", newline)
    yield Case("SpatialPool newlines", ours, {"plain": lambda features: plain_newlines(features, newline)})


# SlowFastLlava


def slow_and_fast(features: Tensor, slow: Tensor) -> Tensor:
    """Pooled slow frames (10, h, w, C), then all frames at 4 x 4."""
    fast = F.adaptive_avg_pool2d(channels_first(features), (4, 4))
    return torch.cat([slow.flatten(0, 2), tokens_of(fast)])


def picked(features: Tensor) -> Tensor:
    """The ten slow frames, as the official code counts them."""
    return features[torch.linspace(0, len(features), 11).int()[:-1].tolist()]


def plain_slowfast(features: Tensor, pool: Callable, window: tuple[int, int]) -> Tensor:
    return slow_and_fast(features, pool(channels_first(picked(features)), window).permute(0, 2, 3, 1))


def slowfast_by_halves(features: Tensor) -> Tensor:
    slow, width = picked(features), features.shape[2] // 2 * 2
    return slow_and_fast(features, torch.maximum(slow[:, :, 0:width:2], slow[:, :, 1:width:2]))


def slowfast_cases() -> Iterator[Case]:
    for name, pool, window, more in (
        ("spatial_1d_max_pool", F.max_pool2d, (1, 2), {"plain, by halves": slowfast_by_halves}),
        ("spatial_2d_avg_pool", F.avg_pool2d, (2, 2), {}),
        ("concat", lambda slow, window: slow, (1, 1), {}),
    ):
        ours = SlowFastLlava.from_spec(f"slowfast-slow_10frms_{name}-fast_4x4")
        plain = {"plain": lambda features, pool=pool, window=window: plain_slowfast(features, pool, window)}
        yield Case(f"SlowFastLlava {name}", ours, plain | more)


# LlavaVideo


def pooled_frames(features: Tensor, stride: int) -> Tensor:
    size = [math.ceil(side / stride) for side in features.shape[1:3]]
    return F.interpolate(channels_first(features), size=size, mode="bilinear").permute(0, 2, 3, 1)


def with_ends(frame: Tensor, newline: Tensor, frame_token: Tensor) -> Tensor:
    """A pooled frame (h, w, C), a newline after each row and the frame token at its end -> (n, C)."""
    rows = torch.cat([frame, newline.expand(len(frame), 1, -1)], dim=1)
    return torch.cat([rows.flatten(0, 1), frame_token[None]])


def plain_interleaved(features: Tensor, newline: Tensor, frame_token: Tensor) -> Tensor:
    """One frame after the other."""
    frames = [pooled_frames(frame[None], 4 if t % 3 else 2)[0] for t, frame in enumerate(features)]
    return torch.cat([with_ends(frame, newline, frame_token) for frame in frames])


def official_interleaved(features: Tensor, newline: Tensor, frame_token: Tensor) -> Tensor:
    """As the official code does it: every frame at both strides, then one of the two is kept."""
    slow, fast = pooled_frames(features, 2), pooled_frames(features, 4)
    kept = [fast[t] if t % 3 else slow[t] for t in range(len(features))]
    return torch.cat([with_ends(frame, newline, frame_token) for frame in kept])


def llava_video_cases(newline: Tensor) -> Iterator[Case]:
    others = {
        "plain": lambda features: plain_interleaved(features, newline, newline),
        "official": lambda features: official_interleaved(features, newline, newline),
    }
    yield Case("LlavaVideo", LlavaVideo(3, 2, 4, "bilinear", newline, newline), others)


# LlamaVid: context attention and the mean; the Q-Former that writes the queries is transformers' own


def official_llama_vid(features: Tensor, queries: Tensor, module: LlamaVid) -> Tensor:
    """As the official code does it: what each query found, then the mean over the queries."""
    patches = features.flatten(1, 2)
    weights = (queries @ module.key_proj(patches).transpose(1, 2) / math.sqrt(patches.shape[-1])).softmax(-1)
    context = module.value_proj((weights @ patches).mean(1, keepdim=True))
    return torch.cat([context, patches.mean(1, keepdim=True)], dim=1).flatten(0, 1)


def llama_vid_cases(features: Tensor) -> Iterator[Case]:
    width = features.shape[-1]
    module = LlamaVid(width, width).to(features)
    queries = torch.randn(len(features), QUERIES, width).to(features)
    yield Case(
        "LlamaVid",
        lambda features: module.generate_tokens(queries, features).flatten(0, 1),
        {"official": lambda features: official_llama_vid(features, queries, module)},
    )


# Measuring


def cases(features: Tensor) -> list[Case]:
    """Every case for these features. LlamaVid multiplies large matrices: on a CPU only for a few frames."""
    newline = torch.ones(features.shape[-1]).to(features)
    found = [*spatial_pool_cases(features.shape[1], newline), *slowfast_cases(), *llava_video_cases(newline)]
    if features.device.type == "cuda" or len(features) <= 8:
        found += llama_vid_cases(features)
    return found


def embeddings(way: Way, features: Tensor) -> Tensor:
    result = way(features)
    return result if isinstance(result, Tensor) else result.embeds


def check_equal(case: Case, features: Tensor) -> None:
    """Raises AssertionError unless all ways come to the same tokens."""
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if features.dtype == torch.float32 else {"atol": 0.02, "rtol": 0.02}
    ours = embeddings(case.ours, features)
    for other in case.others.values():
        torch.testing.assert_close(embeddings(other, features), ours, **tolerance)


def peak_bytes(way: Way, features: Tensor) -> int:
    """The most that torch holds at one time while it computes, beyond what it held before."""
    if features.device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = way(features)
        torch.cuda.synchronize()
        del result
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = way(features)
    del result
    held = peak = 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def seconds(way: Way, features: Tensor) -> float:
    """Of one call, the mean of several in a row where one is short: on a CPU the time that this thread was given.

    A first call is not timed: it finds the caches and the free memory as another way has left them.
    """
    on_gpu = features.device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    calls = 20 if on_gpu else max(1, 32 // len(features))
    finish = torch.cuda.synchronize if on_gpu else lambda: None
    way(features)
    finish()
    start = clock()
    for _ in range(calls):
        way(features)
    finish()
    return (clock() - start) / calls


def times_in_turn(ways: dict[str, Way], features: Tensor, rounds: int) -> dict[str, list[float]]:
    """Each way once in every round, in all orders in turn, so that each follows each of the others equally often."""
    orders = list(itertools.permutations(ways))
    times = {name: [] for name in ways}
    for number in range(rounds):
        for name in orders[number % len(orders)]:
            times[name].append(seconds(ways[name], features))
    return times


def quartiles(ratios: list[float]) -> list[float]:
    return [round(value, 3) for value in statistics.quantiles(ratios, n=4, method="inclusive")]


def measure(case: Case, features: Tensor, rounds: int) -> dict:
    """What one case costs, ours and the others; warmed up by the check that all come to the same."""
    check_equal(case, features)
    ways = {"ours": case.ours} | case.others
    peaks = {name: peak_bytes(way, features) for name, way in ways.items()}
    times = times_in_turn(ways, features, rounds)
    fastest = min(case.others, key=lambda name: statistics.median(times[name]))
    return {
        "reducer": case.name,
        "frames": len(features),
        "side": features.shape[1],
        "channels": features.shape[-1],
        "dtype": str(features.dtype).removeprefix("torch."),
        "milliseconds": {name: round(1000 * statistics.median(times[name]), 3) for name in ways},
        "peak_bytes": peaks,
        "best": fastest,
        "time_ratio": quartiles([mine / best for mine, best in zip(times["ours"], times[fastest], strict=True)]),
        "memory_ratio": round(peaks["ours"] / min(peaks[name] for name in case.others), 4),
    }


def machine(device: str) -> dict:
    """What the numbers depend on, without the name of anyone's machine."""
    where = {"device": device, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    where["processor"] = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    if device == "cuda":
        where["processor"] = torch.cuda.get_device_name()
    return where | {"torch": torch.__version__, "transformers": transformers.__version__}


def write(report: dict, path: Path) -> None:
    """One case per line."""
    head = json.dumps({key: value for key, value in report.items() if key != "cases"}, indent=1)
    lines = ",\n".join(f"  {json.dumps(case)}" for case in report["cases"])
    write_text(path, f'{head[:-2]},\n "cases": [\n{lines}\n ]\n}}\n')


@torch.inference_mode()
def run(device: str, sizes: list[tuple[int, int, int]], rounds: int) -> dict:
    """Every case at every size and dtype, as it is printed."""
    torch.manual_seed(0)
    measured = []
    for frames, side, channels in sizes:
        for dtype in DTYPES:
            features = torch.randn(frames, side, side, channels, device=device).to(dtype)
            for case in cases(features):
                found = measure(case, features, rounds)
                measured.append(found)
                low, middle, high = found["time_ratio"]
                size = f"{frames:>2} x {side} x {side} x {channels} {found['dtype']:<8}"
                time_ratio = f"time {middle:.2f} [{low:.2f}, {high:.2f}] of {found['best']}"
                print(f"{case.name:<34}{size} {time_ratio:<46} memory {found['memory_ratio']:.2f}", flush=True)
    return {"command": "make bench", "machine": machine(device), "rounds": rounds, "cases": measured}


if __name__ == "__main__":
    torch.set_num_threads(1)
    few = "quick" in sys.argv[1:]  # for a first look: nothing is written
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        report = run(device, SIZES[:1] if few else SIZES, rounds=6)
        if not few:
            write(report, MEASURED / f"reducers_{device}.json")
