"""Folders of AI-Hub: find labels and clips, pair them, read the captions, and list whatever cannot be used, and why.

    find_files -> Found labels and clips -> own_clips, or stated_clip -> captions_of -> Video

Nothing is guessed: if a name fits two files, neither is used, and the list of problems names both. The problems
come in the language of the variable F2T_LANGUAGE ("en" or "ko").
"""

import json
import os
import re
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from lib.data.videos import Video
from lib.text import Text, composed
from lib.video import probe

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
UNFINISHED = re.compile(r"(?is).+\.(?:part|partial|crdownload|download|aria2)")
ARCHIVE = re.compile(r"(?is)(.+\.(?:zip|tar|tgz|tbz2?|txz|gz|bz2|xz|zst|7z|rar|alz|egg))(?:\.(?:part)?(\d+))?")
CAPTIONS = {  # places of a label's caption, by language: the first that exists and is not null counts
    "ko": (
        "annotation.description_kr",  # what code that reads the real files uses
        "annotation.description_ko",
        "caption.korean",  # what a description of the data set by one of its users shows
        *("description_kr", "annotations.description_kr", "annotations.description_ko"),
    ),
    "en": ("annotation.description_en", "caption.english", "description_en", "annotations.description_en"),
}
FILE_NAMES = ("filename", "video_name")  # places of a clip's name in a label; the label's own name decides first
# In a folder ID with video.mp4 and label.json, only the folder's name identifies the clip.
PLAIN_NAMES = {"video", "clip", "label", "annotation", "caption"}
HANGUL_FILLERS = "\u115f\u1160\u3164\uffa0"  # invisible letters
# How the folders of a split begin, after numbers and [tags]: TS and TL hold Training's clips and labels.
PARTS = {"train": "training|train|T[SL]", "validation": "validation|valid|val|V[SL]", "test": "test"}
# The messages: English first, Korean second.
# fmt: off
FOUND = Text("videos: {n}{parts}, problems: {m}", "영상 {n}개{parts}, 문제 {m}개")
PART_NAMES = {"train": Text("train", "학습"), "validation": Text("validation", "검증"),
              "test": Text("test", "테스트"), None: Text("no part", "구분 없음")}
NO_FOLDER = Text("{folder}: no such folder. Fix: name the one into which you unpacked AI-Hub's files",
                 "{folder}: 폴더가 없습니다. 해결: AI-Hub 파일의 압축을 푼 폴더를 지정하세요")
NO_PAIR = Text(
    "{folder}: none of its {labels} labels (.json) and {clips} clips ({suffixes}) make a pair that can be used{first}. "
    "Fix: a label and its clip share a name, and the label holds {place}",
    "{folder}: 라벨 {labels}개(.json)와 클립 {clips}개({suffixes}) 중 쓸 수 있는 쌍이 없습니다{first}. "
    "해결: 라벨과 클립의 이름을 같게 하고, 라벨의 {place}에 캡션을 넣으세요")
FIRST = Text("; the first problem: {problem}", ". 첫 번째 문제: {problem}")
OUTSIDE = Text("it leads out of the folder. Fix: copy its target into the folder",
               "폴더 밖을 가리키는 링크입니다. 해결: 가리키는 파일을 이 폴더로 복사하세요")
CLOSED = Text(
    "it cannot be opened ({why}). Fix: give yourself the right to read it (chmod -R u+rX FOLDER), or remove it",
    "열 수 없습니다({why}). 해결: 읽기 권한을 주거나(chmod -R u+rX 폴더) 지우세요")
NO_FILE = Text("not a regular file", "일반 파일이 아님")
PACKED = Text(
    "it is packed, and nothing in it was read. Fix: unpack it (unzip -O cp949 FILE for garbled names) and move it out",
    "압축 파일이라 읽지 않았습니다. 해결: 압축을 풀고(이름이 깨지면 unzip -O cp949 파일) 폴더 밖으로 옮기세요")
NOT_FINISHED = Text("its download has not finished. Fix: finish it, or download it again",
                    "다운로드가 끝나지 않았습니다. 해결: 이어서 받거나 다시 받으세요")
