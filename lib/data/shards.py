"""Features of thousands of clips on disk: shards that several processes write, and that survive being killed.

A shard is one safetensors file with the features of `size` clips. The list of clips alone decides which shard holds
which clip, not the number of processes. Rank r of w makes shards r, r + w, r + 2 w ... So the ranks do not communicate,
their number may change between runs, and the final bytes are the same.

The first process writes plan.json: what the folder will hold. Each shard records what it was made with. It is written
under another name and then renamed, so a file with a shard's name is complete unless the disk is faulty. A run skips
the shards that exist. `seal` writes manifest.json last: the bytes and the sha256 of every shard, and the clips that
could not be read.

Not included: shuffling (read the names in any order) and compression.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lib.data.features import Features
from lib.data.videos import Video, unique
from lib.files import differences, written_whole


class World(NamedTuple):
    """Which process this is, and of how many."""

    rank: int = 0
    size: int = 1


ALONE = World()


class Written(NamedTuple):
    """What one process did in one run of `extract`."""

    made: list[int]  # shards that were missing
    remade: dict[int, str]  # shards that were there but damaged, and how
    kept: list[int]  # shards that were there
    seconds: float


@dataclass(frozen=True)
class ShardPlan:
    """What a folder holds: the features of these clips, in this order, `size` to a shard, computed in this `way`.

    >>> plan = ShardPlan(tuple("abcde"), size=2, way="tiny, 16 frames")
    >>> plan.count, plan.part(2), plan.where("d"), plan.of(World(1, 2))
    (3, ('e',), 1, range(1, 3, 2))
    """

    names: tuple[str, ...]
    size: int
    way: str

    def __post_init__(self):
        if self.size < 1 or not self.names:
            raise ValueError(f"{len(self.names)} clips, {self.size} to a shard: give at least one of each")

    @property
    def count(self) -> int:
        return -(-len(self.names) // self.size)

    def part(self, shard: int) -> tuple[str, ...]:
        return self.names[shard * self.size : (shard + 1) * self.size]

    def of(self, world: World) -> range:
        """The shards that a process makes."""
        return range(world.rank, self.count, world.size)

    def where(self, name: str) -> int:
        """The shard in which a clip lies. Raises KeyError for a name that is not planned."""
        return self._index[name] // self.size

    @property
    def settings(self) -> dict[str, int | str]:
        """All fields by name, for `differences`."""
        clips = {f"clip {number}": name for number, name in enumerate(self.names)}
        return {"clips": len(self.names), "clips to a shard": self.size, "features": self.way} | clips

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}


def plan_of(videos: Sequence[Video], features: Features, size: int) -> ShardPlan:
    """The plan for these videos. Its `way`: frames, a digest (mainly of the vision tower), and the dtype."""
    stored_as = f"computed in {features.vlm.dtype}, stored as {features.dtype or 'computed'}"
    way = f"of {features.frames} frames by {features.way.hex()[:16]}, {stored_as}"
    return ShardPlan(tuple(video.name for video in unique(videos)), size, way)


def shard_path(folder: str | os.PathLike, shard: int) -> Path:
    """
    >>> shard_path("cache", 7).name
    'shard-00007.safetensors'
    """
    return Path(folder) / f"shard-{shard:05}.safetensors"


# ---------------------------------------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------------------------------------


def extract(
    videos: Sequence[Video], features: Features, folder: str | os.PathLike, size: int = 64, world: World = ALONE
) -> Written:
    """Writes this process's share of the shards that are not there yet; then, when all processes are done, `seal`.

    A shard that is cut off, or (in a sealed folder) differs from the manifest, is reported and made again. A video that
    cannot be read is left out of its shard; the manifest records the reason.

    Raises ValueError for a folder of another plan (other clips, another order, other weights, another shard size). Also
    for a shard made with other weights or frames than the plan's.
    """
    began, plan, folder = time.monotonic(), plan_of(videos, features, size), Path(folder)
    begin(plan, folder, features.vlm.origin)
    sealed = read_json(folder / "manifest.json", "shards", "unread") if (folder / "manifest.json").exists() else None
    written = Written([], {}, [], 0.0)
    for shard in plan.of(world):
        wrong = shard_error(plan, folder, shard, sealed)
        if wrong is None:
            written.kept.append(shard)
            continue
        write_shard(videos[shard * size : (shard + 1) * size], features, plan.way, shard_path(folder, shard))
        if wrong == MISSING:
            written.made.append(shard)
        else:
            written.remade[shard] = wrong
    return written._replace(seconds=time.monotonic() - began)


def begin(plan: ShardPlan, folder: Path, origin: dict[str, str | None]) -> None:
    """Checks the folder's plan, or writes it: processes that start together all write the same one.

    origin: the model's name and commit, for readers. The digest in the plan's `way` decides whether the weights match.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "plan.json").exists():
        if changed := differences(read_plan(folder).settings, plan.settings):
            raise ValueError(f"{folder} was begun with other settings ({changed}): keep those, or take another folder")
    else:
        write_json(folder / "plan.json", {**origin, "names": plan.names, "size": plan.size, "way": plan.way})


