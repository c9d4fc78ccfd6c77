"""Token arithmetic: pixels -> patches -> tokens -> bytes and operations, for any model of the LLaVA-Video family.

Every function is one formula, with its source and a worked example. Integers in, integers out. Nothing here
touches a weight: parameter counts come from a configuration and equal those of the built model (tests/test_budget.py
builds the 7B and the 0.5B on torch's "meta" device to prove it).

Not here: training memory.

Sizes are bytes; GIB = 2**30. The memory estimate is for one clip, batch 1, inference.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

GIB = 2**30
MIB = 2**20

# GiB that PyTorch can use, as its out-of-memory messages print them ("total capacity of ..."):
# T4 hpcaitech/Open-Sora#697, A100 williamyang1991/FRESCO#28 (both on Colab), H100 vllm-project/vllm#27508.
# The L4 is rounded down (nvidia-smi shows 23,034 MiB before the driver's share, NVIDIA/TensorRT-LLM#2398).
# Cards of one name differ by 0.1 GiB with driver and board: that is one frame of the 7B, more or less.
CARDS = {"T4": 14.75, "L4": 22.0, "A100-40": 39.56, "H100-80": 79.11}

POOLING = {"average": int, "max": int, "conv": int, "bilinear": ceil}  # how a side that does not divide is rounded
NEWLINES = ("none", "grid", "frame", "one")
PRECISIONS = {"float32": 4, "float16": 2, "nf4": 2, "nf4-double": 2}  # bytes of a value that is not quantised


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


# ---------------------------------------------------------------- images: AnyRes

# The canvases that LLaVA-NeXT cuts into tiles, pixels (the default of transformers' LlavaNextConfig; LLaVA-NeXT
# `scripts/train/dpo.sh:37`). The blog of 30 January 2024 names 1 x 4 and 4 x 1 tiles too; the code leaves them out.
LLAVA_NEXT_PINPOINTS = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
ANYRES_RULES = {"hf": "(height, width)", "original": "(width, height)"}  # rule: how it reads a pinpoint


def anyres_grid(
    height: int,
    width: int,
    pinpoints: Sequence[Sequence[int]] = LLAVA_NEXT_PINPOINTS,
    tile: int = 336,
    rule: str = "hf",
) -> tuple[int, int]:
    """(rows, columns) of tiles for an image: of all canvases the one that shows most pixels, then the smallest.

    scale = min(canvas width / width, canvas height / height)
    shown = min(floor(width * scale) * floor(height * scale), width * height)

    Where two are equal in both, the first in the list wins. The official codes agree on all that, but not on what a
    pinpoint is: (height, width) in transformers (rule "hf", `image_processing_utils.py` select_best_resolution),
    (width, height) in LLaVA-NeXT ("original", `llava/mm_utils.py:119-149`). The usual list holds each shape both ways
    round, so the grids differ only for ties: images of at most 336 x 336, which every canvas shows whole (and lines one
    pixel thin and over 1,008 long, of which the floor leaves nothing in any canvas).

    >>> anyres_grid(480, 640), anyres_grid(300, 900)
    ((2, 2), (1, 3))
    >>> anyres_grid(56, 28), anyres_grid(56, 28, rule="original")
    ((1, 2), (2, 1))

    Raises ValueError for an empty image, an unknown rule, and pinpoints that tiles do not fill.
    """
    _lookup(ANYRES_RULES, rule, "rule")
    if min(height, width) < 1:
        raise ValueError(f"an image of {height} x {width} pixels cannot be cut: give its height and width, 1 or more")
    if not pinpoints or any(side < 1 or side % tile for pinpoint in pinpoints for side in pinpoint):
        raise ValueError(f"pinpoints {pinpoints} are not made of tiles of {tile} pixels: give multiples, or tile=...")

    def shown(canvas: tuple[int, int]) -> tuple[int, int]:
        scale = min(canvas[1] / width, canvas[0] / height)
        pixels = min(int(width * scale) * int(height * scale), width * height)
        return pixels, -canvas[0] * canvas[1]

    canvases = [tuple(pinpoint if rule == "hf" else reversed(pinpoint)) for pinpoint in pinpoints]
    rows, columns = max(canvases, key=shown)  # max keeps the first of equals
    return rows // tile, columns // tile


def unpadded_box(height: int, width: int, rows: int, columns: int, rule: str = "hf") -> tuple[int, int, int, int]:
    """(row0, row1, col0, col1), half-open: the patches of a rows x columns canvas that an image centred in it covers.

    The image fills the width where width / height > columns / rows: floor(height * columns / width) rows show it, and
    of the others half, rounded down, are cut off above and as many below. So one row of padding may stay. Otherwise
    the same with columns.

    Computed as height * (columns / width), it may land just below a whole number: 110 * (48 / 352) gives 14.999...98.
    transformers rounds to 7 digits before the floor (`unpad_image`; huggingface/transformers#35779), the original code
    does not (LLaVA-NeXT `llava/model/llava_arch.py`). It matters where the whole number is odd:

    >>> unpadded_box(480, 640, 48, 48), unpadded_box(640, 480, 48, 48)
    ((6, 42, 0, 48), (0, 48, 6, 42))
    >>> unpadded_box(110, 352, 24, 48), unpadded_box(110, 352, 24, 48, rule="original")
    ((4, 20, 0, 48), (5, 19, 0, 48))

    Raises ValueError for an unknown rule.
    """
    _lookup(ANYRES_RULES, rule, "rule")
    fills_width = width / height > columns / rows
    covered = height * (columns / width) if fills_width else width * (rows / height)
    covered = int(round(covered, 7) if rule == "hf" else covered)
    padding = ((rows if fills_width else columns) - covered) // 2
    return (padding, rows - padding, 0, columns) if fills_width else (0, rows, padding, columns - padding)


def anyres_tokens(
    height: int,
    width: int,
    pinpoints: Sequence[Sequence[int]] = LLAVA_NEXT_PINPOINTS,
    tile: int = 336,
    patch: int = 14,
    rule: str = "hf",
) -> int:
    """side**2 of the overview + h * w patches of the tiles, without padding, + h newlines, one at the end of each row.

    LLaVA-NeXT `llava/model/llava_arch.py:393-406`; transformers `processing_llava_next.py` `_get_number_of_features`
    (less one: it counts CLS, which is dropped). 2 x 2 tiles fill 2,928 tokens, the most of LLaVA-NeXT's list:

    >>> [anyres_tokens(height, width) for height, width in ((672, 672), (480, 640), (640, 480), (720, 1280))]
    [2928, 2340, 2352, 1948]
    >>> anyres_tokens(56, 28), anyres_tokens(56, 28, rule="original")
    (888, 1776)

    Raises ValueError as `anyres_grid` does, and where a patch does not fit in a tile.
    """
    side = patches_per_side(tile, patch)
    rows, columns = anyres_grid(height, width, pinpoints, tile, rule)
    top, bottom, left, right = unpadded_box(height, width, rows * side, columns * side, rule)
    return side**2 + tokens_per_frame(bottom - top, right - left, "grid")


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
    return VisionSpec(family, *sizes, config.num_hidden_layers)


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
QWEN2_05B = LanguageSpec(
    width=896, mlp=4864, layers=24, heads=14, kv_heads=2, vocab=152000, context=32768, qkv_bias=True, tied=True
)

MODELS = {
    # data/tiny-vlm/config.json (a test compares them; the vocabulary is what the tokenizer learned)
    "tiny": ModelSpec(
        "tiny",
        VisionSpec("clip", image_size=64, patch_size=8, width=96, mlp=384, layers=4),
        LanguageSpec(width=128, mlp=384, layers=4, heads=4, kv_heads=4, vocab=800, context=2048, tied=True),
    ),
    # llava-hf/llava-onevision-qwen2-0.5b-ov-hf: transformers' convert_llava_onevision_weights_to_hf.py builds it from
    # Qwen/Qwen2-0.5B-Instruct's config (vocabulary padded from 151,936 + 2 to 152,000) and 26 layers of SigLIP.
    "onevision-0.5b": ModelSpec("onevision-0.5b", SIGLIP_384, QWEN2_05B, 2, "bilinear", "one", "before"),
    # llava-hf/LLaVA-NeXT-Video-7B-hf: the defaults of transformers' LlavaNextVideoConfig, vocabulary padded to 32,064,
    # Vicuna's 4,096 positions. (Later versions of the hub config add a linear RoPE factor of 2.5.)
    "7b": ModelSpec("7b", CLIP_L_336, VICUNA_7B),
}


# ---------------------------------------------------------------- bytes


def nf4_bytes(weights: int, double_quant: bool = True) -> int:
    """Bytes of `weights` numbers in bitsandbytes' 4-bit format: half a byte each, plus one scale per 64 of them.

    The scale is a float32, or with double quantisation one byte, plus a float32 per 256 scales: 4 + 8/64 + 32/16384 =
    4.127 bits per weight instead of 4.5 (Dettmers et al., QLoRA, section 3).

    >>> nf4_bytes(4096 * 4096, double_quant=False), nf4_bytes(4096 * 4096)
    (9437184, 8654848)
    """
    scales = ceil(weights / 64)
    return ceil(weights / 2) + (scales + 4 * ceil(scales / 256) if double_quant else 4 * scales)


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


def vision_working_bytes(model: ModelSpec, frames: int, value_bytes: int = 2) -> int:
    """frames * tokens * ((layers + 1) * D + M) * value_bytes: every layer's output, and one MLP's inside.

    The official code asks the ViT for all its hidden states (LLaVA-NeXT `clip_encoder.py:58-66`), so 25 of them live at
    once: 28 MiB a frame on the 7B. Recent transformers keep only the layer that is used: this is the careful number.

    >>> round(vision_working_bytes(MODELS["7b"], 1) / MIB, 1)
    32.7
    """
    vision = model.vision
    return frames * vision.tokens * ((vision.layers + 1) * vision.width + vision.mlp) * value_bytes


def mlp_working_bytes(model: ModelSpec, tokens: int, value_bytes: int = 2) -> int:
    """3 * tokens * M * value_bytes: gate, up and their product in one layer of the decoder.

    >>> round(mlp_working_bytes(MODELS["7b"], 4964) / MIB)
    313
    """
    return 3 * tokens * model.language.mlp * value_bytes


def score_bytes(model: ModelSpec, tokens: int, value_bytes: int = 2) -> int:
    """heads * tokens**2 * (value_bytes + 4): one layer's attention scores, and their softmax in float32.

    Only "eager" attention writes them out; "sdpa" never holds them. The quadratic term, at 32 frames on the 7B:

    >>> round(score_bytes(MODELS["7b"], 4964) / GIB, 1)
    4.4
    """
    return model.language.heads * tokens**2 * (value_bytes + 4)


def working_bytes(model: ModelSpec, frames: int, tokens: int, attention: str = "sdpa", value_bytes: int = 2) -> int:
    """Activations at the peak: max(ViT + MLP, scores), the scores only with attention="eager".

    ViT and MLP are added although they peak one after the other (careful again); the scores come when the ViT's memory
    is free, and reuse it.
    """
    buffers = vision_working_bytes(model, frames, value_bytes) + mlp_working_bytes(model, tokens, value_bytes)
    scores = {"sdpa": 0, "eager": score_bytes(model, tokens, value_bytes)}
    return max(buffers, _lookup(scores, attention, "attention"))


def peak_bytes(
    model: ModelSpec,
    frames: int,
    precision: str = "nf4-double",
    attention: str = "sdpa",
    prompt: int = 100,
    answer: int = 256,
) -> int:
    """Half a GiB for the GPU's context + weights + cache of all tokens + activations.

    The answer counts as if it were there from the start. An estimate: nothing here was measured on a GPU.

    >>> [round(peak_bytes(MODELS["7b"], frames) / GIB, 1) for frames in (4, 8, 16, 32, 56)]
    [4.9, 5.3, 6.2, 8.0, 10.7]
    """
    tokens = model.video_tokens(frames) + prompt + answer
    value_bytes = _lookup(PRECISIONS, precision, "precision")
    cache = kv_bytes(model, tokens, value_bytes)
    working = working_bytes(model, frames, tokens, attention, value_bytes)
    return GIB // 2 + weight_bytes(model, precision) + cache + working


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


def frames_in_memory(model: ModelSpec, available: int, **settings) -> int:
    """The most frames whose `peak_bytes(model, frames, **settings)` is at most `available` bytes; 0 if none fits.

    >>> frames_in_memory(MODELS["7b"], 12 * GIB), frames_in_memory(MODELS["7b"], 12 * GIB, precision="float16")
    (67, 0)
    """
    fitting = bisect_right(range(1_000_000), available, key=lambda frames: peak_bytes(model, frames, **settings))
    return max(0, fitting - 1)


def plan(
    card: str,
    model: str | ModelSpec,
    precision: str = "nf4-double",
    attention: str = "sdpa",
    prompt: int = 100,
    answer: int = 256,
    rope_factor: float = 1,
) -> Plan:
    """Frames of one clip that `card` (of CARDS) and the context of `model` (of MODELS, or a spec) allow.

    95 % of the card's usable memory is planned with. `rope_factor` stretches the context (linear RoPE scaling).

    >>> plan("T4", "7b")
    Plan(by_memory=86, by_context=25)
    >>> plan("T4", "7b").binds, plan("T4", "7b", precision="float16").binds
    ('context', 'memory')
    >>> plan("A100-40", "7b", precision="float16", attention="eager", answer=932, rope_factor=2)
    Plan(by_memory=64, by_context=49)

    Raises ValueError for an unknown card, model, precision or attention, listing the known ones.
    """
    spec = model if isinstance(model, ModelSpec) else _lookup(MODELS, model, "model")
    available = int(0.95 * _lookup(CARDS, card, "card") * GIB)
    by_memory = frames_in_memory(
        spec, available, precision=precision, attention=attention, prompt=prompt, answer=answer
    )
    reserved = prompt + video_tokens(0, spec.per_frame, spec.newline)  # the newline of the video is there anyway
    return Plan(by_memory, max_frames(int(spec.language.context * rope_factor), spec.per_frame, reserved, answer))