IN_PARTS = Text(
    "one of {n} parts of {whole}, and nothing in them was read. Fix: join them in the order of the numbers at their "
    "end, not that of ls (cat {parts} > {whole}), unpack that, and move the rest out of the folder",
    "{whole}의 분할 파일 {n}개 중 하나라 읽지 않았습니다. 해결: ls의 순서가 아니라 끝의 숫자 순서로 "
    "합치고(cat {parts} > {whole}) 압축을 푼 뒤 나머지는 폴더 밖으로 옮기세요")
SEVERAL = Text("{n} files have one name ({places}). Fix: keep one, or rename them with their pairs",
               "파일 {n}개의 이름이 같습니다({places}). 해결: 하나만 남기거나 쌍끼리 이름을 바꾸세요")
TAKEN = Text("another label has taken the clip {clip}. Fix: keep one label for each clip",
             "클립 {clip}에 이미 다른 라벨이 있습니다. 해결: 클립마다 라벨을 하나만 두세요")
NO_LABEL = Text("no label belongs to it. Fix: add {name}.json, or remove it",
                "라벨이 없습니다. 해결: {name}.json을 추가하거나 지우세요")
NO_CLIP = Text("there is no {names} in the folder. Fix: add the clip, or remove the label",
               "폴더에 {names} 파일이 없습니다. 해결: 클립을 추가하거나 라벨을 지우세요")
AND_NO, OR = Text(" and no ", ", "), Text(" or ", " 또는 ")
# The reader of clips and libav write English messages, which are quoted: 원문.
BROKEN = Text(
    "{reason}. Fix: use another file, or re-encode it (ffmpeg -i OLD -c:v libx264 NEW.mp4)",
    "클립을 읽을 수 없습니다(원문: {reason}). 해결: 교체하거나 재인코딩하세요(ffmpeg -i OLD -c:v libx264 NEW.mp4)")
NO_JSON = Text("it is not JSON, perhaps cut off ({error}). Fix: unpack it again",
               "JSON이 아니거나 중간에 잘렸습니다(원문: {error}). 해결: 압축을 다시 푸세요")
NO_TEXT = Text("it is neither UTF-8 nor CP949, or damaged. Fix: unpack it again, or save it as UTF-8",
               "UTF-8도 CP949도 아니거나 손상되었습니다. 해결: 압축을 다시 풀거나 UTF-8로 저장하세요")
NO_OBJECT = Text("it is {what}. Fix: write one label, or a list of labels, to a file",
                 "{what}. 해결: 파일에 라벨 하나 또는 라벨의 목록을 넣으세요")
NO_ENTRY = Text("an empty list", "빈 목록입니다")
OTHER_KIND = Text("not a JSON object {{...}} but {kind}", "JSON 객체 {{...}}가 아니라 {kind}입니다")
ENTRY = Text("its label number {n}: {what}", "{n}번째 라벨: {what}")
UNNAMED = Text("it does not name its clip. Fix: write the clip's file name under {places}",
               "어느 클립의 라벨인지 알 수 없습니다. 해결: {places}에 클립의 파일 이름을 넣으세요")
NO_KOREAN = Text("it has no Korean caption (looked in {places}). Fix: add it, or the place to CAPTIONS",
                 "한국어 캡션이 없습니다(찾은 곳: {places}). 해결: 캡션을 추가하거나 그 위치를 CAPTIONS에 추가하세요")
BAD = Text("its {place} is {what}. Fix: write {wanted}, or remove the label and its clip",
           "{place}: {what}. 해결: {wanted} 넣거나 라벨과 클립을 지우세요")
THE_CAPTION, THE_NAME = Text("the caption there", "캡션을"), Text("a bare file name", "폴더 없이 파일 이름만")
THE_START = Text("the start there, in seconds or MINUTES:SECONDS", "시작 시각을 초 또는 분:초로")
NOT_TEXT = Text("not text but {kind}", "텍스트가 아니라 {kind}입니다")
LEADS_OUT = Text("{stated!r}, which could lead out of the folder", "{stated!r}은(는) 폴더 밖을 가리킬 수 있습니다")
NO_CAPTION, NO_TIME = Text("empty", "비어 있습니다"), Text("no time", "시각이 아닙니다")
HALF = Text("damaged: it holds half a character (\\u{code:x})", "손상되었습니다: 반쪽 문자(\\u{code:x})가 있습니다")
# fmt: on


