"""Models of the Hub, from a small server on this machine that speaks its protocol (hub_server.py).

Xet is not imitated, through which the Hub itself sends large files where hf_xet is installed.
"""

import ast
import gc
import json
import os
import re
import shutil
import signal
from collections import namedtuple
from pathlib import Path

import certifi
import hub_server
import pytest
import torch
from huggingface_hub import close_session, constants
from safetensors.torch import load_file, save_file

from lib import vlm
from lib.__main__ import main
from lib.finetune import add_lora, save_adapter
from lib.known import REAL_MODELS, REVISIONS
from lib.real_clips import REAL_CLIPS
from lib.tools import doctor, real_check
from lib.vlm import hub, twins

ONEVISION, VIDEO_7B = REAL_MODELS
PINNED, MAIN = REVISIONS[ONEVISION], "a" * 40
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
LAST = SHARDS[1]
ROOT = Path(__file__).parent.parent
DRAWN = ("still", "crowd", "cut", "hello", "flashes", "long")


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """The folder of the 7B's twin."""
    return twins.write_twin(VIDEO_7B, tmp_path_factory.mktemp("twin"))


@pytest.fixture
def files(twin, tmp_path):
    """A copy of that folder, to be changed."""
    return Path(shutil.copytree(twin, tmp_path / "files"))


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A Hub without models, and an empty cache."""
    with hub_server.running() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 18)  # a smaller step than 10 MB, for smaller weights
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)  # between two tries
        monkeypatch.setenv("SSL_CERT_FILE", str(hub_server.CERTIFICATE))
        close_session()
        yield hub
        close_session()


@pytest.fixture
def room(monkeypatch):
    """room(bytes): so much is free on every disk."""
    usage = namedtuple("usage", "total used free")
    return lambda free: monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, free))


def refused(name=VIDEO_7B, **options) -> str:
    """The sentence with which a model is refused."""
    with pytest.raises(ValueError) as error:
        vlm.load(name, **options)
    assert "\n" not in str(error.value) and ".." not in str(error.value).replace("load(...", "")
    return str(error.value)


def weights_asked(server) -> list[str]:
    return [file for file in server.downloads() if file.endswith(".safetensors")]


# ---------------------------------------------------------------------------------------------------------------------
# What is downloaded
# ---------------------------------------------------------------------------------------------------------------------


def write_shards(folder, count):
    """Writes the weights of a folder anew, in so many shards; the old ones and their index are gone or left over."""
    weights = {key: value for shard in SHARDS for key, value in load_file(folder / shard).items()}
    if count == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        save_file({"other": torch.zeros(1)}, folder / "consolidated.safetensors")
        return ["model.safetensors"]
    names = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    places = {key: names[number % count] for number, key in enumerate(weights)}
    for name in names:
        held = {key: weights[key] for key in weights if places[key] == name}
        save_file(held, folder / name, metadata={"format": "pt"})
    (folder / hub.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return names


@pytest.mark.parametrize("shards", [1, 2, 3], ids=["one file", "as on the Hub", "resharded, old shards left over"])
def test_only_what_is_needed_is_downloaded_once_and_then_loads_without_the_hub(server, files, capsys, shards):
    wanted = SHARDS if shards == 2 else write_shards(files, shards)
    if shards == 1:
        (files / hub.INDEX).unlink()
        [(files / shard).unlink() for shard in SHARDS]
    for unwanted in ("README.md", "pytorch_model.bin", "onnx/model.safetensors", "code.py", "picture.png"):
        (files / unwanted).parent.mkdir(exist_ok=True)
        (files / unwanted).write_text("not wanted")
    server.add(VIDEO_7B, files)
    loaded = vlm.load(VIDEO_7B)
    assert loaded.revision == MAIN and weights_asked(server) == wanted
    assert set(server.downloads()) <= {*hub.SETTINGS, *wanted}
    assert [line.split(" of ")[0] for line in capsys.readouterr().err.splitlines()] == [
        f"downloading {f}" for f in wanted
    ]
    local = vlm.load(files).model.state_dict()
    assert all(torch.equal(weight, local[key]) for key, weight in loaded.model.state_dict().items())
    asked = len(server.asked)
    vlm.load(VIDEO_7B)
    assert server.asked[asked:] == [f"GET /api/models/{VIDEO_7B}?blobs=true"]
    server.failures = [("", 503, {})]
    again = vlm.load(VIDEO_7B)
    assert again.revision == MAIN and capsys.readouterr().err == ""
    assert vlm.weights_digest(VIDEO_7B, MAIN) == vlm.weights_digest(files)


def test_offline_by_order_asks_nobody(server, twin, monkeypatch):
    server.add(VIDEO_7B, twin)
    vlm.load(VIDEO_7B)
    asked = len(server.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    close_session()
    assert vlm.load(VIDEO_7B).revision == MAIN
    assert "the Hub cannot be reached (OfflineModeIsEnabled" in refused("nobody/nothing")
    assert len(server.asked) == asked


def test_a_branch_that_moves_meanwhile_does_not_mix_commits(server, twin, files):
    """The pattern of all of it: what came is one commit, and `revision` says which."""
    settings = json.loads((files / "config.json").read_text())
    (files / "config.json").write_text(
        json.dumps(settings | {"text_config": settings["text_config"] | {"rope_scaling": None}})
    )
    write_shards(files, 3)
    server.add(VIDEO_7B, files, "b" * 40)
    server.add(VIDEO_7B, twin)
    server.hooks = [("api/models", lambda: server.branches.update({(VIDEO_7B, "main"): "b" * 40}))]
    first = vlm.load(VIDEO_7B)
    assert (first.revision, first.context, weights_asked(server)) == (MAIN, 10240, SHARDS)
    second = vlm.load(VIDEO_7B)
    assert (second.revision, second.context) == ("b" * 40, 4096)
    assert not [line for line in server.asked if "/main/" in line]
    server.failures = [("", 503, {})]
    assert vlm.load(VIDEO_7B).revision == "b" * 40  # main, as it was last seen
    assert vlm.load(VIDEO_7B, revision=MAIN).context == 10240


def test_a_model_that_came_in_part_does_not_hide_the_whole_one(server, twin, files):
    server.add(VIDEO_7B, twin)
    vlm.load(VIDEO_7B)
    write_shards(files, 3)
    server.add(VIDEO_7B, files, "b" * 40)
    server.failures = [(f"GET .*{'b' * 40}/model-", 503, {})]
    assert "the Hub answers with error 503" in refused()
    server.failures = [("", 503, {})]
    assert vlm.load(VIDEO_7B).revision == MAIN


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_download_that_broke_goes_on_and_the_weights_are_whole(server, twin, reset):
    server.add(VIDEO_7B, twin)
    server.cuts = [(10**9, None), (4 << 20, reset), *[(1 << 20, reset)] * (2 if not reset else 0)]
    if reset:  # huggingface_hub does not try again after a reset; the next run does
        assert f"cannot download {LAST}: the Hub cannot be reached (ReadError" in refused()
    assert vlm.load(VIDEO_7B).revision == MAIN
    assert vlm.weights_digest(VIDEO_7B) == vlm.weights_digest(twin)
    ranges = [line for line in server.asked if "bytes=" in line]
    assert weights_asked(server).count(SHARDS[0]) == 1 and len(ranges) == (0 if reset else 3)


def test_a_network_that_is_gone_is_one_line_and_exit_code_2(server, twin, capsys, tmp_path):
    from video_files import write

    server.add(VIDEO_7B, twin)
    server.cuts = [(10**9, None), (1 << 20, False), *[(0, False)] * 20]
    clip = write(tmp_path / "clip.mp4", 3)
    assert main(["ask", str(clip), "What?", "--model", VIDEO_7B]) == 2
    out, errors = capsys.readouterr()
    told = [line for line in errors.splitlines() if not line.startswith("downloading")]
    assert out == "" and len(told) == 1, errors
    assert told[0].startswith(f"error: cannot download {LAST}: the Hub cannot be reached (RemoteProtocolError: ")
    assert told[0].endswith("check the network and try again; complete files are kept")


def test_ctrl_c_in_the_middle_is_one_line_and_the_next_run_goes_on(server, twin, capsys, tmp_path):
    from video_files import write

    server.add(VIDEO_7B, twin)
    server.seconds_per_block = 0.02
    server.hooks = [(f"GET /file.*{LAST}", lambda: os.kill(os.getpid(), signal.SIGINT))]
    assert main(["ask", str(write(tmp_path / "clip.mp4", 3)), "What?", "--model", VIDEO_7B]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "stopped"
    server.seconds_per_block = 0
    assert vlm.load(VIDEO_7B).revision == MAIN


# ---------------------------------------------------------------------------------------------------------------------
# What goes wrong, and the sentence for it
# ---------------------------------------------------------------------------------------------------------------------

STALE = {"X-Error-Message": "Invalid credentials in Authorization header"}
REFUSALS = {  # what is asked, the answer's status and headers -> the sentence
    "stale token": ("", 401, STALE, "the Hub refuses your token: run `hf auth login` again, or unset HF_TOKEN"),
    "no such model": ("", 401, {}, f"the Hugging Face Hub has no model {VIDEO_7B} that you may read: check its name"),
    "not for you": ("", 403, {}, "the Hub does not let you read this model: look for conditions on its page"),
    "too many requests": ("", 429, {"Retry-After": "1"}, "the Hub gets too many requests from your network: wait"),
    "out of order": ("", 503, {}, "the Hub answers with error 503: try again later"),
    "gated": ("resolve", 401, {"X-Error-Code": "GatedRepo"}, f"{VIDEO_7B} is gated: accept its conditions on https://"),
    "gated, 403": ("resolve", 403, {"X-Error-Code": "GatedRepo"}, "then run `hf auth login`"),
    "files out of order": ("resolve", 500, {}, "cannot download config.json: the Hub answers with error 500"),
    "weights out of order": ("GET /file.*tensors$", 503, {}, f"{SHARDS[0]}: the Hub answers with error 503: try again"),
    "weights refused": ("GET /file.*tensors$", 403, {}, f"{SHARDS[0]}: the Hub answers with error 403: try again"),
    "a login page": ("", 200, {}, "the Hub cannot be reached (JSONDecodeError"),
}  # fmt: skip


@pytest.mark.parametrize("pattern, status, headers, sentence", REFUSALS.values(), ids=REFUSALS)
def test_each_refusal_has_its_own_sentence(server, twin, pattern, status, headers, sentence):
    server.add(VIDEO_7B, twin)
    server.failures = [(pattern, status, headers)]
    assert sentence in refused()
    server.failures = []
    fetched = hub.ask_hub(VIDEO_7B, None)
    fetched.fetch(["config.json"])
    fetched.remember(None)
    server.failures = [("", status, headers)]
    assert hub.ask_hub(VIDEO_7B, None).folder == fetched.folder  # what is in the cache needs no Hub
    with pytest.raises(ValueError) as error:
        hub.ask_hub(VIDEO_7B, None).fetch(SHARDS)
    assert str(error.value).split(" error ")[0] in sentence or "lacks" not in str(error.value)


def test_what_came_in_part_names_the_reason_for_the_rest(server, twin):
    server.add(ONEVISION, twin, PINNED)
    hub.ask_hub(ONEVISION, PINNED).fetch(["config.json"])
    server.failures = [("", 429, {})]
    sentence = refused(ONEVISION)
    assert "it has no tokenizer" in sentence and "; the Hub gets too many requests" in sentence
    hub_id = "nobody/nothing"
    with pytest.raises(FileNotFoundError, match=f"{hub_id} is not in the cache of this machine: load it first"):
        vlm.weights_digest(hub_id)


def test_an_adapter_says_on_which_commit_it_was_trained(server, twin, tmp_path):
    server.add(VIDEO_7B, twin)
    loaded = vlm.load(VIDEO_7B)
    save_adapter(loaded, add_lora(loaded), tmp_path / "adapter")
    base = json.loads((tmp_path / "adapter" / "base.json").read_text())
    assert base == {"base": VIDEO_7B, "revision": MAIN, "sha256": vlm.weights_digest(twin)}


def test_a_certificate_that_is_not_trusted(server, twin, monkeypatch):
    server.add(VIDEO_7B, twin)
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    close_session()
    assert refused() == (
        "the certificate of the Hub is not trusted here: set SSL_CERT_FILE to the certificates of your network"
    )


def test_nobody_answers(server, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "https://localhost:9")
    assert refused().startswith("the Hub cannot be reached (ConnectError: [Errno")


def test_a_pin_that_is_gone_is_named_and_a_cached_copy_loads(server, twin):
    server.add(ONEVISION, twin, "b" * 40, branch="dev")
    assert refused(ONEVISION) == (
        f"the Hub no longer has commit {PINNED} of {ONEVISION}: load(..., revision='main') takes the newest"
    )
    server.add(ONEVISION, twin, PINNED)
    assert vlm.load(ONEVISION).revision == PINNED
    del server.models[ONEVISION][PINNED]
    assert vlm.load(ONEVISION).revision == PINNED
    assert vlm.load(ONEVISION, revision="dev").revision == "b" * 40
    for revision in ("dev2", "f" * 40):
        assert f"{ONEVISION} has no revision {revision} on the Hub: leave revision out" in refused(
            ONEVISION, revision=revision
        )


def test_a_cache_that_cannot_be_written(server, twin, tmp_path):
    server.add(VIDEO_7B, twin)
    (tmp_path / "cache").write_text("a file")
    assert re.search(r"cannot write to .*cache \((Not a directory|File exists)\): set HF_HOME", refused())


def test_not_enough_disk_is_said_before_the_weights(server, twin, room):
    server.add(VIDEO_7B, twin)
    room(5 << 20)
    assert re.search(r"the files of llava-hf/\S+ are 0.0 GiB to download and .* has 0.0 GiB free: .*HF_HOME", refused())
    assert weights_asked(server) == []
    room(10 << 20)
    vlm.load(VIDEO_7B)
    room(0)
    vlm.load(VIDEO_7B)  # what is here needs no room


def test_real_sizes_are_counted_without_what_is_not_needed(server, twin, room):
    server.add(VIDEO_7B, twin)
    source = hub.ask_hub(VIDEO_7B, None)
    source.sizes.update({SHARDS[0]: 9 << 30, LAST: 5 << 30, "consolidated.safetensors": 1 << 40})
    source.fetch(["config.json", hub.INDEX])
    room(13 << 30)
    with pytest.raises(ValueError, match=r"are 14.0 GiB to download and .* has 13.0 GiB free: make room"):
        source.fetch(hub.weight_files(source.folder))


def test_not_enough_memory_is_said_before_the_weights(server, twin, monkeypatch):
    server.add(VIDEO_7B, twin)
    monkeypatch.setattr("lib.vlm.loading.free_bytes", lambda device: 1 << 20)
    assert "need 0.0 GiB in float32 and cpu has 0.0 GiB free" in refused()
    assert weights_asked(server) == []


def test_pickles_are_neither_downloaded_nor_opened(server, files):
    for shard in SHARDS:
        (files / shard).rename(files / shard.replace("safetensors", "bin").replace("model-", "pytorch_model-"))
    (files / hub.INDEX).rename(files / "pytorch_model.bin.index.json")
    server.add(VIDEO_7B, files)
    for name in (VIDEO_7B, files):
        sentence = refused(name)
        assert sentence.startswith(f"{name} has its weights as pickle only (pytorch_model-0000")
        assert sentence.endswith("take a model with .safetensors files")
    assert not [file for file in server.downloads() if file.endswith(".bin")]


def test_an_adapter_is_no_model(server, files):
    (files / "config.json").rename(files / "adapter_config.json")
    server.add(VIDEO_7B, files)
    fix = "load its base model, then lib.finetune.load_adapter"
    assert refused() == f"{VIDEO_7B} is a LoRA adapter, not a model: {fix}"
    with pytest.raises(FileNotFoundError, match="is a LoRA adapter, not a model"):
        vlm.load(files)
    (files / "adapter_config.json").unlink()
    server.add(VIDEO_7B, files, "b" * 40)
    assert refused().startswith(f"there is no model in {VIDEO_7B}: a model's folder holds config.json")


def shard_missing(files):
    (files / LAST).unlink()


def index_without_weights(files):
    (files / hub.INDEX).write_text('{"metadata": {}}')


def index_without_metadata(files):
    index = json.loads((files / hub.INDEX).read_text())
    (files / hub.INDEX).write_text(json.dumps({"weight_map": index["weight_map"]}))


def fewer_layers(files):
    settings = json.loads((files / "config.json").read_text())
    settings["text_config"]["num_hidden_layers"] = 1
    (files / "config.json").write_text(json.dumps(settings))


def another_tower(files):
    settings = json.loads((files / "config.json").read_text())
    settings["vision_config"]["intermediate_size"] = 96
    (files / "config.json").write_text(json.dumps(settings))


def more_layers(files):
    settings = json.loads((files / "config.json").read_text())
    settings["text_config"]["num_hidden_layers"] = 3
    (files / "config.json").write_text(json.dumps(settings))


DAMAGED = {
    shard_missing: f"NAME lacks {LAST}: download it again, or take another model",
    index_without_weights: "is not an index of weights: download it again",
    index_without_metadata: "is not an index of weights: download it again",
    fewer_layers: "the weights of NAME do not fit its config.json (model.language_model.layers.1.",
    more_layers: "the weights of NAME do not fit its config.json (model.language_model.layers.2.",
    another_tower: "the weights of NAME do not fit its config.json (model.",
}


@pytest.mark.parametrize("damage, sentence", DAMAGED.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_weights_that_do_not_fit(server, files, damage, sentence):
    damage(files)
    server.add(VIDEO_7B, files)
    for name in (VIDEO_7B, files):
        assert sentence.replace("NAME", str(name)) in refused(name)


@pytest.mark.parametrize("text", ["{}", "[]", "", '{"version": "1.0", "model": {"type": "Unknown"}}'])
def test_a_tokenizer_that_cannot_be_read_is_said_before_the_weights(server, files, text):
    (files / "tokenizer.json").write_text(text)
    server.add(VIDEO_7B, files)
    assert refused().startswith(f"cannot load the model {VIDEO_7B}: it has no tokenizer that can be read (")
    assert weights_asked(server) == []


@pytest.mark.parametrize("place", ["tokenizer_config.json", "config.json"])
def test_code_of_a_model_never_runs_and_nobody_is_asked(server, files, monkeypatch, tmp_path, capsys, place):
    """In a terminal transformers would ask whether to run it, and a "y" would."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    (files / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    settings = json.loads((files / place).read_text())
    own = {"AutoTokenizer": ["own.Own", None], "AutoConfig": "own.Own", "AutoModelForImageTextToText": "own.Own"}
    changes = {"auto_map": own} | ({"tokenizer_class": "Own"} if place.startswith("tokenizer") else {})
    (files / place).write_text(json.dumps(settings | changes))
    server.add(VIDEO_7B, files)
    for name in (VIDEO_7B, files):
        if place == "config.json":
            vlm.load(name)
        else:
            assert "it asks for code of its own, which is never run here" in refused(name)
    assert not (tmp_path / "ran").exists() and capsys.readouterr().out == "" and "own.py" not in server.downloads()


