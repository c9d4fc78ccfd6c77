"""Operations: multiplications and additions to encode frames and to read a prompt."""

from lib.budget.specs import ModelSpec


def encode_flops(model: ModelSpec, frames: int) -> int:
    """Multiplications and additions to turn frames into tokens: frames * (ViT + 2 * projected tokens * projector).

    ViT of n tokens (patches p): 2 p * patch weights + 2 n * linear weights + layers * 4 n**2 D. The projector sees the
    pooled tokens, or all patches if it comes before the pooling.

    >>> from lib.budget.specs import MODELS
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

    >>> from lib.budget.specs import MODELS
    >>> f"{prefill_flops(MODELS['7b'], 4964):.2e}"
    '7.72e+13'
    """
    language = model.language
    return 2 * tokens * language.linears + language.layers * 4 * tokens**2 * language.width + 2 * language.embedding
