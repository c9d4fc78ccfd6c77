"""The token explorer's tables against lib.budget and the reducers, for every combination that the page offers."""

import html
import json
import re
from functools import cache
from pathlib import Path

import pytest
import torch

from lib import budget
from lib.budget import ANSWER, CARDS, MODELS, SHARE, Memory
from lib.reducers import LlamaVid
from lib.reducers.base import Kind, origin
from lib.tools import explorer
from lib.tools.explorer import (
    DRAWN,
    FRAME_CHOICES,
    PRECISION_CHOICES,
    PROMPT,
    choices_of_methods,
    projected,
    spec_at_size,
)

ROOT = Path(__file__).resolve().parent.parent
WAYS = choices_of_methods()
LIMIT = 999_999  # lib.budget counts no further
PAGE = explorer.page()
TABLES = json.loads(re.search(r"^const TABLES = (.*);$", PAGE, re.MULTILINE)[1])
SIZES = [(model, size) for model in MODELS for size in range(3)]
SIDES = sorted({size["side"] for model in TABLES["models"].values() for size in model["sizes"]})


def spec_of(model: str, size: int) -> budget.ModelSpec:
    return spec_at_size(model, TABLES["models"][model]["sizes"][size]["pixels"])


def memory_by_tables(model: str, size: int, way: int, frames: int, how: str) -> Memory:
    """The sums that the page's script does, once more. `frames`: a place in FRAMES."""
    tables = TABLES["models"][model]
    sized, decoder = tables["sizes"][size], tables["decoder"][how]
    tokens = TABLES["ways"][way]["tokens"][str(sized["side"])][frames] + TABLES["prompt"]
    none, one = decoder["writing"]
    stages = (
        (0, sized["looking"][how][frames]),
        (decoder["cache"] * tokens, max(none + one * tokens for none, one in decoder["reading"])),
        (decoder["cache"] * (tokens + TABLES["answer"]), none + one * tokens),
    )
    return Memory(sized["weights"][how], *max(stages, key=sum), context=TABLES["cuda"])


@pytest.mark.parametrize("model, size", SIZES)
def test_memory_is_that_of_lib_budget(model, size):
    spec = spec_of(model, size)
    for way in range(len(WAYS)):
        for place, frames in enumerate(FRAME_CHOICES):
            for how in PRECISION_CHOICES:
                expected = budget.answering(spec, frames, how, reducer=WAYS[way].reducer)
                assert memory_by_tables(model, size, way, place, how) == expected, (WAYS[way], frames, how)


@pytest.mark.parametrize("model, size", SIZES)
def test_one_frame_more_than_the_most_does_not_fit(model, size):
    """Not by asking `budget.plan` again: by the memory and the tokens at its answer, and one frame further."""
    spec, tables = spec_of(model, size), TABLES["models"][model]["sizes"][size]
    room = TABLES["models"][model]["context"] - PROMPT - ANSWER
    for way in range(len(WAYS)):
        reducer = WAYS[way].reducer
        most = tables["byContext"][way]
        assert spec.tokens_of(most + 1, reducer) > room
        assert most == 0 or spec.tokens_of(most, reducer) <= room
        for card, planned in {card: int(SHARE * budget.card_bytes(card)) for card in CARDS}.items():
            for how in PRECISION_CHOICES:
                most = tables["byMemory"][card][how][way]
                assert most == LIMIT or budget.answering(spec, most + 1, how, reducer=reducer).total > planned
                assert most == 0 or budget.answering(spec, most, how, reducer=reducer).total <= planned


@pytest.mark.parametrize("model, size", SIZES)
def test_operations_are_those_of_lib_budget(model, size):
    spec, tables = spec_of(model, size), TABLES["models"][model]
    for way in range(len(WAYS)):
        per_frame = tables["sizes"][size]["encode"][way]
        assert [frames * per_frame for frames in FRAME_CHOICES] == [
            budget.encode_flops(projected(spec, WAYS[way].reducer), frames) for frames in FRAME_CHOICES
        ]
    none, one, square = tables["prefill"]
    for tokens in (1, 388, 4708, 10**6):
        assert none + one * tokens + square * tokens**2 == budget.prefill_flops(spec, tokens)