class Problem(NamedTuple):
    """A file that was left out, and why."""

    file: str  # inside the folder
    what: str  # the problem and the fix

    def __str__(self) -> str:
        return f"{shown(self.file)}: {self.what}"


class Folder(NamedTuple):
    """What a folder holds: the videos, sorted by name, and every problem found. print(folder) shows it all."""

    videos: list[Video]
    problems: list[Problem]

    def __str__(self) -> str:
        count = Counter(video.part for video in self.videos)
        parts = ", ".join(f"{name.say()} {count[part]}" for part, name in PART_NAMES.items() if count[part])
        parts = f" ({parts})" if set(count) - {None} else ""
        head = FOUND.say(n=len(self.videos), parts=parts, m=len(self.problems))
        return "\n  ".join([head, *map(str, self.problems)])


class Found(NamedTuple):
    """A label or a clip, before it is opened."""

    path: Path
    place: Path  # inside the folder that is read
    name: str  # without its suffix; the folder's for a plain name such as video.mp4
    part: str | None  # of the official split

    def nearest(self, others: Iterable["Found"]) -> list["Found"]:
        """The others in the same part of the split whose folders share most words with its own."""
        others = [other for other in others if other.part == self.part or None in (other.part, self.part)]
        common = [words_in_common(self.place.parent, other.place.parent) for other in others]
        return [other for other, n in zip(others, common, strict=True) if n == max(common)]


