"""Frames to Tokens: how video language models turn the frames of a clip into tokens.

The way of the data is one street, and a module imports only from those before it:
file -> `video` -> frames (T, H, W, 3) -> `vlm.encode` -> features (T, H, W, C) -> a reducer of `reducers`
-> visual tokens (N, D) -> `vlm.splice` -> text -> `evaluate`.
"""

import logging
import sys
import warnings

OF_BITSANDBYTES = logging.getLogger("bitsandbytes.backends.cpu.ops")  # advises a package that the course can do without

if sys.argv[:1] == ["-m"]:  # python -m lib.NAME
    OF_BITSANDBYTES.setLevel(logging.ERROR)  # before lib.finetune imports peft, which imports bitsandbytes
    if sys.stdout:
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal cannot show, as \uXXXX, as on stderr


def quiet() -> None:
    """Switch off what libraries print in this process about settings that the course chooses itself, and their bars.

    `import lib` changes nothing of a program; `vlm.load` and a lesson's set-up cell call this.
    """
    from transformers.utils import logging as transformers_logging  # a second that `import lib` need not take

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm, in a notebook without ipywidgets
    OF_BITSANDBYTES.setLevel(logging.ERROR)
