"""Token arithmetic: pixels -> patches -> tokens -> bytes and operations, for any model of the LLaVA-Video family.

Every function is one formula, with its source and a worked example. Integers in, integers out. Nothing here
touches a weight: parameter counts come from a configuration and equal those of the built model (tests/test_budget.py
builds the 7B, the 34B and the 0.5B on torch's "meta" device to prove it).

Sizes are bytes; GIB = 2**30. Memory is for one clip at a time, as `lib.vlm` runs it and `lib.finetune` trains it. The
tests hold each formula to what torch really holds at its peak, on small models; `make gpu-check` holds them to a GPU.
`python -m lib.budget` prints the plan for every card and model.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from lib.known import GIB, nf4_bytes
from lib.machine import total_memory

MIB = 2**20
# GiB that PyTorch can use, as its out-of-memory messages print them ("total capacity of ..."):
# T4 hpcaitech/Open-Sora#697, A100-40 williamyang1991/FRESCO#28 (both on Colab), A100-80 vllm-project/vllm#4408,
# H100 vllm-project/vllm#27508, H200 vllm-project/vllm#49404. The L4 is rounded down (nvidia-smi shows 23,034 MiB
# before the driver's share, NVIDIA/TensorRT-LLM#2398).
# Cards of one name differ by 0.1 GiB with driver and board: that is one frame of the 7B, more or less.
CARDS = {"T4": 14.75, "L4": 22.0, "A100-40": 39.56, "A100-80": 79.15, "H100": 79.11, "H200": 139.8}
THIS_MACHINE = "this machine"
SHARE = 0.95  # of a card's memory is planned with: the rest is lost between blocks of unequal size
CONTEXT_BYTES = GIB // 2  # CUDA's own state on the card, before the first tensor
FRAMES_PER_BLOCK = 16  # lib.vlm shows the vision tower so many frames at once
POOLING = {"average": int, "max": int, "conv": int, "bilinear": ceil}  # how a side that does not divide is rounded
NEWLINES = ("none", "grid", "frame", "one")
PRECISIONS = {  # bytes of a value that is not quantised
    "float32": 4, "float16": 2, "bfloat16": 2, "nf4": 2, "nf4-double": 2,
}  # fmt: skip
# Bytes per attention score at the peak of "eager" attention: the scores, their softmax in float32, and a copy of one of
# the two in the other's type. float16 is copied back (2 + 4 + 2); bfloat16 is first copied there (2 + 4 + 4): torch
# fuses only float16 (aten/src/ATen/native/SoftMax.cpp); float32 is not copied (4 + 4). 4-bit weights compute in float16
# here, as on a T4.
SCORE_BYTES = {"float32": 8, "float16": 8, "bfloat16": 10, "nf4": 8, "nf4-double": 8}


def _lookup(table, key, what):
    """`table[key]`, or a ValueError that lists what there is."""
    if key not in table:
        raise ValueError(f"unknown {what} {key!r}: choose one of {', '.join(table)}")
    return table[key]


# ---------------------------------------------------------------- pixels -> patches -> tokens
def patches_per_side(image_size: int, patch_size: int) -> int:
    """side = floor(image_size / patch_size): the patch convolution has no padding, so a rest is not seen.

    CLIP-L/14-336 and SigLIP-so400m/14-384 (which leaves out the last 6 pixels):

    >>> patches_per_side(336, 14), patches_per_side(384, 14), patches_per_side(64, 8)
    (24, 27, 8)
    """
    if not 0 < patch_size <= image_size:
        raise ValueError(f"patch_size {patch_size} does not fit in image_size {image_size}: use 0 < patch <= image")
    return image_size // patch_size


def pooled_side(side: int, stride: int, mode: str = "average") -> int:
    """floor(side / stride) for average, max and conv; ceil(side / stride) for bilinear.

    LLaVA-NeXT `llava_arch.py:171-190` (get_2dPool). An even side gives the same number either way; 27 does not:

    >>> pooled_side(24, 2), pooled_side(27, 2), pooled_side(27, 2, "bilinear"), pooled_side(24, 3)
    (12, 13, 14, 8)

    Raises ValueError for an unknown mode or a stride that leaves nothing.
    """
    if not 0 < stride <= side:
        raise ValueError(f"stride {stride} does not fit a side of {side} patches: use 0 < stride <= {side}")
    return _lookup(POOLING, mode, "pooling mode")(side / stride)


def tokens_per_frame(height: int, width: int, newline: str = "none") -> int:
    """Tokens of one frame of `height` x `width` pooled patches, by where the newline token goes.

    none, one: h*w        frame: h*w + 1 (after the frame)        grid: h*(w + 1) (after every row)

    "one" adds a single token per *video*: see `video_tokens`. LLaVA-NeXT `llava_arch.py:222-249, 312-349`.

    >>> [tokens_per_frame(12, 12, newline) for newline in ("none", "frame", "grid")]
    [144, 145, 156]
    >>> tokens_per_frame(14, 14, "grid")  # LLaVA-Video 7B: SigLIP, bilinear
    210
    """
    if newline not in NEWLINES:
        raise ValueError(f"unknown newline {newline!r}: choose one of {', '.join(NEWLINES)}")
    return height * width + {"grid": height, "frame": 1}.get(newline, 0)


def video_tokens(frames: int, per_frame: int, newline: str = "none") -> int:
    """frames * per_frame, plus the one token per video of newline="one".

    >>> video_tokens(8, 144), video_tokens(64, 210), video_tokens(32, 196, "one")
    (1152, 13440, 6273)
    """
    return frames * per_frame + (newline == "one")


# ---------------------------------------------------------------- tokens against the context
def max_frames(context: int, per_frame: int, prompt: int, answer: int) -> int:
    """floor((context - prompt - answer) / per_frame): the frames that leave room for question and answer.

    Vicuna-7B at 144 tokens a frame, 100 tokens of prompt; a 256-token answer, then a Korean caption of 932 tokens:

    >>> [max_frames(context, 144, 100, 256) for context in (4096, 8192, 10240)]
    [25, 54, 68]
    >>> [max_frames(context, 144, 100, 932) for context in (4096, 8192, 10240)]
    [21, 49, 63]
    """
    return max(0, (context - prompt - answer) // per_frame)


def rope_factor(length: int, context: int = 4096) -> int:
    """ceil(length / context): the linear RoPE factor that squeezes `length` positions into the trained range.

    LLaMA-VID `train.py:1037-1047` reaches 64K positions with it:

    >>> rope_factor(4096), rope_factor(4097), rope_factor(65536)
    (1, 2, 16)
    """
    return max(1, ceil(length / context))


def demo_rope_factor(frames: int, stride: int = 2, side: int = 24, context: int = 4096) -> int:
    """The official demo's rule: least = frames * (side // stride)**2 + 1000, factor = ceil(least / context).

    LLaVA-NeXT `playground/demo/video_demo.py:129-142`. The 1000 are for text, so 28 frames (4,032 tokens) already
    need factor 2, and 21 frames are the last that need none:

    >>> demo_rope_factor(32), demo_rope_factor(28), demo_rope_factor(21)
    (2, 2, 1)
    """
    return rope_factor(frames * (side // stride) ** 2 + 1000, context)


# ---------------------------------------------------------------- what a model is made of
@dataclass(frozen=True)
class VisionSpec:
    """A ViT. `family` "clip" has a CLS token and a norm before the layers; "siglip" has a patch bias instead."""

    family: str
    image_size: int
    patch_size: int
    width: int
    mlp: int
    layers: int
    heads: int = 16

    @property
    def side(self) -> int:
        """Patches per side."""
        return patches_per_side(self.image_size, self.patch_size)

    @property
    def tokens(self) -> int:
        """Sequence length inside the ViT: side**2, plus CLS for CLIP."""
        return self.side**2 + (self.family == "clip")

    @property
    def linears(self) -> int:
        """Weights of the linear layers: layers * (q, k, v, out: 4 D**2; MLP: 2 D M)."""
        return self.layers * (4 * self.width**2 + 2 * self.width * self.mlp)

    @property
    def patch_weights(self) -> int:
        """The patch convolution's weights: 3 * patch**2 * D."""
        return 3 * self.patch_size**2 * self.width

    @property
    def parameters(self) -> int:
        """linears + their biases (5 D + M) and two norms (4 D) per layer + patches + positions + the rest.

        The rest is 5 D for CLIP (CLS, norm before, norm after) and 3 D for SigLIP (patch bias, norm after).
        """
        extras = (5 if self.family == "clip" else 3) * self.width
        per_layer = 9 * self.width + self.mlp
        return self.linears + self.layers * per_layer + self.patch_weights + self.tokens * self.width + extras


