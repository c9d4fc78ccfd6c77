"""Files of videos and captions in the formats that people already have: captions, LLaMA-Factory's and TRL's.

One record a line (.jsonl), or a list of them (.json):

    captions       {"video": "a.mp4", "caption": "..."}; "part" may be "train", "validation" or "test"
    LLaMA-Factory  {"messages": [{"role": "user", "content": "<video>Describe."}, {"role": "assistant", ...}],
                    "videos": ["a.mp4"]}, or "conversations" with "from" and "value" (ShareGPT)
    TRL            {"messages": [{"role": "user", "content": [{"type": "video", "video": "a.mp4"}, {"type": "text",
                    "text": "Describe."}]}, ...]}, or "prompt" and "completion" for the two halves

Paths are relative to the file. Nothing is guessed: a record that cannot be used is a problem with its line and reason.
"""

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lib.data.aihub import Problem, decoded, read_aihub
from lib.data.videos import Video, toybox_videos
from lib.text import Text, composed

USERS, ANSWERERS = ("user", "human"), ("assistant", "gpt")
VIDEO_KEYS = ("video", "path", "url")  # of a part {"type": "video"}
NO_SOURCE = Text(
    "{path}: no such file or folder. Fix: correct `data`; this program runs in {here}",
    "{path}: 파일이 없습니다. `data`를 고치세요. 현재 폴더는 {here}입니다",
)
NO_SEEDS = Text(
    "{source} holds no clip: write toybox:START:STOP with a larger STOP",
    "{source}에 클립이 없습니다. toybox:START:STOP에서 STOP을 더 크게 쓰세요",
)
NOT_JSON = Text("not JSON: leave it out", "JSON이 아닙니다. 빼 주세요")
NO_VIDEO = Text("names no video, or several: give one", "영상이 없거나 여러 개입니다. 하나만 지정하세요")
GONE = Text("{path} is missing: correct the path", "{path} 파일이 없습니다. 경로를 고치세요")
TURNS = Text("holds {n} turns: give one question and one answer", "대화가 {n}턴입니다. 질문 하나와 답 하나만 두세요")
EMPTY_FILE = Text("the file is empty", "빈 파일입니다")
PART = Text(
    'its part is {part!r}: write "train", "validation" or "test", or leave it out',
    'part가 {part!r}입니다. "train", "validation", "test" 중 하나를 쓰거나 빼세요',
)
EMPTY_CAPTION = Text("its caption is empty", "캡션이 비어 있습니다")
AGAIN = Text("{path} has a caption already: the first one counts", "{path}의 캡션이 이미 있어 첫 번째만 씁니다")
NO_RECORD = Text(
    "{path}: none of its {n} records can be used; the first: {first}",
    "{path}: 레코드 {n}개 중 쓸 수 있는 것이 없습니다. 첫 번째: {first}",
)


class CaptionSource(NamedTuple):
    """The videos of a source, what could not be used, and the prompts of its records, most frequent first."""

    videos: list[Video]
    problems: list[Problem]
    prompts: list[str]


class RecordMeaning(NamedTuple):
    """The contents of a record."""

    video: str
    prompt: str
    caption: str
    part: str | None = None


def read_source(source: str, language: str = "ko") -> CaptionSource:
    """The captioned videos of "toybox:START:STOP", of a folder in AI-Hub's layout, or of a file of records.

    >>> read_source("toybox:5:7").videos[0].name
    'toybox-5'

    Raises FileNotFoundError if there is nothing, and ValueError if none of it can be used.
    """
    if found := re.fullmatch(r"toybox:(\d+):(\d+)", source):
        if int(found[1]) >= int(found[2]):
            raise ValueError(NO_SEEDS.say(source=source))
        return CaptionSource(toybox_videos(range(*map(int, found.groups()))), [], [])
    if Path(source).is_dir():
        folder = read_aihub(source)
        return CaptionSource(folder.videos, folder.problems, [])
    if not Path(source).is_file():
        raise FileNotFoundError(NO_SOURCE.say(path=source, here=os.getcwd()))
    return read_records_of(Path(source), language)


