"""Metrics: sacrebleu's and the COCO caption evaluation's numbers, and what each metric does with odd outputs."""

import random
import unicodedata

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from lib import toybox
from lib.evaluate import metrics
from lib.evaluate.metrics import (
    CHAIR_I,
    CHAIR_S,
    CHRF_PP,
    EXACT,
    FACTS_RIGHT,
    LENGTH,
    POPE_ACCURACY,
    POPE_F1,
    POPE_YES,
    UNREAD,
    Record,
)
from lib.text import comparable
from lib.toybox.facts import facts, unread

CLIPS = [toybox.sample(seed) for seed in range(40)]


def captions(outputs, references, language="en"):
    pairs = enumerate(zip(outputs, references, strict=True))
    return [Record("a model", str(i), "caption", language, "", true, said) for i, (said, true) in pairs]


def answers(pairs):
    return [Record("a model", str(i), "pope random", "en", "", true, said) for i, (said, true) in enumerate(pairs)]


def scrambled(language):
    """False captions of Toybox, some with words left out, beside the true ones."""
    rng, outputs = random.Random(0), []
    for clip in CLIPS:
        words = rng.choice(toybox.false_captions(clip, language)).caption.split()
        outputs.append(" ".join(word for word in words if rng.random() < 0.8))
    return captions(outputs, [toybox.caption(clip, language) for clip in CLIPS], language)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_chrf_and_bleu_are_sacrebleus_own(language):
    records = scrambled(language)
    outputs, references = [r.output for r in records], [[r.reference for r in records]]
    assert CHRF_PP(records) == pytest.approx(CHRF(word_order=2).corpus_score(outputs, references).score, abs=1e-9)
    for tokens in ("13a", "char"):
        theirs = BLEU(tokenize=tokens, force=True).corpus_score(outputs, references).score
        assert 5 < theirs < 95
        assert metrics.bleu(tokens)(records) == pytest.approx(theirs, abs=1e-9)


def test_one_set_of_captions_has_three_scores_in_bleu(monkeypatch):
    """Where the Korean dictionary is installed; where it is not, a sentence says what to do."""
    records = scrambled("ko")
    words, letters = (metrics.bleu(tokens)(records) for tokens in ("13a", "char"))
    assert words + 5 < letters
    try:
        between = metrics.bleu("ko-mecab")(records)
    except ModuleNotFoundError as error:
        assert "sacrebleu[ko]" in str(error)
    else:
        assert words + 2 < between < letters - 2
        theirs = BLEU(tokenize="ko-mecab").corpus_score([r.output for r in records], [[r.reference for r in records]])
        assert between == pytest.approx(theirs.score, abs=1e-9)


def test_without_its_dictionary_morphemes_are_refused_in_one_sentence(monkeypatch):
    import sacrebleu.tokenizers.tokenizer_ko_mecab as theirs

    monkeypatch.setattr(theirs, "MeCab", None)
    metrics._mecab.cache_clear()
    for call in (lambda: metrics.bleu("ko-mecab"), lambda: metrics.morphemes("원은")):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'sacrebleu\[ko\]'"):
            call()


# What the COCO caption evaluation (tylin/coco-caption, cider_scorer.py) gives, run once on these pairs.
CIDER = [
    ("a small red circle moves left slowly", "a small red circle moves left fast", 7.954086),
    ("a big blue ring stays still", "a big blue ring stays still the code is 457", 5.779178),
    ("the screen flashes red then the screen flashes red", "the screen flashes red then white", 4.050826),
    ("a green cross", "a small green cross moves up fast", 2.086966),
]
CIDER_KO = [
    ("빨간 원이 왼쪽으로 움직입니다", "빨간 원이 오른쪽으로 움직입니다", 7.074752),
    ("큰 고리는 가만히 있습니다", "큰 고리가 있습니다", 4.251848),
    ("코드는 457입니다", "코드는 457입니다", 10.0),
]


