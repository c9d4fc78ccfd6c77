"""Damages video files in many ways and reads them: run as a process of its own, so that a crash or a hang is seen.

    python tests/mutate.py FOLDER COUNT     prints one line for each damaged file: outcome, kind of damage, name

An outcome is "frames" or "ValueError"; any other exception ends the process with a traceback.
"""

import random
import sys
from pathlib import Path

from lib import video


def flip_bits(rng, data):
    """1 to 64 bits anywhere."""
    for _ in range(rng.choice((1, 4, 16, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def truncate(rng, data):
    """The end is missing, from one byte to almost everything."""
    del data[rng.randrange(1, len(data)) :]


def zero_block(rng, data):
    """A block of the disk was lost."""
    start, length = rng.randrange(len(data)), rng.choice((16, 256, 1024))
    data[start : start + length] = bytes(len(data[start : start + length]))


def damage_header(rng, data):
    """Random bytes in a row in the first 600, or in the last 3000, where an MP4 file keeps its tables."""
    start = rng.choice((rng.randrange(600), max(len(data) - rng.randrange(1, 3000), 0)))
    for at in range(start, min(start + rng.choice((1, 2, 4, 8)), len(data))):
        data[at] = rng.choice((0, 1, 127, 255, rng.randrange(256)))


def drop_bytes(rng, data):
    """A piece is missing, so that everything after it has moved."""
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 7, 188, 500))]


KINDS = (flip_bits, truncate, zero_block, damage_header, drop_bytes)


def outcome(path):
    try:
        info = video.probe(path)
        total, times = info.frames, list(info.timestamps)
        assert times[0] == 0 and times == sorted(times) and info.rotation in (0, 90, 180, 270)
        read = video.read_frames(path, video.sample_uniform(total, 4))
        assert read.pixels.shape == (4, info.height, info.width, 3)
        assert read.seconds.tolist() == [times[number] for number in read.indices]
        assert len(video.sample_scenes(path, 4)) == 4
        return "frames"
    except ValueError as error:
        assert str(path) in str(error) and "Fix:" in str(error), error
        return "ValueError"


def main(folder, count):
    sources = sorted(Path(folder).iterdir())
    for seed in range(count):
        rng = random.Random(seed)
        source, damage = sources[seed % len(sources)], KINDS[seed // len(sources) % len(KINDS)]
        data = bytearray(source.read_bytes())
        damage(rng, data)
        path = Path(folder) / f"damaged{source.suffix}"
        path.write_bytes(data)
        print(outcome(path), damage.__name__, source.name, flush=True)
        path.unlink()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
