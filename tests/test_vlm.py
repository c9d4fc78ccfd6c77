"""The video language model against transformers' own preprocessing, forward pass and generation."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bitsandbytes.nn import Linear4bit
from conftest import byte_tokenizer, next_video_model, save
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from lib import vlm
from lib.reducers import Kind, LlavaVideo, Reducer, SlowFastLlava, SpatialPool, VisualTokens

QUESTIONS = ["What colour is the circle?", "원은 무슨 색입니까?", "🙂 ¿qué? <b>&amp;</b>\n\ttwo  spaces", ""]


@pytest.fixture(params=["random_vlm", "random_onevision"])
def model(request):
    """Both families in turn."""
    return request.getfixturevalue(request.param)


def official_inputs(model, frames, question):
    """What transformers' processor hands to its model: `<video>` once for each visual token, and the pixel values."""
    count = model.default_reducer.count(*model.encode(frames).shape[:3])
    prompt = model.prompt(question).replace("<video>", "<video>" * count)
    pixels = model.preprocess(frames)[None]
    return {**model.tokenizer(prompt, return_tensors="pt"), "pixel_values_videos": pixels}


# ---------------------------------------------------------------------------------------------------------------------
# Pixels
# ---------------------------------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden"
CASES = [case for case in json.loads((GOLDEN / "index.json").read_text()) if case["name"].startswith("video_processor")]


def pattern(frames, height, width):
    """Frames (T, height, width, 3) uint8 of hard edges, made without random numbers."""
    time, row, col, colour = np.ogrid[:frames, :height, :width, :3]
    return ((row * 7 + col * 13 + time * 29 + colour * 61 + (row ^ col) * 5) % 256).astype(np.uint8)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['height']}x{case['width']}-{case['size']}")
def test_pixels_equal_those_of_transformers_video_processor(case):
    official = torch.from_numpy(np.load(GOLDEN / f"{case['name']}.npz")["pixel_values"])
    settings = vlm.PixelSettings(case["size"], case["crop"], tuple(case["image_mean"]), tuple(case["image_std"]))
    pixels = settings.normalise(settings.resize(pattern(2, case["height"], case["width"])))
    assert pixels.shape == (2, 3, case["size"], case["size"]) and pixels.dtype == torch.float32
    torch.testing.assert_close(pixels[:, :, ::7, ::7], official, atol=0.02, rtol=0)


def test_reversed_and_read_only_frames_are_as_good_as_any(random_vlm, make_frames):
    frames = make_frames(3, 90, 70)
    reverse = random_vlm.preprocess(frames[::-1])
    frames.flags.writeable = False
    assert torch.equal(random_vlm.preprocess(frames), reverse.flip(0))


def test_preprocess_gives_each_family_its_own_size(random_vlm, random_onevision, make_frames):
    assert random_vlm.preprocess(make_frames(3, 90, 70)).shape == (3, 3, 64, 64)
    assert random_onevision.preprocess(make_frames(3, 90, 70)).shape == (3, 3, 40, 40)
    assert random_vlm.pixels.crop and not random_onevision.pixels.crop


@pytest.mark.parametrize(
    "file, settings",
    [
        ("preprocessor_config.json", {"image_mean": [0.1] * 3, "image_std": [0.2] * 3}),
        ("video_preprocessor_config.json", {"image_mean": [0.1] * 3, "image_std": [0.2] * 3}),
        ("processor_config.json", {"video_processor": {"image_mean": [0.1] * 3, "image_std": [0.2] * 3}}),
    ],
)
def test_mean_and_deviation_come_from_the_model_folder(random_vlm_folder, tmp_path, file, settings):
    folder = shutil.copytree(random_vlm_folder, tmp_path / "model")
    (folder / "preprocessor_config.json").write_text('{"image_mean": [9, 9, 9], "image_std": [9, 9, 9]}')
    (folder / file).write_text(json.dumps(settings))
    pixels = vlm.load(folder).pixels
    assert (pixels.mean, pixels.std) == ((0.1,) * 3, (0.2,) * 3)