def read_aihub(folder: str | os.PathLike) -> Folder:
    """The captioned clips of a folder of AI-Hub's "대한민국 배경영상 상세묘사 데이터" (dataSetSn 71849) or one like it.

    A label NAME.json or NAME.mp4.json and its clip NAME.mp4 (or another of `VIDEO_SUFFIXES`) may lie in different
    folders: AI-Hub packs 라벨링데이터 and 원천데이터 apart. If a name occurs several times, as in Training and in
    Validation, the label and the clip in the nearest folders form a pair. ID/label.json belongs to ID/video.mp4. A
    label that shares no clip's name, and each label of a list, must name its clip (`FILE_NAMES`).

    A video has its clip's name or, if several clips share it, the clip's path in the folder. Its `part` comes from the
    folders Training and Validation, or TS, TL, VS and VL; otherwise from the name of the folder itself.

    The Korean caption is required: in one of the places `CAPTIONS`, or in `sentences`, which are joined in order of
    time. The English one is optional. Labels are UTF-8, with or without BOM, or CP949. Hidden files are ignored.

    Whatever cannot be used is left out and returned as a problem. A clip is opened and its first frame decoded; later
    damage raises ValueError when those frames are read.

    Raises FileNotFoundError for a missing folder, and ValueError for one without a single pair that can be used.

    >>> folder = read_aihub("data/aihub_sample")
    >>> print(folder)
    videos: 6 (train 4, validation 2), problems: 0
    >>> folder.videos[0].name, folder.videos[0].frames(4).shape
    ('toybox_000300', (4, 256, 256, 3))
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(NO_FOLDER.say(folder=folder))
    labels, clips, unread = find_files(root)
    videos, problems = read_pairs(labels, clips)
    problems = [Problem(*(text.encode("utf-8", "replace").decode() for text in one)) for one in unread + problems]
    if not videos:
        first = FIRST.say(problem=problems[0]) if problems else ""
        found = dict(labels=len(labels), clips=len(clips), suffixes=" ".join(VIDEO_SUFFIXES))
        raise ValueError(NO_PAIR.say(folder=folder, first=first, place=CAPTIONS["ko"][0], **found))
    part = part_of_all(root)
    videos = [replace(video, part=video.part or part) for video in sorted(videos, key=lambda video: video.name)]
    return Folder(videos, sorted(problems))


# ---------------------------------------------------------------------------------------------------------------- Files


def find_files(root: Path) -> tuple[list[Found], list[Found], list[Problem]]:
    """The labels and clips in a folder and its subfolders, and a problem for each entry that cannot be opened."""
    labels, clips, unread, archives, inside = [], [], [], defaultdict(list), os.path.realpath(root)
    kinds = {".json": labels} | dict.fromkeys(VIDEO_SUFFIXES, clips)

    def problem(path: str | Path, text: Text, **values) -> None:
        unread.append(Problem(Path(path).relative_to(root).as_posix(), text.say(**values)))

    for folder, subfolders, files in os.walk(root, onerror=lambda e: problem(e.filename, CLOSED, why=e.strerror)):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for path in (Path(folder, name) for name in subfolders + sorted(files) if not name.startswith(".")):
            packed, kind = ARCHIVE.fullmatch(path.name), kinds.get(path.suffix.lower())
            if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(inside):
                problem(path, OUTSIDE)
            elif path.name in subfolders:
                continue
            elif UNFINISHED.fullmatch(path.name):
                problem(path, NOT_FINISHED)
            elif packed:
                archives[path.with_name(packed[1])].append((int(packed[2] or 0), path))
            elif kind is not None and not os.path.isfile(path):  # reading a pipe would never end
                problem(path, CLOSED, why=NO_FILE.say())
            elif kind is not None:
                place = path.relative_to(root)
                kind.append(Found(path, place, name_of(place), part_of(place)))
    for whole, numbered in archives.items():
        parts = [path for _, path in sorted(numbered)]
        if whole in parts:
            problem(whole, PACKED)
        else:
            names = [shlex.quote(path.name) for path in parts]
            names = names if len(names) < 6 else [*names[:4], "...", names[-1]]
            problem(parts[0], IN_PARTS, n=len(parts), whole=shlex.quote(whole.name), parts=" ".join(names))
    return labels, clips, unread


def name_of(place: Path) -> str:
    """A file's name without folder and suffix, in composed Hangul; the folder's name if the file's is plain.

    >>> name_of(Path("clips", unicodedata.normalize("NFD", "바다 1.2.mp4"))), name_of(Path("바다/video.mp4"))
    ('바다 1.2', '바다')
    """
    plain = place.stem.lower() in PLAIN_NAMES and place.parent.name
    return unicodedata.normalize("NFC", place.parent.name if plain else place.stem)


def without_suffix(name: str) -> str:
    """A clip's name without its video suffix; any other ending belongs to the name.

    >>> without_suffix("바다 1.2.MP4"), without_suffix("바다 1.2")
    ('바다 1.2', '바다 1.2')
    """
    return next((name[: -len(suffix)] for suffix in VIDEO_SUFFIXES if name.lower().endswith(suffix)), name)


def part_of(place: Path) -> str | None:
    """The part of the official split that a file's folders name; None if they name none, or two.

    >>> [part_of(Path(folder, "v.mp4")) for folder in ("Training/01.원천데이터", "VS_드라마", "test", "TSUNAMI")]
    ['train', 'validation', 'test', None]
    """
    begins = {part: rf"(?:\[[^]]*\]|[\W\d_])*(?:{words})(?![a-z])" for part, words in PARTS.items()}
    folders = place.parent.parts
    named = {part for part, begin in begins.items() for folder in folders if re.match(begin, folder, re.IGNORECASE)}
    return named.pop() if len(named) == 1 else None


def part_of_all(root: Path) -> str | None:
    """The part that a folder is named after, numbers aside: "2.Validation" counts, "test_of_mine" does not."""
    name = root.resolve().name
    return part_of(Path(name, "_")) if len(re.findall(r"[^\W\d_]+", name)) == 1 else None


def words_in_common(one: Path, other: Path) -> int:
    """How many words the names of two folders share, level by level.

    >>> words_in_common(Path("Training/01.원천데이터/TS_드라마"), Path("Training/02.라벨링데이터/TL_드라마"))
    2
    """
    return sum(len(name_words(mine) & name_words(its)) for mine, its in zip(one.parts, other.parts, strict=False))


@cache
def name_words(folder: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", folder)))


def shown(place: str) -> str:
    """A path for printing. Decomposed Hangul looks like composed Hangul, so it gets the mark (NFD)."""
    return place if unicodedata.is_normalized("NFC", place) else f"{place} (NFD)"


# ---------------------------------------------------------------------------------------------------------------- Pairs


def read_pairs(labels: list[Found], clips: list[Found]) -> tuple[list[Video], list[Problem]]:
    """The videos of all labels and clips that make a pair, and a problem for each that does not."""
    known, alone = defaultdict(list), Counter(clip.name for clip in clips)
    for clip in clips:
        for name in {clip.name, unicodedata.normalize("NFC", clip.path.name)}:
            known[name].append(clip)
    own, unclear, problems = own_clips(labels, known, clips)
    videos, taken = [], {*own.values(), *unclear}
    for label in labels:
        if label in unclear:
            continue
        try:
            contents = read_label(label.path)
        except ValueError as error:
            problems.append(Problem(label.place.as_posix(), str(error)))
            continue
        if len(contents) > 1:  # several labels share the file's name, so each must name its clip
            taken.discard(own.pop(label, None))
        for number, content in enumerate(contents, 1):
            clip = None
            try:
                stated = stated_path(content)
                clip = own.get(label) or stated_clip(label, stated, known, taken, len(contents) > 1)
                taken.add(clip)
                name = clip.name if alone[clip.name] == 1 else unicodedata.normalize("NFC", clip.place.as_posix())
                videos.append(Video(name, captions_of(content), path=readable(clip.path), part=clip.part or label.part))
            except ValueError as error:
                what = str(error) if clip is None or clip.name == label.name else f"{clip.path.name}: {error}"
                what = what if len(contents) == 1 else ENTRY.say(n=number, what=what)
                problems.append(Problem(label.place.as_posix(), what))
    free = [clip for clip in clips if clip not in taken]
    return videos, problems + [Problem(clip.place.as_posix(), NO_LABEL.say(name=clip.path.stem)) for clip in free]


def own_clips(
    labels: list[Found], known: dict[str, list[Found]], clips: list[Found]
) -> tuple[dict[Found, Found], set[Found], list[Problem]]:
    """The clip of each label that shares its name, the files with ambiguous names, and a problem for each such name.

    If a name occurs more than once in a part of the split, numbers start anew in each folder. Then only files in the
    nearest folders form a pair, so that no file replaces a lost one.
    """
    anew = any(len({(file.name, file.part) for file in files}) < len(files) for files in (labels, clips))
    to_clips, to_labels = (near_folders(*both) if anew else None for both in ((labels, clips), (clips, labels)))

    def fit(label: Found, clip: Found) -> bool:
        mine, its = label.place.parent, clip.place.parent
        return bool(label.nearest([clip])) and (not anew or (its in to_clips[mine] and mine in to_labels[its]))

    wanted, claims = {}, defaultdict(list)
    for label in labels:
        same = next((known[name] for name in (label.name, without_suffix(label.name)) if name in known), ())
        wanted[label] = tuple(clip for clip in same if fit(label, clip))
        for clip in wanted[label]:
            claims[clip].append(label)
    for name in PLAIN_NAMES:  # labels/video.json and clips/video.mp4, if there are no others
        mine, its = ([file for file in files if file.path.stem.lower() == name] for files in (labels, clips))
        if len(mine) == len(its) == 1 and not wanted[mine[0]] and not claims[its[0]] and fit(mine[0], its[0]):
            wanted[mine[0]], claims[its[0]] = (its[0],), mine
    own = {label: its[0] for label, its in wanted.items() if len(its) == 1 and len(claims[its[0]]) == 1}
    unclear = defaultdict(list)
    for label, its in wanted.items():
        if its and label not in own:
            unclear[its].append(label)
    problems = []
    for its, mine in unclear.items():
        rivals = dict.fromkeys(label for clip in its for label in claims[clip])
        files = [file for files in (rivals, its) if len(files) > 1 for file in files]
        problems.append(Problem(mine[0].place.as_posix(), several(files)))
    return own, {file for its, mine in unclear.items() for file in (*its, *mine)}, problems


def near_folders(files: list[Found], others: list[Found]) -> dict[Path, set[Path]]:
    """For each folder of the files, the folders of the others that are nearest to it: itself, if it holds some."""
    mine, its = ({file.place.parent: file for file in both} for both in (files, others))
    return {
        folder: {folder}
        if folder.name and folder in its
        else {near.place.parent for near in first.nearest(its.values())}
        for folder, first in mine.items()
    }


def several(files: Sequence[Found]) -> str:
    """The problem, and the fix, for files with ambiguous names."""
    return SEVERAL.say(n=len(files), places=", ".join(shown(file.place.as_posix()) for file in files))


def stated_path(content: dict) -> PureWindowsPath:
    """The path that a label states for its clip, or an empty one. It is compared with known clips, never opened.

    Raises ValueError if it could lead out of the folder, or if the label is not a JSON object.
    """
    if not isinstance(content, dict):
        raise ValueError(NO_OBJECT.say(what=OTHER_KIND.say(kind=type(content).__name__)))
    place, stated = look_up(content, FILE_NAMES)
    stated = "" if stated is None else text_at(place, stated, THE_NAME)
    path = PureWindowsPath(stated)  # which reads both kinds of slashes
    if path.anchor or ".." in path.parts:
        raise bad(place, LEADS_OUT, THE_NAME, stated=stated)
    return PureWindowsPath(unicodedata.normalize("NFC", str(path)))


def stated_clip(
    label: Found, stated: PureWindowsPath, known: dict[str, list[Found]], taken: set[Found], in_list: bool
) -> Found:
    """The clip that a label states, in the folder that it states if there is one.

    Raises ValueError if there is no such clip, if there are several, or if another label has taken it.
    """
    for name in dict.fromkeys((stated.name, without_suffix(stated.name))):
        same = known.get(name, [])
        near = label.nearest([clip for clip in same if clip.place.as_posix().endswith(stated.as_posix())] or same)
        if len(near) > 1:
            raise ValueError(several(near))
        if near and near[0] in taken:
            raise ValueError(TAKEN.say(clip=near[0].path.name))
        if near:
            return near[0]
    if in_list and not stated.name:
        raise ValueError(UNNAMED.say(places=OR.say().join(FILE_NAMES)))
    names = [] if in_list else [f"{without_suffix(label.name)}.mp4"]
    raise ValueError(NO_CLIP.say(names=AND_NO.say().join(names + [stated.name] * bool(stated.name))))


def readable(path: Path) -> Path:
    """The path of a clip that can be opened. Raises ValueError for any other."""
    try:
        probe(path)
    except OSError as error:
        raise ValueError(f"{path}: {CLOSED.say(why=type(error).__name__)}") from None
    except ValueError as error:
        raise ValueError(BROKEN.say(reason=str(error).partition(". Fix: ")[0])) from None
    return path


# --------------------------------------------------------------------------------------------------------------- Labels


def read_label(path: Path) -> list:
    """The labels in a file: one, or those of a list, which may stand under "annotations".

    Fields beside a list of one belong to that label. Raises ValueError if the file is not JSON in UTF-8 or CP949.
    """
    try:
        text = decoded(path.read_bytes())
    except OSError as error:
        raise ValueError(CLOSED.say(why=error.strerror)) from None
    try:
        content = json.loads(text, strict=False)  # allows line breaks and tabs in captions
    except (ValueError, RecursionError) as error:
        raise ValueError(NO_JSON.say(error=error)) from None
    if content == []:
        raise ValueError(NO_OBJECT.say(what=NO_ENTRY.say()))
    many = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(many, list) or not many:
        return [content]
    return many if many is content or len(many) > 1 or not isinstance(many[0], dict) else [content | many[0]]


def decoded(data: bytes) -> str:
    """Text in UTF-8, with or without BOM, or in CP949. Raises ValueError for any other.

    UTF-8 is tried first, because hardly any CP949 text is valid UTF-8. Damaged UTF-8 may decode as CP949, into wrong
    characters: it is recognised by its intact Hangul.

    >>> [decoded("바다".encode(encoding)) for encoding in ("utf-8", "utf-8-sig", "cp949")]
    ['바다', '바다', '바다']
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        whole = data.decode("utf-8", "replace")
    try:
        if 4 * len(re.findall("[가-힣]", whole)) <= whole.count("\ufffd"):
            return data.decode("cp949")
    except UnicodeDecodeError:
        pass
    raise ValueError(NO_TEXT.say())


