"""Bytes: of weights, of the cache, of encoding, reading and writing, and of a QLoRA step."""

from dataclasses import dataclass

from lib.budget.specs import ModelSpec, _lookup
from lib.known import FRAMES_PER_BLOCK, GIB, nf4_bytes

CONTEXT_BYTES = GIB // 2  # CUDA's own state on the card, before the first tensor
PRECISIONS = {  # bytes of a value that is not quantised
    "float32": 4, "float16": 2, "bfloat16": 2, "nf4": 2, "nf4-double": 2,
}  # fmt: skip
# Bytes per attention score at the peak of "eager" attention: the scores, their softmax in float32, and a copy of one of
# the two in the other's type. float16 is copied back (2 + 4 + 2); bfloat16 is first copied there (2 + 4 + 4): torch
# fuses only float16 (aten/src/ATen/native/SoftMax.cpp); float32 is not copied (4 + 4). 4-bit weights compute in float16
# here, as on a T4.
SCORE_BYTES = {"float32": 8, "float16": 8, "bfloat16": 10, "nf4": 8, "nf4-double": 8}


def weight_bytes(model: ModelSpec, precision: str = "float16", keep_vision: bool = False) -> int:
    """Bytes of all weights. "float32", "float16", "nf4" (plain) or "nf4-double" (double quantisation).

    4-bit loading quantises every linear layer except the output layer; norms, biases, embeddings and the patch
    convolution stay 16-bit. `keep_vision`: ViT and projector stay 16-bit too (`llm_int8_skip_modules`).

    >>> from lib.budget.specs import MODELS
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

    On the 7B, half a MiB per token and 72 MiB per frame. The 0.5B has two key-value heads and needs 43 times less:

    >>> from lib.budget.specs import MODELS
    >>> from lib.budget.specs import MIB
    >>> kv_bytes(MODELS["7b"], 1), kv_bytes(MODELS["7b"], 144) // MIB, kv_bytes(MODELS["onevision-0.5b"], 1)
    (524288, 72, 12288)
    """
    return 2 * model.language.layers * model.language.kv_width * value_bytes * tokens


