"""LLaMA-VID in small: its labels, its needles, its batches, that each stage trains what it should, and what ships."""

import random
from collections import Counter

import numpy as np
import pytest
import torch

from lib import toybox
from lib.reducers import SpatialPool
from lib.toybox.needles import asked_patches, needles
from lib.vlm.shipped import LANGUAGE, LLAMA_VID, READER, TRAINED, load_llama_vid
from lib.workshop import llama_vid as train
from lib.workshop import llama_vid_scores as measure
from lib.workshop.llama_vid import TOKEN_CHOICES, llama_vid_tokens
from lib.workshop.llama_vid_scores import (
    SCORED_KINDS,
    answer_from,
    count_asked,
    count_llama_vid,
    find_needles,
    stretched,
)
from lib.workshop.tiny import Stage

SHORT = (Stage("reading", 2, 2, 1e-3), Stage("alignment", 2, 1, 1e-3), Stage("instruction", 2, 1, 1e-3),
         Stage("long", 1, 2, 1e-3))  # fmt: skip
EVER = tuple({part for parts in TRAINED.values() for part in parts})


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(train, "LENGTHS", (1, 2))
    monkeypatch.setattr(train, "QUESTIONS", 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained run; tests leave its weights alone."""
    return train.start_llama_vid(tmp_path_factory.mktemp("run"), SHORT)


def painted(image, thing):
    """(8, 8): how many pixels of each patch have the thing's colour."""
    same = (toybox.render(image)[0] == toybox.COLOURS[thing.colour][0]).all(axis=-1)
    return same.reshape(8, 8, 8, 8).sum(axis=(1, 3))


def test_a_question_is_about_the_patches_that_show_its_thing():
    looked = Counter()
    for seed in range(40):
        image = toybox.still(toybox.sample(seed), seed % 16)
        things, flashes = image.scenes[0].things, image.flashes
        for qa in toybox.questions(image):
            share = asked_patches(image, qa.question)
            assert share.shape == (8, 8) and share.sum() == pytest.approx(1)
            named = [t for t in things if t.colour in qa.question or t.shape in qa.question]
            if qa.kind in ("shape", "size", "where") and not flashes and "white" not in qa.question:
                (thing,) = named if qa.kind == "shape" else [t for t in named if t.name in qa.question]
                area = painted(image, thing)
                assert np.allclose(share, area / area.sum())
                looked[qa.kind] += 1
            if qa.kind == "code" and image.code:
                assert (share > 0).sum() == 3
            if qa.kind in ("flash", "order") or (qa.kind == "exists" and qa.answer == "no"):
                assert (share == 1 / 64).all()
            if qa.kind == "count":
                assert ((share > 0) == (sum(toybox.coverage(image)) > 0)).all()
    assert set(looked) == {"shape", "size", "where"}


@pytest.mark.parametrize("length", [1, 2, 9])
def test_a_needle_is_in_one_clip_only(length):
    rng, kinds = random.Random(length), set()
    for _ in range(12):
        clips, asked = needles(rng, length, 4)
        assert len(clips) == length and 1 <= len(asked) <= 4
        assert not any(clip.code or clip.flashes for clip in clips if not clip.things)
        for qa in asked:
            told = [(other.question, other.answer) for clip in clips if clip.things for other in toybox.questions(clip)]
            assert [turn for turn in told if turn[0] == qa.question and turn[1] != "none"] == [(qa.question, qa.answer)]
            kinds.add(qa.kind)
        assert toybox.join(clips).frames == 16 * length
    assert len(kinds) > 3


@pytest.mark.parametrize("way", TOKEN_CHOICES)
def test_a_batch_makes_the_tokens_that_each_video_has_alone(run, way):
    reducer = run.reducer.with_tokens(*TOKEN_CHOICES[way])
    videos = torch.stack([run.vlm.encode(toybox.render(toybox.sample(seed))[:3]) for seed in (1, 2)])
    questions = ["What?", "What colour is the circle?"]
    with torch.no_grad():
        batch = llama_vid_tokens(run.vlm, reducer, videos, questions)
        for row, question in enumerate(questions):
            alone = reducer(videos[row], run.vlm.project, question if reducer.takes_question else None)
            torch.testing.assert_close(batch[row], alone.embeds, atol=1e-5, rtol=0)


def test_content_only_is_tinys_own_pooling(run):
    features = run.vlm.encode(toybox.render(toybox.sample(3)))
    content = run.reducer.with_tokens(*TOKEN_CHOICES["content only"])(features, run.vlm.project)
    pooled = SpatialPool(8)(features, run.vlm.project)
    torch.testing.assert_close(content.embeds, pooled.embeds, atol=1e-5, rtol=0)


def test_a_question_starts_by_looking_at_what_it_names(tmp_path):
    run, shares = train.start_llama_vid(tmp_path, SHORT), []
    reducer = run.reducer.eval()
    train.fit_value_proj(run.vlm, reducer, random.Random(0))
    train.start_reader(run.vlm, reducer)
    for seed in range(8):
        image = toybox.still(toybox.sample(seed), 0)
        features = run.vlm.encode(toybox.render(image))
        for thing in image.things:
            question = f"Where is the {thing.name}?"
            with torch.no_grad():
                look = reducer.attention_map(features, question)[0].numpy()
            shares.append(look[asked_patches(image, question) > 0].sum())
    assert np.mean(shares) > 0.8  # of the attention, on a few of the 64 patches


def weights(vlm, reducer):
    """All weights by the names that TRAINED uses; the output layer is the embedding and left out."""
    named = vlm.model.state_dict() | {f"reducer.{name}": tensor for name, tensor in reducer.state_dict().items()}
    return {name: tensor.clone() for name, tensor in named.items() if name != "lm_head.weight"}


def same(first, second):
    return {name for name in first if torch.equal(first[name], second[name])}


def test_each_stage_trains_its_own_part_and_nothing_else(tmp_path):
    run = train.start_llama_vid(tmp_path, SHORT)
    for stage in SHORT:
        before = weights(run.vlm, run.reducer)
        train.train_llama_vid_stage(run, stage)
        changed = set(before) - same(before, weights(run.vlm, run.reducer))
        assert {name.startswith(TRAINED[stage.name]) for name in changed} == {True}
        assert all(any(name.startswith(part) for name in changed) for part in TRAINED[stage.name])


def never(run, stage):
    raise AssertionError(f"{stage.name} was trained again")


def test_a_loss_that_is_no_number_stops_before_the_stage_is_written(tmp_path, monkeypatch):
    run = train.start_llama_vid(tmp_path, SHORT)
    monkeypatch.setattr(
        train.LlamaVidRun, "loss", lambda run, stage, step: torch.tensor(float("nan"), requires_grad=True)
    )
    with pytest.raises(ValueError, match="loss is nan at step 1 of reading"):
        train.train_llama_vid(run)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_run_ends_with_the_same_weights_goes_on_from_its_files_and_ships_them(tmp_path, monkeypatch):
    first, second = (train.start_llama_vid(tmp_path / name, SHORT) for name in ("first", "second"))
    for run in (first, second):
        train.train_llama_vid(run)
    trained = weights(first.vlm, first.reducer)
    assert same(trained, weights(second.vlm, second.reducer)) == set(trained)

    monkeypatch.setattr(train, "train_llama_vid_stage", never)
    third = train.start_llama_vid(tmp_path / "first", SHORT)
    train.train_llama_vid(third)
    assert same(trained, weights(third.vlm, third.reducer)) == set(trained)
    with pytest.raises(AssertionError, match="reading was trained again"):
        train.train_llama_vid(train.start_llama_vid(tmp_path / "first", SHORT, seed=1))

    train.ship(third, tmp_path / "shipped")
    shipped = weights(*load_llama_vid("long", tmp_path / "shipped"))
    rounded = {name: tensor.bfloat16().float() if name.startswith(EVER) else tensor for name, tensor in trained.items()}
    assert same(rounded, shipped) == set(trained)
    monkeypatch.setattr("lib.vlm.shipped.digest", lambda: "another")
    with pytest.raises(ValueError, match="another tiny model .* run `make llama-vid`"):
        load_llama_vid("long", tmp_path / "shipped")


def test_the_stages_are_the_papers():
    assert list(TRAINED) == ["reading", "alignment", "instruction", "long"]
    assert not any(part in TRAINED["alignment"] + TRAINED["long"] for part in READER)  # the Q-Former is frozen there
    assert set(LANGUAGE) <= set(TRAINED["instruction"]) and not set(LANGUAGE) & set(TRAINED["alignment"])
    assert not any("vision_tower" in part for stage in TRAINED.values() for part in stage)


def test_loading_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="choose one of reading, alignment, instruction, long"):
        load_llama_vid("last")
    with pytest.raises(FileNotFoundError, match="make llama-vid"):
        load_llama_vid("long", tmp_path)


