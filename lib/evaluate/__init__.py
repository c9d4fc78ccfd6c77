"""Scores with intervals: of answers and captions, of one system or of two that saw the same clips.

A score of n clips is a measurement, and a measurement has an interval. If two models or reducers saw the same clips,
the interval of their difference is narrower than the two intervals suggest. `difference` and `paired` use the pairs.

    captions_by, answers_by -> Records -> write_records, read_records -> measure, paired, table

A table is made of records alone, by the metrics of `lib.evaluate.metrics`: the file of records determines the table to
the last digit.
"""

from lib.evaluate.answers import answers_by, caption_limit, captions_by
from lib.evaluate.exact import clip_shares, exact_match, grade, token_needs
from lib.evaluate.intervals import Score, bootstrap_shares, difference, percentile_interval, resample_counts, score
from lib.evaluate.questions import POPE, multiple_choice, open_questions, probes
from lib.evaluate.records import measure, of_task, paired, read_records, table, write_records