# ---------------------------------------------------------------------------------------------------------------------
# Who else is concerned
# ---------------------------------------------------------------------------------------------------------------------


def test_one_place_decides_where_downloads_go(server, monkeypatch, tmp_path):
    """The doctor's disk is the loader's: the folder of HF_HUB_CACHE, not that of HF_HOME."""
    monkeypatch.setenv("HF_HOME", "/")
    (tmp_path / "cache").mkdir()
    assert hub.cache_disk() == tmp_path / "cache"
    seen = []
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: seen.append(folder) or usage(0, 0, 77))
    assert doctor.this_machine().disk == 77
    hub.check_disk("a model", 77)
    with pytest.raises(ValueError, match="a model"):
        hub.check_disk("a model", 78)
    assert set(seen) == {tmp_path / "cache"}


def test_lesson_11_goes_on_with_a_twin_when_a_download_breaks(server, twin, capsys):
    lesson = ast.parse(Path(__file__).parent.parent.joinpath("notebooks", "11_real_weights.py").read_text("utf-8"))
    get = next(node for node in lesson.body if isinstance(node, ast.FunctionDef) and node.name == "get")
    names = {"REAL": True, "vlm": vlm, "torch": torch, "gc": gc, "model": None, "current": None, "VIDEO_7B": VIDEO_7B}
    names["get_twin"] = lambda name, rope: f"the twin of {name}"
    exec(compile(ast.Module([get], []), "lesson 11", "exec"), names)
    server.add(VIDEO_7B, twin)
    server.cuts = [(10**9, None), (1 << 20, True)]
    assert names["get"](VIDEO_7B) == f"the twin of {VIDEO_7B}"
    assert "the Hub cannot be reached (ReadError" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------------------------
