"""Frames to Tokens: how video language models turn the frames of a clip into tokens.

Data flows in one direction, and a module imports only from the modules before it:
file -> `video` -> frames (T, H, W, 3) -> `vlm.encode` -> features (T, H, W, C) -> a reducer of `reducers`
-> visual tokens (N, D) -> `vlm.splice` -> text -> `evaluate`.
"""

import logging
import sys
import warnings

# python -m lib.NAME: what the terminal cannot show is written as \uXXXX, as on stderr.
if sys.argv[:1] == ["-m"] and sys.stdout:
    sys.stdout.reconfigure(errors="backslashreplace")


def quiet() -> None:
    """Silence the libraries' progress bars and their warnings about settings that the course chooses itself.

    `import lib` alone changes no setting of your program. `vlm.load`, `import lib.finetune` and a lesson's set-up cell
    call this.
    """
    from transformers.utils import logging as transformers_logging  # takes a second, so `import lib` skips it

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm, in a notebook without ipywidgets
    # bitsandbytes, which peft imports, advises an optional package on processors that have bfloat16.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
