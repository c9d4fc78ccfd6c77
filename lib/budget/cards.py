"""The number of frames that a card's memory and a model's context allow, and the table for all cards.

(Not named `plan`, because a module of that name would hide the function `lib.budget.plan`.)
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lib.budget.memory import (
    PRECISIONS,
    Memory,
    answering,
    kv_bytes,
    reading_bytes,
    training,
    vision_working_bytes,
    weight_bytes,
)
from lib.budget.specs import MODELS, ModelSpec, _lookup
from lib.known import GIB
from lib.machine import total_memory

# GiB that PyTorch can use, as its out-of-memory messages print them ("total capacity of ..."):
# T4 hpcaitech/Open-Sora#697, A100-40 williamyang1991/FRESCO#28 (both on Colab), A100-80 vllm-project/vllm#4408,
# H100 vllm-project/vllm#27508, H200 vllm-project/vllm#49404. The L4 is rounded down (nvidia-smi shows 23,034 MiB
# before the driver's share, NVIDIA/TensorRT-LLM#2398).
# Cards of one name differ by 0.1 GiB with driver and board: that is one frame of the 7B, more or less.
CARDS = {"T4": 14.75, "L4": 22.0, "A100-40": 39.56, "A100-80": 79.15, "H100": 79.11, "H200": 139.8}
THIS_MACHINE = "this machine"
SHARE = 0.95  # the share of a card's memory that plans use: fragmentation costs the rest


@dataclass(frozen=True)
class FramePlan:
    """How many frames memory allows, and how many the context allows."""

    by_memory: int
    by_context: int

    @property
    def frames(self) -> int:
        """The smaller of the two."""
        return min(self.by_memory, self.by_context)

    @property
    def binds(self) -> str:
        """Which of the two is the limit: "memory" or "context" (also if they are equal)."""
        return "memory" if self.by_memory < self.by_context else "context"


def card_bytes(card: str) -> int:
    """The memory that PyTorch can use on a card of CARDS, or on "this machine": its GPU's, or what `lib.machine` finds.

    >>> card_bytes("T4") == int(14.75 * GIB), card_bytes(THIS_MACHINE) > 0
    (True, True)
    """
    if card != THIS_MACHINE:
        return int(_lookup(CARDS | {THIS_MACHINE: 0}, card, "card") * GIB)
    import torch  # nothing else here needs it

    return torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else total_memory()


def frames_in_memory(model: ModelSpec, available: int, memory: Callable[..., Memory] = answering, **settings) -> int:
    """The most frames whose `memory(model, frames, **settings)` is at most `available` bytes in all; 0 if none fits.

    >>> frames_in_memory(MODELS["7b"], 12 * GIB), frames_in_memory(MODELS["7b"], 12 * GIB, precision="float16")
    (85, 0)
    """
    frames = range(1, 1_000_000)
    return bisect_right(frames, available, key=lambda count: memory(model, count, **settings).total)


def plan(
    card: str,
    model: str | ModelSpec,
    precision: str = "nf4-double",
    attention: str = "sdpa",
    prompt: int = 100,
    answer: int = 256,
    rope_factor: float = 1,
    reducer=None,
    memory: Callable[..., Memory] = answering,
    **settings,
) -> FramePlan:
    """Frames of one clip that `card` (of CARDS, or "this machine") and the context of `model` (of MODELS) allow.

    The plan uses 95 % of the card's usable memory. `rope_factor` stretches the context (linear RoPE scaling).
    `reducer`: one of lib.reducers, by default the model's own pooling. `memory`: `answering`, or `training` with its
    settings. `model` may be a spec.

    >>> plan("T4", "7b")
    FramePlan(by_memory=109, by_context=25)
    >>> plan("T4", "7b").binds, plan("T4", "7b", precision="float16").binds
    ('context', 'memory')
    >>> plan("A100-40", "7b", precision="float16", attention="eager", answer=932, rope_factor=2)
    FramePlan(by_memory=61, by_context=49)
    >>> plan("T4", "7b", memory=training, answer=932, checkpointing=True)
    FramePlan(by_memory=51, by_context=21)

    Raises ValueError for an unknown card, model, precision or attention, listing the known ones.
    """
    spec = model if isinstance(model, ModelSpec) else _lookup(MODELS, model, "model")
    by_memory = frames_in_memory(
        spec, int(SHARE * card_bytes(card)), memory, precision=precision, attention=attention, prompt=prompt,
        answer=answer, reducer=reducer, **settings,
    )  # fmt: skip
    room = int(spec.language.context * rope_factor) - prompt - answer
    return FramePlan(by_memory, frames_in(room, spec, reducer))


def frames_in(tokens: int, spec: ModelSpec, reducer=None) -> int:
    """The most frames whose visual tokens are at most `tokens`.

    >>> frames_in(4096 - 356, MODELS["7b"])
    25
    """
    return bisect_right(range(1, 1_000_000), tokens, key=lambda count: spec.tokens_of(count, reducer))


ANSWER, CAPTION = 256, 932  # tokens: what the study notes allow, and a Korean caption (papers.csv) that is trained on
ROWS = {  # a line of the table: which model, in which precision, trained or asked
    "tiny, 32-bit": ("tiny", "float32"),
    "0.5B, 16-bit": ("onevision-0.5b", "float16"),
    "7B, 4-bit": ("7b", "nf4-double"),
    "7B, 16-bit": ("7b", "float16"),
    "34B, 4-bit": ("34b", "nf4-double"),
    "34B, 16-bit": ("34b", "float16"),
}


def gib_per_frame(model: str, precision: str) -> list[float]:
    """GiB: weights; for each frame its cache, its share of encoding, and of reading the prompt.

    >>> [round(gib, 3) for gib in gib_per_frame("7b", "nf4-double")]
    [4.206, 0.07, 0.042, 0.014]
    """
    spec = MODELS[model]
    more = spec.video_tokens(32) - spec.video_tokens(16)
    cache = kv_bytes(spec, more, PRECISIONS[precision])
    reading = reading_bytes(spec, more + 10**6, "float16") - reading_bytes(spec, 10**6, "float16")
    reading *= PRECISIONS[precision] // 2
    weights = weight_bytes(spec, precision, keep_vision=True)
    return [part / GIB for part in (weights, cache / 16, vision_working_bytes(spec, 16, precision) / 16, reading / 16)]


def plan_table(cards: Sequence[str] = tuple(CARDS), rows: Sequence[str] = tuple(ROWS)) -> list[str]:
    """The plan as lines of text: what each model costs, and how many frames each card has room for.

    `context`: the frames that the positions allow, on any card. A cell: the frames that memory allows for answering,
    for answering with eager attention, and for training by QLoRA with and without checkpointing.

    >>> print("\\n".join(plan_table(["T4"], ["7B, 4-bit"])))
                    weights  GiB a frame: cache  encoding  reading   context               T4
    7B, 4-bit          4.21               0.070     0.042    0.014        25      109/35/51/0
    """
    head = f"{'':<16}weights  GiB a frame: cache  encoding  reading   context"
    lines = [head + "".join(f"{card:>17}" for card in cards)]
    for row in rows:
        model, precision = ROWS[row]
        weights, cache, encoding, reading = gib_per_frame(model, precision)
        context = plan("T4", model, precision).by_context
        line = f"{row:<16}{weights:>7.2f}{cache:>20.3f}{encoding:>10.3f}{reading:>9.3f}{context:>10,}"
        lines.append(line + "".join(f"{plan_cell(card, model, precision):>17}" for card in cards))
    return lines


def plan_cell(card: str, model: str, precision: str) -> str:
    """A cell of the table. The answers for QLoRA are Korean captions."""
    found = [plan(card, model, precision, attention).by_memory for attention in ("sdpa", "eager")]
    if precision.startswith("nf4"):
        settings = {"memory": training, "answer": CAPTION}
        found += [plan(card, model, precision, checkpointing=how, **settings).by_memory for how in (True, False)]
    return "/".join(f"{frames}" for frames in found)


if __name__ == "__main__":
    print("\n".join(plan_table()))
