"""Models of the Hugging Face Hub: one commit of a model, its files in this machine's cache, one sentence per failure.

`ask_hub` asks the Hub once for the commit of a branch. Every file then comes from that commit, so a branch that moves
cannot mix two versions. It downloads only the files in SETTINGS and safetensors weights: no pickle and no code. A
cached model loads without the Hub.

Tested against a server on loopback. The server does not imitate Xet, which the Hub uses for large files if the package
hf_xet is installed.
"""

import json
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from tqdm.auto import tqdm

from lib.files import write_text
from lib.known import GIB, REVISIONS

INDEX = "model.safetensors.index.json"
SETTINGS = (  # everything that `vlm.load` reads beside the weights, and adapter_config.json to recognise an adapter
    "config.json", "generation_config.json", INDEX, "adapter_config.json",
    "processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json",
    "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "vocab.json", "merges.txt",
)  # fmt: skip
PICKLES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Source:
    """The folder that holds a model's files, and the source of missing ones.

    folder: the user's own, or the cache's for one commit of the Hub; that folder is named after the commit.
    sizes: the bytes of each file that the Hub offers; empty for a folder and if the Hub gave no answer.
    problem: why the Hub gave no answer; "" otherwise.
    """

    name: str
    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    def fetch(self, files: list[str]) -> None:
        """Downloads the missing ones of these files. Raises ValueError if one is nowhere, or has no room here."""
        missing = [file for file in files if not (self.folder / file).exists()]
        for file in missing:
            if file not in self.sizes:
                raise ValueError(self.problem or why_missing(self, file))
        check_disk(self.name, sum(self.sizes[file] for file in missing))
        for file in missing:
            self.download(file)

    def download(self, file: str) -> None:
        """One file at this commit. Names the weights on stderr, with a progress bar in a terminal."""
        shown = None
        if file.endswith(".safetensors"):
            print(f"downloading {file} of {self.name}, {self.sizes[file] / GIB:.2f} GiB", file=sys.stderr, flush=True)
            shown = partial(tqdm, disable=None)  # transformers switches the bars of huggingface_hub off
        try:
            hf_hub_download(self.name, file, revision=self.folder.name, tqdm_class=shown)
        except Exception as error:  # errors of HTTP, Xet or the disk have classes that depend on versions
            raise ValueError(f"cannot download {file}: {why(error, self.name, self.folder.name)}") from None

    def remember(self, revision: str | None) -> None:
        """Records in the cache that a branch is at this commit, once all files are here, so that it loads without the
        Hub."""
        note = self.folder.parent.parent / "refs" / (revision or "main")
        if self.sizes and revision != self.folder.name:
            with suppress(OSError):  # a read-only cache also works
                write_text(note, self.folder.name)


def ask_hub(hub_id: str, revision: str | None) -> Source:
    """A model of the Hub at the current commit of the revision, or the cached one if the Hub does not answer.

    The Hub is asked once: without a network each download would try for half a minute. Raises ValueError if neither has
    the model.
    """
    try:
        info = HfApi().model_info(hub_id, revision=revision, files_metadata=True, timeout=10)
    except Exception as error:
        problem, folder = why(error, hub_id, revision), cached_folder(hub_id, revision)
        if folder is None:
            raise ValueError(problem) from None
        return Source(hub_id, folder, problem=problem)
    snapshots = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=hub_id, repo_type="model"), "snapshots")
    return Source(hub_id, snapshots / info.sha, {file.rfilename: file.size or 0 for file in info.siblings})


def cached_folder(hub_id: str, revision: str | None) -> Path | None:
    """The folder of the cache that holds a model of the Hub; None if it holds none at this revision."""
    path = try_to_load_from_cache(hub_id, "config.json", revision=revision)
    return Path(path).parent if isinstance(path, str) else None


def cache_disk() -> Path:
    """Where downloads go: the cache of the Hub, or the nearest folder above it that exists.

    >>> cache_disk().exists()
    True
    """
    cache = Path(constants.HF_HUB_CACHE)
    return next(folder for folder in (cache, *cache.parents) if folder.exists())


def check_disk(name: str, needed: int) -> None:
    """Raises ValueError if that many bytes of a model do not fit on the disk."""
    free = shutil.disk_usage(cache_disk()).free
    if needed > free:
        raise ValueError(
            f"the files of {name} are {needed / GIB:.1f} GiB to download and {cache_disk()} has {free / GIB:.1f} GiB "
            "free: make room, or set HF_HOME to a folder on a larger disk before Python starts"
        )


def weight_files(folder: Path) -> list[str]:
    """The names of a model's files of weights: the shards that its index lists, or one file.

    Raises ValueError for an index that transformers could not read.
    """
    if (folder / "model.safetensors").exists() or not (folder / INDEX).exists():
        return ["model.safetensors"]
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        _, places = index["metadata"], index["weight_map"]
        return sorted(set(places.values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{folder / INDEX} is not an index of weights: download it again") from None


REFUSALS = {  # status of the Hub's answer -> its meaning; from the file servers behind it, a status only means failure
    401: "the Hub refuses your token: run `hf auth login` again, or unset HF_TOKEN",
    403: "the Hub does not let you read this model: look for conditions on its page, and at your token's permissions",
    429: "the Hub gets too many requests from your network: wait some minutes, or run `hf auth login`",
}


def why(error: Exception, hub_id: str, revision: str | None) -> str:
    """The reason why the Hub or this machine failed, and the fix, in one sentence."""
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__:  # huggingface_hub hides the reason
        error = error.__cause__
    page, first_line = f"{constants.ENDPOINT}/{hub_id}", next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, RevisionNotFoundError) and revision == REVISIONS.get(hub_id):
        return f"the Hub no longer has commit {revision} of {hub_id}: load(..., revision='main') takes the newest"
    if isinstance(error, RevisionNotFoundError):
        return f"{hub_id} has no revision {revision} on the Hub: leave revision out, or look it up on {page}"
    if isinstance(error, GatedRepoError):  # a RepositoryNotFoundError too
        return f"{hub_id} is gated: accept its conditions on {page}, then run `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return f"the Hugging Face Hub has no model {hub_id} that you may read: check its name, or run `hf auth login`"
    if (response := getattr(error, "response", None)) is not None:
        by_hub, status = str(response.url).startswith(constants.ENDPOINT), response.status_code
        return REFUSALS.get(status if by_hub else 0, f"the Hub answers with error {status}: try again later")
    if "CERTIFICATE_VERIFY_FAILED" in first_line:
        return "the certificate of the Hub is not trusted here: set SSL_CERT_FILE to the certificates of your network"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
        return f"cannot write to {constants.HF_HUB_CACHE} ({error.strerror}): set HF_HOME to a folder with room"
    reason = f"{type(error).__name__}: {first_line}".removesuffix(": ")
    return f"the Hub cannot be reached ({reason}): check the network and try again; complete files are kept"


def why_missing(source: Source, file: str) -> str:
    """The reason why a model lacks a file of weights, and the fix."""
    names = [*source.sizes, *(path.name for path in source.folder.glob("*"))]
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles and not any(name.endswith(".safetensors") for name in names):
        return (
            f"{source.name} has its weights as pickle only ({pickles[0]}), which can run code when it is opened: "
            "take a model with .safetensors files"
        )
    return f"{source.name} lacks {file}: download it again, or take another model"