@dataclass(frozen=True)
class LanguageSpec:
    """A Llama-like decoder. `tied`: the output layer is the embedding table. `qkv_bias`: as in Qwen2."""

    width: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    context: int
    qkv_bias: bool = False
    tied: bool = False

    @property
    def kv_width(self) -> int:
        """kv_heads * head size: the width of one key (or value) of one token."""
        return self.kv_heads * self.width // self.heads

    @property
    def linears(self) -> int:
        """Weights of the linear layers: layers * (q, o: 2 D**2; k, v: 2 D K; gated MLP: 3 D M)."""
        return self.layers * self.width * (2 * self.width + 2 * self.kv_width + 3 * self.mlp)

    @property
    def embedding(self) -> int:
        """vocab * D."""
        return self.vocab * self.width

    @property
    def parameters(self) -> int:
        """embedding + linears + two norms (2 D) per layer + q, k, v biases (D + 2 K) if any + the last norm (D)."""
        biases = self.qkv_bias * (self.width + 2 * self.kv_width)
        return self.embedding + self.linears + self.layers * (2 * self.width + biases) + self.width

    @property
    def head_parameters(self) -> int:
        """vocab * D, or 0 where the output layer is tied to the embedding."""
        return 0 if self.tied else self.embedding


@dataclass(frozen=True)
class ModelSpec:
    """A video LLM as numbers: a ViT, a two-layer projector, a decoder, and how frames are pooled between them.

    >>> model = MODELS["7b"]
    >>> model.side, model.per_frame, model.video_tokens(32)
    (12, 144, 4608)
    >>> f"{model.parameters:,}"
    '7,063,431,168'
    """

    name: str
    vision: VisionSpec
    language: LanguageSpec
    stride: int = 2
    mode: str = "average"
    newline: str = "none"
    project: str = "after"  # the projector comes "after" or "before" pooling, as in reducers.SpatialPool

    @classmethod
    def from_config(cls, config, name: str = "") -> "ModelSpec":
        """The spec of a `LlavaNextVideoConfig` or `LlavaOnevisionConfig` of transformers.

        OneVision's pooling is fixed in code, not in its config (modeling_llava_onevision.py `apply_pooling`:
        bilinear, stride 2, after the projector, one newline per video).

        Raises ValueError for any other model type, and for a learned ("conv") pooling, whose weights are not counted.
        """
        pooling = {
            "llava_next_video": lambda: (config.spatial_pool_stride, config.spatial_pool_mode, "none", "after"),
            "llava_onevision": lambda: (2, "bilinear", "one", "before"),
        }
        stride, mode, newline, project = _lookup(pooling, config.model_type, "model type")()
        if mode == "conv":
            raise ValueError("spatial_pool_mode 'conv' has weights that are not counted: use 'average' or 'max'")
        parts = _vision_spec(config.vision_config), _language_spec(config.text_config, config.tie_word_embeddings)
        return cls(name or config.model_type, *parts, stride, mode, newline, project)

    @property
    def side(self) -> int:
        """Tokens per side of a frame, after pooling."""
        return pooled_side(self.vision.side, self.stride, self.mode)

    @property
    def per_frame(self) -> int:
        """Tokens per frame."""
        return tokens_per_frame(self.side, self.side, self.newline)

    def video_tokens(self, frames: int) -> int:
        """Tokens of a whole clip."""
        return video_tokens(frames, self.per_frame, self.newline)

    def tokens_of(self, frames: int, reducer=None) -> int:
        """Visual tokens of a clip through a reducer of lib.reducers, by default the model's own pooling."""
        return reducer.count(frames, self.vision.side, self.vision.side) if reducer else self.video_tokens(frames)

    @property
    def projector_linears(self) -> int:
        """Weights of the MLP from the ViT's width V to the decoder's width D: V D + D**2."""
        return (self.vision.width + self.language.width) * self.language.width

    @property
    def projector_parameters(self) -> int:
        """V D + D**2 + 2 D: a two-layer MLP, not one linear layer (LLaVA-NeXT `multimodal_projector/builder.py`)."""
        return self.projector_linears + 2 * self.language.width

    @property
    def parameters(self) -> int:
        """ViT + projector + decoder + output layer + the newline embedding (D)."""
        language = self.language.parameters + self.language.head_parameters + self.language.width
        return self.vision.parameters + self.projector_parameters + language


