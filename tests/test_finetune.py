"""Fine-tuning: what may change, the loop against transformers and TRL, interruptions, damaged files, adapters."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from datasets import Dataset
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import get_cosine_schedule_with_warmup
from trl import SFTConfig, SFTTrainer

from lib import finetune, vlm
from lib.data import Collator, Features, captioning, toybox_videos
from lib.files import write_text
from lib.finetune import Plan, Step, add_lora, fit, train
from lib.reducers import LlamaVid, LlavaVideo, SpatialPool
from lib.workshop import korean

ROOT = Path(__file__).resolve().parent.parent
REDUCER = SpatialPool(4)
PLAN = Plan(steps=6, batch=2, learning_rate=1e-2, warmup=2)
LANGUAGE_LAYERS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.fixture
def fresh(random_vlm_folder):
    """A model that a test may change."""
    return vlm.load(random_vlm_folder)


@pytest.fixture(scope="session")
def examples():
    videos = toybox_videos(range(10**6, 10**6 + 6))
    return finetune.mixed(captioning(videos, "ko"), captioning(videos, "en"), PLAN.examples, 0.5)


def collator(model):
    return Collator(model, REDUCER, Features(model, frames=2))


def weights_of(model):
    return {name: weight.detach().clone() for name, weight in finetune.trainable(model).items()}


# What may change


def sites(model, targets):
    """Where peft puts adapters for these targets."""
    from peft import LoraConfig, get_peft_model

    with finetune.without_deprecations():
        get_peft_model(model, LoraConfig(r=2, target_modules=targets))
    return [name.removesuffix(".lora_A") for name, _ in model.named_modules() if name.endswith("lora_A")]


def test_adapters_only_on_the_language_model_and_on_all_of_it(fresh):
    hit = sites(fresh.model, finetune.language_targets(fresh.model))
    assert len(hit) == 2 * len(LANGUAGE_LAYERS)
    assert {name.rsplit(".")[-1] for name in hit} == LANGUAGE_LAYERS
    assert all(".language_model.layers." in name for name in hit)


def test_the_usual_list_also_hits_clip(fresh):
    hit = sites(fresh.model, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
    assert sum("vision_tower" in name for name in hit) == 3 * 3  # q, k and v of three layers
    assert finetune.parts_hit(fresh.model) == {"vision_tower": 9, "multi_modal_projector": 0, "language_model": 14}


def test_targets_of_the_other_family(random_onevision):
    pattern = finetune.language_targets(random_onevision.model)
    linear = [name for name, module in random_onevision.model.named_modules() if isinstance(module, nn.Linear)]
    hit = [name for name in linear if re.fullmatch(pattern, name)]
    assert len(hit) == 14 and all("language_model" in name for name in hit)


def test_what_each_way_of_training_may_change(fresh):
    finetune.projector_only(fresh)
    assert all("multi_modal_projector" in name for name in finetune.trainable(fresh))
    finetune.all_but_tower(fresh)
    names = list(finetune.trainable(fresh))
    assert not any("vision_tower" in name or "newline" in name for name in names)
    assert any("lm_head" in name for name in names) and any("embed_tokens" in name for name in names)
    add_lora(fresh, rank=2)
    assert all("lora_" in name for name in finetune.trainable(fresh))


def test_weights_that_change_are_float32(random_vlm_folder):
    half = vlm.load(random_vlm_folder, dtype=torch.bfloat16)
    finetune.projector_only(half)
    assert {weight.dtype for weight in finetune.trainable(half).values()} == {torch.float32}
    assert half.model.model.language_model.embed_tokens.weight.dtype == torch.bfloat16


def test_a_new_adapter_changes_nothing(fresh, make_frames):
    before = fresh.logits(make_frames(2), fresh.prompt("What?"))
    add_lora(fresh)
    torch.testing.assert_close(fresh.logits(make_frames(2), fresh.prompt("What?")), before, rtol=0, atol=0)


def test_the_same_seed_the_same_adapter(random_vlm_folder):
    def first(seed):
        model = vlm.load(random_vlm_folder)
        add_lora(model, seed=seed)
        return weights_of(model)

    one, again, other = first(1), first(1), first(2)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


# 4 bits


def in_four_bits(model):
    return [name for name, module in model.named_modules() if isinstance(module, Linear4bit)]


def test_short_names_would_not_keep_the_tower_whole(random_vlm_folder, monkeypatch):
    long = in_four_bits(vlm.load(random_vlm_folder, four_bit=True).model)
    assert len(long) == 14 and all("language_model" in name for name in long)

    def short(dtype, config=vlm.four_bit_config):
        settings = config(dtype)
        settings.llm_int8_skip_modules = ["vision_tower", "multi_modal_projector", "lm_head"]
        return settings

    monkeypatch.setattr("lib.vlm.loading.four_bit_config", short)
    names = in_four_bits(vlm.load(random_vlm_folder, four_bit=True).model)
    assert any("vision_tower" in name for name in names) and any("multi_modal_projector" in name for name in names)


def test_qlora_learns_and_leaves_the_four_bits_alone(random_vlm_folder, examples):
    model = vlm.load(random_vlm_folder, four_bit=True)
    add_lora(model, rank=4)
    stored = {name: weight.clone() for name, weight in model.model.named_parameters() if not weight.requires_grad}
    log = fit(model, collator(model), examples, replace(PLAN, steps=5))
    assert log[-1].loss < log[0].loss - 0.3
    after = dict(model.model.named_parameters())
    assert all(torch.equal(after[name], before) for name, before in stored.items())


def test_four_bits_cannot_be_trained_themselves(random_vlm_folder):
    with pytest.raises(ValueError, match="4 bits, which cannot be trained: load it without four_bit"):
        finetune.all_but_tower(vlm.load(random_vlm_folder, four_bit=True))


# The loop


def by_hand(model, collate, examples, plan):
    """The loop of lesson 08: its losses and learning rates."""
    weights = list(finetune.trainable(model).values())
    optimizer, told = torch.optim.AdamW(weights, plan.learning_rate, weight_decay=0), []
    schedule = get_cosine_schedule_with_warmup(optimizer, plan.warmup, plan.steps)
    model.model.train()
    for step in range(plan.steps):
        with model.looking_through(collate.reducer):
            loss = model.model(**collate(examples[step * plan.batch : (step + 1) * plan.batch])).loss
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        told.append((loss.item(), schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return told


def by_trl(model, adapter, collate, examples, plan, folder):
    """TRL's SFTTrainer: losses and learning rates."""

    def of_numbers(rows):
        return collate([examples[row["number"]] for row in rows])

    settings = dict(
        output_dir=str(folder), max_steps=plan.steps, per_device_train_batch_size=plan.batch, learning_rate=1e-2,
        lr_scheduler_type="cosine", warmup_steps=plan.warmup, logging_steps=1, save_strategy="no", report_to="none",
        train_sampling_strategy="sequential", remove_unused_columns=False, disable_tqdm=True, bf16=False, use_cpu=True,
        max_length=None, dataset_kwargs={"skip_prepare_dataset": True}, gradient_checkpointing=False,
    )  # fmt: skip
    data = Dataset.from_dict({"number": range(len(examples))})  # TRL takes no list, and a Dataset holds no videos
    with finetune.without_deprecations(), model.looking_through(REDUCER):
        trainer = SFTTrainer(
            adapter,
            SFTConfig(**settings),
            data_collator=of_numbers,
            train_dataset=data,
            processing_class=model.tokenizer,
        )
        trainer.train()
    return [(line["loss"], line["learning_rate"]) for line in trainer.state.log_history if "loss" in line]