@pytest.mark.parametrize(
    "frames, message",
    [
        (np.zeros((2, 8, 8, 3), np.float32), "uint8"),
        (np.zeros((8, 8, 3), np.uint8), "(T, H, W, 3)"),
        (np.zeros((2, 3, 8, 8), np.uint8), "(T, H, W, 3)"),
        ([np.zeros((8, 8, 3), np.uint8)], "not list"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "not torch.uint8 (2, 3, 8, 8)"),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), "not torch.uint8 (8, 8, 3)"),
        (torch.zeros(2, 8, 8, 3, dtype=torch.int64), "not torch.int64 (2, 8, 8, 3)"),
        (torch.zeros(2, 8, 8, 3, dtype=torch.bfloat16), "not torch.bfloat16 (2, 8, 8, 3)"),
        (np.zeros((0, 8, 8, 3), np.uint8), "at least one frame"),
    ],
)
def test_wrong_frames_are_refused(random_vlm, frames, message):
    for use in (random_vlm.preprocess, random_vlm.encode):
        with pytest.raises(ValueError) as error:
            use(frames)
        assert message in str(error.value)


def test_frames_as_a_tensor_are_frames_wherever_a_clip_is_taken(model, make_frames):
    """And not features, which a reducer would pool and project as if each pixel were a patch."""
    array = make_frames(3, 40, 56)
    tensor, prompt = torch.from_numpy(array), model.prompt("What?")
    for use in (
        model.encode,
        model.preprocess,
        lambda clip: model.sequence(clip, prompt),
        lambda clip: model.batch([clip], [prompt])["inputs_embeds"],
        lambda clip: model.logits(clip, prompt, SpatialPool(1)),
    ):
        torch.testing.assert_close(use(tensor), use(array), rtol=0, atol=0)
    assert model.answers([tensor], ["What?"]) == [model.answer(tensor, "What?")] == [model.answer(array, "What?")]


@pytest.mark.parametrize("shape", [(2, 64, 64, 3), (2, 3, 64, 64), (8, 8, 24), (2, 8, 8, 23)])
def test_a_tensor_that_is_neither_frames_nor_features_is_refused(random_vlm, shape):
    clip = torch.zeros(shape)
    for use in (lambda: random_vlm.answer(clip, "What?"), lambda: random_vlm.batch([clip], [random_vlm.prompt("?")])):
        with pytest.raises(ValueError, match=r"features for .* must be \(T, h, w, 24\), not torch.float32 \("):
            use()


# ---------------------------------------------------------------------------------------------------------------------
# Features, logits, answers
# ---------------------------------------------------------------------------------------------------------------------


def test_features_are_the_configured_layer_without_cls(random_vlm, random_onevision, make_frames):
    for model, layer, first in ((random_vlm, -2, 1), (random_onevision, -1, 0)):
        frames = make_frames(3)
        with torch.no_grad():
            hidden = model.model.model.vision_tower(model.preprocess(frames), output_hidden_states=True).hidden_states
        features = model.encode(frames)
        assert torch.equal(features.flatten(1, 2), hidden[layer][:, first:])


def test_features_do_not_depend_on_the_blocks(model, make_frames, monkeypatch):
    frames = make_frames(19)
    in_blocks_of_16 = model.encode(frames)
    monkeypatch.setattr("lib.vlm.model.FRAMES_PER_BLOCK", 1000)
    torch.testing.assert_close(in_blocks_of_16, model.encode(frames), atol=1e-5, rtol=0)