# make real-check
# ---------------------------------------------------------------------------------------------------------------------


def test_real_check_asks_both_models_of_the_hub_and_records_what_they_are(server, twin, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(real_check, "FRAMES_SEEN", 2)
    server.add(VIDEO_7B, twin)
    server.add(ONEVISION, twins.write_twin(ONEVISION, tmp_path / "onevision"), commit=PINNED)
    path = tmp_path / "real.json"
    report = real_check.real_check([ONEVISION, VIDEO_7B], path, longest=2)
    assert json.loads(path.read_text("utf-8")) == report
    assert [(one["model"], one["revision"], one["four_bit"]) for one in report["models"]] == [
        (ONEVISION, PINNED, False),
        (VIDEO_7B, MAIN, True),
    ]
    for found in report["models"]:
        asked = [(one["clip"], one["language"]) for one in found["answers"]]
        assert len(asked) == 20 and {clip for clip, _ in asked} == {*REAL_CLIPS, *DRAWN}
        assert all(one["seconds"] >= 0 and one["answer"] for one in found["answers"])
        assert [one["right"] for one in found["answers"] if one["clip"] in DRAWN] == [False] * 12  # random weights
        assert found["peak_mebibytes"] > 0
    rows = real_check.answer_rows(report)
    assert len(rows) == 20 and list(rows[0])[3:] == [name.split("/")[1] for name in (ONEVISION, VIDEO_7B)]
    assert "0 of 16 right" in capsys.readouterr().out
    said = shown_by_lesson_11(report, path, monkeypatch, capsys)
    assert "on record: device " in said and said.count("0 of 16 right") == 2
    assert all(f"{name}: ✗ #" in said for name in ("LLaVA-NeXT-Video-7B-hf", "llava-onevision-qwen2-0.5b-ov-hf"))


def shown_by_lesson_11(report, path, monkeypatch, capsys) -> str:
    """What lesson 11 prints where there is a record; tiny's answers are borrowed."""
    monkeypatch.setattr(real_check, "REAL_RECORD", path)
    monkeypatch.setattr(real_check, "ask_all", lambda vlm, longest: report["models"][0]["answers"])
    source = ROOT.joinpath("notebooks", "11_real_weights.py").read_text("utf-8")
    [cell] = [cell for cell in source.split("# %%") if "real_check.ask_all(" in cell]
    exec(compile(cell, "lesson 11", "exec"), {"vlm": vlm, "json": json})
    return capsys.readouterr().out


def test_real_check_keeps_the_first_model_where_the_second_fails(server, tmp_path, monkeypatch, capsys):
    server.add(ONEVISION, twins.write_twin(ONEVISION, tmp_path / "onevision"), commit=PINNED)
    monkeypatch.setattr(real_check, "REAL_RECORD", tmp_path / "real.json")
    monkeypatch.setattr(real_check, "ask_all", lambda vlm, longest: [])
    assert real_check.main([ONEVISION, VIDEO_7B]) == 2
    *progress, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and VIDEO_7B in error
    assert all(line.startswith("downloading ") for line in progress)
    [kept] = json.loads((tmp_path / "real.json").read_text("utf-8"))["models"]
    assert kept["model"] == ONEVISION


def test_what_real_check_counts_as_right_is_so():
    truths = {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "data" / "clips").glob("*.json")}
    for question in real_check.REAL_QUESTIONS:
        for language in ("en", "ko"):
            right = real_check.is_right(question, language, getattr(question.truth, language))
            assert right is (None if not getattr(question.right, language) else True)
            assert not real_check.is_right(question, language, "#84502#84502")
        known = {one["question"]: one for one in truths.get(question.clip, {}).get("questions", [])}
        if known:
            one = known[question.asked.en]
            assert (one["answer"], one["question_ko"], one["answer_ko"]) == (
                question.truth.en, question.asked.ko, question.truth.ko,
            )  # fmt: skip
    drawn = [thing for scene in truths["long"]["drawn"]["scenes"] for thing in scene["things"]]
    assert any((one["size"], one["colour"], one["shape"]) == ("big", "blue", "triangle") for one in drawn)
