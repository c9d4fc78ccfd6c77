"""Records of outputs: written to a file, read back, and turned into scores, paired tests and tables."""

import json
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lib.evaluate.intervals import Score, percentile_interval, resample_counts
from lib.evaluate.metrics import Metric, Record
from lib.files import write_text


class Paired(NamedTuple):
    """How much larger a score of the first system is, and how often chance gives as large a difference."""

    gap: Score
    p: float

    def __str__(self) -> str:
        p = f"p={self.p:.3f}" if self.p >= 0.001 else "p<0.001"
        return f"{self.gap.mean:+.3f} [{self.gap.low:+.3f}, {self.gap.high:+.3f}] {p} n={self.gap.asked}"


def measure(metric: Metric, records: Sequence[Record]) -> Score:
    """A metric of one system's records, with the 95 % percentile interval of 2,000 bootstrap resamples.

    Raises ValueError if there is no record of the metric's task.

    >>> from lib.evaluate.metrics import EXACT
    >>> answers = ["red"] * 30 + ["blue"] * 10
    >>> print(measure(EXACT, [Record("a", str(i), "question", "en", "", "red", out) for i, out in enumerate(answers)]))
    0.750 [0.625, 0.875] n=40
    """
    sums = _by_clip(metric, records)
    return percentile_interval(metric.value(resample_counts(len(sums)) @ sums), len(sums))


def paired(metric: Metric, first: Sequence[Record], second: Sequence[Record]) -> Paired:
    """A metric of the first system minus that of the second, for the same questions about the same clips.

    The interval redraws clips, with the outputs of both systems. The test swaps the two systems' outputs, clip by clip,
    at random, 2,000 times (approximate randomisation). p is the share of swaps with a difference at least as large.

    Raises ValueError if the two were not asked the same.

    >>> from lib.evaluate.metrics import EXACT
    >>> first, second = (
    ...     [Record("", str(i), "question", "en", "", "red", "red" if i < right else "blue") for i in range(50)]
    ...     for right in (45, 30)
    ... )
    >>> print(paired(EXACT, first, second))
    +0.300 [+0.180, +0.440] p<0.001 n=50
    """
    systems = [sorted(of_task(metric, records), key=lambda record: record.clip) for records in (first, second)]
    asked = [{(record.clip, record.task, record.language, record.asked) for record in records} for records in systems]
    if differ := asked[0] ^ asked[1]:
        raise ValueError(f"only one of the systems was asked {' / '.join(min(differ))!r}: compare them on the same")
    mine, other = (_by_clip(metric, records) for records in systems)
    times = resample_counts(len(mine))
    gaps = metric.value(times @ mine) - metric.value(times @ other)
    swap = np.random.default_rng(0).random((2000, len(mine))) < 0.5
    swapped = metric.value(swap @ other + ~swap @ mine) - metric.value(swap @ mine + ~swap @ other)
    as_large = np.sum(np.abs(swapped) >= abs(gaps[0]) - 1e-9)
    return Paired(percentile_interval(gaps, len(mine)), (1 + as_large) / (1 + len(swapped)))


def table(records: Sequence[Record], metrics: Sequence[Metric]) -> dict[str, dict[str, Score]]:
    """system -> metric's name -> score, in the order of the records; a system lacks the scores of tasks it lacks."""
    by_system = defaultdict(list)
    for record in records:
        by_system[record.system].append(record)
    return {
        system: {m.name: measure(m, mine) for m in metrics if any(r.task.startswith(m.task) for r in mine)}
        for system, mine in by_system.items()
    }


def of_task(metric: Metric, records: Sequence[Record]) -> list[Record]:
    """The records that a metric scores. Raises ValueError if there are none."""
    mine = [record for record in records if record.task.startswith(metric.task)]
    if not mine:
        raise ValueError(f"no record has the task {metric.task!r}, which {metric.name} scores")
    return mine


def _by_clip(metric: Metric, records: Sequence[Record]) -> np.ndarray:
    """(clips, k): the metric's counts of the records of its task, added up by clip, in the order of the clips."""
    mine = of_task(metric, records)
    place = {name: i for i, name in enumerate(dict.fromkeys(record.clip for record in mine))}
    counts = metric.counts(mine)
    sums = np.zeros((len(place), counts.shape[1]))
    np.add.at(sums, [place[record.clip] for record in mine], counts)
    return sums


def write_records(path: str | os.PathLike, records: Sequence[Record]) -> None:
    """Writes JSON lines: how many records there are, then one to a line."""
    lines = [{"records": len(records)}, *(record._asdict() for record in records)]
    write_text(Path(path), "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def read_records(path: str | os.PathLike) -> list[Record]:
    """The records that `write_records` wrote. Older files do not name the model: it is None then.

    Raises FileNotFoundError if there is no file, and ValueError, with the line, for one that is damaged or cut off.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: measure again, and write it with write_records")
    first, *lines = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    count = _json_line(path, 1, first, {"records"})["records"]
    needed = set(Record._fields) - set(Record._field_defaults)
    records = [Record(**_json_line(path, i, line, needed, Record._field_defaults)) for i, line in enumerate(lines, 2)]
    if len(records) != count:
        raise ValueError(
            f"{path} was cut off after line {1 + len(records)}: {count} records belong in it. Measure again"
        )
    return records


def _json_line(path: Path, number: int, line: str, needed: set[str], optional: Collection[str] = ()) -> dict:
    """One line of the file. Raises ValueError if it is not a JSON object with these keys."""
    try:
        content = json.loads(line)
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict) or set(content) - set(optional) != needed:
        raise ValueError(
            f"{path}, line {number}, is damaged or cut off: {line[:60]!r}. Measure again, or restore the file"
        )
    return content
