"""`make gpu-check` without a GPU: it says so; and each of its parts, on a small model and a CPU."""

import json
import subprocess
import sys
from pathlib import Path

import gpu_check
import pytest
import torch
from gpu_check import Case

from lib import budget, finetune
from lib.budget import ModelSpec
from lib.finetune.fakes import Held
from lib.known import CONFIGS, GIB
from lib.tools import doctor

ROOT = Path(__file__).resolve().parent.parent


def small_settings(vocabulary=640):
    """LLaVA-NeXT-Video-7B, shrunk in such a way that its proportions stay: 112-pixel frames of 8 x 8 patches."""
    settings = CONFIGS[gpu_check.NAME] | {"video_token_index": 600, "image_token_index": 601}
    text = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "vocab_size": vocabulary}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    vision = {"image_size": 112, "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 4}
    return settings | {
        "text_config": settings["text_config"] | text | heads,
        "vision_config": settings["vision_config"] | vision | {"num_attention_heads": 4},
    }


def build(precision="nf4-double", **text):
    torch.manual_seed(0)
    return gpu_check.build(small_settings(**text), precision, torch.bfloat16, "cpu")


def test_without_a_gpu_it_says_so_in_one_sentence_and_exits_with_2():
    done = subprocess.run(
        [sys.executable, "tests/gpu_check.py"], cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{gpu_check.NO_GPU}\n")
    assert not gpu_check.REPORT.exists() or json.loads(gpu_check.REPORT.read_text())["machine"]["device"] == "cuda"


def test_held_counts_to_the_byte_what_is_there_at_one_time():
    kept = torch.ones(1000)
    with Held() as held:
        first = kept + 1
        second = first.view(10, 100) * 2
        del first
        third = second.neg()
    assert (held.peak, held.now) == (8000, 8000)  # a view holds nothing of its own, what was there before neither
    del second, third
    assert held.now == 0


@pytest.mark.parametrize("precision", ["bfloat16", "nf4-double", "nf4"])
def test_a_built_model_weighs_what_the_formula_says(precision):
    vlm = build(precision)
    spec = ModelSpec.from_config(vlm.model.config)
    assert gpu_check.stored_bytes(vlm.model) == budget.weight_bytes(spec, precision, keep_vision=True)
    assert {weight.device.type for weight in vlm.model.parameters()} == {"cpu"}
    if precision != "bfloat16":
        finetune.add_lora(vlm, rank=4)
        adapters = sum(weight.nbytes for weight in finetune.trainable(vlm).values())
        assert adapters == 4 * budget.adapter_parameters(spec, rank=4)
        assert gpu_check.stored_bytes(vlm.model) - adapters == budget.training_weight_bytes(spec, precision)


def test_building_in_4_bits_never_holds_the_whole_model():
    with Held() as held:
        vlm = build("nf4-double")
    spec = ModelSpec.from_config(vlm.model.config)
    whole = 2 * spec.language.linears  # the matrices in 16 bits, of which only one may be there at a time
    assert held.now < held.peak < budget.weight_bytes(spec, "nf4-double", keep_vision=True) + whole


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("frames", "answer"), [(1, 150), (100, 2)], ids=["writing", "reading"])
def test_answering_needs_what_the_formula_says(attention, frames, answer):
    """Beyond the weights. The clip is encoded before: on a CPU its pixels, which a GPU never sees, would count too."""
    vlm, precision = build("bfloat16"), "bfloat16"
    vlm.model.set_attn_implementation(attention)
    features = torch.zeros(frames, 8, 8, 64, dtype=torch.bfloat16)
    text = len(vlm.tokenizer(vlm.prompt("What moves?")).input_ids) - 1
    with Held() as held:
        vlm.answer(features, "What moves?", max_new_tokens=answer)
    spec = ModelSpec.from_config(vlm.model.config)
    memory = budget.answering(spec, frames, precision, attention, text, answer)
    assert held.peak == pytest.approx(memory.cache + memory.activations, rel=0.02)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("frames", [1, 12])
def test_encoding_needs_what_the_formula_says(attention, frames):
    vlm = build("bfloat16")
    vlm.model.set_attn_implementation(attention)
    pixels = torch.zeros(frames, 3, 112, 112, dtype=torch.bfloat16)
    with Held() as held, torch.no_grad():
        vlm.features_of(pixels)
    spec = ModelSpec.from_config(vlm.model.config)
    estimate = budget.vision_working_bytes(spec, frames, "bfloat16", attention)
    assert held.peak + pixels.nbytes == pytest.approx(estimate, rel=0.02)


@pytest.mark.parametrize("vocabulary", [640, 6400])
@pytest.mark.parametrize("task", ["train", "train, checkpointing"])
def test_a_step_of_qlora_needs_what_the_formula_says(monkeypatch, task, vocabulary):
    """Beyond the weights and the moments, which were there: activations, and of LoRA 16-bit copies (2 bytes) and the
    last step's gradients (4), which with checkpointing are gone at the peak."""
    monkeypatch.setattr("gpu_check.compute_dtype", lambda device: torch.bfloat16)  # as on a GPU
    vlm = build(vocabulary=vocabulary)
    finetune.add_lora(vlm, rank=4)
    found = gpu_check.measure(vlm, Case(task, "nf4-double", "sdpa", 8))
    spec = ModelSpec.from_config(vlm.model.config)
    memory = Case(task, "nf4-double", "sdpa", 8).estimate(spec, 1)
    adapters = (6 if task == "train" else 2) * budget.adapter_parameters(spec, rank=4)
    held = found["peak"] - gpu_check.stored_bytes(vlm.model)
    assert held == pytest.approx(memory.activations + adapters, rel=0.03)


def test_a_case_that_does_not_fit_is_tried_on_the_larger_card(monkeypatch):
    tried = []

    def peak_of(call, vlm):
        tried.append(call)
        if len(tried) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 3

    monkeypatch.setattr(gpu_check, "peak_of", peak_of)
    found = gpu_check.measure(build(), Case("answer", "nf4-double", "sdpa", 2))
    assert (found["peak"], found["fits"]) == (3, {"T4": False, "L4": True})
    assert found["expected"] == {"T4": True, "L4": True}
    assert "measured 0.00 GiB" in gpu_check.line(found)


def test_the_process_is_held_to_the_memory_of_the_card(monkeypatch):
    shares = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 142 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    for card in ("T4", "H200"):
        with gpu_check.limited(card):
            pass
    assert shares == pytest.approx([14.25 / 142, 1.0, 139.3 / 142, 1.0])


def test_all_of_it_on_a_cpu_and_the_report_is_read_by_the_lessons(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gpu_check.compute_dtype", lambda device: torch.bfloat16)
    monkeypatch.setattr(gpu_check, "ANSWER", 2)
    wanted = [Case("answer", "nf4-double", "sdpa", 2), Case("train, checkpointing", "nf4-double", "sdpa", 2)]
    sizes = {"frames": 2, "shape": (4, 8, 8, 32), "copied": 2**20}
    path = tmp_path / "measured" / "gpu.json"
    report = gpu_check.check(small_settings(), wanted, torch.bfloat16, "cpu", path, **sizes)
    assert json.loads(path.read_text()) == report and [file.name for file in path.parent.iterdir()] == ["gpu.json"]
    assert [case["task"] for case in report["memory"]] == [case.task for case in wanted]
    methods = ["LLaVA-NeXT-Video", "SlowFast-LLaVA", "LLaVA-Video", "LLaMA-VID"]
    assert [row["method"] for row in report["speed"]] == methods
    assert all(row["read_per_second"] > 0 and row["written_per_second"] > 0 for row in report["speed"])
    assert all(row["milliseconds"] > 0 and row["floor"] > 0 for row in report["reducers"]) and report["reducers"]
    lines = doctor.measured_lines(path)
    assert "2 cases" in lines[0] and report["machine"]["date"] in lines[0]
    assert capsys.readouterr().out


def test_the_cases_of_the_7b_are_those_that_were_asked_for():
    wanted = gpu_check.cases()
    answers = {(case.precision, case.attention, case.frames) for case in wanted if case.task == "answer"}
    assert len(answers) == 20 and {frames for _, _, frames in answers} == {4, 8, 16, 32, 56}
    assert {case.task for case in wanted} == {"answer", "train", "train, checkpointing"}
