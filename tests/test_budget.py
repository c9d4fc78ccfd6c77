"""lib.budget against built models (parameters, bytes of the cache, operations) and against published numbers."""

import json
from pathlib import Path

import pytest
import torch
from bitsandbytes.functional import quantize_4bit
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
)

from lib import budget, finetune, vlm
from lib.budget import MODELS, ModelSpec
from lib.known import GIB, nf4_bytes
from lib.reducers import LlamaVid, SlowFastLlava, SpatialPool

ROOT = Path(__file__).parent.parent
VISION = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = {"hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 3, "num_attention_heads": 4}
SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26, "num_attention_heads": 16}
QWEN_05B = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14}


def next_video_config(**text):
    """A small LlavaNextVideoConfig whose sizes are all different, with 2 key-value heads for 4 heads."""
    vision = {"model_type": "clip_vision_model", "image_size": 32, "patch_size": 8, **VISION}
    text = {"num_key_value_heads": 2, "vocab_size": 48, "max_position_embeddings": 256, **TEXT, **text}
    return LlavaNextVideoConfig(
        vision_config=vision, text_config={"model_type": "llama", **text}, image_token_index=46, video_token_index=47
    )


def onevision_config():
    """llava-hf/llava-onevision-qwen2-0.5b-ov-hf, as transformers' conversion script builds it."""
    vision = {"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14, "vision_use_head": False}
    text = {"model_type": "qwen2", "num_key_value_heads": 2, "vocab_size": 152000, "max_position_embeddings": 32768}
    text["tie_word_embeddings"] = True
    return LlavaOnevisionConfig(vision_config=vision | SIGLIP, text_config=text | QWEN_05B)


def seven_b_config():
    """LLaVA-NeXT-Video-7B: the class's defaults, with the padded vocabulary and Vicuna's context."""
    text = {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096}
    return LlavaNextVideoConfig(text_config=text)


def thirty_four_b_config():
    """LLaVA-NeXT-Video-34B: Yi's sizes, 8 key-value heads for 56."""
    text = {"model_type": "llama", "hidden_size": 7168, "intermediate_size": 20480, "num_hidden_layers": 60}
    heads = {"num_attention_heads": 56, "num_key_value_heads": 8, "head_dim": 128}
    sizes = {"vocab_size": 64064, "max_position_embeddings": 4096}
    ids = {"video_token_index": 64003, "image_token_index": 64004}
    return LlavaNextVideoConfig(text_config=text | heads | sizes, **ids)


def count(module):
    """Parameters of a module, each counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def small_model():
    """The small configuration with random weights, on the CPU."""
    torch.manual_seed(0)
    return LlavaNextVideoForConditionalGeneration(next_video_config()).eval()


def inputs_of(model, frames):
    """One clip of `frames` random frames and a prompt of 4 tokens around its placeholders."""
    spec = ModelSpec.from_config(model.config)
    ids = [1, 2] + [47] * spec.video_tokens(frames) + [3, 4]
    size = model.config.vision_config.image_size
    return {"input_ids": torch.tensor([ids]), "pixel_values_videos": torch.randn(1, frames, 3, size, size)}


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("name", "config", "cls"),
    [
        ("7b", seven_b_config(), LlavaNextVideoForConditionalGeneration),
        ("34b", thirty_four_b_config(), LlavaNextVideoForConditionalGeneration),
        ("onevision-0.5b", onevision_config(), LlavaOnevisionForConditionalGeneration),
    ],
)
def test_parameters_equal_the_built_model(name, config, cls):
    """Every part of the formula equals the model built without weights, and the typed spec equals the config's."""
    with torch.device("meta"):
        model = cls(config)
    spec = ModelSpec.from_config(config, name)
    assert spec == MODELS[name]
    assert spec.vision.parameters == count(model.model.vision_tower)
    assert spec.projector_parameters == count(model.model.multi_modal_projector)
    assert spec.language.parameters == count(model.model.language_model)
    assert spec.parameters == count(model)


def test_the_published_7b_counts():
    """The numbers of the model card: 303.5M, 21M, 6.74B, 7.06B."""
    spec = MODELS["7b"]
    assert spec.vision.parameters == 303_507_456
    assert spec.projector_parameters == 20_979_712
    assert spec.language.parameters == 6_607_605_760
    assert spec.language.head_parameters == 131_334_144
    assert spec.parameters == 7_063_431_168


def test_linear_weights_equal_the_built_modules(small_model):
    """`linears` counts what 4-bit loading quantises: every nn.Linear but the output layer."""
    spec = ModelSpec.from_config(small_model.config)

    def weights(module):
        return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, torch.nn.Linear))

    assert spec.vision.linears == weights(small_model.model.vision_tower)
    assert spec.projector_linears == weights(small_model.model.multi_modal_projector)
    assert spec.language.linears == weights(small_model.model.language_model)
    assert spec.parameters == count(small_model)


