"""Scores of outputs against references: captions, answers, and yes or no about things that may not be there.

Every score here is computed from sums over clips. A `Metric` defines the counts of a record, and the score of their
sums. So `lib.evaluate.records` can resample clips, or swap two systems clip by clip, without parsing a text again.
Intervals and paired tests use the same few lines for all metrics.

BLEU and chrF++ are sacrebleu's (https://github.com/mjpost/sacrebleu); CIDEr is CIDEr-D of the COCO caption evaluation
(tylin/coco-caption); CHAIR is Rohrbach et al.'s (arXiv 1809.02156) on the facts of `lib.toybox.facts`; POPE is Li et
al.'s (arXiv 2305.10355). All are correct, and each can be fooled: lesson 10 shows how.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.tokenizers.tokenizer_ko_mecab import TokenizerKoMecab

from lib.text import comparable
from lib.toybox.facts import FactCounts, facts, unread


class Record(NamedTuple):
    """One output of one system, with everything that a table needs."""

    system: str
    clip: str
    task: str  # "caption", "question colour", "choice colour", "pope random" ...
    language: str
    asked: str
    reference: str
    output: str
    model: str | None = None  # whose output this is, and at which commit of the Hub: `VideoLM.origin`
    revision: str | None = None


def ratio(sums: np.ndarray) -> np.ndarray:
    """(..., 2) -> (...): the first divided by the second, and 0 for 0 / 0."""
    return sums[..., 0] / np.where(sums[..., 1] == 0, 1, sums[..., 1])


@dataclass(frozen=True)
class Metric:
    """A score of many records: the counts of each, and the score of their sums.

    >>> record = Record("a model", "7", "question colour", "en", "What colour is the ring?", "red", "red")
    >>> float(EXACT([record, record._replace(output="blue")]))
    0.5
    """

    name: str
    task: str  # it scores the records whose task begins like this
    count: Callable[[Sequence[Record]], np.ndarray]  # N records -> (N, k)
    value: Callable[[np.ndarray], np.ndarray] = ratio  # sums (..., k) -> scores (...)

    def counts(self, records: Sequence[Record]) -> np.ndarray:
        """(N, k): the counts of each record. Decomposed Hangul (NFD) counts as the same text as composed Hangul
        (NFC)."""
        texts = [{field: comparable(getattr(record, field)) for field in ("output", "reference")} for record in records]
        return self.count([record._replace(**both) for record, both in zip(records, texts, strict=True)])

    def __call__(self, records: Sequence[Record]) -> np.ndarray:
        return self.value(self.counts(records).sum(axis=0))


def mean_of(name: str, task: str, score: Callable[[Record], float]) -> Metric:
    """The mean of something that each record has on its own.

    >>> length = mean_of("characters", "caption", lambda record: len(record.output))
    >>> float(length([Record("a model", "7", "caption", "en", "", "", text) for text in ("four", "fourteen")]))
    6.0
    """
    return Metric(name, task, lambda records: np.array([[score(record), 1] for record in records], dtype=float))


EXACT = mean_of("exactly right", "question", lambda record: record.output == record.reference)
CHOICE = mean_of("right choice", "choice", lambda record: record.output == record.reference)
LENGTH = mean_of("characters", "caption", lambda record: len(record.output))


# ---------------------------------------------------------------------------------------------------------------------
# Captions by their words
# ---------------------------------------------------------------------------------------------------------------------


def by_sacrebleu(name: str, metric: BLEU | CHRF) -> Metric:
    """One of sacrebleu's metrics, by the two methods that its own significance tests use."""

    def counts(records: Sequence[Record]) -> np.ndarray:
        outputs, references = [record.output for record in records], [record.reference for record in records]
        return np.array(metric._extract_corpus_statistics(outputs, [references]), dtype=float)

    def value(sums: np.ndarray) -> np.ndarray:
        scores = [metric._compute_score_from_stats(row.tolist()).score for row in np.atleast_2d(sums)]
        return np.reshape(scores, sums.shape[:-1])

    return Metric(name, "caption", counts, value)


CHRF_PP = by_sacrebleu("chrF++", CHRF(word_order=2))
BLEU_TOKENIZERS = {"13a": "words", "char": "characters", "ko-mecab": "morphemes"}


def bleu(tokenize: str) -> Metric:
    """BLEU on words ("13a", sacrebleu's default), on characters ("char") or Korean morphemes ("ko-mecab").

    Raises ModuleNotFoundError for "ko-mecab" if its dictionary is not installed.

    >>> record = Record("a model", "7", "caption", "ko", "", "빨간 원이 움직입니다.", "빨간 원은 움직입니다.")
    >>> [round(float(bleu(tokens)([record])), 1) for tokens in ("13a", "char")]
    [35.4, 65.8]
    """
    if tokenize == "ko-mecab":
        morphemes("")
    return by_sacrebleu(f"BLEU {BLEU_TOKENIZERS[tokenize]}", BLEU(tokenize=tokenize, force=True))