def write_shard(videos: Sequence[Video], features: Features, way: str, path: Path) -> None:
    """Writes one shard. It is synced to disk before it is renamed, so even a power cut leaves no half shard."""
    tensors, unreadable = {}, {}
    for video in videos:
        try:
            frames = video.frames(features.frames, features.rule)
        except (ValueError, OSError) as error:
            unreadable[video.name] = str(error)
            continue
        tensors[video.name] = features.encode(frames)
    # one key only: safetensors writes several in random order, and the bytes must be reproducible
    made = json.dumps({"features": way, "unread": unreadable}, ensure_ascii=False, sort_keys=True)
    data = save(tensors, metadata={"made": made})
    with written_whole(path) as beside, open(beside, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


MISSING = "missing"


def shard_error(plan: ShardPlan, folder: Path, shard: int, sealed: dict | None = None) -> str | None:
    """What is wrong with a shard: MISSING, or how it is damaged. None for a good one.

    Its length is compared with its header and, if there is a manifest (`sealed`), its sha256 with the manifest's.
    Raises ValueError for a good one made with other weights or frames: somebody may still need it.
    """
    path = shard_path(folder, shard)
    try:
        made = read_made(path)
        names = {*stored(path), *made["unread"]}
    except FileNotFoundError:
        return MISSING
    except SafetensorError as error:
        return f"cut off or damaged ({error})"
    if changed := differences({"features": made["features"]}, {"features": plan.way}):
        raise ValueError(f"{path} was made with other settings ({changed}): delete it, or take another folder")
    if names != set(plan.part(shard)):
        return "holds other clips than planned"
    if sealed and sealed["shards"][shard] != fingerprint(path):
        return "has other bytes than the manifest says"
    return None


def stored(path: Path) -> list[str]:
    """The clips whose features are in a shard. Raises SafetensorError if the file is not as long as its header says."""
    with safe_open(path, framework="pt") as file:
        return list(file.keys())


def read_made(path: Path) -> dict:
    """What a shard was made with ("features"), and the clips that could not be read, with reasons ("unread")."""
    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {}).get("made", '{"features": null, "unread": {}}'))


def seal(folder: str | os.PathLike) -> "Cache":
    """Writes the manifest once every shard is there, and opens the cache.

    Raises ValueError with the number of missing or damaged shards. (Run `extract` first: it checks whether a sealed
    folder still matches its manifest.)
    """
    folder = Path(folder)
    plan = read_plan(folder)
    wrong = {shard: text for shard in range(plan.count) if (text := shard_error(plan, folder, shard))}
    if wrong:
        first, text = next(iter(wrong.items()))
        raise ValueError(
            f"{folder}: {len(wrong)} of {plan.count} shards are not ready (number {first}: {text}): run extract again, "
            "it continues where it stopped"
        )
    paths = [shard_path(folder, shard) for shard in range(plan.count)]
    lost = {name: why for path in paths for name, why in read_made(path)["unread"].items()}
    write_json(folder / "manifest.json", {"shards": [fingerprint(path) for path in paths], "unread": lost})
    return Cache(folder)


def fingerprint(path: Path) -> dict[str, int | str]:
    """Bytes and sha256 of a file."""
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def read_plan(folder: Path) -> ShardPlan:
    """Raises FileNotFoundError for a folder in which no extraction was begun."""
    if not (folder / "plan.json").exists():
        raise FileNotFoundError(f"{folder} holds no plan.json: fill it with extract first")
    kept = read_json(folder / "plan.json", "names", "size", "way")
    return ShardPlan(tuple(kept["names"]), kept["size"], kept["way"])


def read_json(path: Path, *keys: str) -> dict:
    """The contents of a plan or manifest. Raises ValueError if it is damaged: delete it, and it is made again."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # not JSON, or not UTF-8
        content = None
    if not isinstance(content, dict) or not content.keys() >= {*keys}:
        raise ValueError(f"{path} is cut off or damaged: delete it and run again, which rewrites it")
    return content


def write_json(path: Path, content: dict) -> None:
    with written_whole(path) as beside:
        beside.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------------------------


class Cache:
    """A sealed folder, read back: `cache(video)` is what `Features` would compute, so a Collator takes either.

    names: the clips in it, in the order of the plan. Iterating yields (name, features) in that order and opens each
    shard once; `cache[name]` reads only that clip's bytes.

    Raises FileNotFoundError for a folder that is not sealed.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder, self.plan = Path(folder), read_plan(Path(folder))
        if not (self.folder / "manifest.json").exists():
            raise FileNotFoundError(f"{folder} is not complete: run extract again, then seal")
        manifest = read_json(self.folder / "manifest.json", "shards", "unread")
        self.unread: dict[str, str] = manifest["unread"]
        self.bytes = sum(shard["bytes"] for shard in manifest["shards"])
        self.names = [name for name in self.plan.names if name not in self.unread]

    def __call__(self, video: Video) -> Tensor:
        return self[video.name]

    def __getitem__(self, name: str) -> Tensor:
        """The features (T, h, w, C) of one clip. Raises KeyError for a clip that is not there, with the reason."""
        if name in self.unread:
            raise KeyError(f"{name} could not be read when {self.folder} was filled: {self.unread[name]}")
        with safe_open(shard_path(self.folder, self.plan.where(name)), framework="pt") as file:
            return file.get_tensor(name)

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        for shard in range(self.plan.count):
            with safe_open(shard_path(self.folder, shard), framework="pt") as file:
                for name in self.plan.part(shard):
                    if name not in self.unread:
                        yield name, file.get_tensor(name)
