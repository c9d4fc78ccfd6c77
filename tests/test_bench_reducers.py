"""What `make bench` compares comes to the same tokens, ours in no more memory; and what its committed results say.

Times are never asserted here on the machine at hand, which may be busy: only those of the committed results.
"""

import json
from pathlib import Path

import bench_reducers as bench
import pytest
import torch

MAKEFILE = (Path(__file__).resolve().parent.parent / "Makefile").read_text()
RESULTS = sorted(bench.MEASURED.glob("reducers_*.json"))


def names(frames, side, device="cpu"):
    return [case.name for case in bench.cases(torch.zeros(frames, side, side, 1, device=device))]


@pytest.mark.parametrize("dtype", bench.DTYPES, ids=str)
@pytest.mark.parametrize("frames, side", [(8, 24), (12, 9)])
def test_all_ways_come_to_the_same_and_none_needs_less_memory_than_ours(frames, side, dtype):
    torch.manual_seed(0)
    features = torch.randn(frames, side, side, 64).to(dtype)
    with torch.no_grad():
        for case in bench.cases(features):
            bench.check_equal(case, features)
            others = [bench.peak_bytes(way, features) for way in case.others.values()]
            assert bench.peak_bytes(case.ours, features) <= min(others), case.name


def test_memory_is_counted_to_the_byte():
    features = torch.zeros(3, 4, 4, 5)
    assert bench.peak_bytes(lambda features: features, features) == 0
    assert bench.peak_bytes(torch.clone, features) == features.nbytes
    assert bench.peak_bytes(lambda features: features[:1].clone(), features) == features.nbytes / 3
    thrice = bench.peak_bytes(lambda features: features.neg().neg().neg(), features)
    assert thrice == 2 * features.nbytes  # the first is freed before the third is made


def test_a_way_that_comes_to_something_else_is_refused():
    case = bench.Case("wrong", torch.clone, {"plain": lambda features: features + 1e-3})
    with pytest.raises(AssertionError):
        bench.check_equal(case, torch.zeros(1, 2, 2, 1))


def test_each_way_takes_its_turn_and_a_ratio_has_its_spread():
    calls = []
    ways = {name: lambda features, name=name: calls.append(name) for name in "abc"}
    times = bench.times_in_turn(ways, torch.zeros(32), rounds=4)  # 32 frames: one call is timed
    assert "".join(calls) == "aabbccaaccbbbbaaccbbccaa"
    assert {name: len(turns) for name, turns in times.items()} == {"a": 4, "b": 4, "c": 4}
    assert bench.quartiles([5, 1, 4, 2, 3]) == [2, 3, 4]


def test_results_of_the_cpu_are_committed_and_their_command_exists():
    assert bench.MEASURED / "reducers_cpu.json" in RESULTS
    assert "\nbench: " in MAKEFILE and "tests/bench_reducers.py" in MAKEFILE


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_have_every_case_and_say_where_they_come_from(path):
    report = json.loads(path.read_text())
    assert report["command"] == "make bench" and report["rounds"] >= 5
    machine = report["machine"]
    assert path.stem == f"reducers_{machine['device']}"
    assert set(machine) == {"device", "processor", "cores", "threads", "torch", "transformers"}
    keys = ("reducer", "frames", "side", "channels", "dtype")
    found = [tuple(case[key] for key in keys) for case in report["cases"]]
    assert found == [
        (name, *size, str(dtype).removeprefix("torch."))
        for size in bench.SIZES
        for dtype in bench.DTYPES
        for name in names(*size[:2])
    ]


def test_results_of_the_cpu_show_what_the_read_me_says_of_them():
    for case in json.loads((bench.MEASURED / "reducers_cpu.json").read_text())["cases"]:
        others = [size for name, size in case["peak_bytes"].items() if name != "ours"]
        assert case["memory_ratio"] == round(case["peak_bytes"]["ours"] / min(others), 4) <= 1, case
        (low, middle, high), times = case["time_ratio"], case["milliseconds"]
        assert low <= middle <= high
        if not case["reducer"].startswith("SpatialPool"):
            assert middle < 1, case
        elif case["frames"] >= 50:
            assert middle <= 1.05, case
        else:
            assert times["ours"] - times[case["best"]] <= 0.2, case
