"""Frames to Tokens: how video language models turn the frames of a clip into tokens.

The way of the data is one street, and a module imports only from those before it:
file -> `video` -> frames (T, H, W, 3) -> `vlm.encode` -> features (T, H, W, C) -> a reducer of `reducers`
-> visual tokens (N, D) -> `vlm.splice` -> text -> `evaluate`.
"""

import logging
import warnings

# transformers imports tqdm, which warns in a notebook without ipywidgets. The course shows no progress bars there.
warnings.filterwarnings("ignore", message="IProgress not found")

# bitsandbytes, which peft imports, advises an optional package on processors that have bfloat16.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