def test_tiny_is_the_shipped_model():
    """The typed tiny spec is the one of data/tiny-vlm/config.json."""
    config = LlavaNextVideoConfig(**json.loads((ROOT / "data/tiny-vlm/config.json").read_text()))
    assert ModelSpec.from_config(config, "tiny") == MODELS["tiny"], "write these sizes into lib.budget.MODELS"


def test_linear_rope_stretches_the_context():
    """Later 7B configs carry a linear factor of 2.5: 10,240 positions. Other rope types do not count."""
    linear = {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0}
    assert ModelSpec.from_config(next_video_config(rope_parameters=linear)).language.context == 640
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert ModelSpec.from_config(next_video_config(rope_parameters=dynamic)).language.context == 256


def test_from_config_refuses_what_it_cannot_count():
    """Other architectures and the learned pooling are named in the error."""
    config = next_video_config()
    config.spatial_pool_mode = "conv"
    with pytest.raises(ValueError, match="'average' or 'max'"):
        ModelSpec.from_config(config)
    with pytest.raises(ValueError, match="unknown model type 'clip_vision_model'"):
        ModelSpec.from_config(next_video_config().vision_config)


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("side", "stride", "mode", "pooled"),
    [(24, 2, "average", 12), (24, 3, "max", 8), (24, 4, "bilinear", 6), (27, 2, "average", 13), (27, 2, "bilinear", 14)]
    + [(27, 4, "average", 6), (27, 4, "bilinear", 7), (8, 2, "conv", 4), (5, 2, "max", 2), (5, 5, "max", 1)],
)
def test_pooled_side(side, stride, mode, pooled):
    """Domain numbers: 144, 64, 36 tokens on 24; 169 or 196, 36 or 49 on 27."""
    assert budget.pooled_side(side, stride, mode) == pooled


