"""`caption`: one JSON line per clip, of the test clips or of any videos; a stopped run continues."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from lib.budget.cards import SHARE
from lib.budget.memory import answering
from lib.budget.specs import ModelSpec
from lib.data.aihub import VIDEO_SUFFIXES
from lib.data.shards import fingerprint
from lib.data.videos import Video
from lib.files import differences, write_text
from lib.finetune.adapters import load_adapter
from lib.job.settings import Job, reducer_of
from lib.job.training import alone_in, append, clips_of, load_base, longest_answer, prompts_of, tell
from lib.text import Text
from lib.vlm.loading import free_bytes
from lib.vlm.model import VideoLM

MOST_AT_ONCE = 32
ALL_DONE = Text("{n} clips, all of them in {path} already", "클립 {n}개가 모두 {path}에 이미 있습니다")
SOME_DONE = Text("{n} clips, {done} of them in {path} already", "클립 {n}개 중 {done}개는 {path}에 이미 있습니다")
UNREAD_CLIPS = Text(
    "{path}: {n} clips, {failed} of which could not be read", "{path}: 클립 {n}개, 그중 읽지 못한 것 {failed}개"
)
NO_TEST = Text(
    "{data} leaves no clip to test on: raise `test`, or name videos",
    "{data}에는 테스트할 클립이 없습니다. `test`를 늘리거나 영상을 지정하세요",
)
NO_SUCH_VIDEO = Text("there is no video {path}: correct the path", "영상 {path}이(가) 없습니다. 경로를 고치세요")
NO_VIDEO_IN = Text(
    "there is no video in the folder {path}: {suffixes} are known",
    "폴더 {path}에 영상이 없습니다. 읽을 수 있는 형식: {suffixes}",
)
NO_ADAPTER = Text(
    "{folder} holds no adapter: run `python -m lib train` first",
    "{folder}에 어댑터가 없습니다. 먼저 `python -m lib train`을 실행하세요",
)
OTHER_SETTINGS = Text(
    "{path} was made with other settings ({changed}): move it away, or keep those",
    "{path}은(는) 다른 설정({changed})으로 만든 파일입니다. 파일을 옮기거나 그 설정을 그대로 쓰세요",
)
DAMAGED = Text(
    "{path} is damaged, or not a file of captions: move it away, and caption again",
    "{path}이(가) 손상되었거나 캡션 파일이 아닙니다. 파일을 옮기고 캡션을 다시 만드세요",
)


def caption_clips(job: Job, paths: Sequence[str] = (), base: bool = False, show: bool = False) -> Path:
    """Captions videos, or without any the job's test clips, in a file of JSON lines; returns the file.

    paths: files and folders of videos. base: caption with the model before training. show: print the lines too.

    Clips that are already in the file are skipped. Raises ValueError if the file belongs to other settings.
    """
    source, parts = clips_of(job)
    videos = files_of(paths) if paths else parts.held_out
    if not videos:
        raise ValueError(NO_TEST.say(data=job.data))
    prompt = prompts_of(job, source)[0]
    name = ("base" if base else "captions") + ("-of-videos" if paths else "")
    path = job.folder / f"{name}.jsonl"
    settings = {
        "model": job.model, "adapter": None if base else digest_of(job), "frames": job.frames, "sampling": job.sampling,
        "reducer": job.reducer, "prompt": prompt,
    }  # fmt: skip
    if complete(path, job, settings, videos):
        tell(ALL_DONE.say(n=len(videos), path=path))
        return path
    vlm = load_base(job)
    if not base:
        load_adapter(vlm, job.folder / "adapter")
    longest = longest_answer(job, vlm, parts.train)
    with alone_in(job.folder):
        done = resume(path, settings | {"revision": vlm.revision, "longest": longest}, job, videos)
        todo = [video for video in videos if video.name not in done]
        tell(SOME_DONE.say(n=len(videos), done=len(videos) - len(todo), path=path))
        for line in captions(job, vlm, todo, prompt, longest):
            append(path, line)
            if show:
                print(json.dumps(line, ensure_ascii=False), flush=True)
    failed = {line["video"] for line in read_lines(path)[1:] if "error" in line}
    tell(UNREAD_CLIPS.say(path=path, n=len(videos), failed=len(failed & {video.name for video in videos})))
    return path


def complete(path: Path, job: Job, settings: dict, videos: Sequence[Video]) -> bool:
    """Whether a file of these settings holds every clip, so that no model has to be loaded."""
    first, *lines = read_lines(path) or [{}]
    settings = settings | {"revision": job.revision or first.get("revision"), "longest": first.get("longest")}
    asked = job.max_new_tokens in (0, first.get("longest"))
    done = {line["video"] for line in lines} - mended(lines, job, videos)
    return asked and first == settings and {video.name for video in videos} <= done


def mended(lines: Sequence[dict], job: Job, videos: Sequence[Video]) -> set[str]:
    """The clips that could not be read when their lines were written, and can be now."""
    found, failed = set(), {line["video"] for line in lines if "error" in line}
    for video in videos:
        if video.name in failed:
            with suppress(ValueError, OSError):
                video.frames(job.frames, job.sampling)
                found.add(video.name)
    return found


def captions(job: Job, vlm: VideoLM, videos: Sequence[Video], prompt: str, longest: int) -> Iterator[dict]:
    """A line for each clip: its caption and whether it was cut off, or its error."""
    reducer = reducer_of(job.reducer) or vlm.default_reducer
    ends = {*end_tokens(vlm.model.generation_config.eos_token_id), vlm.tokenizer.eos_token_id}
    size = clips_at_once(job, vlm, longest)
    for some in (videos[start : start + size] for start in range(0, len(videos), size)):
        seen = {}
        for video in some:
            try:
                seen[video.name] = vlm.encode(video.frames(job.frames, job.sampling))
            except (ValueError, OSError) as error:
                yield {"video": video.name, "error": " ".join(str(error).split())}
        if not seen:
            continue
        ids = vlm.generate(list(seen.values()), [prompt] * len(seen), reducer, longest)
        for name, row in zip(seen, ids.tolist(), strict=True):
            text = vlm.tokenizer.decode(row, skip_special_tokens=True).strip()
            yield {"video": name, "caption": text, "cut": not ends & {*row}}


def end_tokens(token: int | list[int] | None) -> list[int]:
    """The end tokens of a generation configuration: one, several or none."""
    return [token] if isinstance(token, int) else token or []


def clips_at_once(job: Job, vlm: VideoLM, longest: int) -> int:
    """How many clips fit beside the weights, by lib.budget's arithmetic."""
    spec, reducer = ModelSpec.from_config(vlm.model.config), reducer_of(job.reducer)
    room = SHARE * free_bytes(vlm.device)
    precision = {torch.float32: "float32", torch.bfloat16: "bfloat16"}.get(vlm.dtype, "float16")
    one = answering(spec, job.frames, precision, job.attention, answer=longest, reducer=reducer)
    return max(1, min(MOST_AT_ONCE, int(room // (one.cache + one.activations))))


def files_of(paths: Sequence[str]) -> list[Video]:
    """Videos named on the command line: files, and the videos in folders. Raises FileNotFoundError for a missing
    one."""
    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(NO_SUCH_VIDEO.say(path=path))
        clips = clips_in(path) if path.is_dir() else [path]
        if not clips:
            raise ValueError(NO_VIDEO_IN.say(path=path, suffixes=" ".join(VIDEO_SUFFIXES)))
        found += clips
    return [Video(str(file), {}, path=file) for file in dict.fromkeys(found)]


def clips_in(folder: Path) -> list[Path]:
    """The videos in a folder and its subfolders, linked folders included."""
    found, seen = [], set()
    for place, below, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # a circular link
            below.clear()
            continue
        seen.add(real)
        below[:] = [name for name in below if name[0] != "."]
        files = (Path(place, name) for name in names if name[0] != ".")
        found += [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    return sorted(found)


def digest_of(job: Job) -> str:
    """The digest of the adapter's weights, which identifies it."""
    file = job.folder / "adapter" / "adapter_model.safetensors"
    if not file.exists():
        raise FileNotFoundError(NO_ADAPTER.say(folder=job.folder))
    return fingerprint(file)["sha256"]


def resume(path: Path, settings: dict, job: Job, videos: Sequence[Video]) -> set[str]:
    """The clips that a file of captions already holds; a file of other settings is rejected, a cut line is dropped."""
    lines = read_lines(path)
    if not lines:
        write_text(path, json.dumps(settings, ensure_ascii=False) + "\n")
        return set()
    if changed := differences(lines[0], settings):
        raise ValueError(OTHER_SETTINGS.say(path=path, changed=changed))
    again = mended(lines[1:], job, videos)
    lines = [line for line in lines if line.get("video") not in again]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return {line["video"] for line in lines[1:]}


def read_lines(path: Path) -> list[dict]:
    """The lines of a file of captions, the settings first; [] if there is none. A last line may be cut off."""
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")  # a cut may split a letter of Hangul
    try:
        lines = [json.loads(line) for line in whole]
    except ValueError:
        lines = [None]
    if not all(isinstance(line, dict) for line in lines) or not all("video" in line for line in lines[1:]):
        raise ValueError(DAMAGED.say(path=path))
    return lines
