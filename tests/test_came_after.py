"""What came after, at lesson 07's budgets: methods keep to them, and the file is what these weights answer."""

import numpy as np
import pytest
import torch

from lib import toybox
from lib.video import sample_uniform
from lib.vlm import load
from lib.workshop import came_after
from lib.workshop.came_after import (
    LATER,
    PRUNED_CLIPS,
    PRUNING,
    count_later,
    exposed_together,
    read_came_after,
    read_pruned,
)
from lib.workshop.same_budget import CLIPS_AT_ONCE, COMPARED_CLIPS, COMPARED_KINDS, METHODS, read_same_budget


@pytest.fixture(scope="module")
def tiny():
    return load("tiny", device="cpu")


def same_but_for_ties(first, second, asked, methods=1):
    """Another processor rounds sums in another order, so that now and then a tie between two words tips: one in 500."""
    assert np.abs(np.subtract(first, second)).sum() <= 1 + methods * asked.sum() / 500


def test_no_method_spends_more_than_its_budget_or_much_less():
    assert len({method.key for method in METHODS + LATER + PRUNING}) == len(METHODS + LATER + PRUNING)
    main = LATER + PRUNING[:8]  # the rest keeps 64 tokens whatever that costs
    for method in main:
        assert 0.85 * method.budget < method.tokens <= method.budget, method.key
    for budget in (64, 128, 256):
        families = {method.family for method in main if method.budget == budget}
        assert families >= {"merged features", "merged pixels", "DyCoke", "FastV"}


def test_a_control_has_as_many_tokens_as_the_method_that_it_stands_beside():
    for family, methods in (("DyCoke", LATER), ("FastV", PRUNING)):
        real = {method.name: method.tokens for method in methods if method.family == family}
        controls = [
            method
            for method in methods
            if method.family
            in (f"{family} in place", "at random", f"{family} at random", "FastV least", "FastV without positions")
        ]
        assert controls and all(method.tokens == real[method.name] for method in controls)


def test_pruned_answers_are_those_that_greedy_decoding_writes(tiny):
    clip = toybox.sample(11)
    features, asked = tiny.encode(toybox.render(clip)), toybox.questions(clip)
    for method in (method for method in PRUNING[:6] if method.budget == 128):
        seen = features[sample_uniform(len(features), method.frames)]
        written = [method.fastv.answer(tiny, seen, qa.question, method.reducer) for qa in asked]
        with torch.inference_mode():
            (marks,) = method.marks(tiny, [features], [asked])
        assert marks == [answer == qa.answer for answer, qa in zip(written, asked, strict=True)]
        assert 0 < sum(marks) < len(marks)


def test_frames_exposed_together_are_what_an_inflated_kernel_sees(tiny):
    """CLIP's patch kernel twice, each half as large, on two frames: the first layer of Qwen2.5-VL's tower."""
    frames = toybox.render(toybox.sample(3))
    tower = tiny.model.model.vision_tower
    kernel = getattr(tower, "vision_model", tower).embeddings.patch_embedding  # older transformers: one level deeper
    inflated = torch.nn.Conv3d(3, kernel.out_channels, (2, *kernel.kernel_size), (2, *kernel.stride), bias=False)
    inflated.weight.data = kernel.weight[:, :, None].repeat(1, 1, 2, 1, 1) / 2
    pixels = tiny.preprocess(frames)
    with torch.no_grad():
        seen = inflated(pixels.transpose(0, 1)[None])[0].transpose(0, 1)
        torch.testing.assert_close(seen, kernel(pixels.unflatten(0, (8, 2)).mean(dim=1)), atol=1e-5, rtol=0)
    assert exposed_together(tiny, frames).shape == (8, 8, 8, 96)


FILES = [(read_came_after, LATER, COMPARED_CLIPS), (read_pruned, PRUNING, PRUNED_CLIPS)]


@pytest.mark.parametrize(("read", "methods", "clips"), FILES)
def test_file_is_of_these_weights_and_the_first_of_the_clips_of_lesson_07(read, methods, clips):
    counts, before = read(), read_same_budget()
    assert counts.asked.tolist() == before.asked[:clips].tolist()
    assert counts.right.shape == (clips, len(methods), len(COMPARED_KINDS))
    assert (counts.right >= 0).all() and (counts.right <= counts.asked[:, None]).all()


@pytest.mark.parametrize(("read", "methods", "clips"), FILES)
def test_file_is_what_the_weights_answer(tiny, read, methods, clips):
    """A few clips, measured again: every count of every method and kind."""
    again, stored = count_later(tiny, [toybox.sample(seed) for seed in range(CLIPS_AT_ONCE)], methods), read()
    same_but_for_ties(again.right, stored.right[:CLIPS_AT_ONCE], again.asked, len(methods))


def test_a_missing_file_names_its_command(monkeypatch):
    monkeypatch.setattr(came_after, "CAME_AFTER", came_after.CAME_AFTER.with_name("none.json"))
    with pytest.raises(FileNotFoundError, match="make compare-later"):
        read_came_after()
