"""Real weights: the real configurations, their twins against transformers' own path, and what `load` looks at first.

The twins (lib/vlm/twins.py) are written under the names, in the shards and with the token numbers of the Hub's files.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bitsandbytes.nn import Linear4bit
from huggingface_hub import constants
from safetensors.torch import load_file
from test_vlm import official_inputs
from torch import nn

from lib import budget, vlm
from lib.known import CONFIGS, REAL_MODELS, REVISIONS
from lib.reducers import Kind, LlamaVid, LlavaVideo, SlowFastLlava, SpatialPool
from lib.vlm import hub, twins

ONEVISION, VIDEO_7B, DPO_7B, VIDEO_34B = CONFIGS
MODELS = (ONEVISION, VIDEO_7B, VIDEO_34B)
PAPER = "slowfast-slow_10frms_spatial_1d_max_pool-fast_4x4"
TWICE = {"rope_type": "dynamic", "factor": 2.0}


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """folder_of(name, **text) -> the folder of a twin, written once."""
    written = {}

    def folder(name, **text):
        key = json.dumps([name, text])
        if key not in written:
            written[key] = twins.write_twin(name, tmp_path_factory.mktemp("twin"), **text)
        return written[key]

    return folder


@pytest.fixture(scope="session", params=MODELS, ids=lambda name: name.split("/")[1])
def twin(request, folder_of):
    """Each architecture in turn, loaded from its folder."""
    return vlm.load(folder_of(request.param))


@pytest.fixture(scope="session")
def video_7b(folder_of):
    return vlm.load(folder_of(VIDEO_7B))


# ---------------------------------------------------------------------------------------------------------------------
# The real configurations
# ---------------------------------------------------------------------------------------------------------------------


def test_the_table_of_revisions_has_the_models_that_have_a_configuration():
    assert set(REVISIONS) == set(CONFIGS) >= set(REAL_MODELS)
    assert all(revision is None or len(revision) == 40 and int(revision, 16) for revision in REVISIONS.values())
    assert CONFIGS[DPO_7B] == CONFIGS[VIDEO_7B]


def test_the_real_configurations_have_the_published_sizes():
    sizes = {name: vlm.bytes_to_load(twins.real_config(name), False, torch.float16) for name in MODELS}
    assert sizes[VIDEO_7B] == 2 * 7_063_431_168  # counted by two people who loaded it
    header = 94_576  # of the 1,787,445,680 bytes of model.safetensors
    assert sizes[ONEVISION] == 1_787_445_680 - header
    assert 34e9 < sizes[VIDEO_34B] / 2 < 35e9


@pytest.mark.parametrize("name", MODELS)
def test_counted_bytes_equal_the_formula(name):
    config = twins.real_config(name)
    spec = budget.ModelSpec.from_config(config)
    assert vlm.bytes_to_load(config, False, torch.bfloat16) == budget.weight_bytes(spec)
    assert vlm.bytes_to_load(config, True, torch.float16) == budget.weight_bytes(spec, "nf4-double", keep_vision=True)


def test_a_model_without_a_configuration_is_refused():
    with pytest.raises(ValueError, match="no configuration of nobody/nothing: choose one of llava-hf"):
        twins.real_config("nobody/nothing")


# ---------------------------------------------------------------------------------------------------------------------
# Twins against transformers
# ---------------------------------------------------------------------------------------------------------------------


def test_a_twin_keeps_what_matters(twin):
    name = next(name for name in MODELS if twins.shrink(CONFIGS[name])["text_config"]["vocab_size"]
                == twin.model.config.text_config.vocab_size)  # fmt: skip
    small, real = twin.model.config, twins.real_config(name)
    for field in ("video_token_id", "image_token_id", "vision_feature_layer", "vision_feature_select_strategy"):
        assert getattr(small, field) == getattr(real, field)
    for field in ("vocab_size", "max_position_embeddings", "rope_parameters", "tie_word_embeddings"):
        assert getattr(small.text_config, field) == getattr(real.text_config, field)
    assert small.vision_config.image_size // small.vision_config.patch_size == (27 if name == ONEVISION else 24)
    texts = small.text_config, real.text_config
    assert len({text.num_attention_heads // text.num_key_value_heads for text in texts}) == 1


def test_every_weight_of_the_files_arrives(twin):
    stored = {}
    for shard in Path(twin.name).glob("*.safetensors"):
        stored |= load_file(shard)
    assert len(stored) == len(dict(twin.model.named_parameters()))
    for key, weight in twin.model.named_parameters():
        assert torch.equal(weight, stored[twins.hub_name(key)].float()), key


@pytest.mark.parametrize("question", ["What moves?", "원은 무슨 색입니까? 🙂"])
def test_logits_equal_transformers_own_forward(twin, make_frames, question):
    frames = make_frames(2, 90, 120)
    with torch.no_grad():
        official = twin.model(**official_inputs(twin, frames, question)).logits[0]
    assert official.abs().max() > 1
    torch.testing.assert_close(twin.logits(frames, twin.prompt(question)), official, atol=1e-5, rtol=0)


def test_features_are_the_layer_that_the_projector_reads(twin, make_frames):
    onevision = twin.model.config.model_type == "llava_onevision"
    frames = make_frames(2)
    with torch.no_grad():
        hidden = twin.model.model.vision_tower(twin.preprocess(frames), output_hidden_states=True).hidden_states
    side, layer, first = (27, -1, 0) if onevision else (24, -2, 1)
    assert hidden[layer].shape[1] == side**2 + first
    assert torch.equal(twin.encode(frames), hidden[layer][:, first:].unflatten(1, (side, side)))


def test_the_default_reducer_is_the_models_own(twin):
    onevision = twin.model.config.model_type == "llava_onevision"
    assert twin.default_reducer.count(8, *((27, 27) if onevision else (24, 24))) == (8 * 196 + 1 if onevision else 1152)


def test_pixels_are_those_of_each_family(twin, make_frames):
    onevision = twin.model.config.model_type == "llava_onevision"
    assert twin.pixels == (
        vlm.PixelSettings(384, False, (0.5,) * 3, (0.5,) * 3) if onevision else vlm.PixelSettings(336, True)
    )


@pytest.mark.parametrize("name, chat", [(ONEVISION, vlm.QWEN), (VIDEO_7B, vlm.VICUNA), (VIDEO_34B, vlm.YI)])
def test_each_model_has_its_own_chat(folder_of, name, chat):
    loaded = vlm.load(folder_of(name))
    assert loaded.chat == chat
    ids = loaded.tokenizer(loaded.prompt("Who?")).input_ids
    assert ids.count(loaded.model.config.video_token_id) == 1
    assert (
        ids.count(loaded.tokenizer.convert_tokens_to_ids("<|im_start|>") if chat != vlm.VICUNA else 1)
        == ({vlm.QWEN: 2, vlm.YI: 3, vlm.VICUNA: 1}[chat])
    )


def test_prompts_of_the_34b():
    assert vlm.YI.prompt("Who?") == (
        "<|im_start|>system\nAnswer the questions.<|im_end|>"
        "<|im_start|>user\n<video>\nWho?<|im_end|><|im_start|>assistant\n"
    )
    for chat in (vlm.YI, vlm.SLOWFAST_VICUNA):
        chat.check(chat.prompt("Who?"), has_video=True)
        assert chat.question(chat.prompt("Who?")) == "Who?"
        assert chat.opening.count("<video>") == 1


def test_the_34b_answers_with_a_cache_although_its_configuration_has_none(folder_of, make_frames, monkeypatch):
    loaded = vlm.load(folder_of(VIDEO_34B))
    assert loaded.model.config.text_config.use_cache is False
    lengths = []
    language = loaded.model.model.language_model
    language.register_forward_pre_hook(
        lambda module, args, inputs: lengths.append(inputs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    loaded.answer(make_frames(1), "Who?", max_new_tokens=4)
    assert lengths[0] > 100 and lengths[1:] == [1] * (len(lengths) - 1)


def test_query_heads_share_keys_as_in_the_34b(folder_of):
    attention = vlm.load(folder_of(VIDEO_34B)).model.model.language_model.layers[0].self_attn
    assert attention.num_key_value_groups == 7
    assert attention.q_proj.out_features == 7 * attention.k_proj.out_features


# ---------------------------------------------------------------------------------------------------------------------
# RoPE, as it was seen on the Hub, in the blog and in the paper
# ---------------------------------------------------------------------------------------------------------------------

NONE, BESIDE, BLOG = (
    dict(rope_scaling=None),
    dict(rope_scaling=None, factor=2.0, type="linear"),
    dict(rope_scaling={"factor": 2.0, "type": "linear"}),
)
ROPES = {  # what the configuration says -> the factor that divides the frequencies, and the context
    "none (the 34B)": (NONE, 1, 4096),
    "beside the other settings (the first 7B)": (BESIDE, 1, 4096),
    "linear 2 (the blog)": (BLOG, 2, 8192),
    "linear 2.5 (the 7B of today)": ({}, 2.5, 10240),
    "dynamic 2 (SlowFast-LLaVA)": (dict(rope_scaling={"factor": 2.0, "type": "dynamic"}), 1, 8192),
}


@pytest.mark.parametrize("text, factor, context", ROPES.values(), ids=ROPES)
def test_rope_as_the_configuration_says(folder_of, make_frames, text, factor, context):
    loaded = vlm.load(folder_of(VIDEO_7B, **text))
    plain = 1 / 10000 ** (torch.arange(0, 16, 2) / 16)
    torch.testing.assert_close(loaded.model.model.language_model.rotary_emb.inv_freq, plain / factor)
    assert loaded.context == context
    frames = make_frames(1)
    with torch.no_grad():
        official = loaded.model(**official_inputs(loaded, frames, "Who?")).logits[0]
    torch.testing.assert_close(loaded.logits(frames, loaded.prompt("Who?")), official, atol=1e-5, rtol=0)


def test_rope_can_be_chosen_when_loading(folder_of, video_7b, make_frames):
    frames, prompt = make_frames(1), video_7b.prompt("Who?")
    for rope, text in (({"rope_type": "linear", "factor": 2.0}, BLOG), ({"rope_type": "default"}, NONE)):
        chosen, configured = vlm.load(folder_of(VIDEO_7B), rope=rope), vlm.load(folder_of(VIDEO_7B, **text))
        assert torch.equal(chosen.logits(frames, prompt), configured.logits(frames, prompt))
        assert chosen.context == configured.context
        assert (chosen.logits(frames, prompt) - video_7b.logits(frames, prompt)).abs().max() > 0.01


def test_dynamic_rope_changes_nothing_within_the_trained_length(folder_of, make_frames):
    folder = folder_of(VIDEO_7B)
    plain, dynamic = vlm.load(folder, rope={"rope_type": "default"}), vlm.load(folder, rope=TWICE)
    frames, prompt = make_frames(1), plain.prompt("Who?")
    assert torch.equal(plain.logits(frames, prompt), dynamic.logits(frames, prompt))
    features = dynamic.encode(frames).expand(8, -1, -1, -1)
    dynamic.answer(features, "Who?", SpatialPool(1), max_new_tokens=1)  # 4,608 tokens
    frequencies = (loaded.model.model.language_model.rotary_emb.inv_freq for loaded in (plain, dynamic))
    assert not torch.equal(*frequencies)


# ---------------------------------------------------------------------------------------------------------------------
# Every reducer, in every precision
# ---------------------------------------------------------------------------------------------------------------------


def reducers_for(model):
    """One of each method, its learned vectors from the model or untrained."""
    config, newline = model.model.config, model.model.model.image_newline
    torch.manual_seed(0)
    widths = config.vision_config.hidden_size, config.text_config.hidden_size
    return {
        "pool": SpatialPool(2),
        "rows": SpatialPool(4, "bilinear", "before", "grid", newline),
        "slowfast": SlowFastLlava.from_spec("slowfast-slow_2frms_spatial_1d_max_pool-fast_4x4"),
        "llava-video": LlavaVideo(2, 2, 4, newline_embed=newline, frame_token=newline),
        "llama-vid": LlamaVid(*widths, tokenizer=model.tokenizer).to(model.device, model.dtype),
    }


@pytest.mark.parametrize("how", ["float16", "bfloat16", "nf4"])
@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[1])
def test_every_reducer_works_in_every_precision(folder_of, make_frames, name, how):
    four_bit = how == "nf4"
    # Four bits on a CPU want rows of whole blocks, as the real models have them: 7 heads of 64 and not of 16.
    wide = dict(hidden_size=448, head_dim=64) if four_bit and name != VIDEO_7B else {}
    dtype = torch.float32 if four_bit else getattr(torch, how)
    loaded = vlm.load(folder_of(name, **wide), four_bit=four_bit, dtype=dtype)
    quantised = [module for module in loaded.model.modules() if isinstance(module, Linear4bit)]
    assert len(quantised) == (14 if four_bit else 0)
    assert all(isinstance(module, nn.Linear) for module in quantised)
    features = loaded.encode(make_frames(3))
    text = len(loaded.tokenizer(loaded.prompt("Who?")).input_ids) - 1
    for reducer in reducers_for(loaded).values():
        logits = loaded.logits(features, loaded.prompt("Who?"), reducer)
        assert logits.isfinite().all()
        assert len(logits) == text + reducer.count(*features.shape[:3])
    assert isinstance(loaded.answer(features, "Who?", max_new_tokens=2), str)


# ---------------------------------------------------------------------------------------------------------------------
# SlowFast-LLaVA on the 7B, as in the paper
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slowfast(folder_of):
    """The 7B as SlowFast-LLaVA uses such a model: dynamic RoPE, frames squashed, its own prompt."""
    loaded = vlm.load(folder_of(VIDEO_7B), rope=TWICE)
    return replace(loaded, pixels=replace(loaded.pixels, crop=False), chat=vlm.SLOWFAST_VICUNA)


def test_fifty_frames_become_3680_tokens_behind_the_projector(slowfast, make_frames):
    features = slowfast.encode(make_frames(50, 60, 120))
    assert features.shape[:3] == (50, 24, 24)
    with torch.no_grad():
        tokens = SlowFastLlava.from_spec(PAPER)(features, slowfast.project)
        projected = slowfast.model.model.multi_modal_projector(features)
    slow = projected[::5].unflatten(2, (12, 2)).amax(3).flatten(0, 2)
    fast = projected.unflatten(2, (4, 6)).unflatten(1, (4, 6)).mean((2, 4)).flatten(0, 2)
    assert len(tokens) == 10 * 288 + 50 * 16 == 3680
    assert set(tokens.kind.tolist()) == {Kind.PATCH}
    torch.testing.assert_close(tokens.embeds, torch.cat([slow, fast]), atol=1e-5, rtol=0)
    assert isinstance(slowfast.answer(features, "Who?", SlowFastLlava.from_spec(PAPER), max_new_tokens=1), str)


def test_frames_are_squashed_not_cropped(slowfast, video_7b):
    frame = np.zeros((1, 50, 100, 3), np.uint8)
    frame[:, :, :20] = 255  # a bar that the centre crop cuts off
    assert slowfast.preprocess(frame)[0, 0, :, :60].min() > 1
    assert video_7b.preprocess(frame)[0, 0].max() < 0


def test_the_prompt_is_the_papers(slowfast):
    prompt = slowfast.prompt("What moves?")
    assert prompt.startswith("USER: <video>\nThe input consists of a sequence of key frames from a video. Answer")
    assert prompt.endswith("Question: What moves? \nASSISTANT:\nAnswer: In the video,")


def test_it_fits_the_context_that_it_was_trained_with(slowfast):
    text = len(slowfast.tokenizer(slowfast.prompt("What moves?")).input_ids)
    assert 3680 + text < slowfast.context == 8192


# ---------------------------------------------------------------------------------------------------------------------
# Before anything is downloaded or read
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """cache(name, revision, folder): puts a folder into an otherwise empty cache of the Hub, and calls it main."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def put(name, revision, folder):
        of_model = tmp_path / f"models--{name.replace('/', '--')}"
        shutil.copytree(folder, of_model / "snapshots" / revision)
        (of_model / "refs").mkdir(exist_ok=True)
        (of_model / "refs" / "main").write_text(revision)

    return put


