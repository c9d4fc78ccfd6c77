"""Several processes: the same bytes and the same losses as one, shards that survive a kill, errors that surface."""

import math
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from accelerate.commands import launch as accelerate_launch
from conftest import from_hub
from safetensors.torch import load_file

from lib import budget
from lib.budget import jobs
from lib.budget.jobs import Workload
from lib.data import Collator, Features, Video, captioning, shards, toybox_videos
from lib.data.shards import Cache, ShardPlan, World, extract, plan_of, seal, shard_path
from lib.exercises import lesson_12
from lib.files import differences
from lib.finetune import Plan, add_lora, processes
from lib.finetune.checkpoints import read_log
from lib.finetune.train import run_fingerprint
from lib.job.settings import read_job
from lib.job.training import train_job
from lib.known import GIB
from lib.packing import IGNORE
from lib.vlm import load, sharded
from lib.vlm.twins import write_twin

VIDEOS = toybox_videos(range(7))


@pytest.fixture(scope="module")
def features():
    return Features(load("tiny"), frames=4)


@pytest.fixture(scope="module")
def sealed(features, tmp_path_factory):
    """7 clips in shards of 2, written by one process."""
    folder = tmp_path_factory.mktemp("sealed")
    extract(VIDEOS, features, folder, size=2)
    seal(folder)
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}


# ---------------------------------------------------------------------------------------------------------------------
# Shards, in one process
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("clips", "size", "ranks"), [(7, 2, 1), (7, 2, 2), (7, 2, 5), (1, 64, 3), (128, 64, 2)])
def test_every_clip_lies_in_one_shard_and_every_shard_has_one_maker(clips, size, ranks):
    plan = ShardPlan(tuple(map(str, range(clips))), size, "way")
    parts = [plan.part(shard) for shard in range(plan.count)]
    assert [name for part in parts for name in part] == list(plan.names)
    assert all(name in parts[plan.where(name)] for name in plan.names)
    assert sorted(shard for rank in range(ranks) for shard in plan.of(World(rank, ranks))) == list(range(plan.count))


@pytest.mark.parametrize(("names", "size"), [((), 4), (("a",), 0)])
def test_plan_refuses_nothing(names, size):
    with pytest.raises(ValueError, match="at least one of each"):
        ShardPlan(names, size, "way")


def test_cache_gives_what_the_tower_computes_in_order(sealed, features):
    cache = Cache(sealed)
    assert cache.names == [video.name for video in VIDEOS] == [name for name, _ in cache]
    for video, (_, kept) in zip(VIDEOS, cache, strict=True):
        assert torch.equal(kept, features(video)) and torch.equal(cache(video), kept)
    assert cache.bytes == sum(path.stat().st_size for path in sealed.glob("shard-*"))
    assert not list(sealed.glob(".*"))


