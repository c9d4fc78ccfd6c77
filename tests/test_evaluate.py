"""Scores: the intervals are the textbook's, and an exact match is what greedy decoding writes."""

import json
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import from_hub

from lib import toybox
from lib.data import toybox_videos
from lib.evaluate import (
    POPE,
    answers_by,
    bootstrap_shares,
    caption_limit,
    captions_by,
    clip_shares,
    difference,
    exact_match,
    measure,
    multiple_choice,
    open_questions,
    paired,
    percentile_interval,
    probes,
    read_records,
    score,
    table,
    token_needs,
    write_records,
)
from lib.evaluate.metrics import CHAIR_I, CHRF_PP, EXACT, FACTS_RIGHT, POPE_F1, Record, bleu, cider
from lib.reducers import SpatialPool
from lib.vlm import TINY, load

# What the recipe aims at. The card has more clips, and is compared with the weights for every kind.
THRESHOLDS = {
    "colour": 0.95, "shape": 0.95, "count": 0.95, "code": 0.95, "flash": 0.95, "motion": 0.90, "order": 0.90,
    "where": 0.85,
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny():
    return load("tiny")


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    share = hits / n
    centre, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (37, 80), (990, 1000)])
def test_wilson(hits, n):
    measured = score([True] * hits + [False] * (n - hits))
    assert measured.mean == hits / n and measured.asked == n
    assert (measured.low, measured.high) == pytest.approx(wilson(hits, n), abs=1e-6)


def test_the_interval_of_a_difference_uses_the_pairs():
    """Two scores that rise and fall together differ by more certainty than two that do not."""
    rng = np.random.default_rng(0)
    first = rng.random(400) < 0.8
    together, apart = first & (rng.random(400) < 0.9), rng.permutation(first & (rng.random(400) < 0.9))
    paired, unpaired = difference(first, together), difference(first, apart)
    assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)
    assert paired.mean == pytest.approx(first.mean() - together.mean())
    assert paired.low < paired.mean < paired.high


def test_no_answers_no_score():
    with pytest.raises(ValueError, match="at least one question"):
        score([])


def test_exact_match_is_what_greedy_decoding_writes(tiny):
    clips, reducer = [toybox.sample(seed) for seed in range(6)], SpatialPool(2)
    right = exact_match(tiny, clips, reducer, frames=4, batch=4)
    written = {}
    for clip in clips:
        features = tiny.encode(toybox.render(clip, indices=[0, 5, 10, 15]))
        asked = toybox.questions(clip)
        texts = tiny.answers([features] * len(asked), [qa.question for qa in asked], reducer)
        for qa, text in zip(asked, texts, strict=True):
            written.setdefault(qa.kind, []).append(text == qa.answer)
    assert right == written
    share = np.mean([hit for hits in right.values() for hit in hits])
    assert 0.2 < share < 1  # at four pooled frames some answers are wrong: the comparison compared something


def test_a_token_is_needed_as_much_as_the_answer_loses_without_it(tiny):
    clip = toybox.sample(12)
    tokens = SpatialPool(4)(tiny.encode(toybox.render(clip, indices=[0, 8])), tiny.project)
    question, words = "What is the code?", tiny.tokenizer.encode(f" {clip.code}", add_special_tokens=False)

    def likely(embeds):
        prompt = f"{tiny.prompt(question)} {clip.code}"
        scores = tiny.model(inputs_embeds=tiny.splice(tiny.tokenizer(prompt, return_tensors="pt").input_ids[0],
                                                      replace(tokens, embeds=embeds))[None]).logits[0]  # fmt: skip
        return scores[-len(words) - 1 : -1].log_softmax(dim=-1)[range(len(words)), words].sum()

    with torch.no_grad():
        without = tokens.embeds.clone()
        without[3] = tokens.embeds.mean(dim=0)
        lost = [float(likely(tokens.embeds) - likely(without))]
        without[6] = tokens.embeds.mean(dim=0)
        lost.append(float(likely(tokens.embeds) - likely(without)))
    needs = token_needs(tiny, tokens, question, clip.code, batch=3)
    assert needs.shape == (8,) and needs[3] == pytest.approx(lost[0], abs=1e-4)
    assert token_needs(tiny, tokens, question, clip.code, [[3], [3, 6]]).tolist() == pytest.approx(lost, abs=1e-4)


