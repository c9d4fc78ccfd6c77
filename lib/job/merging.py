"""`merge`: the base and a job's adapter as one folder of full weights, which transformers and vLLM load."""

import os
import shutil
from pathlib import Path

from lib.files import delete_dead_pieces
from lib.finetune.adapters import load_adapter
from lib.job.settings import Job
from lib.job.training import tell
from lib.text import Text
from lib.vlm.loading import load, model_files

NOT_EMPTY = Text("{folder} is not empty: name a new folder", "{folder} 폴더가 비어 있지 않습니다. 새 폴더를 지정하세요")
POOLED = Text(
    "transformers and vLLM will pool by the model's configuration, not by {reducer}",
    "transformers나 vLLM에서는 모델이 {reducer}이(가) 아니라 자기 설정대로 풀링합니다",
)


def merge(job: Job, folder: str | Path) -> Path:
    """Writes the merged model atomically; returns its folder.

    The base is loaded in full precision even if it was trained in 4 bits, because rounding to 4 bits would erase the
    adapter.
    Raises ValueError if the folder is not empty.
    """
    named, folder = folder, Path(os.path.realpath(folder))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(NOT_EMPTY.say(folder=folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    delete_dead_pieces(folder)
    beside.mkdir()  # before minutes of reading: writing may not be allowed
    try:
        write_merged(job, beside)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    if job.reducer != "default":
        tell(POOLED.say(reducer=job.reducer))
    return Path(named)


def write_merged(job: Job, folder: Path) -> None:
    """Loads base and adapter, and writes weights, settings and tokenizer."""
    vlm = load(job.model, device="cpu", dtype="stored", revision=job.revision)
    load_adapter(vlm, job.folder / "adapter").merge_and_unload()
    vlm.model.save_pretrained(folder)
    for file in model_files(vlm.name, vlm.revision)[0].parent.iterdir():  # tokenizer and processor, unchanged
        if file.suffix in (".json", ".model", ".txt", ".jinja") and not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)
    shutil.copyfile(job.folder / "adapter" / "base.json", folder / "base.json")
