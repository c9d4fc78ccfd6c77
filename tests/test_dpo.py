"""DPO: pairs that prefer something, a loss equal to TRL's, a run equal to one by hand, verdicts of a judge who errs."""

import copy
import json
import math
import random
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from lib import toybox
from lib import vlm as models
from lib.data import Collator, Features, Pair, Video, toybox_videos
from lib.evaluate import measure, paired
from lib.evaluate.metrics import CHAIR_I, FACTS_RIGHT, LENGTH
from lib.finetune import Plan, add_lora, dpo, trainable
from lib.finetune.adapters import without_deprecations
from lib.reducers import SlowFastLlava, SpatialPool
from lib.toybox import facts
from lib.workshop import dpo_judge

PROMPT = toybox.CAPTION_PROMPTS["en"]
FAST = SlowFastLlava.from_spec("slowfast-slow_1frms_spatial_1d_max_pool-fast_4x4")
VIDEOS = toybox_videos(range(900, 908))
PLAN = Plan(steps=4, batch=2, learning_rate=2e-3, warmup=1)


@pytest.fixture
def vlm(random_vlm):
    """A copy of the untrained model, which adapters may change."""
    return replace(random_vlm, model=copy.deepcopy(random_vlm.model))


def with_adapter(vlm, reducer=None, moved=True, std=0.04):
    """(model, collate): the model with an adapter, which has been moved away from nothing, and a collator of pairs."""
    model = add_lora(vlm, rank=4)
    if moved:
        torch.manual_seed(1)
        for weight in trainable(vlm).values():
            nn.init.normal_(weight, std=std)
    return model, Collator(vlm, reducer or SpatialPool(4), Features(vlm, frames=2))


def short_pairs(count=8):
    """Pairs of different lengths that fit into a context of 512 bytes."""
    said = ["A big red circle stays still.", "Nothing.", "A small blue ring moves left slowly. The code is 1."]
    return [Pair(VIDEOS[i], PROMPT, said[i % 3], said[(i + 1) % 3]) for i in range(count)]


# ---------------------------------------------------------------------------------------------------------------------
# Pairs
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "ko"])
def test_falsehoods_are_true_captions_against_captions_wrong_in_one_fact(language):
    pairs = dpo.falsehood_pairs(VIDEOS, language)
    dpo.check_pairs(pairs, language)
    for video, pair in zip(VIDEOS, pairs, strict=True):
        assert (pair.video, pair.prompt) == (video, toybox.CAPTION_PROMPTS[language])
        assert pair.chosen == toybox.caption(video.clip, language)
        assert pair.rejected in [false.caption for false in toybox.false_captions(video.clip, language)]


def test_falsehoods_differ_between_seeds_and_not_between_calls():
    assert dpo.falsehood_pairs(VIDEOS) == dpo.falsehood_pairs(VIDEOS)
    assert dpo.falsehood_pairs(VIDEOS, seed=1) != dpo.falsehood_pairs(VIDEOS)


def test_falsehoods_are_of_the_kinds_asked_for():
    for video, pair in zip(VIDEOS, dpo.falsehood_pairs(VIDEOS, kinds=["code"]), strict=True):
        wrong = facts.facts(pair.rejected) ^ facts.truth(video.clip)
        assert {fact[0] for fact in wrong} == {"code"} and len(wrong) == 2


@pytest.mark.parametrize(
    ("chosen", "rejected", "message"),
    [
        ("", "A caption.", "pair 1 (toybox-901): an answer is empty"),
        ("A caption.", " \n", "pair 1 (toybox-901): an answer is empty"),
        ("A caption.", " A  caption. ", "pair 1 (toybox-901): chosen and rejected are the same"),
        (VIDEOS[5].captions["en"], "A caption.", "pair 1 (toybox-901): its chosen answer invents"),
    ],
)
def test_pairs_that_prefer_nothing_or_the_wrong_thing_are_refused(chosen, rejected, message):
    good = dpo.falsehood_pairs(VIDEOS[:1])
    with pytest.raises(ValueError) as error:
        dpo.check_pairs([*good, Pair(VIDEOS[1], PROMPT, chosen, rejected)])
    assert message in str(error.value)


