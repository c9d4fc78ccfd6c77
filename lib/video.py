"""From a video file to frames: exact reading, timestamps, and the rules that choose which frames a model sees.

A video file is a container of packets. A packet holds one compressed frame. A key frame can be decoded alone; any other
frame needs those since its key frame. Packets lie in decoding order, not in display order. So the module does this:

1. list the packets without decoding them and sort their timestamps: that numbers the frames in display order;
2. for each wanted frame, seek to the key frame before it and decode up to it;
3. if that list cannot be trusted (MPEG-TS, AVI, missing timestamps, damage), decode from the start and count.

Timestamps always start at 0 and never decrease. A frame that may depend on detected damage raises an error.

What this module does not do: sound, live streams, writing, stretching of non-square pixels.
"""

import math
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice, pairwise
from operator import index as as_int
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.frame import PictureType

from lib.machine import cores

av.logging.set_level(None)  # libav reports damage on stderr as well; here it becomes one ValueError

# In these containers one packet is one frame, its timestamp is right, and a seek lands on a key frame. VP8 hides
# frames, AVI and MPEG-4 part 2 leave timestamps out, MPEG-TS has no table of key frames: those are decoded from the
# start.
_INDEXED_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
_INDEXED_CODECS = {"h264", "hevc", "vp9", "av1"}
_TEXT_CODECS = {"ansi", "bintext", "idf", "xbin"}  # libav draws a text file as pictures of a terminal
_BAD_NAMES = {"metadata_errors": "replace"} if av.__version__ < "19" else {}  # 19 does so unasked
# libav puts some data beside a frame for which PyAV 18 has no name (EXIF, the views of a spatial video). PyAV then
# raises ValueError for all data there (its pull request 2392). So such data get the name of a kind that nothing here
# reads.
Type._missing_ = classmethod(lambda names, number: names.PANSCAN)
_MAX_PIXELS = 2**26  # twice 8K; a damaged header can claim a frame of many gigabytes
_MOST_B_FRAMES = 16  # in a row before the frame that they depend on; HEVC may have only these


class Frames(NamedTuple):
    """Decoded frames, in the requested order."""

    pixels: np.ndarray  # (T, H, W, 3) uint8, RGB, upright
    seconds: np.ndarray  # (T,) float64, since the first frame of the file
    indices: tuple[int, ...]  # (T,) in display order, from 0


@dataclass(frozen=True)
class VideoInfo:
    """The properties of a video: sizes in pixels as displayed (after rotation), times in seconds since its first
    frame."""

    path: str
    width: int
    height: int
    codec: str
    rotation: int  # degrees clockwise that were applied: 0, 90, 180 or 270
    mirrored: bool  # whether left and right were swapped, before the rotation
    tilt: int  # degrees clockwise, between quarter turns: the picture has lost its corners, gaps are black; else 0
    timestamps: tuple[float, ...]  # one per frame, in display order; the first is 0.0, and they never decrease

    @property
    def frames(self) -> int:
        return len(self.timestamps)

    @property
    def fps(self) -> float:
        """Average frames per second; 0.0 for a single frame, which has no rate."""
        span = self.timestamps[-1] - self.timestamps[0]
        return (self.frames - 1) / span if span > 0 else 0.0

    @property
    def seconds(self) -> float:
        """Duration; the last frame counts as long as the average one."""
        return self.frames / self.fps if self.fps else 0.0


class _Index(NamedTuple):
    """The frames that a file shows, in display order."""

    seconds: list[float]  # since the first frame, never decreasing
    pts: list[int]  # timestamps that identify the decoder's frames; empty: count them from the start instead
    keys: list[int]  # those of the key frames, the first packet's included

    def key_before(self, pts: int) -> int:
        return self.keys[max(bisect_right(self.keys, pts) - 1, 0)]