@pytest.mark.parametrize("way", ["by hand", "TRL"])
def test_the_same_curve_as_other_loops(way, random_vlm_folder, examples, tmp_path, capsys):
    model, twin = vlm.load(random_vlm_folder), vlm.load(random_vlm_folder)
    add_lora(model, rank=4)
    ours = fit(model, collator(model), examples, PLAN)
    adapter, collate = add_lora(twin, rank=4), collator(twin)
    if way == "TRL":
        theirs = by_trl(twin, adapter, collate, examples, PLAN, tmp_path)
    else:
        theirs = by_hand(twin, collate, examples, PLAN)
    assert ours[0].loss > ours[-1].loss + 0.3  # it did learn
    assert [loss for loss, _ in theirs] == pytest.approx([step.loss for step in ours], abs=1e-4)
    assert [rate for _, rate in theirs] == pytest.approx([step.learning_rate for step in ours], abs=1e-12)


def test_accumulated_batches_are_one_large_batch(random_vlm_folder, examples):
    """Also where their answers differ in length: a mean of means would weigh short answers more."""
    lengths = [example._replace(answer=example.answer[: 8 * (i % 3 + 1)]) for i, example in enumerate(examples)]
    found = {}
    for batch, accumulation in ((4, 1), (2, 2), (1, 4)):
        model = vlm.load(random_vlm_folder)
        add_lora(model, rank=4)
        plan = replace(PLAN, steps=3, batch=batch, accumulation=accumulation)
        losses = [step.loss for step in fit(model, collator(model), lengths, plan)]
        found[accumulation] = losses, weights_of(model)
    for accumulation in (2, 4):
        assert found[accumulation][0] == pytest.approx(found[1][0], abs=1e-5)
        for name, weight in found[1][1].items():
            torch.testing.assert_close(found[accumulation][1][name], weight, rtol=0, atol=1e-4)


def test_the_validation_loss_is_the_mean_over_all_answer_tokens(random_vlm_folder, examples):
    """Not the mean of batches: those of 2 and 1 examples, whose answers differ in length, weigh what they hold."""
    model, held = vlm.load(random_vlm_folder), [examples[0]._replace(answer="No."), *examples[1:3]]
    add_lora(model, rank=4)
    log = fit(model, collator(model), examples, replace(PLAN, every=3), validation=held)
    assert [step.step for step in log if step.validation is not None] == [3, 6]
    with torch.no_grad(), model.looking_through(REDUCER):
        loss = model.model(**collator(model)(held)).loss.item()  # one batch: the mean over its tokens
    assert log[-1].validation == pytest.approx(loss, abs=1e-5) and log[2].validation != log[-1].validation


