"""The caption that has most in common with the others."""

from sacrebleu.metrics import CHRF


def entry(captions):
    score, some = CHRF(word_order=2), captions[:60]
    return max(captions[:120], key=lambda text: sum(score.sentence_score(text, [other]).score for other in some))