@pytest.mark.parametrize("count", [1, 2, 5, 17])
@pytest.mark.parametrize("question", QUESTIONS)
def test_logits_equal_transformers_own_forward(model, make_frames, count, question):
    frames = make_frames(count, 48, 80)
    inputs = official_inputs(model, frames, question)
    with torch.no_grad():
        official = model.model(**inputs).logits[0]
    ours = model.logits(frames, model.prompt(question))
    assert official.abs().max() > 1
    torch.testing.assert_close(ours, official, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode, stride", [("average", 4), ("max", 2), ("conv", 2)])
def test_the_default_reducer_follows_the_config(tmp_path, make_frames, mode, stride):
    changes = dict(spatial_pool_mode=mode, spatial_pool_stride=stride)
    model = vlm.load(save(next_video_model(**changes), tmp_path))
    frames = make_frames(3)
    with torch.no_grad():
        official = model.model(**official_inputs(model, frames, "What?")).logits[0]
    torch.testing.assert_close(model.logits(frames, model.prompt("What?")), official, atol=1e-5, rtol=0)


@pytest.mark.parametrize("question", QUESTIONS)
def test_answers_equal_transformers_own_generation(model, make_frames, question):
    frames = make_frames(4)
    inputs = official_inputs(model, frames, question)
    ids = model.model.generate(**inputs, do_sample=False, max_new_tokens=12, pad_token_id=0)
    official = model.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    assert model.answer(frames, question, max_new_tokens=12) == official


def test_an_answer_comes_without_blanks_and_special_tokens(random_vlm, make_frames, monkeypatch):
    generated = random_vlm.tokenizer(" red </s><pad>", return_tensors="pt").input_ids
    monkeypatch.setattr(type(random_vlm.model), "generate", lambda self, **inputs: generated)
    assert random_vlm.answer(make_frames(1), "What colour?") == "red"


def test_a_batch_equals_its_single_clips(model, make_frames):
    clips = [make_frames(count, seed=count) for count in (5, 1, 9)]
    prompts = [model.prompt(question) for question in QUESTIONS[:3]]
    batch = model.batch(clips, prompts)
    lengths = batch["attention_mask"].sum(1).tolist()
    assert len(set(lengths)) == 3
    with torch.no_grad():
        logits = model.model(**batch).logits
    for row, clip, prompt, length in zip(logits, clips, prompts, lengths, strict=True):
        torch.testing.assert_close(row[-length:], model.logits(clip, prompt), atol=1e-5, rtol=0)
    singles = [model.answer(clip, question) for clip, question in zip(clips, QUESTIONS, strict=False)]
    assert model.answers(clips, QUESTIONS[:3]) == singles
    assert len(set(singles)) == 3


def test_features_can_stand_for_frames(model, make_frames):
    frames = make_frames(4)
    features = model.encode(frames)
    assert torch.equal(model.logits(features, model.prompt("What?")), model.logits(frames, model.prompt("What?")))
    assert model.answer(features, "What?") == model.answer(frames, "What?")


@pytest.mark.parametrize("index", range(3))
def test_any_reducer_stands_where_video_stands(model, make_frames, index):
    newline = model.model.model.image_newline
    reducer = [
        SpatialPool(1, "max", "before", "grid", newline),
        SlowFastLlava.from_spec("slowfast-slow_2frms_spatial_2d_avg_pool-fast_2x2"),
        LlavaVideo(2, 2, 4, newline_embed=newline, frame_token=newline),
    ][index]
    features = model.encode(make_frames(4))
    visual = reducer(features, model.project)
    ids = model.tokenizer(model.prompt("What?"), return_tensors="pt").input_ids[0]
    at = ids.tolist().index(model.model.config.video_token_id)
    embeds = model.splice(ids, visual)
    text = model.model.get_input_embeddings()(ids)
    assert torch.equal(embeds, torch.cat([text[:at], visual.embeds, text[at + 1 :]]))
    with torch.no_grad():
        expected = model.model(inputs_embeds=embeds[None]).logits[0]
    torch.testing.assert_close(model.logits(features, model.prompt("What?"), reducer), expected, atol=1e-5, rtol=0)


class Listening(Reducer):
    """Remembers the question that it was given."""

    takes_question = True

    def forward(self, features, project, question=None):
        self.check(features, question)
        self.question = question
        return SpatialPool(2)(features, project)

    def count(self, frames, height, width):
        return SpatialPool(2).count(frames, height, width)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_reducer_that_takes_the_question_gets_it(model, make_frames, question):
    reducer = Listening()
    model.answer(make_frames(2), question, reducer, max_new_tokens=1)
    assert reducer.question == question


def test_gradients_flow_from_the_logits_to_the_projector(model, make_frames):
    inputs = model.batch([model.encode(make_frames(2))], [model.prompt("What?")])
    model.model(**inputs).logits.sum().backward()
    weight = model.model.model.multi_modal_projector.linear_1.weight
    assert weight.grad.abs().sum() > 0
    model.model.zero_grad()


# ---------------------------------------------------------------------------------------------------------------------
# transformers' own forward, through a reducer
# ---------------------------------------------------------------------------------------------------------------------

REDUCERS = {
    "the default": SpatialPool(2),
    "project, then max": SpatialPool(4, "max", "before"),
    "slow and fast": SlowFastLlava.from_spec("slowfast-slow_2frms_concat-fast_2x2"),
    "interleaved": LlavaVideo(2, 2, 4),
}


def expanded(model, features, reducer, question="What?"):
    """One `<video>` for each visual token, and features (1, T, h, w, C) in the place of pixel values."""
    prompt = model.prompt(question).replace("<video>", "<video>" * reducer.count(*features.shape[:3]))
    return {**model.tokenizer(prompt, return_tensors="pt"), "pixel_values_videos": features[None]}


@pytest.mark.parametrize("reducer", REDUCERS.values(), ids=REDUCERS)
def test_transformers_forward_looks_through_any_reducer(random_vlm, make_frames, reducer):
    features = random_vlm.encode(make_frames(5))
    with torch.no_grad(), random_vlm.looking_through(reducer):
        inside = random_vlm.model(**expanded(random_vlm, features, reducer)).logits[0]
    assert torch.equal(inside, random_vlm.logits(features, random_vlm.prompt("What?"), reducer))


def test_two_clips_at_once_look_through_a_reducer(random_vlm, make_frames):
    reducer = REDUCERS["slow and fast"]
    clips = [random_vlm.encode(make_frames(5, seed=seed)) for seed in (1, 2)]
    rows = [expanded(random_vlm, features, reducer) for features in clips]
    batch = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    with torch.no_grad(), random_vlm.looking_through(reducer):
        logits = random_vlm.model(**batch).logits
    for row, features in zip(logits, clips, strict=True):
        torch.testing.assert_close(
            row, random_vlm.logits(features, random_vlm.prompt("What?"), reducer), atol=1e-5, rtol=0
        )


def test_transformers_generates_through_a_reducer(random_vlm, make_frames):
    reducer = REDUCERS["interleaved"]
    features = random_vlm.encode(make_frames(4))
    inputs = expanded(random_vlm, features, reducer)
    with random_vlm.looking_through(reducer):
        ids = random_vlm.model.generate(**inputs, do_sample=False, max_new_tokens=8, pad_token_id=0)
    answer = random_vlm.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    assert answer == random_vlm.answer(features, "What?", reducer, max_new_tokens=8)


def test_a_model_with_lora_looks_through_a_reducer_and_learns(random_vlm_folder, make_frames):
    model, reducer = vlm.load(random_vlm_folder), REDUCERS["slow and fast"]
    features = model.encode(make_frames(4))
    plain = model.logits(features, model.prompt("What?"), reducer)
    lora = LoraConfig(r=4, target_modules=r".*language_model.*q_proj", init_lora_weights=False)
    inject_adapter_in_model(lora, model.model)
    inputs = expanded(model, features, reducer)
    with model.looking_through(reducer):
        loss = model.model(**inputs, labels=inputs["input_ids"]).loss
        with torch.no_grad():
            inside = model.model(**inputs).logits[0]
    loss.backward()
    weights = {name: weight for name, weight in model.model.named_parameters() if "lora" in name}
    assert len(weights) == 4 and all(weight.grad.abs().sum() > 0 for weight in weights.values())
    assert torch.equal(inside, model.logits(features, model.prompt("What?"), reducer))
    assert (inside - plain).abs().max() > 0.01


def test_the_own_way_of_the_model_comes_back(random_vlm, make_frames):
    frames = make_frames(3)
    with pytest.raises(RuntimeError, match="inside"), random_vlm.looking_through(SpatialPool(4)):
        raise RuntimeError("inside")
    with torch.no_grad():
        official = random_vlm.model(**official_inputs(random_vlm, frames, "What?")).logits[0]
    torch.testing.assert_close(random_vlm.logits(frames, random_vlm.prompt("What?")), official, atol=1e-5, rtol=0)


@pytest.mark.parametrize("reducer", [None, SpatialPool(3)], ids=["its own", "another"])
def test_onevision_looks_through_a_reducer_too(random_onevision, make_frames, reducer):
    """Its own reducer ends in a newline, which transformers' forward must not add once more."""
    reducer = reducer or random_onevision.default_reducer
    features = random_onevision.encode(make_frames(3))
    with torch.no_grad(), random_onevision.looking_through(reducer):
        inside = random_onevision.model(**expanded(random_onevision, features, reducer)).logits[0]
    outside = random_onevision.logits(features, random_onevision.prompt("What?"), reducer)
    torch.testing.assert_close(inside, outside, atol=1e-5, rtol=0)


# ---------------------------------------------------------------------------------------------------------------------
# Prompts and lengths
# ---------------------------------------------------------------------------------------------------------------------


def test_prompts_are_those_the_models_were_trained_with(random_vlm, random_onevision):
    assert random_vlm.prompt("Who?") == "USER: <video>\nWho? ASSISTANT:"
    assert random_onevision.prompt("Who?") == "<|im_start|>user\n<video>\nWho?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    "prompt, message",
    [
        ("USER: Who? ASSISTANT:", "0 times where 1 belongs"),
        ("USER: <video>\n<video>\nWho? ASSISTANT:", "2 times where 1 belongs"),
        ("USER: Who? <video> ASSISTANT:", "in the wrong place"),
        ("USER: <video>\nWho?", "must end in 'ASSISTANT:'"),
        ("USER: <video>\nWho? ASSISTANT: ", "must end in 'ASSISTANT:'"),
    ],
)
def test_a_wrong_prompt_is_refused_with_the_right_one(random_vlm, make_frames, prompt, message):
    with pytest.raises(ValueError) as error:
        random_vlm.logits(make_frames(1), prompt)
    assert message in str(error.value)
    assert repr("USER: <video>\n... ASSISTANT:") in str(error.value)


