"""Times readers of one file against each other, turn by turn in one process: only the ratio means anything.

`PYTHONPATH=. python tests/bench_video.py` prints times and ratios for 8 and 32 frames and two key-frame distances.
"""

import tempfile
import time
from pathlib import Path

import av
import numpy as np
from video_files import draw, number_of, write

from lib import video

try:
    import decord
except ImportError:  # no build for this machine: PyAV in sequence is then the only other reader
    decord = None

WIDTH, HEIGHT, FPS, SECONDS = 640, 360, 30, 60
CODE = (160, 96)  # width, height of the frame number, drawn at the top left


def moving_images(count):
    """A coarse texture that slides past with a square moving over it: about as hard to decode as a filmed clip."""
    coarse = np.random.default_rng(0).integers(0, 255, (HEIGHT // 8 + 20, WIDTH // 8 + 40, 3), np.uint8)
    wide = coarse.repeat(8, axis=0).repeat(8, axis=1)
    for number in range(count):
        top, left = number % 160, number * 3 % 320
        image = wide[top : top + HEIGHT, left : left + WIDTH].copy()
        at = number * 5 % (WIDTH - 100)
        image[150:250, at : at + 100] = 255 - image[150:250, at : at + 100]
        image[: CODE[1], : CODE[0]] = draw(number, CODE)
        yield image


def write_clip(path, key_frames_every=250):
    """60 s at 30 frames per second, 640 x 360, H.264 with 3 B-frames."""
    x264 = f"keyint={key_frames_every}:bframes=3:b-adapt=0:cabac=1:deblock=1,0,0"  # what "ultrafast" leaves out
    images = moving_images(FPS * SECONDS)
    return write(path, images=images, size=(WIDTH, HEIGHT), fps=FPS, preset="ultrafast", crf=26, x264_params=x264)


def with_lib(path, indices):
    video._build_index.cache_clear()  # a file is opened for the first time
    return video.read_frames(path, indices).pixels


def with_decord(path, indices):
    return decord.VideoReader(str(path), num_threads=1).get_batch(indices).asnumpy()


def with_decord_threads(path, indices):
    return decord.VideoReader(str(path)).get_batch(indices).asnumpy()


def with_pyav_in_sequence(path, indices):
    wanted, found = set(indices), []
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                found.append(frame.to_ndarray(format="rgb24"))
            if number == indices[-1]:
                return np.stack(found)


READERS = (with_lib, with_pyav_in_sequence) + ((with_decord, with_decord_threads) if decord else ())


def best_seconds(path, frames, rounds=5, best=None):
    """Reader -> its fastest time in seconds to read `frames` frames; each must return exactly the frames asked for.

    `best`: the times of earlier rounds, to go on from.
    """
    indices = video.sample_uniform(FPS * SECONDS, frames)
    best = dict(best or dict.fromkeys(READERS, float("inf")))
    for _ in range(rounds):
        for reader in READERS:
            start = time.perf_counter()
            pixels = reader(path, indices)
            best[reader] = min(best[reader], time.perf_counter() - start)
            assert [number_of(image[: CODE[1], : CODE[0]]) for image in pixels] == indices, reader.__name__
    return best


def ratio(best):
    """Time of ours over that of the fastest other reader."""
    return best[with_lib] / min(seconds for reader, seconds in best.items() if reader is not with_lib)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for distance in (250, 30):
            clip = write_clip(Path(folder) / f"{distance}.mp4", distance)
            for frames in (8, 32):
                best = best_seconds(clip, frames)
                times = "  ".join(f"{reader.__name__} {1000 * seconds:.0f} ms" for reader, seconds in best.items())
                print(f"key frame every {distance}, {frames} frames: ratio {ratio(best):.2f}  ({times})", flush=True)
