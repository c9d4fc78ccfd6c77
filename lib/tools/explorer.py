"""The token explorer: one page on which you change frames, resolution, method, card and precision and see their cost.

`make explorer` writes it to notebooks/explorer.html; lesson 02 shows it, and so does the website. The page has no
formula of its own for a token or a byte. It looks up tables that this module makes with `lib.budget` and the reducers.
Costs that grow with every token are straight lines (`decoder`). It shows seconds only if data/measured holds them. The
tests compare the page with `lib.budget` for every combination.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lib import budget, plots, toybox
from lib.budget.specs import MODELS, ModelSpec
from lib.files import ROOT, write_text
from lib.reducers import Kind, LlamaVid, LlavaVideo, Reducer, SlowFastLlava, SpatialPool
from lib.reducers.base import patch_layout
from lib.tools import doctor

PAGE = ROOT / "notebooks" / "explorer.html"
TEMPLATE = Path(__file__).with_name("explorer.template.html")
BENCH = ROOT / "data" / "measured" / "reducers_cpu.json"
FRAME_CHOICES = (
    1, 2, 4, 8, 10, 12, 16, 20, 21, 24, 25, 28, 32, 40, 48, 54, 56, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1800,
    3600,
)  # fmt: skip
DRAWN = 64  # the most frames that the page draws
PIXEL_CHOICES = {
    64: (32, 64, 96),
    336: (224, 336, 448),
    384: (224, 384, 512),
}  # pixels: those of training, those to choose
SHOWN_NAMES = {"tiny": "tiny"} | doctor.NAMES
PRECISION_CHOICES = {
    "nf4-double": ["4 bits", "4비트"],
    "float16": ["16 bits", "16비트"],
    "float32": ["32 bits", "32비트"],
}
PROMPT, DRAWN_SEED = (
    100,
    7,
)  # tokens of text before the answer, as in budget.answering; the seed of the clip that is drawn


@dataclass(frozen=True, eq=False)
class Choice:
    """A method with one of its poolings, in words. `bench`: its name in `make bench`, if that times it."""

    method: str
    english: str
    korean: str
    reducer: Reducer
    bench: str = ""


def choices_of_methods() -> list[Choice]:
    """Everything that can be chosen. The learned vectors are one number wide, because only their count matters here.

    >>> [way.method for way in choices_of_methods()][::4]
    ['LLaVA-NeXT-Video', 'LLaVA-OneVision', 'SlowFast-LLaVA']
    """
    one = torch.zeros(1)
    slow_fast = "slowfast-slow_{}frms_spatial_1d_max_pool-fast_4x4"
    return [
        Choice("LLaVA-NeXT-Video", "none: every patch", "없음: 모든 패치", SpatialPool(1)),
        Choice("LLaVA-NeXT-Video", "2 x 2, average", "2 x 2 평균", SpatialPool(2), "SpatialPool average"),
        Choice("LLaVA-NeXT-Video", "3 x 3, average", "3 x 3 평균", SpatialPool(3)),
        Choice("LLaVA-NeXT-Video", "4 x 4, average", "4 x 4 평균", SpatialPool(4)),
        Choice(
            "LLaVA-OneVision", "2 x 2, bilinear, 1 newline", "2 x 2 bilinear, newline 1개",
            SpatialPool(2, "bilinear", "before", "one", one),
        ),
        Choice(
            "LLaVA-Video", "2 x 2, bilinear, newline a row", "2 x 2 bilinear, 행마다 newline",
            SpatialPool(2, "bilinear", "before", "grid", one),
        ),
        Choice(
            "LLaVA-Video", "every 3rd 2 x 2, others 4 x 4", "3장 중 1장 2 x 2, 나머지 4 x 4",
            LlavaVideo(3, newline_embed=one, frame_token=one), "LlavaVideo",
        ),
        Choice(
            "LLaVA-Video", "every 5th 2 x 2, others 4 x 4", "5장 중 1장 2 x 2, 나머지 4 x 4",
            LlavaVideo(5, newline_embed=one, frame_token=one),
        ),
        Choice(
            "SlowFast-LLaVA", "10 slow frames + 16 a frame", "slow 10장 + 장마다 16개",
            SlowFastLlava.from_spec(slow_fast.format(10)), "SlowFastLlava spatial_1d_max_pool",
        ),
        Choice(
            "SlowFast-LLaVA", "4 slow frames + 16 a frame", "slow 4장 + 장마다 16개",
            SlowFastLlava.from_spec(slow_fast.format(4)),
        ),
        Choice("LLaMA-VID", "1 context + 1 content", "컨텍스트 1개 + 콘텐츠 1개", LlamaVid(1, 1)),
        Choice("LLaMA-VID", "1 context + 4 x 4 content", "컨텍스트 1개 + 콘텐츠 4 x 4개", LlamaVid(1, 1, "grid:4")),
    ]  # fmt: skip


# ---------------------------------------------------------------- which frames and patches each token sees


def sequence_pieces(reducer: Reducer, frames: int) -> list[tuple[int, int]]:
    """A clip's tokens as (frame, number of a layout) in the order in which they are read; frame -1 for none.

    >>> sequence_pieces(LlavaVideo(slow_every=3), 4)
    [(0, 0), (1, 1), (2, 1), (3, 0)]
    >>> sequence_pieces(SpatialPool(2, newline="one", newline_embed=torch.zeros(1)), 2)
    [(0, 0), (1, 0), (-1, 1)]
    """
    alike = [(t, 0) for t in range(frames)]
    match reducer:
        case SlowFastLlava():
            return [(t, 0) for t in reducer.slow_indices(frames)] + [(t, 1) for t in range(frames)]
        case LlavaVideo():
            return [(t, int(t % reducer.slow_every > 0)) for t in range(frames)]
        case SpatialPool(newline="one"):
            return [*alike, (-1, 1)]
    return alike


def runs(pairs: list[tuple[int, int]]) -> list[list[int]]:
    """The same pieces, shorter: [first frame, how many frames, layout] of equal neighbours.

    >>> runs([(0, 0), (1, 1), (2, 1), (-1, 1)])
    [[0, 1, 0], [1, 2, 1], [-1, 1, 1]]
    """
    found = []
    for frame, layout in pairs:
        if found and (sum(found[-1][:2]), found[-1][2]) == (frame, layout):
            found[-1][1] += 1
        else:
            found.append([frame, 1, layout])
    return found


def layouts(reducer: Reducer, side: int) -> list[Tensor]:
    """The layouts (n, 5), Kind and box, that `sequence_pieces` numbers, on a grid of side x side patches.

    >>> [len(layout) for layout in layouts(SlowFastLlava.from_spec("slowfast-slow_1frms_concat-fast_2x2"), 8)]
    [64, 4]
    """
    match reducer:
        case LlamaVid():
            return [reducer.layout(side, side)]
        case SlowFastLlava(spec=spec):
            both = spec.slow_spans(side, side), spec.fast_spans(side, side)
            return [patch_layout(*spans).flatten(0, 1) for spans in both]
    tokens = reducer(torch.zeros(2, side, side, 1))  # of two frames the second shows the second layout
    rows = torch.cat([tokens.kind[:, None], tokens.box], dim=1)
    first = {layout: frame for frame, layout in reversed(sequence_pieces(reducer, 2))}
    return [rows[tokens.frame == first[layout]] for layout in sorted(first)]


def block_runs(layout: Tensor) -> list[list]:
    """The same, shorter: [kind, rows, columns, whether a newline follows each row] of each grid of tokens in a layout.

    >>> block_runs(layouts(SpatialPool(2, newline="grid", newline_embed=torch.zeros(1)), 4)[0])
    [[0, [0, 2, 2, 4], [0, 2, 2, 4], 1]]
    """
    kinds = layout[:, 0].tolist()
    inside = Kind.PATCH in kinds and Kind.NEWLINE in kinds
    found = []
    for kind in dict.fromkeys(kinds):
        if kind != Kind.NEWLINE or not inside:
            box = layout[layout[:, 0] == kind, 1:]
            rows, columns = (part.unique(dim=0).flatten().tolist() for part in (box[:, :2], box[:, 2:]))
            found.append([kind, rows, columns, int(inside and kind == Kind.PATCH)])
    return found


def sight(reducer: Reducer, frames: int, side: int) -> Tensor:
    """(N, 7): of each token its frame, the number of its layout, its kind and its box.

    >>> sight(SpatialPool(2), 2, 4)[4].tolist()
    [1, 0, 0, 0, 2, 0, 2]
    """
    known = layouts(reducer, side)
    parts = []
    for frame, layout in sequence_pieces(reducer, frames):
        head = torch.tensor([[frame, layout]]).expand(len(known[layout]), 2)
        parts.append(torch.cat([head, known[layout]], dim=1))
    return torch.cat(parts)


# ---------------------------------------------------------------- the numbers


def spec_at_size(model: str, pixels: int) -> ModelSpec:
    """The spec of a model whose tower reads frames of another size than in training.

    >>> spec_at_size("7b", 448).vision.side
    32
    """
    return replace(MODELS[model], vision=replace(MODELS[model].vision, image_size=pixels))


def projected(spec: ModelSpec, reducer: Reducer) -> ModelSpec:
    """The spec whose `encode_flops` count the tokens per frame that the reducer projects.

    LLaMA-VID projects its content tokens; its Q-Former and its context token are not counted.
    """
    match reducer:
        case SpatialPool(stride=stride, mode=mode, project=project):
            return replace(spec, stride=stride, mode=mode, project=project)
        case LlamaVid():
            return replace(spec, stride=reducer.cell_size(spec.vision.side, spec.vision.side)[0], mode="average")
    return replace(spec, project="before")


def straight_line(cost: Callable[[int], int], near: int) -> list[int]:
    """[cost of no token, cost of one more] of the straight line through near and near + 1 tokens.

    >>> straight_line(lambda tokens: 7 + 3 * tokens, near=5)
    [7, 3]
    """
    slope = cost(near + 1) - cost(near)
    return [cost(near) - near * slope, slope]


def decoder(spec: ModelSpec, precision: str) -> dict:
    """Bytes that depend on tokens only. Reading is the higher of two lines: with 4 bits a matrix must be unpacked."""

    def reading(tokens: int) -> int:
        return budget.reading_bytes(spec, tokens, precision)

    return {
        "cache": budget.kv_bytes(spec, 1, budget.PRECISIONS[precision]),
        "reading": [straight_line(reading, near) for near in (1, 10**6)],
        "writing": straight_line(lambda tokens: budget.writing_bytes(spec, tokens, budget.ANSWER, precision), 1),
    }


def parabola(cost: Callable[[int], int]) -> list[int]:
    """[a, b, c] of a + b * tokens + c * tokens**2.

    >>> parabola(lambda tokens: 1 + 2 * tokens + 3 * tokens**2)
    [1, 2, 3]
    """
    none, one, two = map(cost, range(3))
    square = (two - 2 * one + none) // 2
    return [none, one - none - square, square]


def frames_that_fit(spec: ModelSpec, chosen: list[Choice]) -> dict:
    """From `budget.plan`: for each method the frames that the context allows, and those for each card and precision."""
    by_context, by_memory = [], {card: {precision: [] for precision in PRECISION_CHOICES} for card in budget.CARDS}
    for way in chosen:
        for card, of_card in by_memory.items():
            for precision, found in of_card.items():
                plan = budget.plan(card, spec, precision, prompt=PROMPT, reducer=way.reducer)
                found.append(plan.by_memory)
        by_context.append(plan.by_context)
    return {"byContext": by_context, "byMemory": by_memory}


def measured(spec: ModelSpec, chosen: list[Choice]) -> dict[int, list]:
    """number of a method -> [frames, milliseconds] of its reducer on a CPU, in float32, at this model's sizes."""
    cases = json.loads(BENCH.read_text("utf-8"))["cases"]
    sizes = spec.vision.side, spec.vision.width, "float32"
    names = {way.bench: number for number, way in enumerate(chosen) if way.bench}
    found = {}
    for case in cases:
        if (case["side"], case["channels"], case["dtype"]) == sizes and case["reducer"] in names:
            found.setdefault(names[case["reducer"]], []).append([case["frames"], case["milliseconds"]["ours"]])
    return found