@pytest.mark.parametrize("mode", ["average", "max", "bilinear"])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [4, 5, 8, 24, 27])
def test_pooled_side_equals_torch(side, stride, mode):
    """The same sides as the official code's torch calls."""
    image = torch.zeros(1, 1, side, side)
    if mode == "bilinear":
        shape = [-(-side // stride)] * 2
        pooled = torch.nn.functional.interpolate(image, size=shape, mode="bilinear")
    else:
        pooled = getattr(torch.nn.functional, {"average": "avg_pool2d", "max": "max_pool2d"}[mode])(image, stride)
    assert budget.pooled_side(side, stride, mode) == pooled.shape[-1]


@pytest.mark.parametrize(
    ("side", "newline", "tokens"),
    [(12, "none", 144), (12, "one", 144), (12, "frame", 145), (12, "grid", 156), (14, "grid", 210), (13, "grid", 182)],
)
def test_tokens_per_frame(side, newline, tokens):
    """LLaVA-NeXT's counts for its newline modes."""
    assert budget.tokens_per_frame(side, side, newline) == tokens


def test_tokens_of_a_rectangular_grid():
    """One newline per row: rows, not columns."""
    assert budget.tokens_per_frame(2, 5, "grid") == 12


def test_video_tokens():
    """8 x 144, LLaVA-Video's 64 x 210, OneVision's one newline per video."""
    assert MODELS["7b"].video_tokens(8) == 1152
    assert budget.video_tokens(64, 210, "grid") == 13_440
    assert MODELS["onevision-0.5b"].video_tokens(32) == 32 * 196 + 1


@pytest.mark.parametrize(("context", "english", "korean"), [(4096, 25, 21), (8192, 54, 49), (10240, 68, 63)])
def test_context_limits(context, english, korean):
    """The last frame fits, one more does not."""
    assert budget.max_frames(context, 144, 100, 256) == english
    assert budget.max_frames(context, 144, 100, 932) == korean
    assert english * 144 + 356 <= context < (english + 1) * 144 + 356
    assert budget.max_frames(300, 144, 100, 256) == 0


def test_28_frames_is_the_blogs_bare_maximum():
    """4096 // 144 without any text; 56 frames at 8192 with 128 tokens of text."""
    assert budget.max_frames(4096, 144, 0, 0) == 28
    assert budget.max_frames(8192, 144, 128, 0) == 56


@pytest.mark.parametrize(("frames", "factor"), [(1, 1), (21, 1), (22, 2), (28, 2), (32, 2), (49, 2), (50, 3)])
def test_demo_rope_factor(frames, factor):
    """least = frames * 144 + 1000 against multiples of 4096."""
    assert budget.demo_rope_factor(frames) == factor


def test_rope_factor():
    """LLaMA-VID's 64K positions; a length inside the context needs nothing."""
    assert [budget.rope_factor(length) for length in (1, 4096, 4097, 65536)] == [1, 1, 2, 16]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: budget.patches_per_side(8, 14), "patch_size 14 does not fit in image_size 8"),
        (lambda: budget.patches_per_side(8, 0), "0 < patch"),
        (lambda: budget.pooled_side(4, 5), "stride 5 does not fit a side of 4"),
        (lambda: budget.pooled_side(4, 0), "0 < stride"),
        (lambda: budget.pooled_side(4, 2, "nearest"), "choose one of average, max, conv, bilinear"),
        (lambda: budget.tokens_per_frame(2, 2, "row"), "choose one of none, grid, frame, one"),
        (lambda: budget.weight_bytes(MODELS["7b"], "int8"), "choose one of float32, float16, bfloat16, nf4, nf4-d"),
        (lambda: budget.plan("V100", "7b"), "'V100': choose one of T4, L4, A100-40, A100-80, H100, H200, this machine"),
        (lambda: budget.plan("T4", "13b"), "unknown model '13b': choose one of tiny, onevision-0.5b, 7b, 34b"),
        (lambda: budget.plan("T4", "7b", attention="flash"), "choose one of sdpa, eager"),
        (lambda: budget.plan("T4", "7b", attention="flash", memory=budget.training), "choose one of sdpa, eager"),
        (lambda: budget.training(MODELS["7b"], 8, "int8"), "choose one of float32, float16, bfloat16, nf4, nf4-double"),
        (lambda: budget.training(MODELS["7b"], 8, "float16"), "not in float16: choose nf4 or nf4-double"),
    ],
)
def test_bad_arguments_name_the_fix(call, message):
    """One clear ValueError each."""
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------- bytes


def test_kv_bytes_equal_a_real_cache(small_model):
    """The bytes of every tensor in the cache of a real forward pass, grouped key-value heads included."""
    inputs = inputs_of(small_model, frames=3)
    with torch.inference_mode():
        cache = small_model(**inputs).past_key_values
    tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
    measured = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    spec = ModelSpec.from_config(small_model.config)
    assert budget.kv_bytes(spec, inputs["input_ids"].shape[1], value_bytes=4) == measured