def _vision_spec(config) -> VisionSpec:
    """transformers' CLIPVisionConfig or SiglipVisionConfig (without pooling head) -> VisionSpec."""
    families = {"clip_vision_model": "clip", "siglip_vision_model": "siglip"}
    family = _lookup(families, config.model_type, "vision model")
    sizes = (config.image_size, config.patch_size, config.hidden_size, config.intermediate_size)
    return VisionSpec(family, *sizes, config.num_hidden_layers, config.num_attention_heads)


def _language_spec(config, tied: bool) -> LanguageSpec:
    """transformers' LlamaConfig or Qwen2Config -> LanguageSpec; a linear RoPE factor multiplies the context."""
    biases = _lookup({"llama": False, "qwen2": True}, config.model_type, "language model")
    rope = config.rope_parameters or {}
    stretch = rope.get("factor", 1) if rope.get("rope_type") == "linear" else 1
    return LanguageSpec(
        width=config.hidden_size,
        mlp=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        vocab=config.vocab_size,
        context=int(config.max_position_embeddings * stretch),
        qkv_bias=biases,
        tied=tied,
    )


CLIP_L_336 = VisionSpec("clip", image_size=336, patch_size=14, width=1024, mlp=4096, layers=24)
SIGLIP_384 = VisionSpec("siglip", image_size=384, patch_size=14, width=1152, mlp=4304, layers=26)
VICUNA_7B = LanguageSpec(width=4096, mlp=11008, layers=32, heads=32, kv_heads=32, vocab=32064, context=4096)
YI_34B = LanguageSpec(width=7168, mlp=20480, layers=60, heads=56, kv_heads=8, vocab=64064, context=4096)
QWEN2_05B = LanguageSpec(
    width=896, mlp=4864, layers=24, heads=14, kv_heads=2, vocab=152000, context=32768, qkv_bias=True, tied=True
)
MODELS = {
    # data/tiny-vlm/config.json (a test compares them; the vocabulary is what the tokenizer learned)
    "tiny": ModelSpec(
        "tiny",
        VisionSpec("clip", image_size=64, patch_size=8, width=96, mlp=384, layers=4, heads=4),
        LanguageSpec(width=128, mlp=384, layers=4, heads=4, kv_heads=4, vocab=860, context=2048, tied=True),
    ),
    # llava-hf/llava-onevision-qwen2-0.5b-ov-hf: transformers' convert_llava_onevision_weights_to_hf.py builds it from
    # Qwen/Qwen2-0.5B-Instruct's config (vocabulary padded from 151,936 + 2 to 152,000) and 26 layers of SigLIP.
    "onevision-0.5b": ModelSpec("onevision-0.5b", SIGLIP_384, QWEN2_05B, 2, "bilinear", "one", "before"),
    # llava-hf/LLaVA-NeXT-Video-7B-hf: the defaults of transformers' LlavaNextVideoConfig, vocabulary padded to 32,064,
    # Vicuna's 4,096 positions. (Later versions of the hub config add a linear RoPE factor of 2.5.)
    "7b": ModelSpec("7b", CLIP_L_336, VICUNA_7B),
    # llava-hf/LLaVA-NeXT-Video-34B-hf: the sizes of its config.json, Yi's 64,000 tokens padded to 64,064.
    "34b": ModelSpec("34b", CLIP_L_336, YI_34B),
}