def read_frames(path: str | os.PathLike, indices: Sequence[int], backend: str = "pyav") -> Frames:
    """Reads the frames `indices` (display order, from 0; any order, repeats allowed) of a video file.

    `backend="pyav"` is exact on every kind of file in the tests. `backend="decord"` is the reader of the official LLaVA
    code, kept for comparison. On MPEG-TS, open-GOP and trimmed files it returns wrong frames, and a damaged file can
    hang its C++ code.

    Raises FileNotFoundError for a missing file and PermissionError for one that may not be read. Raises ValueError for
    a file that is not a video, and for an index outside it. Also for a requested frame that is damaged or may depend on
    a damaged one, and for a backend that is absent or fails. Most codecs have no checksum: a flipped bit that still
    decodes changes the picture, and no reader notices.

    >>> frames = read_frames("data/clips/hello.mp4", [0, 8, 8])
    >>> frames.pixels.shape, frames.pixels.dtype, frames.seconds.tolist(), frames.indices
    ((3, 256, 256, 3), dtype('uint8'), [0.0, 1.0, 1.0], (0, 8, 8))
    """
    wanted = tuple(as_int(i) for i in indices)
    if not wanted:
        raise ValueError(f"{path}: no frame was asked for. Fix: give at least one index")
    if backend not in _BACKENDS:
        raise ValueError(f"unknown backend {backend!r}. Fix: use one of {', '.join(map(repr, _BACKENDS))}")
    _require_file(path)
    images = _BACKENDS[backend](path, sorted(set(wanted)))
    pixels = [images[i][0] for i in wanted]
    if len({image.shape for image in pixels}) > 1:
        raise ValueError(f"{path}: its frames differ in size. Fix: re-encode it at one size, or read them one by one")
    return Frames(np.stack(pixels), np.array([images[i][1] for i in wanted], np.float64), wanted)


def probe(path: str | os.PathLike) -> VideoInfo:
    """What the file shows, and when. Costs one frame's decoding, or the whole file's if its index cannot be trusted.

    Raises FileNotFoundError for a missing file and PermissionError for one that may not be read. Raises ValueError for
    a file that is not a video or shows no frame.

    >>> info = probe("data/clips/hello.mp4")
    >>> info.frames, info.fps, info.seconds, info.width, info.height, info.codec
    (16, 8.0, 2.0, 256, 256, 'h264')
    """
    index = _index(path)
    with _opened(path) as (container, stream):
        first, _ = next(_decode(container, stream), (None, False))
        if first is None:
            raise _unreadable(path, "no frame of it can be decoded")
        codec = stream.codec_context.codec.canonical_name
    height, width, _ = _rgb(first).shape
    return VideoInfo(str(path), width, height, codec, *_orientation(first), tuple(index.seconds))


# ------------------------------------------------------------------------------------------------- choosing frames


SAMPLING_RULES = ("llava_next", "slowfast_llava", "huggingface")