def test_kv_per_token_of_the_real_models():
    """7B: half a MiB a token, 72 a frame, 32 GiB at 64K, 3.5 at 7,200 tokens. 34B (8 heads of 128): 0.234 MiB."""
    assert budget.kv_bytes(MODELS["7b"], 1) == 524_288
    assert budget.kv_bytes(MODELS["7b"], 144) == 72 * 2**20
    assert budget.kv_bytes(MODELS["7b"], 65536) == 32 * GIB
    assert round(budget.kv_bytes(MODELS["7b"], 7200) / GIB, 1) == 3.5
    assert budget.kv_bytes(MODELS["34b"], 1) == 0.234375 * 2**20


def test_scores_equal_eager_attention(small_model):
    """One layer's score tensor of a real eager pass: heads * L**2 * 4 bytes in float32; held twice, and one mask."""
    model = LlavaNextVideoForConditionalGeneration._from_config(small_model.config, attn_implementation="eager").eval()
    inputs = inputs_of(model, frames=2)
    with torch.inference_mode():
        scores = model(**inputs, output_attentions=True).attentions[0]
    length = inputs["input_ids"].shape[1]
    spec = ModelSpec.from_config(model.config)
    assert budget.score_bytes(spec, length, "float32") == 2 * scores.nbytes + 4 * length**2


@pytest.mark.parametrize("double", [True, False])
def test_nf4_bytes_equal_bitsandbytes(double):
    """Packed weights and scales of one quantised matrix (a code table per matrix is not counted)."""
    packed, state = quantize_4bit(torch.randn(512, 256), quant_type="nf4", compress_statistics=double)
    scales = [state.absmax] + ([state.state2.absmax] if double else [])
    measured = sum(tensor.numel() * tensor.element_size() for tensor in (packed, *scales))
    assert nf4_bytes(512 * 256, double) == measured


@pytest.mark.parametrize(
    ("precision", "keep_vision", "gib"),
    [("float16", False, 13.16), ("nf4-double", False, 3.76), ("nf4-double", True, 4.21)]
    + [("nf4", False, 4.05), ("nf4", True, 4.49), ("float32", False, 26.31)],
)
def test_weight_bytes_of_the_7b(precision, keep_vision, gib):
    """The weights column of the memory table, to its two decimals."""
    assert round(budget.weight_bytes(MODELS["7b"], precision, keep_vision) / GIB, 2) == gib


def test_weight_bytes_equal_a_model_that_load_put_into_4_bits(random_vlm_folder):
    """Every tensor of it, scales included: vision tower, projector, embeddings and output layer stay 16-bit.

    A matrix of no multiple of 16,384 numbers has a scale of scales of its own that is not full.
    """
    model = vlm.load(random_vlm_folder, four_bit=True, dtype=torch.bfloat16).model
    tensors, rest = list(model.parameters()), 0
    for state in (weight.quant_state for weight in model.parameters() if hasattr(weight, "quant_state")):
        tensors += [state.absmax, state.state2.absmax]
        rest += nf4_bytes(state.shape.numel())
    spec = ModelSpec.from_config(model.config)
    rest -= nf4_bytes(spec.language.linears)
    expected = budget.weight_bytes(spec, "nf4-double", keep_vision=True) + rest
    assert rest != 0 and expected == sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("name", ["onevision-0.5b", "7b", "34b"])
def test_every_matrix_of_a_real_model_fills_its_scales(name):
    """So the bytes of all in 4 bits are those of their sum, exactly."""
    language = MODELS[name].language
    widths = (language.width, language.kv_width, language.mlp)
    assert [width for width in widths if language.width * width % 16384] == []


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks by the old name
def test_adapter_parameters_equal_peft_on_the_7b():
    """peft's own count, on a 7B without weights, with the layers that lib.finetune chooses."""
    with torch.device("meta"):
        model = LlavaNextVideoForConditionalGeneration(seven_b_config())
        config = LoraConfig(r=16, target_modules=finetune.language_targets(model))
        trainable = get_peft_model(model, config).get_nb_trainable_parameters()[0]
    assert budget.adapter_parameters(MODELS["7b"], 16) == trainable == 39_976_960
    assert budget.adapter_parameters(MODELS["7b"], 64) == 159_907_840