def test_shares_of_clips_are_of_each_clips_own_answers():
    """Answers that are right about the first clip alone, and about motion in the last one."""
    clips = [toybox.sample(seed) for seed in (5, 0, 3)]
    right = {}
    for number, clip in enumerate(clips):
        for qa in toybox.questions(clip):
            right.setdefault(qa.kind, []).append(number == 0 or (number == 2 and qa.kind == "motion"))
    asked = [Counter(qa.kind for qa in toybox.questions(clip)) for clip in clips]
    assert clip_shares(right, clips) == [1, 0, asked[2]["motion"] / asked[2].total()]
    assert clip_shares(right, clips, {"motion"}) == [1, 0, 1]
    assert clip_shares(right, clips, {"order"}) == [1] and asked[1]["order"] == asked[2]["order"] == 0
    both = asked[2]["motion"] / (asked[2]["motion"] + asked[2]["colour"])
    assert clip_shares(right, clips, ("motion", "colour")) == [1, 0, both]
    with pytest.raises(ValueError, match="give the clips that were asked about"):
        clip_shares(right, clips[:2])


def test_shipped_weights_reach_their_scores(tiny):
    """At full tokens on 80 unseen clips; the model card says what 1,000 gave, and must agree."""
    right = exact_match(tiny, [toybox.sample(seed) for seed in range(80)], SpatialPool(1))
    card = (Path(TINY) / "README.md").read_text(encoding="utf-8")
    on_card = {kind: float(share) for kind, share in re.findall(r"^\| (\w+) \| ([\d.]+) \|", card, re.MULTILINE)}
    assert set(on_card) == set(right)
    for kind, answers in right.items():
        measured = score(answers)
        assert measured.low - 0.01 <= on_card[kind] <= measured.high + 0.01, f"{kind}: {measured}, {on_card[kind]}"
        assert min(on_card[kind], measured.high) >= THRESHOLDS.get(kind, 0), f"{kind}: {measured}, {on_card[kind]}"


def test_redrawn_clips_bring_all_their_questions_along():
    """By hand, in a loop: the same draws, the same shares."""
    rng = np.random.default_rng(1)
    asked = rng.integers(1, 4, (30, 2))
    right = rng.integers(0, asked[:, None] + 1, (30, 3, 2))  # three ways to answer
    shares = bootstrap_shares(right, asked, redraws=5, seed=7)
    draws, by_hand = np.random.default_rng(7), [right.sum(axis=0) / asked.sum(axis=0)]
    for _ in range(5):
        drawn = draws.integers(30, size=30)
        by_hand.append(right[drawn].sum(axis=0) / asked[drawn].sum(axis=0))
    assert shares.shape == (6, 3, 2) and np.allclose(shares, by_hand, atol=1e-12)


def test_answers_that_stand_or_fall_together_are_worth_fewer():
    """Five answers about a clip that are all right or all wrong say no more than one."""
    rng = np.random.default_rng(0)
    asked, each = np.full((400, 1), 5), rng.random((400, 1)) < 0.5
    together, apart = 5 * each, rng.binomial(5, 0.5, (400, 1))
    shares = bootstrap_shares(np.stack([together, apart], axis=1), asked)
    widths = [
        interval.high - interval.low for interval in (percentile_interval(shares[:, way, 0], 400) for way in (0, 1))
    ]
    assert widths[0] / widths[1] == pytest.approx(math.sqrt(5), rel=0.1)
    assert widths[0] == pytest.approx(np.subtract(*wilson(int(each.sum()), 400)[::-1]), rel=0.1)


def test_two_ways_to_answer_meet_the_same_draws():
    rng = np.random.default_rng(0)
    asked = rng.integers(1, 3, (200, 1))
    first = rng.binomial(asked, 0.5)
    shares = bootstrap_shares(np.stack([first, np.maximum(first - (np.arange(200) < 4)[:, None], 0)], axis=1), asked)
    gap = percentile_interval(shares[:, 0, 0] - shares[:, 1, 0], 200)
    assert 0 <= gap.low < gap.mean < gap.high < 0.03  # one way alone is known to 0.06 only