@pytest.mark.parametrize("model, way", [("7b", 1), ("34b", 1), ("onevision-0.5b", 4)])
def test_a_models_own_way_costs_what_the_model_costs(model, way):
    spec, reducer = MODELS[model], WAYS[way].reducer
    assert projected(spec, reducer) == spec
    assert [spec.tokens_of(frames, reducer) for frames in FRAME_CHOICES] == [
        spec.video_tokens(frames) for frames in FRAME_CHOICES
    ]


@cache
def read_by(way: int, side: int, frames: int) -> torch.Tensor:
    """(N, 6) of the reducer itself: frame, kind and box of each token."""
    reducer = WAYS[way].reducer
    if isinstance(reducer, LlamaVid):  # it needs a question; where its tokens come from does not
        frame, kind, box = origin(range(frames), [reducer.layout(side, side)] * frames, torch.device("cpu"))
    else:
        tokens = reducer(torch.zeros(frames, side, side, 1))
        frame, kind, box = tokens.frame, tokens.kind, tokens.box
    return torch.cat([frame[:, None], kind[:, None], box], dim=1)


def expand(layout: list) -> list[list[int]]:
    """What the page's script makes of a layout: [kind, box] of each token."""
    tokens = []
    for kind, rows, columns, newline in layout:
        for row in zip(rows[::2], rows[1::2], strict=True):
            tokens += [[kind, *row, *column] for column in zip(columns[::2], columns[1::2], strict=True)]
            tokens += [[Kind.NEWLINE, 0, 0, 0, 0]] * newline
    return tokens


@pytest.mark.parametrize("side", SIDES)
def test_tokens_see_what_the_reducer_says(side):
    for way in range(len(WAYS)):
        tables = TABLES["ways"][way]
        known = [expand(layout) for layout in tables["layouts"][str(side)]]
        for place, frames in enumerate(FRAME_CHOICES):
            assert tables["tokens"][str(side)][place] == WAYS[way].reducer.count(frames, side, side)
            if frames in (1, 4, 16, DRAWN):
                found = [
                    [frame, *token]
                    for first, count, layout in tables["pieces"][place]
                    for frame in range(first, first + count)
                    for token in known[layout]
                ]
                assert found == read_by(way, side, frames).tolist(), (WAYS[way], frames)


def test_pieces_go_as_far_as_the_picture():
    drawn = [frames for frames in FRAME_CHOICES if frames <= DRAWN]
    assert drawn[-1] == DRAWN and all(len(way["pieces"]) == len(drawn) for way in TABLES["ways"])


def test_content_tokens_that_leave_patches_out_are_drawn_without_them():
    """27 x 27 patches, "grid:4": windows of 6 x 6, and nothing of the last three rows and columns."""
    context, *content = expand(TABLES["ways"][-1]["layouts"]["27"][0])
    assert context == [Kind.CONTEXT, 0, 27, 0, 27] and len(content) == 16
    assert max(row1 for _, _, row1, _, _ in content) == max(token[-1] for token in content) == 24


def test_sizes_hold_the_one_that_the_model_was_trained_with():
    for name, model in TABLES["models"].items():
        assert model["sizes"][model["trained"]]["pixels"] == MODELS[name].vision.image_size


def test_milliseconds_are_those_of_the_bench():
    cases = json.loads(explorer.BENCH.read_text("utf-8"))["cases"]
    wanted = ("SpatialPool average", 24, 1024, "float32")
    expected = [
        [case["frames"], case["milliseconds"]["ours"]]
        for case in cases
        if (case["reducer"], case["side"], case["channels"], case["dtype"]) == wanted
    ]
    tables = TABLES["models"]["7b"]["sizes"]
    assert expected and tables[1]["milliseconds"]["1"] == expected
    assert tables[0]["milliseconds"] == {}  # nothing was measured with 224 pixels


def test_the_page_is_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(explorer, "PAGE", tmp_path / "explorer.html")
    explorer.write()
    assert explorer.PAGE.read_text("utf-8") == PAGE


def test_page_needs_no_other_file():
    assert not re.search(r"https?:|\bsrc=|@import|<link", PAGE)
    assert re.findall(r"url\(([^)]*)\)", PAGE) == ['"NanumSquareR.ttf"']  # for Hangul, where the machine has no font
    assert len(PAGE.encode()) < 400_000


def test_notebook_shows_the_page_and_nothing_else():
    shown = explorer.show()._repr_html_()
    assert html.unescape(re.search("srcdoc='([^']*)'", shown)[1]) == PAGE
    assert len(json.dumps(shown, ensure_ascii=False).encode()) < 120_000  # lesson 02 has to stay below 400 kB