def test_the_best_is_told_from_the_last(random_vlm_folder, examples, monkeypatch):
    losses, seen = iter([3.0, 2.0, 4.0, 2.5, 2.0]), []

    def evaluate(self, *_, **__):
        metrics = {"eval_loss": next(losses)}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    monkeypatch.setattr(train.CaptionTrainer, "evaluate", evaluate)
    model = vlm.load(random_vlm_folder)
    add_lora(model, rank=4)
    plan = replace(PLAN, steps=5, every=1)
    fit(model, collator(model), examples, plan, None, examples[:1], lambda step, best: seen.append((step.step, best)))
    assert seen == [(1, True), (2, True), (3, False), (4, False), (5, True)]  # as good as the best: the later one


def test_gradient_checkpointing_changes_no_gradient_and_keeps_less(fresh, examples):
    add_lora(fresh, rank=4)
    batch = collator(fresh)(examples[:2])

    def gradients():
        kept = 0

        def pack(tensor):
            nonlocal kept
            kept += tensor.nbytes
            return tensor

        fresh.model.zero_grad()
        with fresh.looking_through(REDUCER), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = fresh.model(**batch).loss
        loss.backward()
        return {name: weight.grad.clone() for name, weight in finetune.trainable(fresh).items()}, kept

    fresh.model.train()
    for weight in finetune.trainable(fresh).values():
        weight.data.add_(0.01)  # away from the zeros, where half of the gradients vanish
    whole, kept_whole = gradients()
    with finetune.without_deprecations():
        fresh.model.gradient_checkpointing_enable({"use_reentrant": False})
    again, kept_again = gradients()
    assert any(gradient.abs().max() > 1e-3 for gradient in whole.values())
    for name in whole:
        torch.testing.assert_close(again[name], whole[name], rtol=1e-5, atol=1e-7)
    assert kept_again < 0.7 * kept_whole


def test_merged_into_whole_weights_nothing_changes_and_into_four_bits_it_does(random_vlm_folder, make_frames, examples):
    def change(four_bit):
        model = vlm.load(random_vlm_folder, four_bit=four_bit)
        adapter = add_lora(model, rank=4)
        for name, weight in finetune.trainable(model).items():
            weight.data.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))) * 0.1)
        prompt, frames = model.prompt("What?"), make_frames(2)
        before = model.logits(frames, prompt, REDUCER)
        adapter.merge_and_unload()
        assert not any("lora" in name for name, _ in model.model.named_modules())
        return (model.logits(frames, prompt, REDUCER) - before).abs().max().item()

    assert change(four_bit=False) < 1e-4
    with pytest.warns(UserWarning, match="rounding errors"):
        assert change(four_bit=True) > 0.01


# Interruptions


class Stop(Exception):
    """What interrupts a run."""


def interrupted(collate, calls):
    """A collator that fails after so many calls, as a run is killed."""

    class Failing:
        reducer, features = collate.reducer, collate.features
        left = calls

        def __call__(self, examples):
            self.left -= 1
            if self.left < 0:
                raise Stop
            return collate(examples)

    return Failing()


def test_large_gradients_are_cut_to_a_norm_of_one(fresh, examples):
    finetune.projector_only(fresh)
    fresh.model.lm_head.weight.data *= 100  # a loss that is far too high, and steep
    seen = []

    def look(optimizer, *_):
        gradients = [weight.grad.flatten() for group in optimizer.param_groups for weight in group["params"]]
        seen.append(torch.cat(gradients).norm().item())

    hook = register_optimizer_step_pre_hook(look)
    fit(fresh, collator(fresh), examples, replace(PLAN, steps=1))
    hook.remove()
    assert seen == [pytest.approx(1, abs=1e-3)]


def test_a_card_without_bfloat16_trains_in_float16_which_trainer_scales(monkeypatch):
    """accelerate refuses float16 on a CPU, so only the settings are seen here; `make gpu-check` trains on a card."""
    for dtype, on in ((torch.float16, "fp16"), (torch.bfloat16, "bf16")):
        monkeypatch.setattr("lib.finetune.train.compute_dtype", lambda device, dtype=dtype: dtype)
        settings = train.precision(torch.device("cuda"))
        assert [name for name, value in settings.items() if value] == [on]


def test_checkpointing_computes_layers_again_and_changes_no_loss(random_vlm_folder, examples):
    passes, losses = {}, {}
    for again in (False, True):
        model = vlm.load(random_vlm_folder)
        add_lora(model, rank=2)
        calls, first = [], model.model.model.language_model.layers[0]
        first.mlp.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        log = fit(model, collator(model), examples, replace(PLAN, checkpointing=again))
        losses[again] = [step.loss for step in log]
        passes[again] = len(calls)
        with finetune.without_deprecations():
            assert not model.model.is_gradient_checkpointing
    with pytest.raises(Stop):
        fit(model, interrupted(collator(model), 2), examples, replace(PLAN, checkpointing=True))
    with finetune.without_deprecations():
        assert not model.model.is_gradient_checkpointing  # nor after an error
    assert passes == {False: PLAN.steps, True: 2 * PLAN.steps}
    assert losses[True] == pytest.approx(losses[False], abs=1e-6)