def look_up(label: dict, places: Sequence[str]) -> tuple[str, object]:
    """The first place that exists and is not null, and its value; ("", None) if there is none.

    A list of one object counts as that object.

    >>> look_up({"annotation": [{"description_kr": "바다"}]}, CAPTIONS["ko"])
    ('annotation.description_kr', '바다')
    """
    for place in places:
        content = label
        for key in place.split("."):
            content = content[0] if isinstance(content, list) and len(content) == 1 else content
            content = content.get(key) if isinstance(content, dict) else None
        if content is not None:
            return place, content
    return "", None


def captions_of(label: dict) -> dict[str, str]:
    """The captions of a label by language; Korean is required. Raises ValueError, which names what is missing.

    >>> captions_of({"caption": {"korean": " 바다가 보입니다. ", "english": ""}})
    {'ko': '바다가 보입니다.'}
    """
    captions = {}
    for language, places in CAPTIONS.items():
        place, caption = look_up(label, places)
        text = in_time(label, language) if caption is None else checked(place, caption, language)
        if text:
            captions[language] = text
    if "ko" not in captions:
        raise ValueError(NO_KOREAN.say(places=", ".join([*CAPTIONS["ko"], "sentences[].sentences_ko"])))
    return captions


def checked(place: str, caption: object, language: str) -> str:
    """A caption to train on; "" if a language other than Korean has none. Raises ValueError if damaged.

    >>> checked("description_en", "\u200b", "en"), checked("description_kr", " 바다 ", "ko")
    ('', '바다')
    """
    text = text_at(place, caption, THE_CAPTION)
    if half := re.search("[\ud800-\udfff\ufffd]", text):
        raise bad(place, HALF, THE_CAPTION, code=ord(half[0]))
    if any(letter.isalnum() for letter in text if letter not in HANGUL_FILLERS):
        return composed(text)
    if language == "ko":
        raise bad(place, NO_CAPTION, THE_CAPTION)
    return ""