def test_right_answers_are_those_that_the_model_writes(run):
    """Counting by first choices, several questions at a time, equals writing one answer after the other."""
    clip = toybox.sample(5)
    counted = np.array(count_llama_vid(run.vlm, run.reducer, clip, list(TOKEN_CHOICES)))
    asked, features = toybox.questions(clip), run.vlm.encode(toybox.render(clip))
    for row, way in enumerate(TOKEN_CHOICES):
        reducer = run.reducer.with_tokens(*TOKEN_CHOICES[way])
        for column, kind in enumerate(SCORED_KINDS):
            questions = [qa for qa in asked if qa.kind == kind and kind in ("count", "scenes", "exists")]
            if questions:
                written = [run.vlm.answer(features, qa.question, reducer) == qa.answer for qa in questions]
                assert counted[row, column] == sum(written)
    assert (counted <= count_asked(6)[5]).all()


def test_an_answer_from_tokens_is_the_models_answer(run):
    features, question = run.vlm.encode(toybox.render(toybox.sample(2))), "How many things are there?"
    with torch.no_grad():
        visual = run.reducer(features, run.vlm.project, question).embeds
    assert answer_from(run.vlm, visual, question) == run.vlm.answer(features, question, run.reducer)
    before = run.vlm.model.model.language_model.rotary_emb.inv_freq.clone()
    half = stretched(run.vlm, 2).model.model.language_model.rotary_emb.inv_freq
    assert torch.equal(half, before / 2)
    assert torch.equal(run.vlm.model.model.language_model.rotary_emb.inv_freq, before)