@pytest.fixture
def unreachable(monkeypatch):
    """No network, and anybody who tries to use it is noticed."""
    asked = []

    class Hub:
        def model_info(self, name, **options):
            asked.append((name, options["revision"]))
            raise ConnectionError("no route")

    monkeypatch.setattr(hub, "HfApi", Hub)
    return asked


@pytest.fixture
def nothing_is_read(monkeypatch):
    """Fails the test where weights are read."""

    def read(*args, **kwargs):
        raise AssertionError("weights were read")

    monkeypatch.setattr("lib.vlm.loading.read_weights", read)


def test_a_pinned_revision_is_what_is_loaded(folder_of, cache, unreachable):
    pinned = REVISIONS[ONEVISION]
    cache(ONEVISION, pinned, folder_of(ONEVISION))
    cache(ONEVISION, "f" * 40, folder_of(ONEVISION, vocab_size=152064))  # what main is now
    loaded = vlm.load(ONEVISION)
    assert unreachable == [(ONEVISION, pinned)]
    assert loaded.revision == pinned and loaded.model.config.text_config.vocab_size == 152000
    newest = vlm.load(ONEVISION, revision="main")
    assert newest.revision == "f" * 40 and newest.model.config.text_config.vocab_size == 152064


def test_a_revision_that_is_not_here_without_a_network(folder_of, cache, unreachable):
    cache(ONEVISION, "f" * 40, folder_of(ONEVISION))
    with pytest.raises(ValueError, match="the Hub cannot be reached"):
        vlm.load(ONEVISION)


