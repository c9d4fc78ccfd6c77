"""lib.finetune.trace counts what is really held, its table is what it counts, and the plan agrees with the table."""

import bitsandbytes as bnb
import gpu_check
import pytest
import torch
from test_gpu_check import build, small_settings
from torch._subclasses.fake_tensor import FakeTensor

from lib import finetune
from lib.finetune import fakes, trace
from lib.finetune.fakes import Held
from lib.known import CONFIGS, HUB_IDS
from lib.reducers import SlowFastLlava, SpatialPool
from lib.reducers.spatial_pool import pooled_origin

REPORT = trace.read_table()
ROWS = REPORT["rows"]
FAST = [
    next(row for row in ROWS if row["task"] == task and row["model"] == model and row["frames"] == frames and last(row))
    for task, model, frames, last in (
        ("answering", "onevision-0.5b", 4, lambda row: row["attention"] == "eager"),
        ("answering", "7b", 56, lambda row: row["attention"] == "sdpa"),
        ("answering", "7b", 8, lambda row: row["batch"] == 4),
        ("training", "7b", 4, lambda row: not row["checkpointing"]),
    )
]


def case_of(row):
    return {name: value for name, value in row.items() if name not in ("planned", "traced")}


def name_of(row):
    return "-".join(str(value) for value in case_of(row).values())


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize("row", FAST, ids=name_of)
def test_the_table_is_what_is_traced(row):
    assert trace.traced(**case_of(row)) == pytest.approx(row["traced"], rel=0.005)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_the_plan_is_within_5_percent_of_the_trace(row):
    assert trace.planned(**case_of(row)) == row["planned"], "run `make traced`"
    assert row["planned"] == pytest.approx(row["traced"], rel=0.05)


def test_the_table_has_every_case():
    assert [case_of(row) for row in ROWS] == list(trace.cases())
    for name in ("task", "precision", "attention", "checkpointing", "batch"):
        assert len({row.get(name) for row in ROWS} - {None}) >= 2, name
    assert {HUB_IDS[row["model"]] for row in ROWS} == set(HUB_IDS.values())
    assert {row["frames"] for row in ROWS} >= {4, 8, 16, 56}
    assert CONFIGS["llava-hf/LLaVA-NeXT-Video-7B-DPO-hf"] == CONFIGS[HUB_IDS["7b"]]  # so its rows would be the same


def test_the_steps_of_lesson_08_are_what_is_traced(monkeypatch):
    steps = REPORT["steps of the 7B"]
    assert [(row["method"], row["precision"], row["checkpointing"]) for row in steps] == list(trace.STEPS_OF_7B)
    monkeypatch.setattr(trace, "STEPS_OF_7B", trace.STEPS_OF_7B[:1])  # the one that takes least time
    (full,) = trace.traced_steps()
    assert full["parts"] == pytest.approx(steps[0]["parts"], rel=0.005)


# ---------------------------------------------------------------- the same bytes as real tensors


@pytest.fixture
def exact(monkeypatch):
    """As on this CPU: no rounding, 4-bit matrices unpacked out of sight, a softmax that copies first."""
    monkeypatch.setattr(fakes.FakeHeld, "block", 1)
    monkeypatch.setattr(fakes, "FUSED_ROWS", 10**9)


def stored(model):
    return gpu_check.stored_bytes(model.model) + sum(tensor.nbytes for tensor in model.model.buffers())


@pytest.mark.parametrize(
    ("attention", "frames", "answer", "batch"),
    [("sdpa", 40, 2, 1), ("eager", 40, 2, 1), ("eager", 3, 2, 3), ("sdpa", 1, 150, 1)],
)
def test_an_answer_holds_what_was_traced(exact, attention, frames, answer, batch):
    """Byte for byte, but for the tables of a reducer, which are made once; real ones over all words of the answer."""
    model = build("bfloat16")
    model.model.set_attn_implementation(attention)
    clips = [torch.zeros(frames, 8, 8, 64, dtype=torch.bfloat16)] * batch
    text = len(model.tokenizer(model.prompt("What moves?")).input_ids) - 1
    with Held() as held:
        model.answers(clips, ["What moves?"] * batch, max_new_tokens=answer)
    settings = {"prompt": text, "answer": answer, "batch": batch}
    found = trace.trace_answering(small_settings(), frames, "bfloat16", attention, **settings)
    assert found.weights == stored(model)
    assert held.peak == pytest.approx(found.activations, rel=0.01)