def vision_working_bytes(model: ModelSpec, frames: int, precision: str = "float16", attention: str = "sdpa") -> int:
    """Encoding at its peak, D wide, M in the MLP, n tokens a frame:

    states of a block: frames * n * D * (layers + 2)       all layers' outputs are kept, and one more is made
    MLP of one layer:  frames * n * M * 3 (CLIP) or 2      quick-GELU writes two products out, torch's GELU none
    pixels:            frames * 3 * image_size**2          multiply all three by the bytes of a value
    finished blocks:   n * D for each of their frames; at the end all are copied into one tensor

    The vision tower sees 16 frames at once. The official code asks it for all hidden states too (LLaVA-NeXT
    `clip_encoder.py:58-66`) but shows it all frames at once. "eager" writes scores out instead of the MLP's products.

    >>> from lib.budget.specs import MODELS
    >>> from lib.budget.specs import MIB
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
    """2 * tokens * M values, plus tokens * M more or the largest matrix unpacked from 4 bits, if that is larger.

    Gate, up and their product in one layer of the decoder. Older bitsandbytes unpacks a matrix to multiply with it.
    Newer versions may not; the result is then up to 86 MiB too high for the 7B.

    >>> from lib.budget.specs import MODELS
    >>> from lib.budget.specs import MIB
    >>> round(mlp_working_bytes(MODELS["7b"], 4964) / MIB)
    313
    """
    language, value_bytes = model.language, _lookup(PRECISIONS, precision, "precision")
    matrix = language.width * language.mlp if precision.startswith("nf4") else 0
    return value_bytes * (2 * tokens * language.mlp + max(tokens * language.mlp, matrix))


def score_bytes(model: ModelSpec, tokens: int, precision: str = "float16") -> int:
    """tokens**2 * (heads * 8 + one mask): one layer's attention scores and their softmax (see SCORE_BYTES).

    Only "eager" attention writes them out; "sdpa" never holds them. The quadratic term, at 32 frames on the 7B:

    >>> from lib.budget.specs import MODELS
    >>> round(score_bytes(MODELS["7b"], 4964) / GIB, 1)
    5.9
    """
    return tokens**2 * (model.language.heads * SCORE_BYTES[precision] + _lookup(PRECISIONS, precision, "precision"))


def reading_bytes(
    model: ModelSpec, tokens: int, precision: str = "float16", attention: str = "sdpa", batch: int = 1
) -> int:
    """Reading a prompt in the decoder, without the cache: tokens * (5 D + 2 head size) values and the MLP's.

    Five copies of the hidden states: what was passed, generate's copy of it, a layer's input, the sum after attention,
    and that normalised; and the rotary tables. With "eager" attention the scores, if they are larger than the MLP's
    values. `batch` prompts of that many tokens each are read at once.

    >>> from lib.budget.specs import MODELS
    >>> from lib.budget.specs import MIB
    >>> [round(reading_bytes(MODELS["7b"], 4964, attention=how) / MIB) for how in ("sdpa", "eager")]
    [509, 6259]
    """
    language, mlp = model.language, mlp_working_bytes(model, batch * tokens, precision)
    inside = {"sdpa": mlp, "eager": max(mlp, batch * score_bytes(model, tokens, precision))}
    states = batch * tokens * (5 * language.width + 2 * language.width // language.heads) * PRECISIONS[precision]
    return states + _lookup(inside, attention, "attention")


def writing_bytes(model: ModelSpec, tokens: int, answer: int, precision: str = "float16") -> int:
    """Writing the last of `answer` tokens after `tokens` others, without the cache: tokens * D + (tokens + answer) * K
    values.

    The embeddings of the prompt (D wide), and one layer's keys (K), which are copied to grow.

    >>> from lib.budget.specs import MODELS
    >>> from lib.budget.specs import MIB
    >>> round(writing_bytes(MODELS["7b"], 4708, 256) / MIB)
    76
    """
    language = model.language
    values = tokens * language.width + (tokens + answer) * language.kv_width
    return values * _lookup(PRECISIONS, precision, "precision")


@dataclass(frozen=True)
class Memory:
    """The parts of a GPU's memory at the peak, in bytes.

    >>> Memory(weights=3 * GIB, cache=GIB, activations=GIB // 2).total / GIB
    5.0
    """

    weights: int
    cache: int = 0  # keys and values
    activations: int = 0
    adapters: int = 0  # LoRA's weights and the optimizer's two moments
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
    batch: int = 1,
) -> Memory:
    """The peak memory of `VideoLM.answers` about `batch` clips, in one of three phases:

    looking    the vision tower encodes the frames of the last clip; the others are embeddings already
    reading    the decoder reads the whole prompts: their cache, and `reading_bytes`
    writing    the last word: the cache of prompt and answer, one layer's keys copied to grow, the prompt's embeddings

    Weights are as `vlm.load` keeps them: with 4 bits, vision tower and projector are not quantised. The weights of
    reducers and question encoders are not counted.

    >>> from lib.budget.specs import MODELS
    >>> memory = answering(MODELS["7b"], 32)
    >>> [round(part / GIB, 2) for part in (memory.weights, memory.cache, memory.activations, memory.total)]
    [4.21, 2.3, 0.47, 7.48]
    >>> round(answering(MODELS["7b"], 8, batch=16).total / GIB, 2)
    16.82
    """
    value_bytes = _lookup(PRECISIONS, precision, "precision")
    tokens = model.tokens_of(frames, reducer) + prompt
    seen = (batch - 1) * tokens * model.language.width * value_bytes
    read, written = batch * tokens, batch * answer
    stages = (
        (0, seen + vision_working_bytes(model, frames, precision, attention)),
        (kv_bytes(model, read, value_bytes), reading_bytes(model, tokens, precision, attention, batch)),
        (kv_bytes(model, read + written, value_bytes), writing_bytes(model, read, written, precision)),
    )
    return Memory(weight_bytes(model, precision, keep_vision=True), *max(stages, key=sum))


def adapter_parameters(model: ModelSpec, rank: int = 16) -> int:
    """rank * layers * (9 D + 2 K + 3 M): LoRA's two factors beside every linear layer of the decoder.

    D wide, K of keys, M in the MLP: in + out is 2 D for q and o, D + K for k and v, D + M for gate, up and down.

    >>> from lib.budget.specs import MODELS
    >>> adapter_parameters(MODELS["7b"])
    39976960
    """
    language = model.language
    return rank * language.layers * (9 * language.width + 2 * language.kv_width + 3 * language.mlp)


def trained_layer_bytes(model: ModelSpec, tokens: int, attention: str = "sdpa", batch: int = 1) -> int:
    """What one 4-bit decoder layer keeps for its backward pass: tokens * (24 D + 4 K + 14 M) bytes for each of `batch`.

    In float32 (4 bytes): the layer's input, and the sum after attention. In 16 bits: LoRA's copies of the input of q,
    k, v, o, gate and up; query, key, value and result of attention. Of the MLP the gate, its SiLU and up in float32,
    since a 4-bit layer returns its input's type, and their product in 16 bits.

    "eager" keeps the softmax in both types. A batch has captions of unequal length and needs a mask: tokens**2 values
    of 16 bits. In both cases grouped keys and values are kept once for each head: D instead of K.
    """
    language = model.language
    grouped = attention == "sdpa" and batch == 1
    masks = {"sdpa": 2 * (batch > 1), "eager": 6 * language.heads}
    keys = language.kv_width if grouped else language.width
    kept = 24 * language.width + 4 * keys + 14 * language.mlp
    return batch * tokens * (kept + tokens * _lookup(masks, attention, "attention"))


def training_weight_bytes(model: ModelSpec, precision: str = "nf4-double") -> int:
    """The base under QLoRA: 4 bits for the decoder's linear layers, 4 bytes for all other parameters.

    >>> from lib.budget.specs import MODELS
    >>> round(training_weight_bytes(MODELS["7b"]) / GIB, 2)
    5.3

    Raises ValueError for a precision of more bits: peft would cast all weights to float32.
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
    batch: int = 1,
) -> Memory:
    """The peak memory of one QLoRA step on `batch` clips whose features are cached.

    weights      `add_lora` casts to float32 everything that is not in 4 bits (peft `prepare_model_for_kbit_training`)
    adapters     12 bytes for each weight of LoRA: 4 itself, 8 AdamW's moments
    activations  what the layers keep; 16-bit copies of LoRA and of the output layer; and the larger of two: the loss,
                 with 12 bytes for each token and word of the vocabulary (log-probabilities and two gradients), or the
                 backward pass of one layer, at its end with a gradient of 4 bytes for each weight of LoRA

    With gradient checkpointing a layer keeps its input only, 4 D bytes a token, and is computed again when its turn
    comes.

    >>> from lib.budget.specs import MODELS
    >>> [round(training(MODELS["7b"], 8, answer=932, checkpointing=how).total / GIB, 1) for how in (True, False)]
    [8.4, 24.9]

    Raises ValueError as `training_weight_bytes` does.
    """
    language, lora = model.language, adapter_parameters(model, rank)
    length = model.tokens_of(frames, reducer) + prompt + answer
    tokens, layer = batch * length, trained_layer_bytes(model, length, attention, batch)
    loss, copies = tokens * language.vocab, 2 * lora
    if checkpointing:
        kept, states = language.layers * 4 * tokens * language.width, 8 * tokens * language.width
        again = layer + 10 * tokens * language.mlp
        if attention == "eager":  # the softmax, its gradient and that of the scores in float32
            again = max(again, tokens * (14 * language.width + 12 * language.heads * length))
        forward = kept + max(10 * loss + copies, 12 * loss) + 2 * language.embedding
        peak = states + max(forward, kept + again, again + 4 * lora)
    else:
        peak = language.layers * layer + 12 * loss + copies + 2 * language.embedding
    features = 4 * batch * frames * model.vision.side**2 * model.vision.width
    return Memory(training_weight_bytes(model, precision), activations=peak + features, adapters=12 * lora)
