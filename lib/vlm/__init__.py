"""The video language model: from frames to an answer, with one interface for three sizes.

frames (T, H, W, 3) uint8 -> preprocess -> pixels -> encode -> features (T, h, w, C) -> a reducer -> visual tokens
(N, D) -> splice, at `<video>` in the prompt -> answer. "tiny" ships with the course; half a billion or
seven billion parameters come from the Hugging Face Hub. All are the classes of transformers, with safetensors weights.

Read `chat`, `pixels`, `model`, `loading`, in this order. Not included: several videos in one prompt, sampling (answers
are greedy).
"""

from lib.vlm.chat import QWEN, SLOWFAST_VICUNA, VICUNA, YI, Chat
from lib.vlm.loading import (
    FAMILIES,
    TINY,
    bytes_to_load,
    check_memory,
    compute_dtype,
    find,
    four_bit_config,
    free_bytes,
    load,
    model_files,
    weights_digest,
)
from lib.vlm.model import AnswerStreamer, VideoLM, check_context
from lib.vlm.pixels import CLIP_MEAN, CLIP_STD, PixelSettings