def read_records_of(file: Path, language: str) -> CaptionSource:
    """The videos of a file of records."""
    videos, problems, prompts = {}, [], Counter()
    for line, record in records_of(file):
        where = f"{file.name}, {line}"
        try:
            asked = meaning(record)
            path = find_video(file, asked.video)
        except ValueError as error:
            problems.append(Problem(where, str(error)))
            continue
        name = composed(os.path.splitext(asked.video)[0])
        if name in videos:
            problems.append(Problem(where, AGAIN.say(path=asked.video)))
            continue
        videos[name] = Video(name, {language: asked.caption}, path=path, part=asked.part)
        prompts[asked.prompt] += bool(asked.prompt)
    if not videos:
        first = str(problems[0]) if problems else EMPTY_FILE.say()
        raise ValueError(NO_RECORD.say(path=file, n=len(problems), first=first))
    return CaptionSource(list(videos.values()), problems, [prompt for prompt, count in prompts.most_common() if count])


def records_of(file: Path) -> Iterator[tuple[str, object]]:
    """(place, record) pairs of the lines of a .jsonl file, or of a list in a .json file."""
    if file.suffix.lower() == ".json":
        try:
            content = json.loads(decoded(file.read_bytes()))
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}, line {error.lineno}: {NOT_JSON.say()}") from None
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
        content = content if isinstance(content, list) else [content]
        yield from ((f"record {number}", record) for number, record in enumerate(content, 1))
        return
    for number, line in enumerate(file.read_bytes().split(b"\n"), 1):  # a caption may hold other separators of lines
        if line.strip():
            try:
                yield f"line {number}", json.loads(decoded(line))
            except ValueError:
                yield f"line {number}", None


def meaning(record: object) -> RecordMeaning:
    """The question and the answer of a record. Raises ValueError, in one sentence, if the course cannot use it.

    >>> meaning({"conversations": [{"from": "human", "value": "<video>\\nTell."}, {"from": "gpt", "value": "A dog."}],
    ...          "videos": ["a.mp4"]})
    RecordMeaning(video='a.mp4', prompt='Tell.', caption='A dog.', part=None)
    """
    if not isinstance(record, dict):
        raise ValueError(NOT_JSON.say())
    if "caption" in record:
        videos, prompt, caption = [record.get("video")], "", record["caption"]
    else:
        turns = as_list(record.get("messages") or record.get("conversations"))
        turns = turns or [*as_turns(record.get("prompt"), "user"), *as_turns(record.get("completion"), "assistant")]
        said = [turn_of(turn) for turn in turns if isinstance(turn, dict)]
        said = [turn for turn in said if turn[0] != "system"]
        if [role for role, _, _ in said] != ["user", "assistant"]:
            raise ValueError(TURNS.say(n=len(said)))
        (_, prompt, inside), (_, caption, _) = said
        videos = inside or as_list(record.get("videos"))
    if len(videos) != 1 or not isinstance(videos[0], str) or not videos[0]:
        raise ValueError(NO_VIDEO.say())
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(EMPTY_CAPTION.say())
    part = record.get("part")
    if part not in (None, "train", "validation", "test"):
        raise ValueError(PART.say(part=part))
    return RecordMeaning(videos[0], prompt, composed(caption), part)


def as_turns(turns: object, role: str) -> list:
    """TRL's prompt or completion as turns; it may be a plain string."""
    return [{"role": role, "content": turns}] if isinstance(turns, str) else as_list(turns)


def as_list(value: object) -> list:
    """The value if it is a list, else an empty one: only lists hold turns or parts."""
    return value if isinstance(value, list) else []


def turn_of(turn: dict) -> tuple[str, str, list[str]]:
    """(role, text without `<video>`, videos) of a turn."""
    role, content = turn.get("role") or turn.get("from"), turn.get("content", turn.get("value"))
    role = "user" if role in USERS else "assistant" if role in ANSWERERS else str(role)
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else as_list(content)
    parts = [part for part in parts if isinstance(part, dict)]
    text = "".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")
    shown = [part for part in parts if part.get("type") == "video"]
    videos = [next((part[key] for key in VIDEO_KEYS if part.get(key)), None) for part in shown]
    return role, text.replace("<video>", "").strip(), [video for video in videos if video]


def find_video(file: Path, video: str) -> Path:
    """The file of a record's video: relative to the file of records, or to the working folder."""
    for name in (video, *(unicodedata.normalize(form, video) for form in ("NFC", "NFD"))):  # macOS decomposes Hangul
        for path in (file.parent / name, Path(name)):
            if path.is_file():
                return path
    raise ValueError(GONE.say(path=video))