def test_a_prompt_of_the_other_family_is_refused(random_vlm, random_onevision, make_frames):
    with pytest.raises(ValueError, match="wrong place"):
        random_onevision.logits(make_frames(1), random_vlm.prompt("Who?"))


def test_a_question_that_holds_video_is_refused(model, make_frames):
    with pytest.raises(ValueError, match="2 times where 1 belongs"):
        model.answer(make_frames(1), "What is in <video>?")


def test_video_without_pixels_is_refused(model):
    with pytest.raises(ValueError, match="pass the frames"):
        model.logits(None, model.prompt("Who?"))
    with pytest.raises(ValueError, match="pass the frames"):
        model.answer(None, "Who?")


def test_splice_wants_one_video_for_one_set_of_visual_tokens(random_vlm, make_frames):
    ids = random_vlm.tokenizer("USER: <video>\n", return_tensors="pt").input_ids[0]
    visual = random_vlm.default_reducer(random_vlm.encode(make_frames(1)), random_vlm.project)
    assert isinstance(visual, VisualTokens) and set(visual.kind.tolist()) == {Kind.PATCH}
    for wrong_ids, tokens in ((ids, None), (ids[:2], visual), (ids.repeat(2), visual)):
        with pytest.raises(ValueError, match="one of each, or none"):
            random_vlm.splice(wrong_ids, tokens)