def text_at(place: str, value: object, wanted: Text) -> str:
    """The text in that place of a label. Raises ValueError if it is not text."""
    if not isinstance(value, str):
        raise bad(place, NOT_TEXT, wanted, kind=type(value).__name__)
    return value


def bad(place: str, what: Text, wanted: Text, **values) -> ValueError:
    return ValueError(BAD.say(place=place, what=what.say(**values), wanted=wanted.say()))


def in_time(label: dict, language: str) -> str:
    """The sentences of a dense caption in the order of their start; "" if there are none, or one lacks its text.

    >>> in_time({"sentences": [{"timestamps": ["01:05.0", "01:09.0"], "sentences_ko": "배가 옵니다."},
    ...                        {"timestamps": ["00:50.0", "01:00.0"], "sentences_ko": "바다가 보입니다."}]}, "ko")
    '바다가 보입니다. 배가 옵니다.'
    """
    sentences, timed = label.get("sentences"), []
    for number, sentence in enumerate(sentences if isinstance(sentences, list) else []):
        place, sentence = f"sentences[{number}]", sentence if isinstance(sentence, dict) else {}
        key, text = f"sentences_{language}", sentence.get(f"sentences_{language}")
        text = checked(f"{place}.{key}", "" if text is None else text, language)
        timed.append((start_seconds(f"{place}.timestamps", sentence.get("timestamps")), number, text))
    texts = [text for *_, text in sorted(timed)]
    return " ".join(texts) if all(texts) else ""


def start_seconds(place: str, timestamps: object) -> float:
    """The first of two timestamps, in seconds. Raises ValueError if it is not a time.

    >>> start_seconds("", ["01:05.50000", "01:09.00000"]), start_seconds("", [65.5, 69])
    (65.5, 65.5)
    """
    time = timestamps[0] if isinstance(timestamps, list) and timestamps else timestamps
    if isinstance(time, int | float) and 0 <= time < 1e9:
        return time
    if not isinstance(time, str) or not re.fullmatch(r"(?:\d+:){0,2}\d+(?:\.\d+)?", time, re.ASCII):
        raise bad(place, NO_TIME, THE_START)
    return sum(60**i * float(digits) for i, digits in enumerate(reversed(time.split(":"))))