def test_sampled_answers_may_invent_but_have_to_differ():
    other = Pair(VIDEOS[1], PROMPT, VIDEOS[5].captions["en"], "A caption.")
    dpo.check_pairs([other], sampled=True)
    with pytest.raises(ValueError, match="are the same"):
        dpo.check_pairs([other._replace(rejected=other.chosen)], sampled=True)


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match="there are no pairs"):
        dpo.check_pairs([])


def test_chosen_answers_about_files_are_taken_on_trust(tmp_path):
    video = Video("a file", {}, path=tmp_path / "a.mp4")
    dpo.check_pairs([Pair(video, PROMPT, "The code is 000.", "The code is 001.")])


# ---------------------------------------------------------------------------------------------------------------------
# The loss
# ---------------------------------------------------------------------------------------------------------------------


def test_log_probs_are_those_of_each_answer_alone(random_vlm):
    """Padding, the prompt and the other answers of a batch change nothing."""
    collate = Collator(random_vlm, SpatialPool(4), Features(random_vlm, frames=2))
    pairs = short_pairs(3)
    batch = collate.pairs(pairs)
    with torch.no_grad(), random_vlm.looking_through(collate.reducer):
        inputs = {name: tensor for name, tensor in batch.items() if name != "completion_mask"}
        together = dpo.log_probs(random_vlm.model(**inputs).logits, batch["input_ids"], batch["completion_mask"])
    answers = [(pair, pair.chosen) for pair in pairs] + [(pair, pair.rejected) for pair in pairs]
    alone = [alone_of(collate, *answer) for answer in answers]
    torch.testing.assert_close(together, torch.tensor(alone), rtol=1e-5, atol=1e-5)


def alone_of(collate, pair, answer):
    """log p(answer), token by token from `VideoLM.logits` of prompt and answer."""
    vlm = collate.vlm
    prompt = vlm.prompt(pair.prompt)
    asked = vlm.sequence(collate.features(pair.video), prompt, collate.reducer)
    ids = vlm.tokenizer.encode(f" {answer}", add_special_tokens=False) + [vlm.tokenizer.eos_token_id]
    embeds = torch.cat([asked, vlm.model.get_input_embeddings()(torch.tensor(ids))])
    with torch.no_grad():
        logits = vlm.model(inputs_embeds=embeds[None]).logits[0]
    return sum(logits[len(asked) - 1 + i].log_softmax(-1)[token].item() for i, token in enumerate(ids))


@pytest.mark.parametrize("reducer", [SpatialPool(4), FAST], ids=["pool", "slowfast"])
@pytest.mark.parametrize(("beta", "nll"), [(0.1, 0.0), (0.5, 0.0), (0.1, 0.7)])
def test_loss_is_that_of_trl(reducer, beta, nll):
    """Far from log 2, where any loss of a margin looks right, and with the chosen answers' own loss beside it."""
    vlm = models.load("tiny")
    model, collate = with_adapter(vlm, reducer, std=0.2)
    pairs = dpo.falsehood_pairs(VIDEOS)
    trainer = dpo.trl_trainer(model, collate, pairs, PLAN, beta, nll)
    model.delete_adapter("ref")  # a copy of the moved adapter: without it TRL's reference is ours, the adapter off
    batch = collate.pairs(pairs[:5])
    with vlm.looking_through(reducer), without_deprecations():
        ours = dpo.dpo_loss(*dpo.gains(model, batch), beta)
        theirs = trainer.compute_loss(model, batch).item()
        inputs = {name: tensor for name, tensor in batch.items() if name != "completion_mask"}
        chosen = dpo.log_probs(model(**inputs).logits, batch["input_ids"], batch["completion_mask"])[:5].sum()
    assert ours.shape == (5,) and abs(ours.mean().item() - math.log(2)) > 0.02
    plain = -chosen.item() / batch["completion_mask"][:5, 1:].sum().item()  # per token, as lib.finetune.fit has it
    assert theirs == pytest.approx(ours.mean().item() + nll * plain, rel=2e-6)