def test_too_few_clips_to_redraw():
    with pytest.raises(ValueError, match="3 clips are too few"):
        bootstrap_shares(np.array([[1], [0], [0]]), np.array([[1], [0], [0]]))


# What a system says


@pytest.fixture(scope="module")
def look(tiny):
    return lambda video: tiny.encode(video.frames(4))


def test_answers_are_the_beginning_of_what_greedy_decoding_writes(tiny, look):
    videos, reducer = toybox_videos(range(5)), SpatialPool(2)
    records = answers_by(tiny, "tiny", videos, look, [open_questions(video) for video in videos], reducer, batch=2)
    greedy = [look(video) for video in videos for _ in toybox.questions(video.clip)]
    texts = tiny.answers(greedy, [record.asked for record in records], reducer)
    assert [(r.clip, r.reference) for r in records] == [
        (v.name, q.answer) for v in videos for q in toybox.questions(v.clip)
    ]
    assert all(text.startswith(record.output.removesuffix("…")) for record, text in zip(records, texts, strict=True))
    assert [r.output == r.reference for r in records] == [t == r.reference for r, t in zip(records, texts, strict=True)]
    assert 0.2 < measure(EXACT, records).mean < 1  # some are wrong: the comparison compared something
    right = exact_match(tiny, [video.clip for video in videos], reducer, frames=4)
    assert sum(r.output == r.reference for r in records) == sum(sum(hits) for hits in right.values())


def test_a_choice_is_the_option_that_is_most_likely_as_an_answer(tiny, look):
    videos, reducer = toybox_videos(range(2)), SpatialPool(2)
    asked = [of_video[::4] for of_video in multiple_choice(videos)]
    records = answers_by(tiny, "tiny", videos, look, asked, reducer)
    alone = []
    for video, of_video in zip(videos, asked, strict=True):
        for one in of_video:
            likelihood = {}
            for option in one.options:
                answer = tiny.tokenizer.encode(f" {option}", add_special_tokens=False) + [tiny.tokenizer.eos_token_id]
                prompt = tiny.sequence(look(video), tiny.prompt(one.question), reducer)
                embeds = torch.cat([prompt, tiny.model.get_input_embeddings()(torch.tensor(answer))])
                logits = tiny.model(inputs_embeds=embeds[None]).logits[0, -len(answer) - 1 : -1]
                likelihood[option] = logits.log_softmax(-1)[range(len(answer)), answer].sum().item()
            alone.append(max(likelihood, key=likelihood.get))
    assert [record.output for record in records] == alone
    assert records[0].asked == " / ".join([asked[0][0].question, *asked[0][0].options])


def test_captions_are_the_models_own(tiny, look):
    videos = toybox_videos(range(3))
    records = captions_by(tiny, "tiny", videos, look, "en", SpatialPool(1), batch=2)
    assert [r.reference for r in records] == [video.captions["en"] for video in videos]
    room = 5 * max(len(tiny.tokenizer(video.captions["en"]).input_ids) for video in videos) // 4
    for video, record in zip(videos, records, strict=True):
        assert record.output == tiny.answer(look(video), "Describe the video.", SpatialPool(1), room)


def test_captions_are_cut_off_at_a_limit_that_comes_from_other_captions(tiny, look):
    videos = toybox_videos(range(2))
    assert caption_limit(tiny, videos) == 5 * max(len(tiny.tokenizer(v.captions["en"]).input_ids) for v in videos) // 4
    for record in captions_by(tiny, "tiny", videos, look, "en", SpatialPool(1), limit=5):
        assert len(tiny.tokenizer.encode(f" {record.output}", add_special_tokens=False)) <= 5


# What is asked


def test_choices_hold_the_truth_and_other_answers_of_their_kind():
    videos = toybox_videos(range(30))
    every = {(qa.kind, qa.answer) for video in videos for qa in toybox.questions(video.clip)}
    places = Counter()
    for of_video in multiple_choice(videos):
        for one in of_video:
            kind = one.task.removeprefix("choice ")
            assert one.reference in one.options and len(set(one.options)) == len(one.options)
            assert len(one.options) == min(4, sum(k == kind for k, _ in every))
            assert all((kind, option) in every for option in one.options)
            if len(one.options) == 4:
                places[one.options.index(one.reference)] += 1
    assert min(places[i] for i in range(4)) > 0.2 * places.total()  # the truth stands anywhere