PEAKS = {  # frames: nf4 sdpa, nf4 eager, fp16 sdpa, fp16 eager (GiB)
    4: (5.2, 5.2, 14.1, 14.1),
    8: (5.5, 5.7, 14.4, 14.7),
    16: (6.2, 7.4, 15.1, 16.3),
    32: (7.5, 12.5, 16.4, 21.5),
    56: (9.5, 25.0, 18.5, 34.0),
}


@pytest.mark.parametrize("frames", PEAKS)
def test_peak_bytes_of_the_7b(frames):
    """The numbers that the lessons print."""
    settings = [(precision, attention) for precision in ("nf4-double", "float16") for attention in ("sdpa", "eager")]
    peaks = [round(budget.answering(MODELS["7b"], frames, *setting).total / GIB, 1) for setting in settings]
    assert tuple(peaks) == PEAKS[frames]


def test_the_peak_is_the_largest_of_its_stages():
    """Many frames in few tokens: encoding. Few frames, long answer: writing. Otherwise reading."""
    few, many = LlamaVid(1024, 4096, keep="content"), SpatialPool(1)
    looking = budget.answering(MODELS["7b"], 4000, reducer=few)
    assert (looking.cache, looking.activations) == (0, budget.vision_working_bytes(MODELS["7b"], 4000))
    reading = budget.answering(MODELS["7b"], 8, answer=1, reducer=many)
    assert reading.cache == budget.kv_bytes(MODELS["7b"], 8 * 576 + 100)
    writing = budget.answering(MODELS["7b"], 1, answer=3000)
    assert writing.cache == budget.kv_bytes(MODELS["7b"], 144 + 100 + 3000)


# ---------------------------------------------------------------- operations


def measured_flops(call):
    """Operations that torch counts while `call` runs, without the rotary table (a product in some versions)."""
    with FlopCounterMode(display=False, depth=99) as counter, torch.inference_mode():
        call()
    by_module = counter.get_flop_counts()
    rotary = sum(sum(by_module[name].values()) for name in by_module if name.endswith("rotary_emb"))
    return counter.get_total_flops() - rotary


@pytest.mark.parametrize("frames", [1, 3])
def test_flops_equal_torchs_counter(small_model, frames):
    """Encoding and prefill, operation by operation, on the small model (grouped heads, eager attention)."""
    model = LlavaNextVideoForConditionalGeneration._from_config(small_model.config, attn_implementation="eager").eval()
    spec, inputs = ModelSpec.from_config(model.config), inputs_of(model, frames)
    encode = measured_flops(lambda: model.model.get_video_features(inputs["pixel_values_videos"]))
    assert budget.encode_flops(spec, frames) == encode
    total = measured_flops(lambda: model(**inputs, logits_to_keep=1))
    assert budget.prefill_flops(spec, inputs["input_ids"].shape[1]) == total - encode


def test_onevision_projects_before_it_pools():
    """All 25 patches of a 40-pixel frame go through the projector, though 9 tokens remain."""
    vision = {"model_type": "siglip_vision_model", "image_size": 40, "patch_size": 8, "vision_use_head": False}
    text = {"model_type": "qwen2", "num_key_value_heads": 2, "vocab_size": 48}
    config = LlavaOnevisionConfig(vision_config=vision | VISION, text_config=text | TEXT)
    model = LlavaOnevisionForConditionalGeneration._from_config(config, attn_implementation="eager").eval()
    measured = measured_flops(lambda: model.model.get_video_features(torch.randn(1, 3, 3, 40, 40)))
    spec = ModelSpec.from_config(config)
    assert (spec.per_frame, budget.encode_flops(spec, 3)) == (9, measured)
    assert spec.parameters == count(model)


# ---------------------------------------------------------------- plan