def costs_at_size(model: str, pixels: int, chosen: list[Choice]) -> dict:
    """Everything about a model that depends on the size of its frames."""
    spec = spec_at_size(model, pixels)
    looking = {
        how: [budget.vision_working_bytes(spec, frames, how) for frames in FRAME_CHOICES] for how in PRECISION_CHOICES
    }
    return {
        "pixels": pixels,
        "side": spec.vision.side,
        "patch": spec.vision.patch_size,
        "weights": {how: budget.weight_bytes(spec, how, keep_vision=True) for how in PRECISION_CHOICES},
        "looking": looking,
        "encode": [budget.encode_flops(projected(spec, way.reducer), 1) for way in chosen],
        "milliseconds": measured(spec, chosen),
        **frames_that_fit(spec, chosen),
    }


def of_model(model: str, chosen: list[Choice]) -> dict:
    """Everything about a model."""
    spec = MODELS[model]
    trained = spec.vision.image_size
    return {
        "name": SHOWN_NAMES[model],
        "context": spec.language.context,
        "trained": PIXEL_CHOICES[trained].index(trained),
        "sizes": [costs_at_size(model, pixels, chosen) for pixels in PIXEL_CHOICES[trained]],
        "decoder": {how: decoder(spec, how) for how in PRECISION_CHOICES},
        "prefill": parabola(lambda tokens: budget.prefill_flops(spec, tokens)),
    }