def weight_bytes(model: ModelSpec, precision: str = "float16", keep_vision: bool = False) -> int:
    """Bytes of all weights. "float32", "float16", "nf4" (plain) or "nf4-double" (double quantisation).

    4-bit loading quantises every linear layer except the output layer; norms, biases, embeddings and the patch
    convolution stay 16-bit. `keep_vision`: ViT and projector stay 16-bit too (`llm_int8_skip_modules`).

    >>> for how in (("float16",), ("nf4-double",), ("nf4-double", True), ("nf4",), ("nf4", True)):
    ...     print(how, round(weight_bytes(MODELS["7b"], *how) / GIB, 2))
    ('float16',) 13.16
    ('nf4-double',) 3.76
    ('nf4-double', True) 4.21
    ('nf4',) 4.05
    ('nf4', True) 4.49
    """
    value_bytes = _lookup(PRECISIONS, precision, "precision")
    if not precision.startswith("nf4"):
        return value_bytes * model.parameters
    quantised = model.language.linears
    if not keep_vision:
        quantised += model.vision.linears + model.projector_linears
    return nf4_bytes(quantised, precision == "nf4-double") + value_bytes * (model.parameters - quantised)


def kv_bytes(model: ModelSpec, tokens: int, value_bytes: int = 2) -> int:
    """2 (key, value) * layers * kv_heads * head size * value_bytes * tokens: the cache that grows with every token.

    Half a mebibyte per token, 72 per frame, on the 7B; the 0.5B's two key-value heads make it 43 times cheaper:

    >>> kv_bytes(MODELS["7b"], 1), kv_bytes(MODELS["7b"], 144) // MIB, kv_bytes(MODELS["onevision-0.5b"], 1)
    (524288, 72, 12288)
    """
    return 2 * model.language.layers * model.language.kv_width * value_bytes * tokens


