"""Costs: tokens, bytes, operations, and the frames that fit on a card. Arithmetic, for any LLaVA-Video model.

Every function is one formula, with its source and a worked example. Integers in, integers out. Nothing here loads
weights: parameter counts come from a configuration. tests/test_budget.py builds the 7B, the 34B and the 0.5B on torch's
"meta" device and finds the same counts.

Sizes are bytes; GIB = 2**30. Memory is for one clip at a time, as `lib.vlm` runs it and `lib.finetune` trains it. The
tests compare each formula with torch's measured peak on small models; `make gpu-check` compares them with a GPU.
`python -m lib.budget.cards` prints the plan for every card and model.
"""

from lib.budget.cards import (
    ANSWER,
    CAPTION,
    CARDS,
    ROWS,
    SHARE,
    THIS_MACHINE,
    FramePlan,
    card_bytes,
    frames_in_memory,
    plan,
    plan_table,
)
from lib.budget.memory import (
    CONTEXT_BYTES,
    PRECISIONS,
    Memory,
    adapter_parameters,
    answering,
    kv_bytes,
    reading_bytes,
    score_bytes,
    training,
    training_weight_bytes,
    vision_working_bytes,
    weight_bytes,
    writing_bytes,
)
from lib.budget.specs import (
    MIB,
    MODELS,
    ModelSpec,
    demo_rope_factor,
    max_frames,
    patches_per_side,
    pooled_side,
    rope_factor,
    tokens_per_frame,
    video_tokens,
)
from lib.budget.work import encode_flops, prefill_flops