def test_a_prompt_without_video_needs_no_pixels(random_vlm):
    prompt = "USER: Who? ASSISTANT:"
    with torch.no_grad():
        official = random_vlm.model(**random_vlm.tokenizer(prompt, return_tensors="pt")).logits[0]
    torch.testing.assert_close(random_vlm.logits(None, prompt), official, atol=1e-5, rtol=0)


def test_too_long_a_sequence_says_how_many_frames_fit(model, make_frames):
    features = model.encode(make_frames(1)).expand(600, -1, -1, -1)
    with pytest.raises(ValueError, match="exceed the context of 512: use at most") as error:
        model.answer(features, "What?")
    fit = int(str(error.value).split("at most ")[1].split()[0])
    assert 20 < fit < 60
    model.answer(features[:fit], "What?")
    with pytest.raises(ValueError, match=f"use at most {fit} frames"):
        model.answer(features[: fit + 1], "What?")


def test_too_long_a_question_is_refused(model, make_frames):
    with pytest.raises(ValueError, match="shorten the text"):
        model.answer(make_frames(1), "?" * 600)


def test_the_answer_needs_room_too(model, make_frames):
    frames = make_frames(1)
    room = 512 - len(model.sequence(frames, model.prompt("What?")))
    model.batch([frames], [model.prompt("What?")], new_tokens=room)
    with pytest.raises(ValueError, match="the answer's included"):
        model.answer(frames, "What?", max_new_tokens=room + 1)


