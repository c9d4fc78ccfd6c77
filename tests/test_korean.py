"""What `make korean` made: the shipped adapter, and what the models said; the goals that the lesson states."""

import json
import re
from dataclasses import replace

import pytest
import torch

from lib.data import Collator, Features, captioning, toybox_videos
from lib.evaluate import measure, paired
from lib.evaluate.metrics import CHRF_PP, EXACT, FACTS_RIGHT
from lib.exercises.challenges import HELD_BACK
from lib.finetune import Plan, add_lora, load_adapter, trainable
from lib.vlm import load
from lib.vlm.loading import digest
from lib.workshop import korean, korean_curve, korean_live
from lib.workshop.korean import SHIPPED_WAY, TRAINING_WAYS, TrainingWay


@pytest.fixture(scope="session")
def results():
    return korean.read_korean()


@pytest.fixture(scope="session")
def said(results):
    """(way, language) -> its records."""
    return {
        (name, language): korean.records({name: result}, language)
        for name, result in results.items()
        for language in ("ko", "en")
    }


def test_the_file_is_of_these_weights_and_holds_every_clip(results):
    assert list(results) == [way.name for way in (*TRAINING_WAYS, SHIPPED_WAY)]
    for way in (*TRAINING_WAYS, SHIPPED_WAY):
        result = results[way.name]
        assert len(result.korean) == len(result.english) == len(result.right) == len(korean.TESTED_ON)
        assert len(result.losses) == way.plan.steps


def test_numbers_that_may_change(results):
    lora = 4 * 16 * (4 * (128 + 128) + 3 * (128 + 384))
    with_lora = [way.name for way in (*TRAINING_WAYS, SHIPPED_WAY) if "lora" in way.method]
    assert len(with_lora) == 5 and {results[name].numbers for name in with_lora} == {lora}
    assert results["projector only"].numbers == 96 * 128 + 128 + 128 * 128 + 128
    assert results["zero-shot"].numbers == 0 < lora < results["full fine-tuning"].numbers
    assert results["QLoRA"].model_bytes < 0.7 * results["LoRA"].model_bytes


def test_the_goals(said):
    def score(metric, name, language):
        return measure(metric, said[name, language]).mean

    assert score(CHRF_PP, "zero-shot", "ko") < 30
    assert score(CHRF_PP, "shipped", "ko") >= 85
    assert score(FACTS_RIGHT, "shipped", "ko") >= 0.95
    assert score(FACTS_RIGHT, "shipped", "en") > score(FACTS_RIGHT, "zero-shot", "en") - 0.03
    assert score(EXACT, "shipped", "en") > score(EXACT, "zero-shot", "en") - 0.03
    assert paired(FACTS_RIGHT, said["QLoRA", "ko"], said["LoRA", "ko"]).gap.mean > -0.01
    assert score(FACTS_RIGHT, "LoRA without English", "en") < score(FACTS_RIGHT, "zero-shot", "en") - 0.2


def test_the_shipped_adapter_says_what_the_file_says(results):
    vlm = load("tiny", device="cpu")
    adapter = load_adapter(vlm, korean.ADAPTER)
    videos = toybox_videos(korean.TESTED_ON[:20])
    spoken, english, right = korean.examine(vlm, Features(vlm, korean.KOREAN_FRAMES), videos)
    kept = results["shipped"]
    same = [spoken[i] == kept.korean[i] for i in range(20)] + [english[i] == kept.english[i] for i in range(20)]
    assert sum(same) >= 38  # another processor may tip a tie
    assert sum(row == other for row, other in zip(right, kept.right, strict=False)) >= 19
    assert adapter.peft_config["default"].base_model_name_or_path == "tiny"


def test_the_card_is_of_the_file(results):
    assert (korean.ADAPTER / "README.md").read_text(encoding="utf-8") == korean.adapter_card(results)


def test_each_way_starts_with_what_it_may_change():
    for method, part in (("projector", "multi_modal_projector"), ("lora", "lora_"), ("qlora", "lora_")):
        vlm, adapter = TrainingWay("some", method).start()
        assert trainable(vlm) and all(part in name for name in trainable(vlm))
        assert (adapter is not None) == (part == "lora_")
    assert getattr(TrainingWay("some", "qlora").start()[0].model, "is_loaded_in_4bit", False)