def sample_uniform(total: int, n: int, rule: str = "llava_next") -> list[int]:
    """`n` of `total` frames, evenly spread, by one of three official rules that disagree: train and test with the same.

    - "llava_next": both ends and equal steps, np.linspace(0, total - 1, n, dtype=int) (LLaVA-NeXT video_demo.py).
      With n > total it repeats frames.
    - "slowfast_llava": near the middle of n equal parts (SlowFast-LLaVA `get_seq_frames` in dataset.py). It returns
      min(n, total) frames; for n >= total its rounding doubles one and drops the last, and so do we.
    - "huggingface": the start of n equal parts, floor(i * total / n): transformers' default. Its documentation has
      np.arange(0, total, total / n), whose rounding gives one frame too many for some sizes (14 for 13 of 15).
      With n > total it raises ValueError, as transformers does.

    >>> [sample_uniform(1800, 4, rule) for rule in ("llava_next", "slowfast_llava", "huggingface")]
    [[0, 599, 1199, 1799], [225, 675, 1124, 1574], [0, 450, 900, 1350]]
    """
    if total < 1 or n < 1:
        raise ValueError(f"cannot choose {n} of {total} frames. Fix: both numbers must be at least 1")
    if rule == "llava_next":
        return np.linspace(0, total - 1, n, dtype=int).tolist()
    if rule == "slowfast_llava":
        n = min(n, total)
        part = (total - 1) / n
        return [(round(part * i) + round(part * (i + 1))) // 2 for i in range(n)]
    if rule != "huggingface":
        raise ValueError(f"unknown rule {rule!r}. Fix: use 'llava_next', 'slowfast_llava' or 'huggingface'")
    if n > total:
        raise ValueError(f"the clip has only {total} frames, not {n}. Fix: ask for at most {total}, or another rule")
    return [i * total // n for i in range(n)]


def sample_fps(timestamps: Sequence[float], fps: float) -> list[int]:
    """The frame on the screen at 0, 1/fps, 2/fps, ... seconds after the first, up to the last timestamp (sorted, s).

    It needs no constant frame rate, because it uses the timestamps, not index / rate. A frame that stays on the screen
    for longer than 1/fps is returned more than once. Raises ValueError for no timestamps or a rate that is not
    positive.

    >>> sample_fps([0.0, 0.1, 0.2, 0.3, 2.0], fps=2)
    [0, 3, 3, 3, 4]
    """
    if not len(timestamps) or not fps > 0:
        raise ValueError(f"cannot sample {len(timestamps)} frames at {fps} per second. Fix: both must be positive")
    times = np.asarray(timestamps, np.float64) - timestamps[0]
    late = 1e-3  # files round their times, Matroska to a millisecond: a frame may seem to start just after its time
    ticks = np.arange(int((times[-1] + late) * fps) + 1) / fps
    return (np.searchsorted(times, ticks + late, side="right") - 1).tolist()


def sample_scenes(path: str | os.PathLike, n: int) -> list[int]:
    """`n` frames divided among the scenes of a file: one each, the rest by length; each at the middle of its part.

    With fewer frames than scenes, the longest scenes get them. Decodes the whole file, small and grey. Raises as
    `probe` does, and ValueError for n < 1.

    >>> sample_scenes("data/clips/hello.mp4", 4)
    [2, 6, 10, 14]
    """
    if n < 1:
        raise ValueError(f"cannot choose {n} frames. Fix: ask for at least 1")
    small = thumbnails(path)
    starts = [0, *find_cuts(small)]
    lengths = np.diff([*starts, len(small)]).tolist()
    counts = [0] * len(starts)
    for _ in range(n):  # to a scene without one, else to the scene with the most frames per chosen one
        counts[max(range(len(starts)), key=lambda s: (counts[s] == 0, lengths[s] / (counts[s] + 1)))] += 1
    scenes = zip(starts, lengths, counts, strict=True)
    return [start + (2 * i + 1) * length // (2 * count) for start, length, count in scenes for i in range(count)]


def thumbnails(path: str | os.PathLike) -> np.ndarray:
    """All frames of a file as (T, 16, 16) uint8 grey: enough to see a cut. Raises as `probe` does.

    >>> thumbnails("data/clips/hello.mp4").shape
    (16, 16, 16)
    """
    _require_file(path)
    with _opened(path, threads=True) as (container, stream):
        small = [frame.reformat(16, 16, "gray").to_ndarray() for frame, _ in _decode(container, stream)]
    if not small:
        raise _unreadable(path, "no frame of it can be decoded")
    return np.stack(small)


def find_cuts(small: np.ndarray) -> list[int]:
    """The first frame of each scene but the first, from small grey frames (T, H, W) uint8.

    At a cut, the two frames before differ from the two after by more than 4 grey levels. The difference is also more
    than 3 times the mean of the 8 around it. So neither a flash of one frame nor steady motion is a cut.

    >>> dark, light = np.zeros((5, 16, 16), np.uint8), np.full((3, 16, 16), 200, np.uint8)
    >>> find_cuts(np.concatenate([dark, light, dark]))
    [5, 8]
    """
    if len(small) < 4:
        return []
    images = small.reshape(len(small), -1).astype(np.int16)
    one, two, three = (np.abs(images[step:] - images[:-step]).mean(axis=1) for step in (1, 2, 3))
    change = np.minimum.reduce([one[1:-1], two[1:], two[:-1], three])  # [t] is between frames t, t + 1 and t + 2, t + 3
    near = np.convolve(change, np.ones(9))[4:-4] - change
    others = np.convolve(np.ones(len(change)), np.ones(9))[4:-4] - 1
    return (np.flatnonzero((change > 4) & (change * others > 3 * near)) + 2).tolist()


# ------------------------------------------------------------------------------------------------- reading with PyAV


@contextmanager
def _opened(path, threads=False) -> Iterator[tuple]:
    """(container, video stream) of a file; any error of libav while it is open becomes one ValueError."""
    try:
        with av.open(os.path.abspath(path), **_BAD_NAMES) as container:  # absolute: "a:b.mp4" is not a URL
            stream = container.streams.best("video")
            if stream is None or stream.disposition & Disposition.attached_pic:  # a song's cover is not a video
                raise _unreadable(path, "it holds no picture track", "name a video file")
            if stream.codec_context is None:
                raise _unreadable(path, "it uses a codec that libav does not know")
            if stream.codec_context.codec.canonical_name in _TEXT_CODECS:
                raise _unreadable(path, "it is a text file", "name a video file")
            codec = stream.codec_context
            codec.options = {"max_pixels": str(_MAX_PIXELS)}
            codec.thread_type, codec.thread_count = "AUTO", 0 if threads else 1
            codec.open()  # fails here, not at every packet
            yield container, stream
    except (av.FFmpegError, MemoryError) as error:
        reason = "it is empty (0 bytes)" if os.path.getsize(path) == 0 else f"it is not a video or is broken ({error})"
        raise _unreadable(path, reason) from error


def _packets(container, stream) -> Iterator[av.Packet]:
    """The stream's packets in decoding order, then an empty one, which makes a decoder return its remaining frames."""
    try:
        yield from container.demux(stream)
    except (av.FFmpegError, IndexError):  # IndexError: PyAV's, if damage announces a new stream at the end
        yield av.Packet()


def _decode(container, stream, wanted: set[int] | None = None) -> Iterator[tuple[av.VideoFrame, bool]]:
    """(frame, damaged) in display order from the container's current position.

    When libav detects damage, it drops a frame or fills in missing parts. Every frame that may depend on it counts as
    damaged. These are the frames up to the next key frame, and the B frames before it, which need a later frame.
    """
    waiting, damaged = [], False
    for frame in _outcomes(container, stream, wanted):
        damaged |= frame is None or frame.is_corrupt
        if frame is None:
            continue
        waiting.append(frame)
        if frame.pict_type != PictureType.B or len(waiting) == _MOST_B_FRAMES:
            yield from ((b_frame, damaged) for b_frame in waiting[:-1])
            damaged = frame.is_corrupt or (damaged and not frame.key_frame)
            yield frame, damaged
            waiting.clear()
    yield from ((b_frame, damaged) for b_frame in waiting)


def _outcomes(container, stream, wanted: set[int] | None) -> Iterator[av.VideoFrame | None]:
    """Frames in display order, and None for each packet that cannot be decoded.

    With `wanted` timestamps, H.264's B frames that are neither wanted nor needed by another frame are not decoded at
    all. All other frames are decoded, because a frame that nothing needs may be a damaged one.
    """
    codec, latest = stream.codec_context, -math.inf
    for packet in _packets(container, stream):
        if wanted is not None and codec.name == "h264":
            early = packet.pts is not None and packet.pts < latest
            codec.skip_frame = "NONREF" if early and packet.pts not in wanted else "DEFAULT"
            latest = latest if early or packet.pts is None else packet.pts
        try:
            yield from stream.decode(packet)
        except av.FFmpegError:
            yield None


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8, upright."""
    rotation, mirrored, tilt = _orientation(frame)
    image = (_tilted(frame, tilt) if tilt else frame).to_ndarray(format="rgb24")
    return np.rot90(image[:, ::-1] if mirrored else image, -rotation // 90)


def _orientation(frame: av.VideoFrame) -> tuple[int, bool, int]:
    """(rotation, mirrored, tilt) as in `VideoInfo`, that show a frame as ffmpeg's autorotate does.

    The display matrix moves the pixel at (x, y) to (a x + c y, b x + d y). Like ffmpeg, this ignores its scale and
    rounds its angle to a degree. A singular matrix and an angle of 1 are shown as stored. A tilted picture is not
    mirrored.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    a, b, _, c, d = (1, 0, 0, 0, 1) if matrix is None else np.frombuffer(matrix, np.int32)[:5].tolist()
    width, height = math.hypot(a, c), math.hypot(b, d)
    degrees = round(math.degrees(math.atan2(b / height, a / width))) % 360 if width and height else 1
    if degrees % 90:
        return 0, False, degrees if degrees > 1 else 0
    mirrored = (d < 0, c > 0, d > 0, c < 0)[degrees // 90]
    return (degrees + 180 * mirrored) % 360, mirrored, 0  # upside down only: mirrored, then turned by 180


def _tilted(frame: av.VideoFrame, degrees: int) -> av.VideoFrame:
    """The frame turned clockwise about its middle, in its own size."""
    graph = av.filter.Graph()
    turn = graph.add("rotate", f"{degrees}*PI/180")
    graph.link_nodes(graph.add_buffer(frame), turn, graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


def _index(path) -> _Index:
    _require_file(path)
    stat = os.stat(path)
    return _build_index(os.path.abspath(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)  # size and time of change are part of the key, so a changed file is read again
def _build_index(path: str, size: int, changed: int) -> _Index:
    return _index_of_packets(path) or _index_of_decoding(path)


def _index_of_packets(path) -> _Index | None:
    """The frames that the packets announce, without decoding any; None if they cannot be trusted."""
    with _opened(path) as (container, stream):
        known = stream.codec_context.codec.canonical_name in _INDEXED_CODECS
        if not known or container.format.name not in _INDEXED_CONTAINERS:
            return None
        packets = [(p.pts, p.is_keyframe, p.is_discard, p.is_corrupt) for p in _packets(container, stream) if p.size]
        reordered, time_base = stream.codec_context.has_b_frames, stream.time_base
    shown = [pts for pts, _, hidden, _ in packets if not hidden]  # an edit list may hide frames that others need
    damaged = any(pts is None or corrupt for pts, _, _, corrupt in packets)
    if damaged or not shown or len(set(shown)) < len(shown):
        return None
    if reordered and len(shown) > 1 and shown == sorted(shown):  # then they are decoding times
        return None
    keys = {pts for pts, is_key, _, _ in packets if is_key}
    pts = sorted(shown)
    return _Index([float((p - pts[0]) * time_base) for p in pts], pts, sorted(keys | {packets[0][0]}))


def _index_of_decoding(path) -> _Index:
    """The frames of the whole file, decoded on one thread without any trust in the index."""
    with _opened(path) as (container, stream):
        times = [(frame.pts, frame.dts) for frame, _ in _decode(container, stream)]
        if not times:
            raise _unreadable(path, "no frame of it can be decoded")
        return _Index(_since_first(times, stream), [], [])


def _since_first(times: list[tuple[int | None, int | None]], stream) -> list[float]:
    """Seconds since the first frame, never decreasing, from the (pts, dts) of the frames in display order.

    A missing time follows from the frame before, at the rate that libav guesses (25 if unknown). An average rate is
    wrong in AVI with a fine clock, and absent in a raw stream. If the clock jumps back, as in joined streams, the time
    also follows from the frame before; later times continue from there.
    """
    step = 1 / (stream.guessed_rate or 25)
    seconds, last = [-step], None
    for stamp in _stamps(times):
        time = seconds[-1] + step
        if stamp is not None:
            if last is None or stamp < last:
                start = stamp * stream.time_base - time
            time, last = max(stamp * stream.time_base - start, seconds[-1]), stamp
        seconds.append(time)
    return [float(time) for time in seconds[1:]]


def _stamps(times: list[tuple[int | None, int | None]]) -> list[int | None]:
    """One timestamp for each frame; None if it is missing or wrong: not between its neighbours, which are in order.

    Some containers (AVI) hold decoding times only. libav's pts then jump back and forth; its dts, in display order, are
    right.
    """
    stamps = min(zip(*times, strict=True), key=_falls)
    neighbours = zip((None, *stamps[:-1]), stamps, (*stamps[1:], None), strict=True)
    return [None if None not in (a, b, c) and a <= c and not a <= b <= c else b for a, b, c in neighbours]


def _falls(stamps: Sequence[int | None]) -> float:
    """How often the known ones decrease; infinity if none is known."""
    known = [stamp for stamp in stamps if stamp is not None]
    return sum(later < earlier for earlier, later in pairwise(known)) if known else math.inf


def _read_pyav(path, wanted: list[int]) -> dict[int, tuple[np.ndarray, float]]:
    """Frame number -> (pixels, seconds)."""
    index = _index(path)
    _check_range(path, wanted, len(index.seconds))
    images = _read_by_seeking(path, index, wanted) if index.pts else _read_in_sequence(path, wanted)
    for number in wanted:
        if number not in images:
            raise _unreadable(path, f"frame {number} of {len(index.seconds)} is damaged, or builds on one that is")
    return {number: (images[number], index.seconds[number]) for number in wanted}


def _read_by_seeking(path, index: _Index, wanted: list[int]) -> dict[int, np.ndarray]:
    """Frame number -> pixels, for undamaged frames; one seek for each group of pictures that holds a wanted frame.

    The cores share the groups. libav's own threads would return some damaged frames before they detect the damage.
    """
    numbers = {index.pts[number]: number for number in wanted}
    groups = [(key, set(stamps)) for key, stamps in groupby(numbers, index.key_before)]
    jobs = min(cores(), len(groups))
    with ThreadPoolExecutor(jobs) as pool:
        parts = list(pool.map(lambda job: _read_groups(path, index.keys[0], groups[job::jobs]), range(jobs)))
    missing = set(numbers).difference(*parts)
    if missing:  # damage, or a false key frame (intra refresh): decode from the start
        parts.append(_read_groups(path, index.keys[0], [(index.keys[0], missing)]))
    return {numbers[pts]: image for part in parts for pts, image in part.items()}


def _read_groups(path, start: int, groups: list[tuple[int, set[int]]]) -> dict[int, np.ndarray]:
    """Timestamp -> pixels, for undamaged frames, from (timestamp of the key frame, wanted timestamps) of each group."""
    found = {}
    with _opened(path) as (container, stream):
        for key, wanted in groups:
            container.seek(key, stream=stream)
            came = key == start  # otherwise the key frame must come out: later frames may depend on it
            for frame, damaged in _decode(container, stream, wanted):
                came |= frame.pts == key
                if frame.pts in wanted and came and not damaged:
                    found[frame.pts] = _rgb(frame)
                if frame.pts is not None and frame.pts >= max(wanted):  # in display order: none is left
                    break
    return found


def _read_in_sequence(path, wanted: list[int]) -> dict[int, np.ndarray]:
    """Frame number -> pixels, for undamaged frames: decodes from the start and counts, as `_index_of_decoding` does."""
    with _opened(path) as (container, stream):
        frames = enumerate(islice(_decode(container, stream), wanted[-1] + 1))
        return {number: _rgb(frame) for number, (frame, damaged) in frames if number in wanted and not damaged}


# ------------------------------------------------------------------------------------------------ reading with decord


def _read_decord(path, wanted: list[int]) -> dict[int, tuple[np.ndarray, float]]:
    """Frame number -> (pixels, seconds), as decord numbers and times them."""
    try:
        import decord
    except ImportError as error:
        raise ValueError("decord is not installed; not every machine has a build. Fix: use backend='pyav'") from error
    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(os.fspath(path), num_threads=1)
        _check_range(path, wanted, len(reader))
        pixels = reader.get_batch(wanted).asnumpy()
        times = reader.get_frame_timestamp([0, *wanted])[:, 0].astype(np.float64)
    except (decord.DECORDError, RuntimeError) as error:
        reason = str(error).splitlines()[0].split(": ", 1)[-1]  # without the time of day and the line of C++
        raise ValueError(f"{path}: decord cannot read it ({reason}). Fix: use backend='pyav'") from error
    return {number: (image, time) for number, image, time in zip(wanted, pixels, times[1:] - times[0], strict=True)}


_BACKENDS = {"pyav": _read_pyav, "decord": _read_decord}


# ----------------------------------------------------------------------------------------------------------- errors


def _require_file(path) -> None:
    try:
        os.stat(path)  # os.path.isfile would hide that a folder in the path may not be entered
        if os.path.isfile(path):
            return open(path, "rb").close()
    except PermissionError as error:
        raise PermissionError(f"{path}: you may not read it. Fix: chmod u+r it, or ask its owner for a copy") from error
    except (OSError, ValueError):  # ValueError: a null character in the name
        pass
    raise FileNotFoundError(f"{path}: no such file. Fix: check the name; this program runs in {os.getcwd()}")


def _check_range(path, wanted: list[int], total: int) -> None:
    for number in wanted:
        if not 0 <= number < total:
            raise ValueError(f"{path}: no frame {number}, it has {total} (0 to {total - 1}). Fix: ask for those only")


def _unreadable(path, reason: str, fix="use another file, or re-encode it (ffmpeg -i OLD -c:v libx264 NEW.mp4)"):
    return ValueError(f"{path}: {reason}. Fix: {fix}")
