"""Writes the video files of the tests with PyAV alone. Each frame shows its number as sixteen black or white cells."""

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

GRID = 4  # 4 x 4 cells, one bit each: numbers up to 65535
SIZE = (96, 64)  # width, height


def draw(number, size=SIZE):
    """An RGB image (H, W, 3) whose 16 cells spell `number` in binary; big enough cells survive lossy coding."""
    width, height = size
    bits = (number >> np.arange(GRID * GRID) & 1).reshape(GRID, GRID).astype(np.uint8) * 255
    rows, cols = np.arange(height) * GRID // height, np.arange(width) * GRID // width
    return np.repeat(bits[rows][:, cols, None], 3, axis=2)


def number_of(pixels):
    """The number drawn in an RGB image (H, W, 3): the mean of the middle of each cell decides its bit."""
    height, width, _ = pixels.shape
    bits = 0
    for cell in range(GRID * GRID):
        top, left = cell // GRID * height // GRID, cell % GRID * width // GRID
        middle = pixels[top + height // 16 : top + 3 * height // 16, left + width // 16 : left + 3 * width // 16]
        bits |= int(middle.mean() > 127) << cell
    return bits


def numbers_of(pixels):
    return [number_of(image) for image in pixels]


def write(
    path, count=60, *, images=None, ticks=None, size=SIZE, fps=30, codec="libx264", rotation=0, muxer=None, **options
):
    """Writes `count` numbered frames (or `images`), one every 1/fps s (or at `ticks`, in ms); returns the path."""
    width, height = size
    images = (draw(number, size) for number in range(count)) if images is None else images
    options = {name.replace("_", "-"): str(value) for name, value in options.items()}
    with av.open(str(path), "w", container_options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000) if ticks else Fraction(1, fps)
        if rotation:
            stream.set_display_rotation(rotation)
        container.start_encoding()  # so that a file without a frame is written too
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = ticks[number] if ticks else number, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Path(path)


def cut_without_recoding(source, path, first):
    """A copy of `source` from frame `first` on, though that is no key frame: an edit list hides what lies before."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        video = old.streams.video[0]
        packets = [packet for packet in old.demux(video) if packet.pts is not None]
        start = sorted(packet.pts for packet in packets)[first]
        keep = max(n for n, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= start)
        copy = new.add_stream_from_template(video)
        for packet in packets[keep:]:
            packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, copy
            new.mux(packet)
    return Path(path)


def remux(source, path, times, muxer=None, title=None):
    """A copy of `source` in which `times(number, packet)`, a (pts, dts), replaces the times of each packet."""
    with av.open(str(source)) as old, av.open(str(path), "w", container_options=muxer or {}) as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        new.metadata.update({"title": title} if title else {})
        for number, packet in enumerate(packet for packet in old.demux(video=0) if packet.size):
            packet.pts, packet.dts = times(number, packet)
            packet.stream = copy
            new.mux(packet)
    return Path(path)


def write_audio(path, cover=None):
    """A file with sound and no picture, or with the picture `cover` (H, W, 3) as that of a song."""
    if Path(path).suffix == ".wav":
        with wave.open(str(path), "wb") as sound:
            sound.setparams((1, 2, 8000, 800, "NONE", ""))
            sound.writeframes(bytes(1600))
        return Path(path)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp3" if Path(path).suffix == ".mp3" else "aac", rate=16000, layout="mono")
        if cover is not None:
            picture = container.add_stream("mjpeg")
            picture.height, picture.width, picture.pix_fmt = *cover.shape[:2], "yuvj420p"
            picture.disposition = Disposition.attached_pic
            container.mux(picture.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Path(path)