def test_examples_are_mixed_by_the_way():
    way = TrainingWay("some", "lora", Plan(steps=10, batch=4), english=0.25)
    videos = toybox_videos(range(8))
    prompts = [example.prompt for example in way.examples(videos)]
    korean_ones, captions = prompts.count("영상을 설명하십시오."), prompts.count("Describe the video.")
    assert len(prompts) == 40 and korean_ones == 30 and 0 < captions < 10  # the rest are questions
    only_captions = replace(way, questions=False).examples(videos)
    assert [example.prompt for example in only_captions].count("Describe the video.") == 10


def test_training_and_examining_in_small(tmp_path, monkeypatch):
    monkeypatch.setattr(korean, "TRAINED_ON", range(10**6, 10**6 + 4))
    monkeypatch.setattr(korean, "TESTED_ON", range(2))
    threads = torch.get_num_threads()
    way = TrainingWay("a way", "lora", Plan(steps=2, batch=2))
    first = korean.train_and_examine(way, tmp_path, tmp_path / "adapter")
    again = korean.train_and_examine(way, tmp_path)  # goes on where the checkpoint stands: at the end
    torch.set_num_threads(threads)
    assert first == again and len(first.losses) == 2 and len(first.korean) == 2
    load_adapter(load("tiny"), tmp_path / "adapter")


@pytest.mark.parametrize("change, words", [
    (lambda text: text[:-20], "is cut off: restore it with git, or run `make korean`"),
    (lambda text: text.replace(digest(), "0" * 64), "measured with other weights or ways"),
    (lambda text: text.replace('"QLoRA"', '"another"'), "measured with other weights or ways"),
])  # fmt: skip
def test_a_file_that_is_damaged_or_of_others_is_refused(tmp_path, results, change, words):
    korean.write_korean(results, tmp_path / "korean.json")
    assert korean.read_korean(tmp_path / "korean.json") == results
    (tmp_path / "korean.json").write_text(change((tmp_path / "korean.json").read_text(encoding="utf-8")), "utf-8")
    with pytest.raises(ValueError, match=re.escape(words)):
        korean.read_korean(tmp_path / "korean.json")


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="run `make korean`"):
        korean.read_korean(tmp_path / "none.json")


def test_the_adapter_names_its_base():
    base = json.loads((korean.ADAPTER / "base.json").read_text())
    assert base == {"base": "tiny", "sha256": digest()}


# ---------------------------------------------------------------- learning rates, and facts against steps


def test_the_curve_is_of_these_weights_and_holds_every_run():
    *made, shipped = korean_curve.read_curve()
    assert [(run.method, run.steps, run.rate) for run in made] == korean_curve.planned_runs()
    assert (shipped.method, shipped.steps, shipped.rate) == ("lora", 7000, korean_curve.CURVE_RATE)
    assert {len(run.facts) for run in (*made, shipped)} == {len(korean.TESTED_ON)}
    assert {run.tokens for run in made if run.steps == korean_curve.SWEEP_STEPS} == {88}
    assert {run.tokens for run in (*made, shipped) if run.steps != korean_curve.SWEEP_STEPS} == {184}
    taken = {way.method: way.plan.learning_rate for way in TRAINING_WAYS[1:5]}
    assert {method: rates[1] for method, rates in korean_curve.SWEEP_RATES.items()} == taken


def test_scores_of_the_curve_are_those_of_the_records(results):
    shipped, by_name = korean_curve.shipped_run(), {}
    for name in ("shipped", "QLoRA"):
        by_name[name] = korean.records({name: results[name]}, "ko")
    assert shipped.share == pytest.approx(measure(FACTS_RIGHT, by_name["shipped"]))
    other = shipped._replace(facts=korean_curve.facts_of(by_name["QLoRA"]))
    gap = paired(FACTS_RIGHT, by_name["shipped"], by_name["QLoRA"]).gap
    assert shipped.minus(other).mean == pytest.approx(gap.mean)
    assert shipped.minus(other) == pytest.approx(gap, abs=0.01)  # the clips are redrawn in another order


def test_runs_that_are_there_are_not_made_again(tmp_path, monkeypatch, capsys):
    file = tmp_path / "curve.json"
    monkeypatch.setattr(korean_curve, "TRAINED_ON", range(10**6, 10**6 + 4))
    monkeypatch.setattr(korean_curve, "TESTED_ON", range(2))
    monkeypatch.setattr(korean_curve, "SWEEP_STEPS", 1)
    monkeypatch.setattr(korean_curve, "planned_runs", lambda: [("lora", 2, 1e-3), ("projector", 1, 1e-2)])
    monkeypatch.setattr("sys.argv", ["korean_curve", f"--file={file}", f"--folder={tmp_path}"])
    threads = torch.get_num_threads()
    korean_curve.main()
    torch.set_num_threads(threads)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["lora 2 steps at 0.001", "projector 1 steps at 0.01"]
    made = korean_curve.read_runs(file)
    assert [(run.steps, run.tokens) for run in made] == [(2, 184), (1, 88)] and len(made[0].facts) == 2
    assert made[0].loss > 0
    korean_curve.main()
    assert capsys.readouterr().out == ""
    file.write_text(file.read_text().replace(digest(), "0" * 64))
    with pytest.raises(ValueError, match="measured with other weights"):
        korean_curve.read_runs(file)