@pytest.mark.parametrize("kind", ["linear", "dynamic"])
def test_rope_scaling_stretches_the_context(tmp_path, kind):
    model = next_video_model()
    model.config.text_config.rope_parameters = {"rope_type": kind, "factor": 2.5, "rope_theta": 10000.0}
    assert vlm.load(save(model, tmp_path)).context == 1280


def with_rope_on_disk(folder, key, rope, source):
    """The folder of a copy of a model whose file names its RoPE scaling under this key, as older files do."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    text = config["text_config"]
    text["rope_theta"] = text.pop("rope_parameters")["rope_theta"]
    (folder / "config.json").write_text(json.dumps(config | {"text_config": text | {key: rope}}))
    return folder


@pytest.mark.parametrize("kind", ["linear", "dynamic"])
def test_the_older_key_of_rope_scaling_is_read(random_vlm_folder, make_frames, tmp_path, kind):
    frames, newer = make_frames(3), vlm.load(random_vlm_folder, rope={"rope_type": kind, "factor": 2.5})
    expected = newer.logits(frames, newer.prompt("What?"))
    older = {"type": kind, "factor": 2.5}
    for model in (
        vlm.load(random_vlm_folder, rope=older),
        vlm.load(with_rope_on_disk(tmp_path / "1", "rope_scaling", older, random_vlm_folder)),
        vlm.load(with_rope_on_disk(tmp_path / "2", "rope_parameters", older, random_vlm_folder)),
        vlm.load(with_rope_on_disk(tmp_path / "3", "rope_scaling", older | {"rope_type": kind}, random_vlm_folder)),
    ):
        assert model.context == 1280
        torch.testing.assert_close(model.logits(frames, model.prompt("What?")), expected, rtol=0, atol=0)
    plain = vlm.load(random_vlm_folder)
    assert kind == "dynamic" or (plain.logits(frames, plain.prompt("What?")) - expected).abs().max() > 0.1


@pytest.mark.parametrize("rope, words", [
    ({"type": "stretched", "factor": 2.0}, "give rope_type, one of default, linear, dynamic"),
    ({"rope_type": "Linear", "factor": 2.0}, "give rope_type, one of default, linear, dynamic"),
    ({"factor": 2.0}, "a factor of 1 or more .none for default"),
    ({"rope_type": "linear", "factor": "2"}, "a factor of 1 or more"),
    ({"rope_type": "linear", "factor": -1.0}, "a factor of 1 or more"),
    ({"rope_type": "dynamic", "factor": float("nan")}, "a factor of 1 or more"),
    ({"rope_type": "linear"}, "Missing required keys .* 'rope_type'='linear': {'factor'}"),
])  # fmt: skip
def test_rope_scaling_of_an_unknown_kind_is_one_sentence(random_vlm_folder, tmp_path, rope, words):
    with pytest.raises(ValueError, match=words) as error:
        vlm.load(random_vlm_folder, rope=rope)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=words):
        vlm.load(with_rope_on_disk(tmp_path, "rope_scaling", rope, random_vlm_folder))


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_rope_scaling_that_is_a_word_is_one_line_with_the_file_and_the_field(random_vlm_folder, tmp_path, key):
    folder = with_rope_on_disk(tmp_path, key, "linear", random_vlm_folder)
    with pytest.raises(ValueError, match=rf"{re.escape(str(folder))}/config.json: .*'{key}'.* Correct it") as error:
        vlm.load(folder)
    assert "\n" not in str(error.value)


def test_a_batch_needs_one_prompt_for_each_clip(model, make_frames):
    with pytest.raises(ValueError, match="one prompt for each"):
        model.batch([make_frames(1)], [])


# ---------------------------------------------------------------------------------------------------------------------
# Loading
# ---------------------------------------------------------------------------------------------------------------------


def test_four_bits_for_the_language_model_only(random_vlm_folder, make_frames):
    loaded = vlm.load(random_vlm_folder, four_bit=True)
    quantised = [name for name, module in loaded.model.named_modules() if isinstance(module, Linear4bit)]
    assert len(quantised) == 2 * 7  # query, key, value, output, gate, up and down of both layers
    assert all(name.startswith("model.language_model.layers") for name in quantised)
    assert loaded.model.model.language_model.layers[0].mlp.up_proj.weight.quant_type == "nf4"
    assert type(loaded.model.lm_head) is nn.Linear
    assert loaded.dtype == torch.float32
    assert isinstance(loaded.answer(make_frames(2), "What?"), str)


def test_dtype_can_be_chosen(random_vlm_folder, make_frames):
    loaded = vlm.load(random_vlm_folder, device="cpu", dtype=torch.bfloat16)
    assert loaded.encode(make_frames(1)).dtype == loaded.dtype == torch.bfloat16
    assert isinstance(loaded.answer(make_frames(2), "What?"), str)


@pytest.mark.parametrize(
    "capability, dtype", [((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_bfloat16_only_where_the_hardware_has_it(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert vlm.compute_dtype(torch.device("cuda")) == dtype
    assert vlm.four_bit_config(dtype).bnb_4bit_compute_dtype == dtype


def broken_copy(folder, tmp_path, change):
    copy = shutil.copytree(folder, tmp_path / "model")
    change(copy)
    return copy


def truncate(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def drop_weights(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if "projector" not in name}, folder / "model.safetensors"
    )


def pickle_weights(folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    "change, message",
    [
        (truncate, "cannot load the model"),
        (drop_weights, "do not fit its config.json (model.multi_modal_projector"),
        (pickle_weights, "has its weights as pickle only (pytorch_model.bin), which can run code"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot load the model"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot load the model"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
    ],
)
def test_a_damaged_folder_is_one_clear_error(random_vlm_folder, tmp_path, change, message):
    folder = broken_copy(random_vlm_folder, tmp_path, change)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        vlm.load(folder)
    assert message in str(error.value) and str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_another_architecture_is_refused(tmp_path):
    config = LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=512)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a llama, not one of llava_next_video, llava_onevision"):
        vlm.load(tmp_path)


@pytest.mark.parametrize("name", ["no/such/folder", "./nothing", "tinny", "a b/c", ""])
def test_a_name_that_is_neither_folder_nor_hub_id(name):
    with pytest.raises(FileNotFoundError, match="Load 'tiny', a folder"):
        vlm.load(name)


def test_a_missing_tiny_says_how_to_get_it_back(monkeypatch, tmp_path):
    monkeypatch.setattr("lib.vlm.loading.TINY", tmp_path / "tiny-vlm")
    with pytest.raises(FileNotFoundError, match="make tiny"):
        vlm.load()