def of_way(way: Choice, sides: list[int]) -> dict:
    """The drawing of a method: its pieces by frames, its layouts by side, and its tokens by side and frames."""
    drawn = [frames for frames in FRAME_CHOICES if frames <= DRAWN]
    return {
        "method": way.method,
        "pooling": [way.english, way.korean],
        "pieces": [runs(sequence_pieces(way.reducer, frames)) for frames in drawn],
        "layouts": {side: [block_runs(layout) for layout in layouts(way.reducer, side)] for side in sides},
        "tokens": {side: [way.reducer.count(frames, side, side) for frames in FRAME_CHOICES] for side in sides},
    }


def picture_data() -> dict:
    """The clip as runs of one colour, row by row: a letter (the number of the colour) and how many pixels.

    >>> picture_data()["frames"][0][:4]
    'a180'
    """
    video = torch.from_numpy(toybox.render(toybox.sample(DRAWN_SEED)))
    colours, pixels = video.reshape(-1, 3).unique(dim=0, return_inverse=True)

    def code(frame: Tensor) -> str:
        runs = torch.stack(frame.unique_consecutive(return_counts=True), dim=1).tolist()
        return "".join(f"{chr(ord('a') + colour)}{length}" for colour, length in runs)

    frames = [code(frame) for frame in pixels.reshape(len(video), -1)]
    return {"side": video.shape[1], "colours": colours.tolist(), "frames": frames}