def test_gradient_is_that_of_trl(vlm):
    model, collate = with_adapter(vlm)
    trainer = dpo.trl_trainer(model, collate, short_pairs(), PLAN, 0.5)
    model.delete_adapter("ref")
    batch, gradients = collate.pairs(short_pairs(3)), []
    ours, theirs = (
        lambda: dpo.dpo_loss(*dpo.gains(model, batch), 0.5).mean(),
        lambda: trainer.compute_loss(model, batch),
    )
    for loss in (ours, theirs):
        vlm.model.zero_grad()
        with vlm.looking_through(collate.reducer), without_deprecations():
            loss().backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in trainable(vlm).values()]))
    assert gradients[0].abs().max() > 1e-3
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[1].norm()  # one number alone is all rounding


def test_a_new_adapter_has_gained_nothing(vlm):
    model, collate = with_adapter(vlm, moved=False)
    with vlm.looking_through(collate.reducer):
        gained = dpo.gains(model, collate.pairs(short_pairs(2)))
    assert gained.chosen.abs().max() <= 1e-5 and gained.rejected.abs().max() <= 1e-5


# ---------------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------------


def by_hand(vlm, model, collate, pairs, plan, beta):
    """The loop of the lesson: (losses, weights afterwards)."""
    optimizer = torch.optim.AdamW(trainable(vlm).values(), plan.learning_rate, weight_decay=0)
    schedule, losses = get_cosine_schedule_with_warmup(optimizer, plan.warmup, plan.steps), []
    for step in range(plan.steps):
        batch = collate.pairs(pairs[step * plan.batch : (step + 1) * plan.batch])
        with vlm.looking_through(collate.reducer):
            loss = dpo.dpo_loss(*dpo.gains(model, batch), beta).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trainable(vlm).values(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses, [weight.detach().clone() for weight in trainable(vlm).values()]


def test_trl_trains_as_the_loop_by_hand(vlm, monkeypatch):
    monkeypatch.setattr(dpo, "check_pairs", lambda *arguments: None)  # these tell of no clip
    twin = copy.deepcopy(vlm)
    model, collate = with_adapter(vlm, moved=False)
    before = {name: weight.clone() for name, weight in model.named_parameters() if not weight.requires_grad}
    log = dpo.train_dpo(model, collate, short_pairs(), PLAN, beta=0.5)
    losses, weights = by_hand(twin, *with_adapter(twin, moved=False), short_pairs(), PLAN, 0.5)
    assert [step.step for step in log] == [1, 2, 3, 4]
    assert [step.loss for step in log] == pytest.approx(losses, abs=1e-4)  # TRL's log is rounded
    assert losses[0] == pytest.approx(math.log(2)) and min(losses[1:]) < 0.6
    trained, expected = (torch.cat([w.flatten() for w in some]) for some in (trainable(vlm).values(), weights))
    # as a whole: AdamW turns the rounding of a gradient near zero into a step of either sign
    assert (trained - expected).norm() < 1e-4 * expected.norm()
    assert list(model.peft_config) == ["default"] and not model.training
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters() if name in before)


def test_log_says_how_far_the_model_moved(vlm, monkeypatch):
    monkeypatch.setattr(dpo, "check_pairs", lambda *arguments: None)
    model, collate = with_adapter(vlm, moved=False)
    log = dpo.train_dpo(model, collate, short_pairs(2) * 4, PLAN, beta=0.5)
    assert (log[0].chosen, log[0].rejected, log[0].preferred) == pytest.approx((0, 0, 0), abs=1e-4)
    assert log[-1].chosen > log[-1].rejected + 0.1 and log[-1].preferred == 1
    told = -math.log(1 / (1 + math.exp(-0.5 * (log[-1].chosen - log[-1].rejected))))
    assert log[-1].loss == pytest.approx(told, abs=0.05)  # the loss of the mean gain, not the mean loss


def test_too_few_or_bad_pairs_are_refused_before_training(vlm):
    model, collate = with_adapter(vlm, moved=False)
    with pytest.raises(ValueError, match="4 steps of 2 need 8 pairs, there are 7"):
        dpo.train_dpo(model, collate, short_pairs(7), PLAN, 0.1)
    with pytest.raises(ValueError, match="its chosen answer invents"):
        dpo.train_dpo(model, collate, short_pairs(8), PLAN, 0.1)
    assert list(model.peft_config) == ["default"]