def vision_working_bytes(model: ModelSpec, frames: int, precision: str = "float16", attention: str = "sdpa") -> int:
    """Encoding at its peak, D wide, M in the MLP, n tokens a frame:

    states of a block: frames * n * D * (layers + 2)       every layer's output is asked for, and one is made
    MLP of one layer:  frames * n * M * 3 (CLIP) or 2      quick-GELU writes two products out, torch's GELU none
    pixels:            frames * 3 * image_size**2          all three times the bytes of a value
    finished blocks:   n * D for each of their frames; at the end all are copied into one tensor

    The vision tower sees 16 frames at once. The official code asks it for all hidden states too (LLaVA-NeXT
    `clip_encoder.py:58-66`) but shows it all frames at once. "eager" writes scores out instead of the MLP's products.

    >>> [round(vision_working_bytes(MODELS["7b"], frames) / MIB) for frames in (1, 16, 32)]
    [43, 696, 714]
    """
    vision, value_bytes = model.vision, _lookup(PRECISIONS, precision, "precision")
    block, state = min(frames, FRAMES_PER_BLOCK), vision.tokens * vision.width * value_bytes
    mlp = {"clip": 3, "siglip": 2}[vision.family] * vision.tokens * vision.mlp * value_bytes
    scores = 2 * state + vision.heads * vision.tokens**2 * SCORE_BYTES[precision]
    inside = _lookup({"sdpa": mlp, "eager": max(mlp, scores)}, attention, "attention")
    pixels = 3 * vision.image_size**2 * value_bytes
    encoding = block * ((vision.layers + 2) * state + inside + pixels) + (frames - block) * state
    return max(encoding, frames * 2 * state)


def mlp_working_bytes(model: ModelSpec, tokens: int, precision: str = "float16") -> int:
    """2 * tokens * M values, and what is larger: the same once more, or the largest matrix unpacked from 4 bits.

    Gate, up and their product in one layer of the decoder. Older bitsandbytes unpacks a matrix to multiply with it;
    newer versions may do without, then this is up to 86 MiB too much for the 7B.

    >>> round(mlp_working_bytes(MODELS["7b"], 4964) / MIB)
    313
    """
    language, value_bytes = model.language, _lookup(PRECISIONS, precision, "precision")
    matrix = language.width * language.mlp if precision.startswith("nf4") else 0
    return value_bytes * (2 * tokens * language.mlp + max(tokens * language.mlp, matrix))


def score_bytes(model: ModelSpec, tokens: int, precision: str = "float16") -> int:
    """tokens**2 * (heads * 8 + one mask): one layer's attention scores and their softmax (see SCORE_BYTES).

    Only "eager" attention writes them out; "sdpa" never holds them. The quadratic term, at 32 frames on the 7B:

    >>> round(score_bytes(MODELS["7b"], 4964) / GIB, 1)
    5.9
    """
    return tokens**2 * (model.language.heads * SCORE_BYTES[precision] + _lookup(PRECISIONS, precision, "precision"))