def test_needles_are_counted(run, monkeypatch):
    monkeypatch.setitem(measure.HAYSTACKS, 32, (1, 3))
    found = find_needles(run.vlm, run.reducer, 32, 0)
    assert list(found) == ["plain", "guessed"] and 0 <= found["plain"][0] <= found["plain"][1] <= 3
    monkeypatch.setattr(run.vlm.model.config.text_config, "max_position_embeddings", 60)
    assert list(find_needles(run.vlm, run.reducer, 32, 0)) == ["plain", "scaled", "guessed"]


def test_what_ships_is_small_and_was_measured():
    files = sorted(path.name for path in LLAMA_VID.iterdir())
    assert files == sorted(["README.md", *(f"{stage}.safetensors" for stage in TRAINED)])
    assert sum(path.stat().st_size for path in LLAMA_VID.iterdir()) < 6e6
    table = measure.read_llama_vid()
    for stage, clips in measure.SCORED_CLIPS.items():
        asked = count_asked(clips)
        for counts in table["right"][stage].values():
            assert counts.shape == asked.shape and (counts <= asked).all()
    for frames, (videos, questions) in measure.HAYSTACKS.items():
        asked = [row["plain"][1] for row in table["needles"] if (row["stage"], row["frames"]) == ("long", frames)]
        assert len(asked) == videos and sum(asked) == videos * questions >= 48  # fewer say nothing
    assert {row["frames"] for row in table["needles"]} == set(measure.HAYSTACKS)
    megabytes = table["stream_megabytes"]
    assert megabytes["10800"] < 1.1 * megabytes["300"]


def test_a_table_of_other_weights_is_refused(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="make llama-vid"):
        measure.read_llama_vid(tmp_path / "none.json")
    (tmp_path / "old.json").write_text('{"weights": "old"}')
    with pytest.raises(ValueError, match="other weights"):
        measure.read_llama_vid(tmp_path / "old.json")