@pytest.mark.parametrize("calls", [1, 5])  # Trainer makes a batch ahead
def test_a_resumed_run_ends_with_the_same_weights(random_vlm_folder, examples, tmp_path, calls):
    def start():
        model = vlm.load(random_vlm_folder)
        add_lora(model, rank=4)
        return model

    whole = start()
    log = fit(whole, collator(whole), examples, PLAN)
    first = start()
    with pytest.raises(Stop):
        fit(first, interrupted(collator(first), calls), examples, PLAN, tmp_path)
    second = start()
    resumed = fit(second, collator(second), examples, PLAN, tmp_path)
    assert [step.loss for step in resumed] == [step.loss for step in log]
    assert all(torch.equal(weights_of(second)[name], weight) for name, weight in weights_of(whole).items())
    assert finetune.read_log(tmp_path / "log.jsonl") == resumed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.safetensors", "log.jsonl"]


@pytest.fixture
def half_way(random_vlm_folder, examples, tmp_path):
    """A model, and the folder of a run that was interrupted after four of six steps."""
    model = vlm.load(random_vlm_folder)
    add_lora(model, rank=4)
    with pytest.raises(Stop):
        fit(model, interrupted(collator(model), 5), examples, PLAN, tmp_path)  # a batch is made ahead
    return model, tmp_path


def test_a_log_that_is_ahead_of_its_checkpoint_goes_on_from_the_checkpoint(half_way, random_vlm_folder, examples):
    """The log is written first: a run may end between the two."""
    _, folder = half_way
    with open(folder / "log.jsonl", "a") as log:
        log.write(json.dumps(Step(5, 9.0, 9.0, 9.0)._asdict()) + "\n")
    model = vlm.load(random_vlm_folder)
    add_lora(model, rank=4)
    resumed = fit(model, collator(model), examples, PLAN, folder)
    assert [step.step for step in resumed] == [1, 2, 3, 4, 5, 6] and resumed[4].loss != 9
    assert not model.model.training  # and the model is ready to be asked


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def without_metadata(path):
    save_file(load_file(path), path)


@pytest.mark.parametrize("file, damage, words", [
    ("checkpoint.safetensors", cut, "checkpoint.safetensors is cut off or damaged: delete the folder"),
    ("checkpoint.safetensors", without_metadata, r"was begun with other settings \(steps: None before, 6 now; "),
    ("log.jsonl", cut, "log.jsonl, line 4 is cut off or not a step: delete it and what follows"),
    ("log.jsonl", lambda path: path.write_text(""), "log.jsonl ends before its checkpoint .step 4.: delete the folder"),
    ("log.jsonl", lambda path: path.write_text("[1]\n"), "line 1 is cut off or not a step"),
])  # fmt: skip
def test_damaged_files_are_refused(half_way, examples, file, damage, words):
    model, folder = half_way
    damage(folder / file)
    with pytest.raises(ValueError, match=words):
        fit(model, collator(model), examples, PLAN, folder)


def test_a_missing_log_says_so(half_way, examples):
    model, folder = half_way
    (folder / "log.jsonl").unlink()
    with pytest.raises(ValueError, match="log.jsonl ends before its checkpoint"):
        fit(model, collator(model), examples, PLAN, folder)


def nudged(model):
    """One number of the projector is another one, as after training it."""
    model.model.model.multi_modal_projector.linear_1.weight.data[0, 0] += 1e-3


DIGESTS = "[0-9a-f]{12} before, [0-9a-f]{12} now"
CHANGES = {  # what is changed before a folder is resumed: words of the error
    "frames": ({"frames": 3}, "frames: 2 before, 3 now"),
    "stride": ({"reducer": SpatialPool(2)}, r"reducer: SpatialPool.stride=4.* before, SpatialPool.stride=2"),
    "pooling": ({"reducer": SpatialPool(4, "max")}, "mode='average'.* before, SpatialPool.stride=4, mode='max'"),
    "reducer": ({"reducer": LlavaVideo(3, 4, 4)}, "before, LlavaVideo.slow_every=3"),
    "a learned vector": (
        {"reducer": LlavaVideo(3, 4, 4, frame_token=torch.ones(64))}, "frame_token='?[0-9a-f]+.* now",
    ),
    "rank": ({"rank": 8}, "rank: 4 before, 8 now; alpha: 8 before, 16 now"),
    "alpha": ({"alpha": 4}, r"settings .alpha: 8 before, 4 now."),
    "seed": ({"seed": 1}, r"settings .adapter: seed 0 before, seed 1 now."),
    "four bits": ({"four_bit": True}, "four bits: False before, True now"),
    "RoPE": ({"rope": {"rope_type": "linear", "factor": 2.0}}, "rope: .*default.* before, .*linear.* now"),
    "a projector trained before": ({"prepare": nudged}, r"settings .base in memory: as in its files before, \w+ now."),
    "what may change": ({"train": finetune.projector_only}, "weights in training: [0-9a-f]{12} before"),
    "fewer steps": ({"plan": replace(PLAN, steps=5)}, "steps: 6 before, 5 now"),
    "learning rate": ({"plan": replace(PLAN, learning_rate=2e-2)}, r"settings .learning_rate: 0.01 before, 0.02 now."),
    "order": ({"edit": lambda examples: examples[::-1]}, f"clips: {DIGESTS}; prompts: {DIGESTS}; answers: {DIGESTS}"),
    "prompts": ({"edit": lambda es: [e._replace(prompt="Tell.") for e in es]}, f"settings .prompts: {DIGESTS}.:"),
    "answers": ({"edit": lambda es: [e._replace(answer="No.") for e in es]}, f"settings .answers: {DIGESTS}.:"),
    "chat": ({"chat": vlm.SLOWFAST_VICUNA}, r"settings .prompt: 'USER: <video>\\n... ASSISTANT:' before"),
}  # fmt: skip