def reading_bytes(model: ModelSpec, tokens: int, precision: str = "float16", attention: str = "sdpa") -> int:
    """The prompt's way through the decoder, without the cache: tokens * (5 D + 2 head size) values and the MLP's.

    Five copies of the hidden states: what was passed, generate's copy of it, a layer's input, the sum after attention,
    and that normalised; and the rotary tables. With "eager" attention the scores, where they are more than the MLP's.

    >>> [round(reading_bytes(MODELS["7b"], 4964, attention=how) / MIB) for how in ("sdpa", "eager")]
    [509, 6259]
    """
    language, mlp = model.language, mlp_working_bytes(model, tokens, precision)
    inside = {"sdpa": mlp, "eager": max(mlp, score_bytes(model, tokens, precision))}
    states = tokens * (5 * language.width + 2 * language.width // language.heads) * PRECISIONS[precision]
    return states + _lookup(inside, attention, "attention")


def writing_bytes(model: ModelSpec, tokens: int, answer: int, precision: str = "float16") -> int:
    """The last of `answer` words after `tokens` tokens, without the cache: tokens * D + (tokens + answer) * K values.

    The embeddings of the prompt (D wide), and one layer's keys (K), which are copied to grow.

    >>> round(writing_bytes(MODELS["7b"], 4708, 256) / MIB)
    76
    """
    language = model.language
    values = tokens * language.width + (tokens + answer) * language.kv_width
    return values * _lookup(PRECISIONS, precision, "precision")


@dataclass(frozen=True)
class Memory:
    """What holds a GPU's memory at the peak, in bytes.

    >>> Memory(weights=3 * GIB, cache=GIB, activations=GIB // 2).total / GIB
    5.0
    """

    weights: int
    cache: int = 0  # keys and values
    activations: int = 0
    adapters: int = 0  # LoRA's weights, their gradients and the optimizer's two moments
    context: int = CONTEXT_BYTES

    @property
    def tensors(self) -> int:
        """What PyTorch counts: all but CUDA's own state (`torch.cuda.max_memory_allocated`)."""
        return self.weights + self.cache + self.activations + self.adapters

    @property
    def total(self) -> int:
        return self.tensors + self.context


def answering(
    model: ModelSpec,
    frames: int,
    precision: str = "nf4-double",
    attention: str = "sdpa",
    prompt: int = 100,
    answer: int = 256,
    reducer=None,
) -> Memory:
    """The memory of `VideoLM.answer` at its peak, which is one of three:

    looking    the vision tower encodes the frames
    reading    the decoder reads the whole prompt: its cache, and `reading_bytes`
    writing    the last word: the cache of prompt and answer, one layer's keys copied to grow, the prompt's embeddings

    Weights as `vlm.load` keeps them: with 4 bits, vision tower and projector stay whole. A reducer's own weights and
    those of question encoders are not counted.

    >>> memory = answering(MODELS["7b"], 32)
    >>> [round(part / GIB, 2) for part in (memory.weights, memory.cache, memory.activations, memory.total)]
    [4.21, 2.3, 0.47, 7.48]
    """
    value_bytes = _lookup(PRECISIONS, precision, "precision")
    tokens = model.tokens_of(frames, reducer) + prompt
    stages = (
        (0, vision_working_bytes(model, frames, precision, attention)),
        (kv_bytes(model, tokens, value_bytes), reading_bytes(model, tokens, precision, attention)),
        (kv_bytes(model, tokens + answer, value_bytes), writing_bytes(model, tokens, answer, precision)),
    )
    return Memory(weight_bytes(model, precision, keep_vision=True), *max(stages, key=sum))


def peak_bytes(model: ModelSpec, frames: int, *args, **settings) -> int:
    """`answering(...).total`.

    >>> [round(peak_bytes(MODELS["7b"], frames) / GIB, 1) for frames in (4, 8, 16, 32, 56)]
    [5.2, 5.5, 6.2, 7.5, 9.5]
    """
    return answering(model, frames, *args, **settings).total


def adapter_parameters(model: ModelSpec, rank: int = 16) -> int:
    """rank * layers * (9 D + 2 K + 3 M): LoRA's two factors beside every linear layer of the decoder.

    D wide, K of keys, M in the MLP: in + out is 2 D for q and o, D + K for k and v, D + M for gate, up and down.

    >>> adapter_parameters(MODELS["7b"])
    39976960
    """
    language = model.language
    return rank * language.layers * (9 * language.width + 2 * language.kv_width + 3 * language.mlp)


def trained_layer_bytes(model: ModelSpec, tokens: int, attention: str = "sdpa") -> int:
    """What one 4-bit decoder layer keeps for its backward pass: tokens * (22 D + 4 K + 14 M) bytes.

    In float32 (4 bytes): the layer's input, and the sum after attention. In 16 bits: LoRA's copies of the input of q,
    k, v, gate and up; query, key, value and result of attention. Of the MLP the gate, its SiLU and up in float32, since
    a 4-bit layer returns its input's type, and their product in 16 bits. "eager" keeps the softmax in both types.
    """
    language = model.language
    scores = _lookup({"sdpa": 0, "eager": 6 * language.heads * tokens}, attention, "attention")
    return tokens * (22 * language.width + 4 * language.kv_width + 14 * language.mlp + scores)


def training_weight_bytes(model: ModelSpec, precision: str = "nf4-double") -> int:
    """The base under QLoRA: 4 bits for the decoder's linear layers, 4 bytes for all other parameters.

    >>> round(training_weight_bytes(MODELS["7b"]) / GIB, 2)
    5.3

    Raises ValueError for a precision of more bits: peft would make float32 of all weights.
    """
    _lookup(PRECISIONS, precision, "precision")
    if not precision.startswith("nf4"):
        raise ValueError(f"training is planned for QLoRA, not in {precision}: choose nf4 or nf4-double")
    quantised = model.language.linears
    return nf4_bytes(quantised, precision == "nf4-double") + 4 * (model.parameters - quantised)


def training(
    model: ModelSpec,
    frames: int,
    precision: str = "nf4-double",
    attention: str = "sdpa",
    prompt: int = 100,
    answer: int = 256,
    reducer=None,
    rank: int = 16,
    checkpointing: bool = False,
) -> Memory:
    """The memory of one step of `lib.finetune.fit` with QLoRA on one clip whose features are known, at its peak.

    weights      `add_lora` casts to float32 all that is not in 4 bits (peft `prepare_model_for_kbit_training`)
    adapters     18 bytes for each weight of LoRA: 4 itself, 4 its gradient, 8 AdamW's moments, 2 its 16-bit copy
    activations  what the layers keep; a 16-bit copy of the output layer; and the more of two: the loss, with 12 bytes
                 for each token and word of the vocabulary (log-probabilities and two gradients), or the backward pass
                 of one layer

    With gradient checkpointing a layer keeps its input only, 4 D bytes a token, and is computed again when its turn
    comes. Without, the keys and values that nobody asks for are kept until the loss is known.

    >>> [round(training(MODELS["7b"], 8, answer=932, checkpointing=how).total / GIB, 1) for how in (True, False)]
    [8.6, 26.5]

    Raises ValueError as `training_weight_bytes` does.
    """
    language = model.language
    tokens = model.tokens_of(frames, reducer) + prompt + answer
    layer = trained_layer_bytes(model, tokens, attention)
    loss = 12 * tokens * language.vocab
    if checkpointing:
        kept, last = 4 * tokens * language.width, max(loss, layer + 10 * tokens * language.mlp)
    else:
        unasked = 8 * language.layers * tokens * language.kv_width
        kept, last = layer, max(loss, 10 * tokens * language.vocab + unasked)
    features = 4 * frames * model.vision.side**2 * model.vision.width
    around = features + 8 * tokens * language.width + 2 * language.embedding
    return Memory(
        weights=training_weight_bytes(model, precision),
        activations=language.layers * kept + last + around,
        adapters=18 * adapter_parameters(model, rank),
    )


# ---------------------------------------------------------------- operations
def encode_flops(model: ModelSpec, frames: int) -> int:
    """Multiplications and additions to turn frames into tokens: frames * (ViT + 2 * projected tokens * projector).

    ViT of n tokens (patches p): 2 p * patch weights + 2 n * linear weights + layers * 4 n**2 D. The projector sees the
    pooled tokens, or all patches where it comes before the pooling.

    >>> f"{encode_flops(MODELS['7b'], 1):.2e}"
    '3.88e+11'
    """
    vision = model.vision
    attention = vision.layers * 4 * vision.tokens**2 * vision.width
    per_frame = 2 * vision.side**2 * vision.patch_weights + 2 * vision.tokens * vision.linears + attention
    projected = (vision.side if model.project == "before" else model.side) ** 2
    return frames * (per_frame + 2 * projected * model.projector_linears)


def prefill_flops(model: ModelSpec, tokens: int) -> int:
    """2 * tokens * linear weights + layers * 4 tokens**2 D + the output layer for the last token (2 vocab D).

    Attention counts the full square; a causal kernel may skip up to half of it.

    >>> f"{prefill_flops(MODELS['7b'], 4964):.2e}"
    '7.72e+13'
    """
    language = model.language
    return 2 * tokens * language.linears + language.layers * 4 * tokens**2 * language.width + 2 * language.embedding


# ---------------------------------------------------------------- the plan
@dataclass(frozen=True)
class Plan:
    """How many frames memory allows, and how many the context allows."""

    by_memory: int
    by_context: int

    @property
    def frames(self) -> int:
        """The smaller of the two."""
        return min(self.by_memory, self.by_context)

    @property
    def binds(self) -> str:
        """Which of the two is the limit: "memory" or "context" (also where they are equal)."""
        return "memory" if self.by_memory < self.by_context else "context"


def card_bytes(card: str) -> int:
    """The memory that PyTorch can use on a card of CARDS, or on "this machine": its GPU's, or what `lib.machine` finds.

    >>> card_bytes("T4") == int(14.75 * GIB), card_bytes(THIS_MACHINE) > 0
    (True, True)
    """
    if card != THIS_MACHINE:
        return int(_lookup(CARDS | {THIS_MACHINE: 0}, card, "card") * GIB)
    import torch  # nothing else here needs it

    return torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else total_memory()


def frames_in_memory(model: ModelSpec, available: int, memory: Callable[..., Memory] = answering, **settings) -> int:
    """The most frames whose `memory(model, frames, **settings)` is at most `available` bytes in all; 0 if none fits.

    >>> frames_in_memory(MODELS["7b"], 12 * GIB), frames_in_memory(MODELS["7b"], 12 * GIB, precision="float16")
    (85, 0)
    """
    frames = range(1, 1_000_000)
    return bisect_right(frames, available, key=lambda count: memory(model, count, **settings).total)


def plan(
    card: str,
    model: str | ModelSpec,
    precision: str = "nf4-double",
    attention: str = "sdpa",
    prompt: int = 100,
    answer: int = 256,
    rope_factor: float = 1,
    reducer=None,
    memory: Callable[..., Memory] = answering,
    **settings,
) -> Plan:
    """Frames of one clip that `card` (of CARDS, or "this machine") and the context of `model` (of MODELS) allow.

    95 % of the card's usable memory is planned with. `rope_factor` stretches the context (linear RoPE scaling).
    `reducer`: one of lib.reducers, by default the model's own pooling. `memory`: `answering`, or `training` with its
    settings. `model` may be a spec.

    >>> plan("T4", "7b")
    Plan(by_memory=109, by_context=25)
    >>> plan("T4", "7b").binds, plan("T4", "7b", precision="float16").binds
    ('context', 'memory')
    >>> plan("A100-40", "7b", precision="float16", attention="eager", answer=932, rope_factor=2)
    Plan(by_memory=61, by_context=49)
    >>> plan("T4", "7b", memory=training, answer=932, checkpointing=True)
    Plan(by_memory=49, by_context=21)

    Raises ValueError for an unknown card, model, precision or attention, listing the known ones.
    """
    spec = model if isinstance(model, ModelSpec) else _lookup(MODELS, model, "model")
    by_memory = frames_in_memory(
        spec, int(SHARE * card_bytes(card)), memory, precision=precision, attention=attention, prompt=prompt,
        answer=answer, reducer=reducer, **settings,
    )  # fmt: skip
    room = int(spec.language.context * rope_factor) - prompt - answer
    by_context = bisect_right(range(1, 1_000_000), room, key=lambda count: spec.tokens_of(count, reducer))
    return Plan(by_memory, by_context)


# ---------------------------------------------------------------- the table
ANSWER, CAPTION = 256, 932  # tokens: what the study notes allow, and a Korean caption (papers.csv) that is trained on
ROWS = {  # a line of the table: which model, in which precision, trained or asked
    "tiny, 32-bit": ("tiny", "float32"),
    "0.5B, 16-bit": ("onevision-0.5b", "float16"),
    "7B, 4-bit": ("7b", "nf4-double"),
    "7B, 16-bit": ("7b", "float16"),
    "34B, 4-bit": ("34b", "nf4-double"),
    "34B, 16-bit": ("34b", "float16"),
}


def price(model: str, precision: str) -> list[float]:
    """GiB: weights; for each frame its cache, its share of encoding, and of reading the prompt.

    >>> [round(gib, 3) for gib in price("7b", "nf4-double")]
    [4.206, 0.07, 0.042, 0.014]
    """
    spec = MODELS[model]
    more = spec.video_tokens(32) - spec.video_tokens(16)
    cache = kv_bytes(spec, more, PRECISIONS[precision])
    reading = reading_bytes(spec, more + 10**6, "float16") - reading_bytes(spec, 10**6, "float16")
    reading *= PRECISIONS[precision] // 2
    weights = weight_bytes(spec, precision, keep_vision=True)
    return [part / GIB for part in (weights, cache / 16, vision_working_bytes(spec, 16, precision) / 16, reading / 16)]


def table(cards: Sequence[str] = tuple(CARDS), rows: Sequence[str] = tuple(ROWS)) -> list[str]:
    """The plan as lines of text: what each model costs, and how many frames each card has room for.

    `context`: the frames that the positions allow, whatever the card. A cell: those that its memory allows when the
    model is asked, asked with eager attention, and trained by QLoRA with checkpointing and without it.

    >>> print("\\n".join(table(["T4"], ["7B, 4-bit"])))
                    weights  GiB a frame: cache  encoding  reading   context               T4
    7B, 4-bit          4.21               0.070     0.042    0.014        25      109/35/49/0
    """
    head = f"{'':<16}weights  GiB a frame: cache  encoding  reading   context"
    lines = [head + "".join(f"{card:>17}" for card in cards)]
    for row in rows:
        model, precision = ROWS[row]
        weights, cache, encoding, reading = price(model, precision)
        context = plan("T4", model, precision).by_context
        line = f"{row:<16}{weights:>7.2f}{cache:>20.3f}{encoding:>10.3f}{reading:>9.3f}{context:>10,}"
        lines.append(line + "".join(f"{cell(card, model, precision):>17}" for card in cards))
    return lines


def cell(card: str, model: str, precision: str) -> str:
    """A cell of the table. QLoRA learns from Korean captions."""
    found = [plan(card, model, precision, attention).by_memory for attention in ("sdpa", "eager")]
    if precision.startswith("nf4"):
        settings = {"memory": training, "answer": CAPTION}
        found += [plan(card, model, precision, checkpointing=how, **settings).by_memory for how in (True, False)]
    return "/".join(f"{frames}" for frames in found)


if __name__ == "__main__":
    print("\n".join(table()))