def morphemes(text: str) -> list[str]:
    """Korean text in morphemes, by sacrebleu's extra `ko`.

    Raises ModuleNotFoundError if it is not installed.
    """
    try:
        return _mecab()(text).split()
    except RuntimeError:
        raise ModuleNotFoundError(
            "Korean morphemes need a dictionary of 100 MB that is not installed: pip install 'sacrebleu[ko]'. "
            "No other score needs it"
        ) from None


@cache
def _mecab() -> TokenizerKoMecab:
    return TokenizerKoMecab()


def characters(text: str) -> list[str]:
    """The characters of a text, blanks left out.

    >>> characters("빨간 원")
    ['빨', '간', '원']
    """
    return list("".join(text.split()))


def cider(name: str, tokens: Callable[[str], list[str]]) -> Metric:
    """CIDEr-D, 0 to 10, on the tokens that `tokens` makes: an n-gram counts more if fewer references hold it.

    Follows pycocoevalcap/cider/cider_scorer.py of tylin/coco-caption, with one reference per clip: n of 1 to 4, counts
    clipped to those of the reference, a Gaussian penalty of 6 tokens on the difference in length. Rarity is computed
    from the references of the same records: with one clip alone, every n-gram is in every reference.

    >>> def record(text): return Record("a model", text, "caption", "en", "", text, text)
    >>> metric = cider("CIDEr", str.split)
    >>> [float(metric([record(text) for text in texts])) for texts in (["a b c d"], ["a b c d", "e f g h"])]
    [0.0, 10.0]
    """
    return Metric(name, "caption", partial(_cider_counts, tokens=tokens))


def _cider_counts(records: Sequence[Record], tokens: Callable[[str], list[str]]) -> np.ndarray:
    """(N, 2): CIDEr-D of each record, and 1."""
    references = [_ngrams(tokens(record.reference)) for record in records]
    outputs = [_ngrams(tokens(record.output)) for record in records]
    in_references = Counter(ngram for counts in references for ngram in counts)

    def weighted(counts: Counter) -> dict[tuple[str, ...], float]:
        return {g: count * np.log(len(records) / max(in_references[g], 1)) for g, count in counts.items()}

    scores = [
        _likeness(weighted(o), weighted(r), _length(o) - _length(r)) for o, r in zip(outputs, references, strict=True)
    ]
    return np.array([[score, 1] for score in scores])


def _ngrams(tokens: list[str]) -> Counter:
    return Counter(tuple(tokens[i : i + n]) for n in (1, 2, 3, 4) for i in range(len(tokens) - n + 1))


def _length(ngrams: Counter) -> int:
    return sum(count for ngram, count in ngrams.items() if len(ngram) == 1)


def _likeness(output: dict, reference: dict, longer: int, sigma: float = 6) -> float:
    """Ten times the mean over n of the cosines of two weighted sets of n-grams, the output's clipped."""
    total = 0.0
    for n in (1, 2, 3, 4):
        mine, true = ({g: w for g, w in weights.items() if len(g) == n} for weights in (output, reference))
        norm = np.sqrt(sum(w * w for w in mine.values()) * sum(w * w for w in true.values()))
        dot = sum(min(w, true[g]) * true[g] for g, w in mine.items() if g in true)
        total += dot / norm if norm else 0
    return 10 * total / 4 * np.exp(-(longer**2) / (2 * sigma**2))


def rouge_tokens(text: str) -> list[str]:
    """The words of a text by the package rouge-score (its tokenize.py): only a to z and 0 to 9.

    >>> rouge_tokens("A red ring."), rouge_tokens("빨간 고리. 코드는 669입니다.")
    (['a', 'red', 'ring'], ['669'])
    """
    return re.findall("[a-z0-9]+", text.lower())


def rouge_1(name: str, tokens: Callable[[str], list[str]] = rouge_tokens) -> Metric:
    """The mean F1 of the words that output and reference share, as rouge-score computes it. A trap for Korean."""

    def f1(record: Record) -> float:
        said, true = Counter(tokens(record.output)), Counter(tokens(record.reference))
        return 2 * (said & true).total() / max(said.total() + true.total(), 1)

    return mean_of(name, "caption", f1)