def test_the_short_run_of_the_lesson():
    """Most of its steps on few tokens, the last on as many as are used afterwards."""
    (few, cheap), (view, last) = korean.LIVE
    assert few.count(16, 8, 8) == 88 < view.count(16, 8, 8) == 184 and view is korean.VIEW
    assert cheap.steps > last.steps and last.warmup == 0


# ---------------------------------------------------------------- the short run with other settings


def test_the_tries_are_of_these_weights_and_on_clips_of_their_own():
    runs = korean_live.read_live()
    assert [run.name for run in runs] == [one.name for one in korean_live.TRIES]
    assert {len(run.facts) for run in runs} == {len(korean_live.TUNED_ON)}
    assert not {*korean_live.TUNED_ON} & {*korean.TESTED_ON, *HELD_BACK, *korean.TRAINED_ON}


def test_the_first_try_is_the_lessons_short_run():
    first, stages = korean_live.TRIES[0], korean.LIVE
    assert [plan.steps for _, plan in stages] == list(first.steps) and not first.packed and first.times == 1
    assert {plan.learning_rate for _, plan in stages} == {first.rate} and stages[0][1].warmup == first.warmup


def test_a_packed_batch_has_the_loss_of_its_captions_one_by_one():
    vlm = load("tiny")
    collate = Collator(vlm, korean.FEW, Features(vlm, 16))
    videos = toybox_videos([7, 8, 9])
    some, english = captioning(videos, "ko"), captioning(videos, "en")
    with torch.no_grad():
        for step in (0, 4):
            packed = korean_live.packed_loss(vlm, some, collate, step)
            apart = korean_live.plain_loss(vlm, [*some, english[step % 3]], collate)
            assert packed.item() == pytest.approx(apart.item(), rel=1e-4)


def test_a_try_decides_batch_and_view(monkeypatch):
    vlm, seen = load("tiny"), []
    add_lora(vlm)

    def spied(vlm, some, collate):
        seen.append((len(some), collate.reducer.count(16, 8, 8)))
        return sum((weight**2).sum() for weight in trainable(vlm).values())

    monkeypatch.setattr(korean_live, "plain_loss", spied)
    one = replace(korean_live.TRIES[0], steps=(2, 1), batch=3, first=korean_live.FEWER)
    assert len(korean_live.train_live(vlm, one, Features(vlm, 16))) == 3
    assert seen == [(3, 46), (3, 46), (3, 184)]


def test_b_learns_faster_than_a_where_the_try_says_so():
    vlm = load("tiny")
    add_lora(vlm)
    optimizer = korean_live.live_optimizer(vlm, replace(korean_live.TRIES[0], rate=1e-3, times=4))
    names = {weight: name for name, weight in trainable(vlm).items()}
    rates = {names[weight]: group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    assert len(rates) == 56 and {rate for name, rate in rates.items() if "lora_A" in name} == {1e-3}
    assert {rate for name, rate in rates.items() if "lora_B" in name} == {4e-3}


def test_tries_that_are_there_are_not_made_again(tmp_path, monkeypatch, capsys):
    file = tmp_path / "live.json"
    short = replace(korean_live.TRIES[0], name="short", steps=(2, 1), clips=4)
    monkeypatch.setattr(korean_live, "TRIES", (short, replace(short, name="packed", packed=True)))
    monkeypatch.setattr(korean_live, "TUNED_ON", range(70_000, 70_002))
    monkeypatch.setattr("sys.argv", ["korean_live", f"--file={file}"])
    threads = torch.get_num_threads()
    korean_live.main()
    torch.set_num_threads(threads)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["short", "packed"]
    runs = korean_live.read_live(file)
    assert all(len(run.facts) == 2 and run.seconds > 0 for run in runs) and runs[0].minus(runs[0]).mean == 0
    korean_live.main()
    assert capsys.readouterr().out == ""
    file.write_text(file.read_text().replace(digest(), "0" * 64))
    with pytest.raises(ValueError, match="measured with other weights"):
        korean_live.read_live(file)