def run_in(folder, source, examples, frames=2, reducer=REDUCER, rank=4, alpha=None, seed=0, four_bit=False, rope=None,
           prepare=None, train=None, plan=PLAN, edit=list, chat=vlm.VICUNA):  # fmt: skip
    """A session: everything anew, then `fit` with the folder."""
    model = replace(vlm.load(source, four_bit, rope=rope), chat=chat)
    if prepare:
        prepare(model)
    adapter = add_lora(model, rank, seed)
    adapter.peft_config["default"].lora_alpha = alpha or 2 * rank
    if train:
        train(model)
    return fit(model, Collator(model, reducer, Features(model, frames)), edit(examples), plan, folder)


@pytest.fixture(scope="session")
def begun(random_vlm_folder, examples, tmp_path_factory):
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("begun")
    run_in(folder, random_vlm_folder, examples)
    return folder


@pytest.mark.parametrize("name", CHANGES)
def test_a_folder_resumed_with_something_changed_says_what(begun, random_vlm_folder, examples, name):
    change, words = CHANGES[name]
    before = {path.name: path.read_bytes() for path in begun.iterdir()}
    with pytest.raises(ValueError, match=words) as error:
        run_in(begun, random_vlm_folder, examples, **change)
    assert "keep those, or delete the folder" in str(error.value) and "\n" not in str(error.value)
    assert {path.name: path.read_bytes() for path in begun.iterdir()} == before


def test_a_folder_resumed_with_nothing_changed_goes_on(begun, random_vlm_folder, examples):
    assert [step.step for step in run_in(begun, random_vlm_folder, examples)] == [1, 2, 3, 4, 5, 6]


def test_a_folder_resumed_on_another_base_says_so(begun, random_vlm_folder, examples, tmp_path):
    other = vlm.load(random_vlm_folder)
    nudged(other)
    shutil.copytree(random_vlm_folder, tmp_path, dirs_exist_ok=True)
    other.model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"settings .base: {DIGESTS}.:"):
        run_in(begun, tmp_path, examples)


def test_a_cell_with_fit_runs_twice(half_way, examples):
    """Also after it was stopped, when the weights in memory are neither the first ones nor the checkpoint's."""
    model, folder = half_way
    for weight in finetune.trainable(model).values():
        weight.data.add_(1)
    once = fit(model, collator(model), examples, PLAN, folder)
    after = weights_of(model)
    assert fit(model, collator(model), examples, PLAN, folder) == once and len(once) == PLAN.steps
    assert all(torch.equal(weights_of(model)[name], weight) for name, weight in after.items())


def test_reducers_with_objects_among_their_settings_are_told_apart_by_what_they_are():
    class Mine(SpatialPool):
        def __init__(self, how):
            super().__init__(4)
            self.how = how

    settings = [finetune.reducer_settings(Mine(lambda: 1)) for _ in range(2)]
    assert settings[0] == settings[1] and "0x" not in settings[0]
    content = LlamaVid(24, 64, compress="grid:2", keep="content")
    told = finetune.reducer_settings(content)
    assert "cells=(2, 2)" in told and told != finetune.reducer_settings(LlamaVid(24, 64, keep="content"))
    content.value_proj.weight.data[0, 0] += 1
    assert finetune.reducer_settings(content) != told


@pytest.mark.parametrize(
    "wrong",
    [dict(steps=0), dict(steps=-1), dict(steps=1, batch=0), dict(steps=1, learning_rate=-1e-3),
     dict(steps=1, learning_rate=float("nan")), dict(steps=1, warmup=-1)],
)  # fmt: skip
def test_a_plan_that_trains_nothing_or_uphill_is_refused(fresh, examples, wrong, tmp_path):
    finetune.projector_only(fresh)
    for folder in (None, tmp_path / "run"):
        with pytest.raises(ValueError, match=r"Plan\(.* cannot train: give "):
            fit(fresh, collator(fresh), examples, Plan(**wrong), folder)
    assert not (tmp_path / "run").exists()