@pytest.mark.parametrize("strategy", POPE)
def test_probes_ask_for_as_much_that_is_there_as_is_not(strategy):
    videos = toybox_videos(range(60))
    for video, asked in zip(videos, probes(videos, strategy), strict=True):
        present = {thing.name for thing in video.clip.things}
        names = [re.fullmatch(r"Is there an? (.+)\?", one.question)[1] for one in asked]
        assert [one.reference for one in asked] == ["yes" if name in present else "no" for name in names]
        assert set(names[::2]) == present and len(set(names)) == len(names) == 2 * len(present)


def test_popular_and_adversarial_probes_are_what_they_say():
    videos = toybox_videos(range(60))
    shown = Counter(thing.name for video in videos for thing in video.clip.things)
    for video, popular, adversarial in zip(
        videos, probes(videos, "popular"), probes(videos, "adversarial"), strict=True
    ):
        present = {thing.name for thing in video.clip.things}
        absent = [re.fullmatch(r"Is there an? (.+)\?", one.question)[1] for one in popular[1::2]]
        unasked = [count for name, count in shown.items() if name not in present and name not in absent]
        assert min(shown[name] for name in absent) >= max(unasked)
        words = {word for name in present for word in name.split()}
        crossed = re.fullmatch(r"Is there an? (.+)\?", adversarial[1].question)[1].split()
        assert len(words.intersection(crossed)) == (2 if len(present) > 1 else 1)


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="random, popular, adversarial"):
        probes(toybox_videos(range(2)), "hard")


# Scores of records


def some_records(system, seed, clips=60, language="en"):
    """Captions and yes-or-no answers that are wrong now and then."""
    rng, records = np.random.default_rng(seed), []
    for video in toybox_videos(range(clips)):
        true = video.captions[language]
        said = true if rng.random() < 0.5 else toybox.false_captions(video.clip, language)[0].caption
        records.append(Record(system, video.name, "caption", language, "", true, said))
        for one in probes([video], "random")[0]:
            said = one.reference if rng.random() < 0.7 else "yes"
            records.append(Record(system, video.name, one.task, "en", one.question, one.reference, said))
    return records


METRICS = [CHRF_PP, bleu("13a"), cider("CIDEr", str.split), FACTS_RIGHT, CHAIR_I, POPE_F1]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_an_interval_redraws_clips_with_all_their_records(metric):
    """By hand, in a loop. (CIDEr's rare n-grams stay those of all clips.)"""
    records = some_records("one", 1)
    measured = measure(metric, records)
    mine = [record for record in records if record.task.startswith(metric.task)]
    assert measured.mean == pytest.approx(float(metric(mine)), abs=1e-9) and measured.asked == 60
    counts, names = metric.counts(mine), list(dict.fromkeys(record.clip for record in mine))
    rows = [[i for i, record in enumerate(mine) if record.clip == name] for name in names]
    draws, values = np.random.default_rng(0), []
    for _ in range(2000):
        drawn = [i for clip in draws.integers(60, size=60) for i in rows[clip]]
        values.append(float(metric.value(counts[drawn].sum(axis=0))))
    assert (measured.low, measured.high) == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))), abs=1e-9)
    assert measured.low < measured.mean < measured.high


def test_two_systems_are_compared_on_the_same_clips():
    first, second = some_records("one", 1), some_records("two", 2)
    both = paired(CHRF_PP, first, second[::-1])  # the order of the records does not matter
    alone = [measure(CHRF_PP, records) for records in (first, second)]
    assert both.gap.mean == pytest.approx(alone[0].mean - alone[1].mean)
    assert both.gap.low < both.gap.mean < both.gap.high and both.p > 0.1
    assert paired(CHRF_PP, second, first).gap.mean == pytest.approx(-both.gap.mean)


def test_the_test_finds_what_is_there_and_seldom_what_is_not():
    true = some_records("one", 1)
    worse = [r._replace(output=r.output.replace("circle", "ring") if i % 4 else r.output) for i, r in enumerate(true)]
    assert paired(CHRF_PP, true, worse).p < 0.01
    assert paired(CHRF_PP, true, true).p == 1
    same = [paired(POPE_F1, some_records("one", seed), some_records("two", 100 + seed)).p for seed in range(30)]
    assert sum(p < 0.05 for p in same) <= 5 and np.mean(same) == pytest.approx(0.5, abs=0.2)