@pytest.mark.parametrize(("known", "tokens"), [(CIDER, str.split), (CIDER_KO, metrics.characters)])
def test_cider_is_that_of_the_coco_caption_evaluation(known, tokens):
    outputs, references, scores = zip(*known, strict=True)
    counts = metrics.cider("CIDEr", tokens).counts(captions(outputs, references))
    assert counts[:, 0] == pytest.approx(scores, abs=1e-6)
    assert metrics.cider("CIDEr", tokens)(captions(outputs, references)) == pytest.approx(np.mean(scores), abs=1e-6)


def test_cider_of_nothing_and_of_strangers_is_zero():
    records = captions(["", "x y z", "a b c d"], ["a b c d", "e f g h", "i j k l"])
    assert metrics.cider("CIDEr", str.split)(records) == 0


def test_rouge_reads_no_korean_but_its_digits():
    true = [toybox.caption(clip, "ko") for clip in CLIPS if clip.code]
    same = captions(true, true, "ko")
    nonsense = captions(["강아지가 999 춤춥니다", *true[1:]], true, "ko")
    assert metrics.rouge_1("ROUGE-1")(captions(["빨간 원입니다."], ["빨간 원입니다."])) == 0
    assert metrics.rouge_1("ROUGE-1")(same) == 1  # for the digits of the code, and for nothing else
    only_code = captions([f"강아지 {clip.code} 고양이" for clip in CLIPS if clip.code], true, "ko")
    assert metrics.rouge_1("ROUGE-1")(only_code) == 1
    assert metrics.rouge_1("ROUGE-1")(nonsense) == pytest.approx(1 - 1 / len(true))
    assert metrics.rouge_1("ROUGE-1", metrics.characters)(only_code) < 0.3


def test_distinct_counts_outputs_over_clips():
    true = [toybox.caption(clip) for clip in CLIPS]
    assert metrics.distinct(captions(true, true)) == 1
    assert metrics.distinct(captions([true[0]] * len(true), true)) == 1 / len(true)


def test_facts_and_chair_by_hand():
    true = "A small red circle stays still. The code is 669."  # four facts
    said = [true, "A small red circle stays still. The code is 123.", "The code is 669.", "Nonsense. The code is 669."]
    records = captions(said, [true] * 4)
    assert FACTS_RIGHT(records) == (4 + 3 + 1 + 1) / 16
    assert CHAIR_I(records) == 1 / (4 + 4 + 1 + 1)
    assert CHAIR_S(records) == 1 / 4
    assert UNREAD(records) == 1 / 4
    assert LENGTH(records) == np.mean([len(text) for text in said])


def test_a_wrong_name_counts_once_among_names_and_with_all_that_is_said_of_it_among_facts():
    true = "A small red circle moves left fast. The code is 669."
    records = captions([true, true.replace("circle", "ring")], [true] * 2)
    assert CHAIR_I(records) == 4 / 10  # name, size, motion and speed, of five facts in each caption
    assert metrics.CHAIR_NAMES(records) == 1 / 2


@pytest.mark.parametrize(
    "change",
    [
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: f" {text}\n",
        lambda text: text[:20] + unicodedata.normalize("NFD", text[20:]),
        lambda text: "\ufeff" + text.replace(" ", "\u200b \u200c"),
        lambda text: f"\u200d {text}\u200b",
        lambda text: (
            text.replace(".", "．").replace(" ", "\u3000").translate({ord(str(d)): 0xFF10 + d for d in range(10)})
        ),
        lambda text: text.replace("a", "ａ").replace(",", "，"),
    ],
)
@pytest.mark.parametrize("language", ["ko", "en"])
def test_one_text_has_one_score_however_it_is_encoded(change, language):
    """Hangul in pieces looks the same; chrF++ gave it 3.7 of 100, and none of its facts was read."""
    records = scrambled(language)
    for side in ("output", "reference"):
        same = [record._replace(**{side: change(getattr(record, side))}) for record in records]
        for metric in (CHRF_PP, FACTS_RIGHT, CHAIR_I, UNREAD, LENGTH, metrics.bleu("char"), metrics.rouge_1("ROUGE-1")):
            assert np.array_equal(metric.counts(same), metric.counts(records)), metric.name
        assert metrics.distinct([*same, *records]) == metrics.distinct(records)
        assert [captions_of_facts(r) for r in same] == [captions_of_facts(r) for r in records]
    answer = Record("a model", "7", "question colour", "ko", "", "빨간색", change("빨간색"))
    assert EXACT([answer]) == metrics.judged("same", lambda asked, true, said: said == true)([answer]) == 1


