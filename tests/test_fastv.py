"""FastV: visual tokens are dropped inside the language model as by the official code, and nothing else changes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from lib import toybox
from lib.reducers import SpatialPool
from lib.vlm import load
from lib.vlm.fastv import FastV, attention_of

GOLDEN = Path(__file__).parent / "golden"
CASES = [case for case in json.loads((GOLDEN / "index.json").read_text()) if case["name"].startswith("fastv")]


@pytest.fixture(scope="module")
def tiny():
    return load("tiny", device="cpu")


def golden(case):
    """The decoder of a golden file in today's transformers, its input (1, S, D), and the official states (S', D)."""
    arrays = {name: torch.from_numpy(array) for name, array in np.load(GOLDEN / f"{case['name']}.npz").items()}
    weights = {name.removeprefix("weights."): array for name, array in arrays.items() if name.startswith("weights.")}
    mlp, width = weights["layers.0.mlp.gate_proj.weight"].shape
    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=case["layers"],
        num_attention_heads=case["heads"],
        num_key_value_heads=case["kv_heads"],
        vocab_size=4,
        rms_norm_eps=1e-6,
    )
    decoder = LlamaModel(config).eval()
    missing = decoder.load_state_dict(weights, strict=False)
    assert missing.missing_keys == ["embed_tokens.weight"] and not missing.unexpected_keys
    return decoder, arrays["embeds"][None], arrays["states"]


def states(decoder, embeds, fastv, visual, last):
    with torch.no_grad(), fastv.pruning(decoder, visual, last) as seen:
        return decoder(inputs_embeds=embeds, use_cache=False).last_hidden_state, seen["kept"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_equals_the_official_code(case):
    """Where the official code masks what it drops, its states at the kept positions are ours."""
    decoder, embeds, official = golden(case)
    visual = slice(case["sys_length"], case["sys_length"] + case["image_token_length"])
    fastv = FastV(case["agg_layer"], case["attention_rank"])
    ours, kept = states(decoder, embeds, fastv, visual, torch.tensor([embeds.shape[1] - 1]))
    assert ours.shape[1] == embeds.shape[1] - case["image_token_length"] + case["attention_rank"]
    torch.testing.assert_close(ours[0], official if case["inplace"] else official[kept[0]], atol=1e-5, rtol=0)


def test_all_golden_files_are_compared_and_both_official_ways_are_among_them():
    assert len(CASES) == 3 and {case["inplace"] for case in CASES} == {True, False}


def test_the_attention_is_that_of_transformers(tiny):
    decoder = tiny.model.model.language_model
    embeds = torch.randn(2, 30, 128)
    seen = []
    hooks = [
        layer.register_forward_pre_hook(lambda *given: seen.append(given[1:]), with_kwargs=True)
        for layer in decoder.layers
    ]
    implementation = decoder.config._attn_implementation
    decoder.set_attn_implementation("eager")
    with torch.no_grad():
        theirs = decoder(inputs_embeds=embeds, output_attentions=True, use_cache=False).attentions
        ours = [
            attention_of(layer, args[0], given["position_embeddings"], torch.tensor([29, 20]))
            for layer, (args, given) in zip(decoder.layers, seen, strict=True)
        ]
    decoder.set_attn_implementation(implementation)
    for hook in hooks:
        hook.remove()
    for mine, official in zip(ours, theirs, strict=True):
        torch.testing.assert_close(
            mine, official.mean(dim=1)[torch.arange(2), torch.tensor([29, 20])], atol=1e-6, rtol=0
        )


def test_a_batch_padded_on_the_right_is_as_its_rows_alone(tiny):
    decoder = tiny.model.model.language_model
    embeds, visual, last = torch.randn(3, 60, 128), slice(4, 44), torch.tensor([59, 50, 46])
    ours, kept = states(decoder, embeds, FastV(1, 12), visual, last)
    for row, end in enumerate(last.tolist()):
        alone, kept_alone = states(decoder, embeds[row : row + 1, : end + 1], FastV(1, 12), visual, last[row : row + 1])
        assert kept[row, : kept_alone.shape[1]].tolist() == kept_alone[0].tolist()
        torch.testing.assert_close(ours[row, : alone.shape[1]], alone[0], atol=1e-4, rtol=0)


def test_the_cache_holds_all_tokens_before_and_few_after(tiny):
    clip = toybox.sample(3)
    prompt = tiny.prompt("What is the code?")
    inputs = tiny.batch([toybox.render(clip)[::2]], [prompt], SpatialPool(2))
    length = inputs["inputs_embeds"].shape[1]
    with (
        torch.no_grad(),
        FastV(2, 30).pruning(tiny.model.model.language_model, slice(4, 132), torch.tensor([length - 1])),
    ):
        made = tiny.model.generate(
            **inputs, max_new_tokens=3, min_new_tokens=3, return_dict_in_generate=True, use_cache=True
        )
    held = [layer.keys.shape[2] for layer in made[-1].layers]
    assert held == [length + 2, length + 2, length + 2 - 98, length + 2 - 98]


def test_answers_with_all_tokens_kept_are_those_without_pruning_and_hooks_are_gone(tiny):
    features = tiny.encode(toybox.render(toybox.sample(7)))
    asked = [qa.question for qa in toybox.questions(toybox.sample(7))][::3]
    before = [tiny.answer(features, question) for question in asked]
    assert [FastV(1, 256).answer(tiny, features, question) for question in asked] == before
    none = [FastV(1, 0).answer(tiny, features, question) for question in asked]
    assert none != before
    assert [tiny.answer(features, question) for question in asked] == before


def test_another_rank_keeps_other_tokens(tiny):
    decoder, embeds, visual = tiny.model.model.language_model, torch.randn(1, 40, 128), slice(5, 35)
    kept = [
        states(decoder, embeds, FastV(1, 10, rank), visual, torch.tensor([39]))[1]
        for rank in (torch.neg, torch.as_tensor)
    ]
    outside = {*range(5), *range(35, 40)}
    least, most = ({*row[0].tolist()} - outside for row in kept)
    assert len(least) == len(most) == 10 and not least & most


def test_without_positions_it_does_not_matter_where_a_token_stands(tiny):
    """The same token at all places: with rotary positions some places are attended to more, without them none."""
    layer = tiny.model.model.language_model.layers[0]
    embeds, last = torch.randn(1, 1, 128).expand(1, 40, 128), torch.tensor([39])
    around = tiny.model.model.language_model.rotary_emb(embeds, torch.arange(40)[None])
    with torch.no_grad():
        with_positions, without = (
            attention_of(layer, embeds, given, last)[0] for given in (around, (torch.ones(1), torch.zeros(1)))
        )
    torch.testing.assert_close(without, torch.full((40,), 1 / 40))
    assert with_positions.max() > 1.5 * with_positions.min()
    visual, kept = slice(0, 39), []
    for positions in (True, False):
        kept.append(
            states(
                tiny.model.model.language_model,
                torch.randn(1, 60, 128, generator=torch.Generator().manual_seed(0)),
                FastV(1, 8, positions=positions),
                visual,
                torch.tensor([59]),
            )[1].tolist()
        )
    assert kept[0] != kept[1]


@pytest.mark.parametrize("layer, keep", [(0, 4), (1, -1)])
def test_impossible_settings(layer, keep):
    with pytest.raises(ValueError, match="give a layer from 1 on"):
        FastV(layer, keep)


def test_no_layers_left(tiny):
    with pytest.raises(ValueError, match="choose from 1 to 3"):
        FastV(4, 8).answer(tiny, np.zeros((2, 64, 64, 3), np.uint8), "What is the code?")


def test_a_mask_is_refused(tiny):
    """Padding on the left needs one: positions would move against each other."""
    inputs = tiny.batch(
        [np.zeros((2, 64, 64, 3), np.uint8)] * 2, [tiny.prompt("Why?"), tiny.prompt("What is the code?")]
    )
    with (
        torch.no_grad(),
        pytest.raises(ValueError, match="without a mask"),
        FastV(1, 8).pruning(tiny.model.model.language_model, slice(4, 36), torch.tensor([40, 40])),
    ):
        tiny.model(**inputs)