def test_a_folder_has_no_revision(video_7b):
    assert video_7b.revision is None


@pytest.mark.parametrize(
    "free, options, message",
    [
        (12, {"dtype": torch.float16}, r"need 13\.2 GiB in float16 .* has 12\.0 GiB free: four_bit=True needs 4\.2"),
        (12, {}, r"need 26\.3 GiB in float32 and cpu has 12\.0 GiB free: four_bit=True needs"),
        (3, {"four_bit": True, "dtype": torch.float16}, r"need 4\.2 GiB in 4 bits .* take a smaller model"),
    ],
)
def test_not_enough_memory(cache, unreachable, monkeypatch, tmp_path, nothing_is_read, free, options, message):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "config.json").write_text(json.dumps(CONFIGS[VIDEO_7B]))
    cache(VIDEO_7B, "a" * 40, tmp_path / "real")
    monkeypatch.setattr("lib.vlm.loading.free_bytes", lambda device: free * 2**30)
    with pytest.raises(ValueError, match=message) as error:
        vlm.load(VIDEO_7B, **options)
    assert VIDEO_7B in str(error.value) and "\n" not in str(error.value)


def test_free_memory_is_that_of_the_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5, 20))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 9)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 7)
    assert vlm.free_bytes(torch.device("cuda")) == 7  # 5, and 2 that torch keeps
    assert vlm.free_bytes(torch.device("cpu")) > 2**20


def test_another_number_for_video_is_refused(folder_of, tmp_path):
    folder = shutil.copytree(folder_of(VIDEO_34B), tmp_path / "model")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"video_token_index": 64000}))
    with pytest.raises(ValueError, match="writes <video> as 64003, its configuration expects 64000"):
        vlm.load(folder)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("said", [True, False])
def test_the_stored_type_is_that_of_the_files_also_where_the_configuration_is_silent(tmp_path, stored, said):
    vlm.load("tiny").model.to(stored).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(vlm.TINY) / name, tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config if said else {key: value for key, value in config.items() if key != "dtype"}))
    assert vlm.load(tmp_path, dtype="stored").dtype == stored