def test_too_few_examples_and_nothing_to_train(fresh, examples):
    finetune.projector_only(fresh)
    with pytest.raises(ValueError, match="6 steps of 2 need 12 examples, there are 11"):
        fit(fresh, collator(fresh), examples[:11], PLAN)
    fresh.model.requires_grad_(False)
    with pytest.raises(ValueError, match="no weights of .* may change: call"):
        fit(fresh, collator(fresh), examples, PLAN)


def test_a_loss_that_is_no_number_stops_the_run(fresh, examples):
    finetune.projector_only(fresh)
    with torch.no_grad():
        fresh.model.model.multi_modal_projector.linear_1.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="the loss is nan at step 1: lower the learning rate"):
        fit(fresh, collator(fresh), examples, PLAN)


def test_progress_is_for_terminals_only(fresh, examples, capsys):
    finetune.projector_only(fresh)
    fit(fresh, collator(fresh), examples, PLAN)
    assert capsys.readouterr() == ("", "")


def test_mixed_is_even_and_goes_through_all(examples):
    videos = toybox_videos(range(5))
    korean, english = captioning(videos, "ko"), captioning(videos, "en")
    order = finetune.mixed(korean, english, 40, 0.25)
    assert [example in english for example in order] == [False, False, False, True] * 10
    assert {example for example in order[:7] if example in korean} == set(korean)  # each once before any twice
    assert finetune.mixed(korean, english, 40, 0.25) == order != finetune.mixed(korean, english, 40, 0.25, seed=1)
    assert finetune.mixed(korean, [], 5, 0) == finetune.mixed(korean, english, 5, 0)
    with pytest.raises(ValueError, match="no examples to draw from"):
        finetune.mixed(korean, [], 5, 0.5)


# Adapters as files


@pytest.fixture
def saved(random_vlm_folder, tmp_path):
    """A trained adapter in a folder, and what its model then says."""
    model = vlm.load(random_vlm_folder)
    adapter = add_lora(model, rank=2)
    for weight in finetune.trainable(model).values():
        weight.data.add_(0.05)
    finetune.save_adapter(model, adapter, tmp_path / "adapter")
    return model, tmp_path / "adapter"


def test_a_saved_adapter_comes_back(saved, random_vlm_folder, make_frames):
    model, folder = saved
    assert sorted(path.name for path in folder.iterdir()) == sorted(finetune.ADAPTER_FILES)
    other = vlm.load(random_vlm_folder)
    plain = other.logits(make_frames(2), other.prompt("What?"))
    finetune.load_adapter(other, folder)
    with_adapter = other.logits(make_frames(2), other.prompt("What?"))
    torch.testing.assert_close(with_adapter, model.logits(make_frames(2), model.prompt("What?")), rtol=0, atol=1e-6)
    assert (with_adapter - plain).abs().max() > 0.1