def test_only_the_form_of_characters_is_made_one():
    """Full-width characters alone are replaced: "…" ends an answer that was cut off, and NFKC makes it three dots."""
    every = "".join(map(chr, [*range(0x20, 0x7F), *range(0xAC00, 0xD7A4), *range(0x3131, 0x3164)])) + "…“”·、。～'"
    assert comparable(f"x{every}x") == f"x{every}x".replace("～", "~")


def captions_of_facts(record):
    return facts(record.output, record.language), unread(record.output, record.language)


def test_silence_invents_nothing_and_tells_nothing():
    silent = captions(["", ""], [toybox.caption(clip) for clip in CLIPS[:2]])
    assert [float(metric(silent)) for metric in (CHAIR_I, CHAIR_S, FACTS_RIGHT)] == [0, 0, 0]


def test_facts_are_read_in_the_language_of_the_record():
    true = [toybox.caption(clip, "ko") for clip in CLIPS]
    assert FACTS_RIGHT(captions(true, true, "ko")) == 1
    assert FACTS_RIGHT(captions([toybox.caption(clip) for clip in CLIPS], true, "ko")) == 0


def test_facts_of_a_caption_that_is_not_toyboxs_are_refused():
    with pytest.raises(ValueError, match="Toybox's captions only"):
        FACTS_RIGHT(captions(["바다입니다."], ["바다가 보입니다."], "ko"))


def test_pope_by_hand():
    records = answers([("yes", "yes"), ("no", "yes"), ("yes", "no"), ("no", "no"), ("Yes…", "no"), ("a ring", "no")])
    precision, recall = 1 / 3, 1 / 2
    assert POPE_ACCURACY(records) == 2 / 6
    assert POPE_F1(records) == pytest.approx(2 * precision * recall / (precision + recall))
    assert POPE_YES(records) == 3 / 6


def test_always_yes_and_always_no():
    yes, no = (answers([(said, true) for true in ("yes", "no")]) for said in ("yes", "no"))
    assert [float(metric(yes)) for metric in (POPE_ACCURACY, POPE_F1, POPE_YES)] == [0.5, pytest.approx(2 / 3), 1]
    assert [float(metric(no)) for metric in (POPE_ACCURACY, POPE_F1, POPE_YES)] == [0.5, 0, 0]


@pytest.mark.parametrize(
    ("output", "means"),
    [("yes", "yes"), ("Yes.", "yes"), ("yes…", "yes"), (" NO, there is not", "no"), ("yesterday", ""), ("", ""),
     ("not sure", ""), ("there is no ring", "")],
)  # fmt: skip
def test_yes_or_no(output, means):
    assert metrics.yes_or_no(output) == means


def test_a_judge_is_called_with_what_was_asked_and_only_if_given():
    seen = []

    def judge(asked, reference, output):
        seen.append((asked, reference, output))
        return 3.0

    record = Record("a model", "7", "question colour", "en", "What colour?", "red", "blue")
    assert metrics.judged("mine", judge)([record, record]) == 3
    assert seen == [("What colour?", "red", "blue")] * 2
    assert EXACT([record]) == 0