def test_systems_that_were_asked_different_things_are_not_compared():
    first, second = some_records("one", 1), some_records("two", 2)
    assert paired(CHRF_PP, first, second[:-1]) == paired(CHRF_PP, first, second)  # what else was asked does not matter
    with pytest.raises(ValueError, match="only one of the systems was asked"):
        paired(POPE_F1, first, second[:-1])
    with pytest.raises(ValueError, match="no record has the task 'question'"):
        measure(EXACT, first)


def test_a_table_has_what_each_system_was_asked():
    records = some_records("one", 1) + [r for r in some_records("two", 2) if r.task == "caption"]
    scores = table(records, [CHRF_PP, POPE_F1, EXACT])
    assert {system: list(row) for system, row in scores.items()} == {"one": ["chrF++", "POPE F1"], "two": ["chrF++"]}


# Files


def test_the_file_gives_the_table_again_to_the_last_digit(tmp_path):
    odd = Record(
        "two", "7", "caption", "ko", "", toybox.caption(toybox.sample(7), "ko"), '둘\n줄\u2028 \x85 "끝"\t😀 \\'
    )
    records = some_records("one", 1) + some_records("two", 2) + [odd]
    write_records(tmp_path / "new" / "records.jsonl", records)
    again = read_records(tmp_path / "new" / "records.jsonl")
    assert again == records
    assert table(again, METRICS) == table(records, METRICS)


def test_what_a_model_says_is_written_with_its_name_and_commit(tmp_path, look):
    model, videos = from_hub(load("tiny")), toybox_videos(range(1))
    asked = [open_questions(video) for video in videos]
    records = [*captions_by(model, "mine", videos, look), *answers_by(model, "mine", videos, look, asked)]
    write_records(tmp_path / "records.jsonl", records)
    again = read_records(tmp_path / "records.jsonl")
    assert {(record.model, record.revision) for record in again} == {("a/b", "f" * 40)} and len(again) > 1


def test_a_file_without_the_models_name_is_still_read(tmp_path):
    records = some_records("one", 1, clips=3)
    old = [{k: v for k, v in r._asdict().items() if k not in ("model", "revision")} for r in records]
    lines = [{"records": len(old)}, *old]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert read_records(path) == records and records[0].model is None


def damaged(tmp_path, change):
    path = tmp_path / "records.jsonl"
    write_records(path, some_records("one", 1, clips=3))
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(("change", "words"), [
    (lambda data: data[:-30], "line {last}, is damaged or cut off"),
    (lambda data: data[: data.rindex(b"\n", 0, -1) + 1], "cut off after line {before}: "),
    (lambda data: data[: data.rindex(b"\n", 0, -1)], "cut off after line {before}: "),
    (lambda data: b"", "line 1, is damaged or cut off"),
    (lambda data: data.split(b"\n", 1)[1], "line 1, is damaged or cut off"),
    (lambda data: data.replace(b'"output"', b'"outputs"', 1), "line 2, is damaged or cut off"),
    (lambda data: data.replace(b'"model"', b'"models"', 1), "line 2, is damaged or cut off"),
    (lambda data: data.replace(b"circle", b"\xff\xfe", 1).replace(b'"clip"', b"", 1), "line 2, is damaged"),
])  # fmt: skip
def test_a_damaged_file_is_refused_with_its_name_and_the_line(tmp_path, change, words):
    last = len(some_records("one", 1, clips=3)) + 1
    path = damaged(tmp_path, change)
    with pytest.raises(ValueError, match=re.escape(words.format(last=last, before=last - 1))) as caught:
        read_records(path)
    assert str(path) in str(caught.value)


def test_a_cut_at_any_byte_is_never_read_as_whole(tmp_path):
    path = damaged(tmp_path, lambda data: data)
    data = path.read_bytes()
    for end in range(0, len(data) - 1, 7):
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match="cut off"):
            read_records(path)


def test_a_missing_file_is_one_clear_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="write_records"):
        read_records(tmp_path / "none.jsonl")
    assert json.loads(damaged(tmp_path, lambda data: data).read_text("utf-8").split("\n")[0]) == {
        "records": len(some_records("", 1, clips=3))
    }