# ---------------------------------------------------------------------------------------------------------------------
# Verdicts, and what `make dpo` measured
# ---------------------------------------------------------------------------------------------------------------------


def test_a_judge_who_never_errs_ranks_and_one_who_errs_does_so_as_often_as_told():
    rng = random.Random(0)
    assert dpo_judge.wins([4, 1, 3, 2], 0, rng) == [3, 0, 2, 1]
    assert dpo_judge.wins([4, 1, 3, 2], 1, rng) == [0, 3, 1, 2]
    first = [dpo_judge.wins([2, 1], 0.2, rng)[0] for _ in range(2000)]
    assert sum(first) / 2000 == pytest.approx(0.8, abs=0.03)
    coins = [dpo_judge.wins([1, 1], 0.2, rng)[0] for _ in range(2000)]
    assert sum(coins) / 2000 == pytest.approx(0.5, abs=0.04)


def test_pairs_are_the_best_and_the_worst_of_a_clips_own_captions():
    said = [[VIDEOS[0].captions["en"], "The code is 000.", "Blah."], ["A ring."] * 3, ["", "Blah.", "The code is 000."]]
    right, *others = dpo_judge.judged_pairs(VIDEOS[:3], said, noise=0)
    assert right == Pair(VIDEOS[0], PROMPT, VIDEOS[0].captions["en"], "The code is 000.")
    assert VIDEOS[1] not in [pair.video for pair in others]  # three times the same: nothing to prefer
    (longest, _) = dpo_judge.judged_pairs(VIDEOS[:2], [said[0], said[2][1:]], judge="length")
    assert (longest.chosen, longest.rejected) == (said[0][0], "Blah.")


def test_samples_differ_within_a_clip_and_not_between_calls():
    vlm = models.load("tiny")
    look = dpo_judge.DarkFeatures(vlm, frames=4)
    first, again = (dpo_judge.sample_captions(vlm, VIDEOS[:2], look, limit=30, seed=3) for _ in range(2))
    assert first == again and [len(captions) for captions in first] == [4, 4]
    assert len(set(first[0])) > 1
    assert first != dpo_judge.sample_captions(vlm, VIDEOS[:2], look, limit=30, seed=4)


def test_dark_features_are_those_of_darker_frames():
    vlm = models.load("tiny")
    dark, frames = dpo_judge.DarkFeatures(vlm, frames=2), VIDEOS[0].frames(2)
    expected = vlm.encode((dpo_judge.DARK * frames).astype("uint8"))
    assert torch.equal(dark(VIDEOS[0]), expected) and not torch.allclose(expected, vlm.encode(frames), atol=0.01)


def test_the_measured_file_is_of_these_weights_and_recipes():
    told = dpo_judge.read_dpo()
    assert list(told["captions"]) == ["base", "base in daylight", *dpo_judge.RECIPES]
    for name, recipe in dpo_judge.RECIPES.items():
        assert len(told["captions"][name]) == len(recipe.seeds) * len(dpo_judge.FRESH)
        assert {len(gains) for gains in told["gains"][name]} == {recipe.plan.steps if recipe.beta else 0}


def test_a_measured_file_of_other_weights_is_refused(tmp_path):
    told = json.loads(dpo_judge.DPO_RUNS.read_text(encoding="utf-8"))
    other = tmp_path / "dpo.json"
    other.write_text(json.dumps(told | {"weights": "0"}))
    with pytest.raises(ValueError, match="other weights"):
        dpo_judge.read_dpo(other)
    with pytest.raises(FileNotFoundError, match="make dpo"):
        dpo_judge.read_dpo(tmp_path / "none.json")


def test_dpo_earns_its_place_and_a_blind_judge_does_not():
    said = dpo_judge.read_dpo()["captions"]
    assert paired(FACTS_RIGHT, said["DPO"], said["best only"]).gap.low > 0
    assert paired(CHAIR_I, said["DPO"], said["best only"]).gap.high < 0
    assert measure(LENGTH, said["judged by length"]).mean > measure(LENGTH, said["base"]).mean