def test_an_adapter_holds_nothing_of_this_machine_but_its_base(saved, random_vlm_folder):
    config = json.loads((saved[1] / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(random_vlm_folder)  # as it was named when it was loaded
    assert all("lora_" in name for name in load_file(saved[1] / "adapter_model.safetensors"))


def test_an_adapter_names_no_field_that_an_older_peft_may_not_know(saved):
    """peft 0.21 writes "kasa_config": null. peft 0.20 warns about that field, peft 0.19 about three."""
    for folder in (saved[1], korean.ADAPTER):
        config = json.loads((folder / "adapter_config.json").read_text())
        assert None not in config.values()
        assert set(config) > {"r", "lora_alpha", "target_modules"}
    trained, read = saved[0].model.peft_config["default"], PeftConfig.from_pretrained(saved[1])
    read.auto_mapping, read.inference_mode = None, False  # which peft writes for those who read
    assert read == trained  # a field that is not named has its default


LORA = """
from lib import quiet
quiet()
import gptqmodel, torchao
from torch import nn
from lib import finetune, vlm
from lib.workshop import korean
import peft  # after lib.finetune, which hides what peft refuses

adapter = finetune.add_lora(vlm.load("tiny"), rank=2)
adapter.merge_adapter()
finetune.load_adapter(vlm.load("tiny"), korean.ADAPTER)
by_hand = peft.get_peft_model(nn.Sequential(nn.Linear(4, 4)), peft.LoraConfig(target_modules=["0"]))
print(finetune.parts_hit(adapter)["language_model"], "lora" in str(by_hand))
"""


def test_lora_works_beside_quantization_packages_that_peft_refuses(tmp_path):
    """Colab has this torchao. peft raises ImportError for such a package at every LoRA layer on whole weights."""
    for name, version in {"torchao": "0.10.0", "gptqmodel": "5.8.0"}.items():
        write_text(tmp_path / name / "__init__.py", "")
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        write_text(tmp_path / f"{name}-{version}.dist-info" / "METADATA", metadata)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command, environment = [sys.executable, "-c", LORA], os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("28 True\n", "")


def test_an_adapter_of_another_base_is_refused(saved, random_vlm_folder, tmp_path):
    other = shutil.copytree(random_vlm_folder, tmp_path / "other")
    model = vlm.load(other)
    model.model.lm_head.weight.data[0, 0] += 1e-3
    model.model.save_pretrained(other)
    with pytest.raises(ValueError, match="was trained on other weights than those of .*: load that base, or train"):
        finetune.load_adapter(vlm.load(other), saved[1])


@pytest.mark.parametrize("file, words", [
    ("adapter_model.safetensors", "adapter_model.safetensors is cut off or damaged"),
    ("base.json", "base.json is cut off"),
])  # fmt: skip
def test_a_damaged_adapter_is_refused(saved, fresh, file, words):
    cut(saved[1] / file)
    with pytest.raises(ValueError, match=words):
        finetune.load_adapter(fresh, saved[1])


@pytest.mark.parametrize("file", finetune.ADAPTER_FILES)
def test_a_folder_without_an_adapter(saved, fresh, file):
    (saved[1] / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"holds no adapter .{file} is missing"):
        finetune.load_adapter(fresh, saved[1])


# Cells that run twice, and training that goes on


def test_a_new_adapter_takes_the_place_of_an_untrained_one(fresh, random_vlm_folder):
    for rank, seed in ((2, 0), (4, 0), (4, 1)):
        add_lora(fresh, rank, seed)
    once = vlm.load(random_vlm_folder)
    add_lora(once, 4, 1)
    mine, theirs = weights_of(fresh), weights_of(once)
    assert list(mine) == list(theirs) and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_an_adapter_in_four_bits_is_replaced_too(random_vlm_folder, make_frames):
    model = vlm.load(random_vlm_folder, four_bit=True)
    before = model.logits(make_frames(2), model.prompt("What?"))
    for _ in range(2):
        add_lora(model, rank=2)
    assert finetune.parts_hit(model.model)["language_model"] == len(in_four_bits(model.model)) == 14
    torch.testing.assert_close(model.logits(make_frames(2), model.prompt("What?")), before, rtol=0, atol=1e-5)


@pytest.mark.parametrize("again", ["add_lora", "load_adapter"])
def test_a_trained_adapter_is_not_thrown_away(saved, again):
    model, folder = saved
    before = weights_of(model)
    with pytest.raises(ValueError, match="has an adapter that was trained: `fit` trains it further, `save_adapter`"):
        add_lora(model) if again == "add_lora" else finetune.load_adapter(model, folder)
    assert all(torch.equal(weights_of(model)[name], weight) for name, weight in before.items())


def test_a_trained_adapter_is_not_thrown_away_where_something_else_is_trained_since(saved):
    model, _ = saved
    for way in (finetune.projector_only, finetune.all_but_tower):
        way(model)
        if way == finetune.all_but_tower:
            model.model.requires_grad_(False)
        with pytest.raises(ValueError, match="has an adapter that was trained"):
            add_lora(model)


@pytest.mark.parametrize("freeze", [finetune.projector_only, lambda model: model.model.requires_grad_(False)])
def test_a_loaded_adapter_that_was_trained_is_kept_after_freezing(saved, fresh, examples, freeze):
    finetune.load_adapter(fresh, saved[1], is_trainable=True)
    finetune.load_adapter(fresh, saved[1], is_trainable=True)  # a cell that runs twice before any training
    fit(fresh, collator(fresh), examples, replace(PLAN, steps=2))
    freeze(fresh)
    before = {name: weight.clone() for name, weight in fresh.model.named_parameters() if "lora_" in name}
    for put_on in (lambda: finetune.load_adapter(fresh, saved[1]), lambda: add_lora(fresh)):
        with pytest.raises(ValueError, match="has an adapter that was trained: .* load the model again"):
            put_on()
    now = dict(fresh.model.named_parameters())
    assert before and all(torch.equal(now[name], weight) for name, weight in before.items())


def test_an_adapter_that_is_loaded_twice_counts_once(saved, fresh, make_frames):
    model, folder = saved
    for _ in range(2):
        finetune.load_adapter(fresh, folder)
    expected = model.logits(make_frames(2), model.prompt("What?"))
    torch.testing.assert_close(fresh.logits(make_frames(2), fresh.prompt("What?")), expected, rtol=0, atol=1e-6)
    add_lora(fresh, rank=4)  # what was loaded is in its file: a new one may take its place
    assert finetune.parts_hit(fresh.model)["language_model"] == 14


def test_after_a_merge_there_may_be_another_adapter(saved, fresh):
    finetune.load_adapter(fresh, saved[1]).merge_and_unload()
    add_lora(fresh, rank=2)
    assert len(finetune.trainable(fresh)) == 28


@pytest.mark.parametrize("four_bit", [False, True])
def test_a_loaded_adapter_is_trained_further(saved, random_vlm_folder, examples, tmp_path, four_bit):
    model = vlm.load(random_vlm_folder, four_bit)
    adapter = finetune.load_adapter(model, saved[1], is_trainable=True)
    first = weights_of(model)
    assert len(first) == 28 and {weight.dtype for weight in first.values()} == {torch.float32}
    assert all(torch.equal(first[name], weight) for name, weight in weights_of(saved[0]).items())
    log = fit(model, collator(model), examples, PLAN, tmp_path / "run")
    assert log[-1].loss < log[0].loss - 0.1
    finetune.save_adapter(model, adapter, tmp_path / "further")
    again = vlm.load(random_vlm_folder, four_bit)
    finetune.load_adapter(again, tmp_path / "further", is_trainable=True)
    assert all(torch.equal(weights_of(again)[name], weight) for name, weight in weights_of(model).items())
    with pytest.raises(ValueError, match=f"settings .adapter: {DIGESTS}.:"):
        fit(again, collator(again), examples, PLAN, tmp_path / "run")


def test_a_loaded_adapter_that_may_not_change_says_how(saved, fresh, examples):
    finetune.load_adapter(fresh, saved[1])
    with pytest.raises(ValueError, match="or load_adapter with is_trainable=True"):
        fit(fresh, collator(fresh), examples, PLAN)


# Training that an adapter's base had before


def with_projector_trained(model, examples):
    """Lesson 08's two stages: the projector first, then adapters."""
    finetune.projector_only(model)
    fit(model, collator(model), examples, replace(PLAN, steps=2))
    adapter = add_lora(model, rank=2)
    for weight in finetune.trainable(model).values():
        weight.data.add_(0.02)
    return adapter


def projector_of(model):
    return {name: weight for name, weight in model.model.named_parameters() if "multi_modal_projector" in name}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_projector_that_was_trained_comes_back_with_the_adapter(random_vlm_folder, examples, tmp_path, dtype):
    model = vlm.load(random_vlm_folder, dtype=dtype)
    untrained = {name: weight.clone() for name, weight in projector_of(model).items()}
    finetune.save_adapter(model, with_projector_trained(model, examples), tmp_path)
    stored = load_file(tmp_path / "adapter_model.safetensors")
    assert sum("lora_" not in name for name in stored) == 4  # two layers, their weights and biases, and nothing else
    other = vlm.load(random_vlm_folder, dtype=dtype)
    finetune.load_adapter(other, tmp_path)
    for name, weight in projector_of(other).items():
        assert torch.equal(weight, projector_of(model)[name].to(dtype)) and not torch.equal(weight, untrained[name])
    finetune.load_adapter(other, tmp_path)  # a cell that runs twice
    assert all(torch.equal(w, projector_of(model)[n].to(dtype)) for n, w in projector_of(other).items())


def test_peft_alone_reads_the_projector_too(random_vlm_folder, examples, make_frames, tmp_path):
    model = vlm.load(random_vlm_folder)
    finetune.save_adapter(model, with_projector_trained(model, examples), tmp_path)
    other = vlm.load(random_vlm_folder)
    with finetune.without_deprecations():
        PeftModel.from_pretrained(other.model, tmp_path)
    expected = model.logits(make_frames(2), model.prompt("What?"))
    torch.testing.assert_close(other.logits(make_frames(2), other.prompt("What?")), expected, rtol=0, atol=0)


@pytest.mark.parametrize("before", ["all of it trained", "an adapter merged"])
def test_a_language_model_that_was_trained_comes_back_and_not_into_four_bits(
    random_vlm_folder, saved, examples, make_frames, tmp_path, before
):
    model = vlm.load(random_vlm_folder)
    if before == "an adapter merged":
        finetune.load_adapter(model, saved[1]).merge_and_unload()
    else:
        finetune.all_but_tower(model)
        fit(model, collator(model), examples, replace(PLAN, steps=2, learning_rate=1e-3))
    finetune.save_adapter(model, add_lora(model, rank=2), tmp_path / "second")
    other = vlm.load(random_vlm_folder)
    finetune.load_adapter(other, tmp_path / "second")
    expected = model.logits(make_frames(2), model.prompt("What?"))
    torch.testing.assert_close(other.logits(make_frames(2), other.prompt("What?")), expected, rtol=0, atol=0)
    with pytest.raises(ValueError, match="which is in 4 bits here: load .* without four_bit"):
        finetune.load_adapter(vlm.load(random_vlm_folder, four_bit=True), tmp_path / "second")


def test_an_adapter_does_not_go_on_a_base_that_was_trained_since(saved, fresh, examples):
    finetune.projector_only(fresh)
    fit(fresh, collator(fresh), examples, replace(PLAN, steps=2))
    with pytest.raises(
        ValueError, match="was trained since it was loaded .*multi_modal_projector.*: load the model again"
    ):
        finetune.load_adapter(fresh, saved[1])
    assert not any("lora_" in name for name, _ in fresh.model.named_parameters())


def test_steps_are_lines_of_json(tmp_path):
    steps = [Step(1, 2.5, 0.0, 0.1), Step(2, 2.25, 1e-3, 0.1)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(step._asdict()) + "\n" for step in steps))
    assert finetune.read_log(tmp_path / "log.jsonl") == steps