def distinct(records: Sequence[Record]) -> float:
    """The number of different outputs per clip: near 0 for a model that describes every clip alike.

    It has no interval: a resample holds clips twice, and even the best model gives the same clip the same output.

    >>> distinct([Record("a model", clip, "caption", "en", "", "", "A cat.") for clip in "abcd"])
    0.25
    """
    return len({comparable(record.output) for record in records}) / len({record.clip for record in records})


# ---------------------------------------------------------------------------------------------------------------------
# Captions by their facts
# ---------------------------------------------------------------------------------------------------------------------


def counts_of_facts(record: Record) -> FactCounts:
    """The facts of a caption, compared with those of its reference. Raises ValueError if the reference holds none.

    >>> record = Record("a model", "7", "caption", "ko", "", "코드는 669입니다.", "코드는 123입니다.")
    >>> counts_of_facts(record)
    FactCounts(right=0, missed=1, invented=1)
    """
    said, true = facts(record.output, record.language), facts(record.reference, record.language)
    if not true:
        raise ValueError(f"facts are read from Toybox's captions only, not from {record.reference[:60]!r}")
    return FactCounts(len(said & true), len(true - said), len(said - true))


def _fact_metric(name: str, part: Callable[[FactCounts], float], of: Callable[[FactCounts], float]) -> Metric:
    def counts(records: Sequence[Record]) -> np.ndarray:
        return np.array([[part(one), of(one)] for one in map(counts_of_facts, records)], dtype=float)

    return Metric(name, "caption", counts)


def _names(record: Record) -> tuple[int, int]:
    """In a caption: the names of things that are not there, and the names of all things."""
    said, true = (
        {fact for fact in facts(text, record.language) if fact[0] == "thing"}
        for text in (record.output, record.reference)
    )
    return len(said - true), len(said)


FACTS_RIGHT = _fact_metric("facts right", lambda t: t.right, lambda t: t.right + t.missed)
CHAIR_I = _fact_metric("CHAIR_i", lambda t: t.invented, lambda t: t.right + t.invented)
CHAIR_NAMES = Metric(  # of the names of things alone, as CHAIR counts objects: a wrong name costs one, not four
    "CHAIR names", "caption", lambda records: np.array([_names(record) for record in records], dtype=float)
)
CHAIR_S = _fact_metric("CHAIR_s", lambda t: t.invented > 0, lambda t: 1)
UNREAD = mean_of("unread", "caption", lambda record: bool(unread(record.output, record.language)))


# ---------------------------------------------------------------------------------------------------------------------
# Yes or no
# ---------------------------------------------------------------------------------------------------------------------


def yes_or_no(output: str) -> str:
    """ "yes", "no", or "" for an answer that begins with neither.

    POPE's own evaluate.py takes everything without "no" or "not" for a yes, an empty answer too.

    >>> yes_or_no("Yes, there is."), yes_or_no("no"), yes_or_no("a red ring")
    ('yes', 'no', '')
    """
    first = re.match(r"(yes|no)\b", output.strip().lower())
    return first[1] if first else ""


def _pope(name: str, part: Callable[[str, str], float], of: Callable[[str, str], float]) -> Metric:
    def counts(records: Sequence[Record]) -> np.ndarray:
        pairs = [(yes_or_no(record.output), record.reference) for record in records]
        return np.array([[part(*pair), of(*pair)] for pair in pairs], dtype=float)

    return Metric(name, "pope", counts)


POPE_ACCURACY = _pope("POPE accuracy", lambda out, true: out == true, lambda out, true: 1)
POPE_F1 = _pope(  # of "yes": 2 x hits / (answered "yes" + true "yes")
    "POPE F1", lambda out, true: 2 * (out == true == "yes"), lambda out, true: (out == "yes") + (true == "yes")
)
POPE_YES = _pope("POPE yes", lambda out, true: out == "yes", lambda out, true: 1)
# ---------------------------------------------------------------------------------------------------------------------
# A judge
# ---------------------------------------------------------------------------------------------------------------------


Judge = Callable[[str, str, str], float]  # question, reference, output -> score


def judged(name: str, judge: Judge, task: str = "question") -> Metric:
    """The mean score that a judge gives. The judge (a person, a program or a model) is part of the metric's name.

    No judge is called unless you pass one. For a language model as a judge, write down its exact version, its prompt
    and your rule for answers that cannot be read. Scores by different judges cannot be compared.

    >>> strict = judged("strict", lambda asked, reference, output: 5.0 * (output == reference))
    >>> float(strict([Record("a model", "7", "question colour", "en", "What colour?", "red", "Red")]))
    0.0
    """
    return mean_of(name, task, lambda record: judge(record.asked, record.reference, record.output))