def test_the_plan_is_written_before_any_shard_whoever_comes_first(features, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "write_shard", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extract(VIDEOS, features, tmp_path, size=2, world=World(1, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("ranks", [2, 3])
def test_more_processes_write_the_same_bytes(ranks, sealed, features, tmp_path):
    for rank in reversed(range(ranks)):
        extract(VIDEOS, features, tmp_path, size=2, world=World(rank, ranks))
    seal(tmp_path)
    assert files(tmp_path) == files(sealed)


def interrupted(features, after):
    """Features whose clips cannot be drawn any more after some: what a kill looks like from inside."""
    left = iter(range(after))

    class Killed(Video):
        def frames(self, n, rule):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return super().frames(n, rule)

    return [Killed(video.name, video.captions, video.clip) for video in VIDEOS]


def test_interrupted_run_goes_on_with_other_ranks_and_ends_with_the_same_bytes(sealed, features, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        extract(interrupted(features, after=5), features, tmp_path, size=2)
    assert sorted(tmp_path.glob("shard-*")) == [shard_path(tmp_path, 0), shard_path(tmp_path, 1)]
    with pytest.raises(ValueError, match="2 of 4 shards are not ready .number 2: missing."):
        seal(tmp_path)
    with pytest.raises(FileNotFoundError, match="not complete"):
        Cache(tmp_path)
    written = [extract(VIDEOS, features, tmp_path, size=2, world=World(rank, 2)) for rank in (0, 1)]
    assert [(part.made, part.kept, part.remade) for part in written] == [([2], [0], {}), ([3], [1], {})]
    seal(tmp_path)
    assert files(tmp_path) == files(sealed)


def test_a_shard_gets_its_name_only_when_it_is_whole(features, tmp_path, monkeypatch):
    def power_cut(number):
        raise KeyboardInterrupt

    monkeypatch.setattr(shards.os, "fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        extract(VIDEOS, features, tmp_path, size=2)
    assert not list(tmp_path.glob("shard-*"))


def damage(path, how):
    data = path.read_bytes()
    path.write_bytes(
        {
            "cut off in the middle": data[: len(data) // 2],
            "cut off in the header": data[:6],
            "empty": b"",
            "of another shard": path.with_name("shard-00000.safetensors").read_bytes(),
            "changed in one byte": data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
        }[how]
    )


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("cut off in the middle", "cut off or damaged"),
        ("cut off in the header", "cut off or damaged"),
        ("empty", "cut off or damaged"),
        ("of another shard", "other clips"),
        ("changed in one byte", "other bytes than the manifest"),
    ],
)
def test_damaged_shard_is_made_again_and_told_of(how, told, sealed, features, tmp_path):
    for name, data in files(sealed).items():
        (tmp_path / name).write_bytes(data)
    damage(shard_path(tmp_path, 1), how)
    written = extract(VIDEOS, features, tmp_path, size=2)
    assert list(written.remade) == [1] and told in written.remade[1]
    assert (written.made, written.kept) == ([], [0, 2, 3])
    seal(tmp_path)
    assert files(tmp_path) == files(sealed)


def test_seal_refuses_a_shard_that_is_cut_off(sealed, tmp_path):
    for name, data in files(sealed).items():
        (tmp_path / name).write_bytes(data)
    damage(shard_path(tmp_path, 3), "cut off in the middle")
    with pytest.raises(ValueError, match="1 of 4 shards .*number 3: cut off"):
        seal(tmp_path)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda videos, features: (videos[::-1], features, 2), "clip 0: {0} before, {last} now; .*; and 1 more"),
        (lambda videos, features: (videos[:-1], features, 2), "clips: 7 before, 6 now; clip 6: {last} before, None"),
        (lambda videos, features: (videos, features, 3), "clips to a shard: 2 before, 3 now.: keep those"),
        (
            lambda videos, features: (videos, replace(features, frames=5), 2),
            "features: of 4 frames .* before, of 5 frames",
        ),
        (
            lambda videos, features: (videos, replace(features, dtype=torch.float16), 2),
            "features: .* stored as torch.float16 now",
        ),
    ],
)
def test_folder_of_another_plan_is_refused(change, words, sealed, features):
    videos, other, size = change(VIDEOS, features)
    before, words = files(sealed), words.format(VIDEOS[0].name, last=VIDEOS[-1].name)
    with pytest.raises(ValueError, match=f"was begun with other settings .{words}"):
        extract(videos, other, sealed, size)
    assert files(sealed) == before


def test_shard_of_other_weights_or_frames_is_refused(sealed, features, tmp_path):
    """Whatever the plan says: it was copied here, or two runs began at once."""
    other = replace(features, frames=5)
    extract(VIDEOS, other, tmp_path / "other", size=2)
    for name, data in files(sealed).items():
        (tmp_path / name).write_bytes(data)
    path = shard_path(tmp_path, 2)
    path.write_bytes(shard_path(tmp_path / "other", 2).read_bytes())
    before = files(tmp_path)
    told = r"shard-00002.safetensors was made with other settings .features: of 5 frames .* before, of 4 frames"
    with pytest.raises(ValueError, match=told):
        extract(VIDEOS, features, tmp_path, size=2)
    with pytest.raises(ValueError, match=told):
        seal(tmp_path)
    assert files(tmp_path) == before


def test_clip_that_cannot_be_read_is_left_out_and_named(features, tmp_path):
    gone = Video("gone", {}, path=tmp_path / "gone.mp4")
    extract([*VIDEOS[:2], gone, VIDEOS[2]], features, tmp_path / "cache", size=2)
    cache = seal(tmp_path / "cache")
    assert cache.names == ["toybox-0", "toybox-1", "toybox-2"] == [name for name, _ in cache]
    assert list(cache.unread) == ["gone"] and "gone.mp4" in cache.unread["gone"]
    with pytest.raises(KeyError, match="could not be read when"):
        cache["gone"]
    assert extract([*VIDEOS[:2], gone, VIDEOS[2]], features, tmp_path / "cache", size=2).kept == [0, 1]


def test_two_clips_of_one_name_are_refused(features, tmp_path):
    with pytest.raises(ValueError, match="two videos are named"):
        plan_of([VIDEOS[0], VIDEOS[0]], features, 2)


def test_an_empty_folder_says_what_to_do(tmp_path):
    for read in (Cache, seal):
        with pytest.raises(FileNotFoundError, match="fill it with extract first"):
            read(tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# Training, in one process
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("environment", [{}, {"RANK": "0", "WORLD_SIZE": "1"}])
def test_one_process_in_place_of_several_is_refused(size, environment, monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes.world(1) == World(0, 1)
    with pytest.raises(ValueError, match=f"{size} processes were asked for, but there is only this one"):
        processes.world(size)


def test_more_processes_than_asked_for_are_refused(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert processes.world(2) == World(1, 2)
    with pytest.raises(ValueError, match="1 processes were asked for, but there are 2"):
        processes.world(1)


def test_fsdp_is_what_accelerates_configuration_asks_for(monkeypatch):
    parser = accelerate_launch.launch_command_parser()
    wanted = parser.parse_args(["--config_file", "jobs/accelerate/fsdp.yaml", "-m", "lib"])
    wanted, _, _ = accelerate_launch._validate_launch_command(wanted)
    written = accelerate_launch.prepare_multi_gpu_env(wanted)
    assert {name: written[name] for name in processes.FSDP} == processes.FSDP and written["FSDP_VERSION"] == "2"
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    assert not sharded.wanted()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert sharded.wanted()
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(ValueError, match="FSDP needs several processes, and this is the only one"):
        sharded.wanted()
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ValueError, match="DeepSpeed is not supported: use jobs/accelerate/fsdp.yaml"):
        sharded.wanted()


def test_another_number_of_processes_is_another_batch_unless_accumulation_makes_up_for_it(features, monkeypatch):
    vlm = load("tiny")
    add_lora(vlm, rank=2)
    examples = captioning(toybox_videos(range(12)), "en")

    def settings(processes, **plan):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        return run_fingerprint(vlm, Collator(vlm, vlm.default_reducer, features), examples, Plan(2, **plan))

    alone = settings(1, batch=1, accumulation=4)
    assert settings(2, batch=1, accumulation=2) == settings(2, batch=2, accumulation=1) == alone
    assert differences(alone, settings(3, batch=1, accumulation=1)).startswith("batch: 4 before, 3 now")


def test_exercise_12_gap_and_its_mistakes_are_what_is_measured(features):
    collate = Collator(features.vlm, features.vlm.default_reducer, features)
    examples = captioning(toybox_videos(range(160)), "en")
    counts = [int((collate([one])["labels"] != IGNORE).sum()) for one in examples]

    def shares(counts, halves=(slice(0, None, 2), slice(1, None, 2))):
        batches = [counts[start : start + 4] for start in range(0, 160, 4)]
        return torch.tensor([[sum(batch[half]) for half in halves] for batch in batches], dtype=torch.float64)

    def larger(pairs):
        return (pairs.amax(1) / pairs.amin(1)).mean().item()

    pairs = shares(counts)
    ratio_of_sums = (pairs.amax(1).sum() / pairs.amin(1).sum()).item()
    blocks, by_length = shares(counts, (slice(0, 2), slice(2, 4))), shares(sorted(counts))
    mistakes = [(pairs[:, 0] / pairs[:, 1]).mean().item(), ratio_of_sums, larger(blocks), larger(by_length)]
    assert lesson_12.gap.answer == pytest.approx(larger(pairs), abs=1e-4)
    assert [made.answer for made in lesson_12.gap.mistakes[:4]] == pytest.approx(mistakes, abs=1e-4)


def test_the_processes_losses_average_to_that_of_one(features):
    """The reason for num_items_in_batch: the mean of two means is another number where answers differ in length."""
    vlm = features.vlm
    collate = Collator(vlm, vlm.default_reducer, features)
    examples = sorted(captioning(VIDEOS[:4], "en"), key=lambda example: len(example.answer))

    def loss(of, **settings):
        with torch.no_grad(), vlm.looking_through(collate.reducer):
            return vlm.model(**collate(of), **settings).loss.item()

    halves = examples[:2], examples[2:]
    tokens = sum(int((collate(half)["labels"] != IGNORE).sum()) for half in halves)
    mine = [loss(half, num_items_in_batch=tokens / 2) for half in halves]
    naive = sum(loss(half) for half in halves) / 2
    assert sum(mine) / 2 == pytest.approx(loss(examples), abs=1e-5)
    assert abs(naive - loss(examples)) > 1e-4


# ---------------------------------------------------------------------------------------------------------------------
# Several processes for real. Each imports torch and transformers: as few launches as will do.
# ---------------------------------------------------------------------------------------------------------------------


SETTINGS = """
data: toybox:0:15
language: en
model: tiny
frames: 2
rank: 4
steps: 4
every: 2
batch: 1
accumulation: 2
learning_rate: 4e-3
schedule: constant_with_warmup
warmup: 0
checkpointing: false
validation: 0.3
test: 0.1
"""
BATCH = "batch=2"  # of one process: as much at a time as two have together
IN_TWO_PROCESSES = """
import os, sys
from lib.job.settings import read_job
from lib.job.training import state, tell_all, train_job
from lib.machine import peak_megabytes
from lib.vlm import load
from lib.vlm.sharded import held_numbers, is_sharded

settings, twin, work = sys.argv[1:]

def run(name, *changes, fsdp=False):
    os.environ["ACCELERATE_USE_FSDP"] = str(fsdp)
    train_job(read_job(settings, [f"output={work}/{name}", *changes]))

state()
empty = peak_megabytes()
part = load(twin, device="cpu", sharded=True).model
held, whole = held_numbers(part)
print("loaded", held, whole, peak_megabytes() - empty, whole * 4 / 2**20, is_sharded(part), flush=True)
del part
run("ddp")
run("fsdp", fsdp=True)
run("qlora", "four_bit=true", fsdp=True)
run("to one", "steps=2", fsdp=True)
run("from one")
run("one clip", "data=toybox:0:1", "validation=0", "test=0", "steps=1")
"""


def job_of(path, output, *changes):
    path.write_text(SETTINGS)
    return read_job(path, [f"output={output}", *changes])


def losses(folder):
    return [number for step in read_log(folder / "log.jsonl") for number in (step.loss, step.validation) if number]


def test_two_processes_do_what_one_does(tmp_path, monkeypatch):
    """DDP, FSDP2 and QLoRA under FSDP2; loading in parts; going on with another number of processes. In one launch."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)  # answers in bfloat16, on some CPUs
    path = tmp_path / "job.yaml"
    big = dict(hidden_size=512, intermediate_size=2048, num_hidden_layers=24, head_dim=128)
    twin = write_twin("llava-hf/LLaVA-NeXT-Video-7B-hf", tmp_path / "twin", **big)
    train_job(job_of(path, tmp_path / "alone", BATCH))
    train_job(job_of(path, tmp_path / "alone in 4 bits", BATCH, "four_bit=true"))
    train_job(job_of(path, tmp_path / "from one", BATCH, "steps=2"))
    script = tmp_path / "script.py"
    script.write_text(IN_TWO_PROCESSES)
    said = processes.launch(2, str(script), str(path), str(twin), str(tmp_path))

    for line in re.findall(r"loaded (.*)", said):
        held, whole, megabytes, all_megabytes, cut = line.split()
        assert cut == "True" and int(held) < 0.55 * int(whole)
        assert float(megabytes) < 0.65 * float(all_megabytes)
    assert said.count("loaded") == 2

    job = job_of(path, tmp_path / "to one", BATCH)
    train_job(job)
    alone = losses(tmp_path / "alone")
    assert len(alone) == 6 and alone[4] != pytest.approx(alone[0], abs=1e-2)  # something was learned in between
    for name in ("ddp", "fsdp", "to one", "from one"):
        assert losses(tmp_path / name) == pytest.approx(alone, abs=1e-5), name
        assert close(tmp_path / name / "adapter", tmp_path / "alone" / "adapter"), name
        assert len((tmp_path / name / "samples.jsonl").read_text().splitlines()) == 6
        assert not [file for file in (tmp_path / name).iterdir() if file.name.startswith(".")]
    assert losses(tmp_path / "qlora") == pytest.approx(losses(tmp_path / "alone in 4 bits"), abs=1e-5)
    assert losses(tmp_path / "qlora") != pytest.approx(alone, abs=1e-3)
    assert len(losses(tmp_path / "one clip")) == 1

    held = re.findall(r"process \d of 2 held ([\d,]+) of ([\d,]+) numbers", said)
    held = [tuple(int(number.replace(",", "")) for number in pair) for pair in held]
    layers = sum(w.numel() for w in load("tiny").model.model.language_model.layers.parameters())
    assert held[0:2] == [(held[0][1],) * 2] * 2
    assert held[2:4] == [(held[0][1] - layers // 2, held[0][1])] * 2


def close(folder, other):
    now, before = (load_file(folder / "adapter_model.safetensors") for folder in (folder, other))
    return now.keys() == before.keys() and all(torch.allclose(now[key], before[key], atol=5e-4) for key in now)


def test_a_killed_process_ends_the_others_and_the_run_goes_on_from_its_checkpoint(tmp_path):
    path, folder = tmp_path / "job.yaml", tmp_path / "killed"
    train_job(job_of(path, tmp_path / "alone", BATCH))
    command = "-m", "lib", "train", str(path), f"output={folder}"
    with processes.started(2, *command, settings=processes.FSDP) as (torchrun, output):
        while not (folder / "checkpoint.safetensors").exists():
            assert torchrun.poll() is None, output.read_text()
            time.sleep(0.01)
        os.kill(processes_of(torchrun)[1].pid, signal.SIGKILL)
        assert torchrun.wait(120) == 1
        assert "process 1 of 2 ended with code -9 (it was killed" in processes.what_went_wrong(output.read_text(), 2)
    assert len(read_log(folder / "log.jsonl")) in (2, 4)
    train_job(job_of(path, folder, BATCH))
    assert losses(folder) == pytest.approx(losses(tmp_path / "alone"), abs=1e-5)


def processes_of(torchrun):
    return psutil.Process(torchrun.pid).children(recursive=True)


def test_the_plan_names_the_model_and_its_commit_and_only_the_weights_decide(features, tmp_path):
    extract(VIDEOS[:2], features, tmp_path, size=2)
    seal(tmp_path)
    plan = shards.read_json(tmp_path / "plan.json")
    assert (plan["model"], plan["revision"]) == ("tiny", None)
    shards.write_json(tmp_path / "plan.json", {key: plan[key] for key in ("names", "size", "way")})  # an older one
    same = Features(from_hub(load("tiny")), frames=4)
    assert extract(VIDEOS[:2], same, tmp_path, size=2).kept == [0] and Cache(tmp_path).names
    extract(VIDEOS[:2], same, tmp_path / "new", size=2)
    plan = shards.read_json(tmp_path / "new" / "plan.json")
    assert (plan["model"], plan["revision"]) == ("a/b", "f" * 40)


def test_nothing_half_written_by_a_killed_process_is_left_in_a_sealed_folder(features, tmp_path):
    (tmp_path / ".shard-00000.safetensors.4194305.part").write_bytes(b"half")  # Linux gives no process that number
    extract(VIDEOS[:2], features, tmp_path, size=2)
    seal(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "plan.json", "shard-00000.safetensors"]


EXTRACTION = """
import sys
from lib.data import Features, toybox_videos
from lib.data.shards import extract
from lib.finetune.processes import world
from lib.vlm import load

extract(toybox_videos(range(160)), Features(load("tiny"), 16), sys.argv[1], size=2, world=world(2))
"""


def test_killed_processes_leave_shards_that_the_next_run_goes_on_from(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(EXTRACTION)
    with processes.started(2, str(script), str(tmp_path / "killed")) as (torchrun, output):
        while not list(tmp_path.glob("killed/shard-*")):
            assert torchrun.poll() is None, output.read_text()
            time.sleep(0.02)
        workers = processes_of(torchrun)
        os.kill(workers[0].pid, signal.SIGKILL)
        assert torchrun.wait(120) != 0
        assert "was killed" in processes.what_went_wrong(output.read_text(), 2)
        assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    there = files(tmp_path / "killed")
    assert 0 < sum(name.startswith("shard-") for name in there) < 80
    features = Features(load("tiny"), frames=16)
    written = extract(toybox_videos(range(160)), features, tmp_path / "killed", size=2)
    assert len(written.made) + len(written.kept) == 80 and written.kept and not written.remade
    seal(tmp_path / "killed")
    now = files(tmp_path / "killed")
    assert {name: now[name] for name in there if name.startswith("shard-")} == {
        name: data for name, data in there.items() if name.startswith("shard-")
    }
    assert not [name for name in now if name.startswith(".")]


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ((-15, -9), "process 1 of 2 ended with code -9 .it was killed"),
        ((-9, -15), "process 0 of 2 ended with code -9 .it was killed"),
        ((1, -15), "process 0 of 2 ended with code 1$"),
        ((-15, -15), "process 0 of 2 ended with code -15$"),
    ],
)
def test_the_process_that_fell_first_is_named(codes, words):
    ends = (
        f"[{rank}]:\n  rank      : {rank} (local_rank: {rank})\n  exitcode  : {code} (pid: 7)\n"
        for rank, code in enumerate(codes)
    )
    assert re.search(words, processes.what_went_wrong("FAILED\n" + "".join(ends), 2))


def test_what_torchrun_says_is_passed_on_where_no_process_fell():
    assert (
        processes.what_went_wrong("one\ntwo\nthree\nno free port\n", 2) == "torchrun failed: two | three | no free port"
    )


def test_an_error_in_a_process_is_one_error_here(tmp_path):
    with pytest.raises(RuntimeError, match="^one of 1 processes failed: there is no file of settings .*none.yaml"):
        processes.launch(1, "-m", "lib", "train", str(tmp_path / "none.yaml"))


def test_a_launch_that_takes_too_long_ends_and_leaves_nothing(tmp_path, monkeypatch):
    running = []
    monkeypatch.setattr(processes, "end", lambda torchrun, end=processes.end: (running.append(torchrun), end(torchrun)))
    with pytest.raises(TimeoutError, match="did not finish in 0.5 s"):
        processes.launch(1, "-m", "lib", "train", str(tmp_path / "none.yaml"), timeout=0.5)
    assert running[0].poll() is not None


# ---------------------------------------------------------------------------------------------------------------------
# Costs
# ---------------------------------------------------------------------------------------------------------------------


def test_cards_are_those_of_the_budget():
    assert set(jobs.PEAKS) <= set(budget.CARDS)


def test_costs_by_hand():
    job = Workload(clips=1_000_000)
    seven = budget.MODELS["7b"]
    assert job.tokens == 32 * 144 + 100
    assert job.feature_bytes(pooled=False) == 1_000_000 * 32 * 576 * 1024 * 2
    assert job.feature_bytes() == job.feature_bytes(pooled=False) // 4
    assert job.reading_hours == pytest.approx(1e6 * 0.5 / 3600)
    assert job.encoding_hours("T4") == pytest.approx(1e6 * budget.encode_flops(seven, 32) / (65e12 * 0.4) / 3600)
    prefill = 1e6 * budget.prefill_flops(seven, 4708)
    assert job.prefill_hours("H100") == pytest.approx(prefill / (989e12 * 0.4) / 3600)
    third = budget.prefill_flops(seven, 4708 + 256) / (312e12 * 0.4) / 3600 * 1e6
    assert job.training_hours("A100-40") == pytest.approx(3 * third)
    assert replace(job, checkpointing=False, epochs=2).training_hours("A100-40") == pytest.approx(4 * third)
    whole = job.encoding_hours("L4") + job.prefill_hours("L4") + job.decoding_hours("L4")
    assert job.captioning_hours("L4") == pytest.approx(whole)


def test_decoding_reads_the_weights_once_per_step_for_the_whole_batch():
    job = Workload(clips=900, answer=100)
    batch = job.batch("A100-40")
    language = 2 * (7_063_431_168 - 303_507_456 - 20_979_712)
    step = language + batch * (32 * 144 + 100 + 50) * 524_288
    assert job.decoding_hours("A100-40") == pytest.approx(900 / batch * 100 * step / (1555e9 * 0.6) / 3600)


def test_what_fits_is_what_the_budget_says():
    """One clip more than the batch would exceed 95 % of the card."""
    for card in jobs.PEAKS:
        job = Workload(clips=1)
        precision = jobs.PEAKS[card].precision
        one = budget.kv_bytes(job.model, job.tokens + job.answer)
        fixed = GIB / 2 + budget.weight_bytes(job.model, precision, keep_vision=True)
        fixed += budget.reading_bytes(job.model, job.tokens, precision)
        room = 0.95 * budget.CARDS[card] * GIB
        assert fixed + job.batch(card) * one <= room < fixed + (job.batch(card) + 1) * one
    with pytest.raises(ValueError, match="does not fit on T4"):
        Workload(clips=1, frames=200).batch("T4")


def test_costs_grow_with_the_clips_and_with_nothing_else():
    small, large = Workload(clips=10_000), Workload(clips=100_000_000)
    for card in jobs.PEAKS:
        assert large.captioning_hours(card) == pytest.approx(10_000 * small.captioning_hours(card))
    assert [jobs.cards_for(hours, 24) for hours in (0, 24, 24.1, math.pi * 24)] == [1, 1, 2, 4]


def test_shard_holds_nothing_but_its_clips(sealed):
    assert set(load_file(shard_path(sealed, 3))) == {"toybox-6"}
