"""From pixels to patches to tokens, and the sizes of the models: the basis of all other formulas."""

import json
from dataclasses import dataclass
from math import ceil
from types import SimpleNamespace

from lib.known import CONFIGS, HUB_IDS

MIB = 2**20
POOLING = {"average": int, "max": int, "conv": int, "bilinear": ceil}  # how a side that does not divide is rounded
NEWLINES = ("none", "grid", "frame", "one")


def _lookup(table, key, what):
    """`table[key]`, or a ValueError that lists what there is."""
    if key not in table:
        raise ValueError(f"unknown {what} {key!r}: choose one of {', '.join(table)}")
    return table[key]


def patches_per_side(image_size: int, patch_size: int) -> int:
    """side = floor(image_size / patch_size): the patch convolution has no padding and ignores the remainder.

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
    """Tokens of one frame of `height` x `width` pooled patches, by the place of the newline token.

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

    LLaVA-NeXT `playground/demo/video_demo.py:129-142`. The 1000 leave room for text. So 28 frames (4,032 tokens)
    already need factor 2, and up to 21 frames need no scaling:

    >>> demo_rope_factor(32), demo_rope_factor(28), demo_rope_factor(21)
    (2, 2, 1)
    """
    return rope_factor(frames * (side // stride) ** 2 + 1000, context)


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
        """vocab * D, or 0 if the output layer is tied to the embedding."""
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


def _known_spec(name: str) -> ModelSpec:
    """The spec of a model of `lib.known`. Its context is the trained positions: RoPE scaling is left to the caller."""
    text = json.dumps(CONFIGS[HUB_IDS[name]])
    config = json.loads(text, object_hook=lambda fields: SimpleNamespace(**{"rope_parameters": None} | fields))
    return ModelSpec.from_config(config, name)


MODELS = {
    # data/tiny-vlm/config.json (a test compares them; the vocabulary is what the tokenizer learned)
    "tiny": ModelSpec(
        "tiny",
        VisionSpec("clip", image_size=64, patch_size=8, width=96, mlp=384, layers=4, heads=4),
        LanguageSpec(width=128, mlp=384, layers=4, heads=4, kv_heads=4, vocab=860, context=2048, tied=True),
    )
} | {name: _known_spec(name) for name in HUB_IDS}