@cache
def tables() -> dict:
    """All data of the page."""
    chosen = choices_of_methods()
    models = {model: of_model(model, chosen) for model in MODELS}
    sides = sorted({size["side"] for model in models.values() for size in model["sizes"]})
    return {
        "frames": FRAME_CHOICES,
        "prompt": PROMPT,
        "answer": budget.ANSWER,
        "cuda": budget.CONTEXT_BYTES,
        "cards": {card: budget.card_bytes(card) for card in budget.CARDS},
        "share": budget.SHARE,
        "precisions": PRECISION_CHOICES,
        "ways": [of_way(way, sides) for way in chosen],
        "models": models,
        "clip": picture_data(),
        "measured": doctor.measured_lines(),
        "colors": plots.COLORS,
    }


# ---------------------------------------------------------------- the page


def page() -> str:
    """The page as text: the template with the tables in it."""
    known = json.dumps(tables(), ensure_ascii=False, separators=(",", ":"))
    return TEMPLATE.read_text("utf-8").replace("@TABLES@", known)


class Shown:
    """The page in a notebook: in a frame whose text is part of the notebook, so that no file is needed.

    JupyterLab, VS Code and Colab run its script once the cell has run; GitHub shows none of it.
    """

    def __repr__(self) -> str:
        return "the token explorer: run this cell, or run `make explorer` and open notebooks/explorer.html"

    def _repr_html_(self) -> str:
        style = "width: 100%; height: 1300px; border: 0"  # its script sets the page's height, if it may run
        text = page().replace("&", "&amp;").replace("'", "&#39;")  # the page has few of these, and many "
        return f"<iframe title='Token explorer' style='{style}' srcdoc='{text}'></iframe>"


def show() -> Shown:
    """The page for the last line of a notebook's cell.

    >>> show()
    the token explorer: run this cell, or run `make explorer` and open notebooks/explorer.html
    """
    return Shown()


DRAWN_WAYS = {1: 1073, 6: 659, 8: 3002, 10: 14}  # number of a method, and its highlighted token


def figure(frames: int = 16, side: int = 24) -> Figure:
    """The page's drawing as a figure, for four methods: which patches tokens see, and their places in the sequence.

    >>> figure().axes[0].get_title()
    'LLaVA-NeXT-Video\\n2,304 tokens'
    """
    chosen, views = choices_of_methods(), {}
    for way, token in DRAWN_WAYS.items():
        views[chosen[way].method] = sight(chosen[way].reducer, frames, side).numpy(), token
    return plots.token_views(toybox.render(toybox.sample(DRAWN_SEED)), views, side)


def write() -> None:
    """Write the page to notebooks/explorer.html, which git ignores."""
    write_text(PAGE, page())


if __name__ == "__main__":
    try:
        write()
    except OSError as error:  # a read-only folder
        sys.exit(f"error: {error}")
    print(f"{PAGE.relative_to(ROOT)}: {PAGE.stat().st_size:,} bytes; open it in a browser")
