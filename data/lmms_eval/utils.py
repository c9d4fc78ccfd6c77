"""What the task files beside this one call, in lmms-eval's shape; the scores are those of the course.

A document is a line of test.jsonl, as lib.tools.lmms_eval writes it: clip, video (a path), question, reference.
"""

from lib.evaluate import metrics
from lib.evaluate.metrics import Record

SCORES = ("chrf_pp", "bleu_char", "cider", "distinct", "facts_right", "chair_i", "chair_s")


def doc_to_visual(doc):
    return [doc["video"]]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    words = lmms_eval_specific_kwargs or {}
    return words.get("pre_prompt", "") + doc["question"] + words.get("post_prompt", "")


def process_results(doc, results):
    """The same record for every score: each is computed from all captions at once. A task uses those that it lists."""
    record = Record("", doc["clip"], "caption", "ko", doc["question"], doc["reference"], results[0].strip())
    return {score: tuple(record) for score in SCORES}


def records(results):
    return [Record(*result) for result in results]


def chrf_pp(results):
    return float(metrics.CHRF_PP(records(results)))


def bleu_char(results):
    return float(metrics.bleu("char")(records(results)))


def cider(results):
    return float(metrics.cider("CIDEr", metrics.characters)(records(results)))


def distinct(results):
    return metrics.distinct(records(results))


def facts_right(results):
    return float(metrics.FACTS_RIGHT(records(results)))


def chair_i(results):
    return float(metrics.CHAIR_I(records(results)))


def chair_s(results):
    return float(metrics.CHAIR_S(records(results)))