@pytest.mark.parametrize(
    ("attention", "checkpointing", "batch"),
    [("sdpa", True, 1), ("eager", True, 1), ("sdpa", False, 2), ("eager", False, 2)],
)
def test_a_step_holds_what_was_traced(exact, monkeypatch, attention, checkpointing, batch):
    """Byte for byte where no table of a reducer is made."""
    model, reducer = build("nf4-double"), SpatialPool()
    finetune.add_lora(model, rank=4)
    model.model.set_attn_implementation(attention)
    optimizer, _ = trace.optimizer_of(list(finetune.trainable(model).values()))
    inputs = trace.inputs_of(model, reducer, (6, 8, 8, 64), 150, batch)
    model.model.train()
    with model.looking_through(reducer), finetune.train.checkpointing(model, checkpointing), Held() as held:
        trace.training_step(model, optimizer, inputs, torch.bfloat16)
    settings = {"checkpointing": checkpointing, "batch": batch, "prompt": 0, "answer": 150, "rank": 4}
    monkeypatch.setitem(trace.DTYPES, "nf4-double", torch.bfloat16)
    found = trace.trace_training(small_settings(), 6, attention=attention, **settings)
    given = sum(tensor.nbytes for tensor in inputs.values()) - inputs["labels"].nbytes
    assert held.peak + given == pytest.approx(found.activations, rel=0.01)
    adapters = sum(weight.nbytes for weight in finetune.trainable(model).values())
    tables = 4 * (16 + 256 + 1) * 7 * 4  # of each 4-bit matrix, which no formula counts
    assert found.weights == stored(model) - adapters + tables
    assert found.adapters == pytest.approx(3 * adapters, rel=0.01)  # and a step count for each weight


def test_a_step_of_full_fine_tuning_by_its_parts():
    """Projector and language model in float32, each with a gradient and two moments; the tower stays as it is."""
    model = build("float16")
    finetune.all_but_tower(model)
    trained = sum(weight.nbytes for weight in finetune.trainable(model).values())
    parts = trace.trace_step("full", small_settings(), 6, "float16", prompt=0, answer=150)
    assert parts.trained == parts.gradients == trained > parts.frozen > 0
    assert parts.moments == pytest.approx(2 * trained, rel=0.01)
    lora = trace.trace_step("lora", small_settings(), 6, "float16", prompt=0, answer=150, rank=4)
    assert 0 < lora.trained < parts.trained and lora.moments == pytest.approx(2 * lora.trained, rel=0.01)
    found = trace.trace_training(small_settings(), 6, "float16", prompt=0, answer=150, rank=4)
    assert found.tensors == sum(lora) and found.weights == lora.frozen


# ---------------------------------------------------------------- fakes


def test_a_gpu_is_counted_in_blocks_and_with_an_unpacked_matrix(monkeypatch):
    """One of 384 x 128 in 16 bits, while the decoder reads few tokens."""
    settings = {"prompt": 20, "answer": 2}
    whole = trace.trace_answering(small_settings(), 1, "nf4-double", **settings).activations
    monkeypatch.setattr(fakes, "FUSED_ROWS", 10**9)
    packed = trace.trace_answering(small_settings(), 1, "nf4-double", **settings).activations
    assert 0 < whole - packed <= 2 * 384 * 128 and whole % 512 == 0


def test_a_reducer_decides_how_much_is_read():
    slowfast = SlowFastLlava.from_spec("slowfast-slow_4frms_spatial_1d_max_pool-fast_4x4")
    few, many = (trace.trace_answering(small_settings(), 32, reducer=way) for way in (slowfast, SpatialPool(1)))
    assert few.activations < many.activations / 2


def test_nothing_fake_is_left_where_real_code_finds_it(monkeypatch):
    """Reducers keep their tables, bitsandbytes its own."""
    pooled_origin.cache_clear()
    monkeypatch.delitem(bnb.functional.name2qmap, "dynamic", raising=False)
    trace.trace_training(small_settings(), 2, rank=2)
    model = build("nf4-double")
    tokens = model.default_reducer(torch.zeros(2, 8, 8, 64), lambda features: features)
    assert not isinstance(tokens.frame, FakeTensor) and tokens.box.max() == 8
    assert model.answer(torch.zeros(2, 8, 8, 64), "What moves?", max_new_tokens=1) is not None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trace.trace_answering("13b", 8), "unknown model '13b': choose one of llava-hf/"),
        (
            lambda: trace.trace_answering("7b", 8, "int8"),
            "unknown precision 'int8': choose one of float16, bf",
        ),
        (lambda: trace.trace_answering("34b", 29), "exceed the context of 4096: use at most 25 frames"),
        (lambda: trace.trace_training(small_settings(), 9000), "exceed the context"),
        (lambda: trace.trace_step("half", small_settings(), 8), "unknown method 'half': choose one of lora, full"),
    ],
)
def test_bad_arguments_name_the_fix(call, message):
    with pytest.raises(ValueError, match=message):
        call()
