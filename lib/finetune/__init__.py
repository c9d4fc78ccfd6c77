"""Fine-tuning: the projector alone, LoRA, QLoRA or all of the language model; DPO; several processes."""

from lib import quiet

quiet()  # before peft is imported: it imports bitsandbytes, which advises a package that the course does without

from lib.finetune.adapters import (
    ADAPTER_FILES,
    add_lora,
    all_but_tower,
    language_targets,
    load_adapter,
    parts_hit,
    projector_only,
    save_adapter,
    size_on_disk,
    train_projector,
    trainable,
    without_deprecations,
)
from lib.finetune.checkpoints import Step, read_log, reducer_settings
from lib.finetune.train import Plan, fit, mixed
