"""Facts about the real models: Hub ids, pinned commits, configurations. Everything else follows from this table.

The configurations come from transformers' conversion scripts (`convert_llava_next_video_weights_to_hf.py`,
`convert_llava_onevision_weights_to_hf.py`) and copies of the Hub's config.json in public repositories. Fields that
transformers fills in with the same value, or never reads, are left out. OneVision's language model is
Qwen2-0.5B-Instruct with a vocabulary padded from 151,936 + 2 to 152,000, and its tower the first 26 layers of SigLIP.
The 7B has Vicuna's 4,096 positions; its configuration on the Hub stretches them by a linear RoPE factor of 2.5.
"""

from math import ceil

GIB = 2**30
FRAMES_PER_BLOCK = 16  # frames that the vision tower sees at once: this limits memory and changes no result

HUB_IDS = {  # the course's short names; REAL_MODELS are those that a laptop and a T4 can load
    "onevision-0.5b": "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
    "7b": "llava-hf/LLaVA-NeXT-Video-7B-hf",
    "34b": "llava-hf/LLaVA-NeXT-Video-34B-hf",
}
REAL_MODELS = (HUB_IDS["onevision-0.5b"], HUB_IDS["7b"])
NAMES = {"onevision-0.5b": "OneVision 0.5B", "7b": "LLaVA-NeXT-Video 7B", "34b": "LLaVA-NeXT-Video 34B"}


REVISIONS = {  # Hub id -> the commit that `load` takes; None: not pinned, `load` takes the newest
    # Used, with the SHA-256 of its 1,787,445,680 bytes of weights, by several public repositories (2024 to 2026).
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": "74dd0bf867a4cda7950c17663794267c60cf4b40",
    "llava-hf/LLaVA-NeXT-Video-7B-hf": None,
    "llava-hf/LLaVA-NeXT-Video-7B-DPO-hf": None,
    "llava-hf/LLaVA-NeXT-Video-34B-hf": None,
}
CLIP_VISION = dict(
    model_type="clip_vision_model", image_size=336, patch_size=14, hidden_size=1024, intermediate_size=4096,
    num_hidden_layers=24, num_attention_heads=16, projection_dim=768, vocab_size=32000,
)  # fmt: skip
SIGLIP_VISION = dict(
    model_type="siglip_vision_model", image_size=384, patch_size=14, hidden_size=1152, intermediate_size=4304,
    num_hidden_layers=26, num_attention_heads=16, vision_use_head=False,
)  # fmt: skip
VICUNA_7B = dict(
    model_type="llama", hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=32, vocab_size=32064, max_position_embeddings=4096, rms_norm_eps=1e-5, pad_token_id=0,
    rope_scaling={"factor": 2.5, "type": "linear"}, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
YI_34B = dict(
    model_type="llama", hidden_size=7168, intermediate_size=20480, num_hidden_layers=60, num_attention_heads=56,
    num_key_value_heads=8, head_dim=128, vocab_size=64064, max_position_embeddings=4096, rope_theta=5e6,
    rms_norm_eps=1e-5, use_cache=False, pad_token_id=0, bos_token_id=1, eos_token_id=7,
)  # fmt: skip
QWEN2_05B = dict(
    model_type="qwen2", hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
    num_key_value_heads=2, vocab_size=152000, max_position_embeddings=32768, rope_theta=1e6, rms_norm_eps=1e-6,
    tie_word_embeddings=True, pad_token_id=151643, bos_token_id=151643, eos_token_id=151645,
)  # fmt: skip
NEXT_VIDEO = dict(
    model_type="llava_next_video", vision_config=CLIP_VISION, vision_feature_layer=-2, spatial_pool_stride=2,
    spatial_pool_mode="average", vision_feature_select_strategy="default", tie_word_embeddings=False,
)  # fmt: skip
VICUNA_7B_VIDEO = NEXT_VIDEO | dict(text_config=VICUNA_7B, video_token_index=32000, image_token_index=32001)
CONFIGS = {  # Hub id -> the contents of its config.json
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": dict(
        model_type="llava_onevision", vision_config=SIGLIP_VISION, text_config=QWEN2_05B, vision_feature_layer=-1,
        vision_feature_select_strategy="full", vision_aspect_ratio="anyres_max_9", tie_word_embeddings=True,
        image_token_index=151646, video_token_index=151647,
    ),
    "llava-hf/LLaVA-NeXT-Video-7B-hf": VICUNA_7B_VIDEO,
    "llava-hf/LLaVA-NeXT-Video-7B-DPO-hf": VICUNA_7B_VIDEO,
    "llava-hf/LLaVA-NeXT-Video-34B-hf": NEXT_VIDEO
    | dict(text_config=YI_34B, video_token_index=64003, image_token_index=64004),
}  # fmt: skip


def nf4_bytes(weights: int, double_quant: bool = True) -> int:
    """Bytes of `weights` numbers in bitsandbytes' 4-bit format: half a byte each, plus one scale per 64 of them.

    The scale is a float32, or with double quantisation one byte, plus a float32 per 256 scales: 4 + 8/64 + 32/16384 =
    4.127 bits per weight instead of 4.5 (Dettmers et al., QLoRA, section 3).

    >>> nf4_bytes(4096 * 4096, double_quant=False), nf4_bytes(4096 * 4096)
    (9437184, 8654848)
    """
    scales = ceil(weights / 64)
    return ceil(weights / 2) + (scales + 4 * ceil(scales / 256) if double_quant else 4 * scales)