LIMITS = {  # GiB of the card: frames in memory with nf4 sdpa, fp16 sdpa, fp16 eager
    14.75: (109, 2, 2),
    22.0: (190, 84, 30),
    39.56: (387, 281, 61),
    79.11: (830, 725, 103),
}


@pytest.mark.parametrize("gib", LIMITS)
def test_frames_in_memory(gib):
    """The memory-limited maxima at 95 %; the last frame fits and one more does not."""
    settings = [("nf4-double", "sdpa"), ("float16", "sdpa"), ("float16", "eager")]
    available = int(0.95 * gib * GIB)
    for (precision, attention), frames in zip(settings, LIMITS[gib], strict=True):
        setting = {"precision": precision, "attention": attention}
        assert budget.frames_in_memory(MODELS["7b"], available, **setting) == frames
        assert budget.answering(MODELS["7b"], frames, **setting).total <= available
        assert budget.answering(MODELS["7b"], frames + 1, **setting).total > available


def test_plan_says_which_limit_binds():
    """With 4-bit weights the context binds on every card; with fp16 weights a T4's memory does."""
    for card in budget.CARDS:
        assert (budget.plan(card, "7b").frames, budget.plan(card, "7b").binds) == (25, "context")
    tight = budget.plan("T4", "7b", precision="float16")
    assert (tight.frames, tight.binds) == (2, "memory")


def test_plan_for_training():
    """QLoRA on Korean captions: on a T4 it needs checkpointing."""
    how = {"memory": budget.training, "answer": 932}
    assert budget.plan("T4", "7b", checkpointing=True, **how).frames == 21  # by context
    assert budget.plan("T4", "7b", checkpointing=False, **how).frames == 0
    assert budget.plan("A100-40", "7b", checkpointing=False, **how).frames == 18
    small, large = (budget.training(MODELS["7b"], 8, rank=rank).adapters for rank in (8, 64))
    assert (small, large) == (12 * 19_988_480, 12 * 159_907_840)


def test_plan_for_a_reducer():
    """SlowFast-LLaVA: 50 frames in 3,680 tokens; LLaMA-VID: one token a frame here, so the context holds thousands."""
    slowfast = SlowFastLlava.from_spec("slowfast-slow_10frms_spatial_1d_max_pool-fast_4x4")
    assert MODELS["7b"].tokens_of(50, slowfast) == 3680
    assert budget.plan("T4", "7b", reducer=slowfast).by_context == 53  # (4096 - 356 - 10 * 288) // 16
    assert budget.plan("T4", "7b", reducer=LlamaVid(1024, 4096, keep="content")).by_context == 4096 - 356


def test_this_machine(monkeypatch):
    """A GPU's memory where there is one, else the machine's."""
    monkeypatch.setattr("lib.budget.cards.total_memory", lambda: 4_096_000)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert budget.card_bytes("this machine") == 4_096_000
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1, int(14.75 * GIB)))
    assert budget.plan("this machine", "7b") == budget.plan("T4", "7b")


def test_the_table_has_every_card_and_model():
    """One line for each, one column for each card, and the frames of the plan in it."""
    head, *lines = budget.plan_table()
    assert head.split()[-len(budget.CARDS) :] == list(budget.CARDS)
    assert [line[:16].strip() for line in lines] == list(budget.ROWS)
    assert lines[2].split()[-6].split("/")[0] == str(budget.plan("T4", "7b").by_memory)


def test_plan_stretches_and_takes_any_spec():
    """Factor 2 and 2.5; OneVision's 32,768 positions with its newline per video; a spec instead of a name."""
    assert budget.plan("L4", "7b", rope_factor=2).by_context == 54
    assert budget.plan("L4", "7b", rope_factor=2.5, answer=932).by_context == 63
    onevision = budget.plan("T4", "onevision-0.5b")
    assert onevision.by_context == (32768 - 100 - 256 - 1) // 196
    assert onevision == budget.plan("T4", MODELS["onevision-0.5b"])
