"""data/papers.csv: every published number that a lesson quotes, with its source."""

import csv
from collections import Counter
from pathlib import Path

import pytest

PATH = Path(__file__).parent.parent / "data" / "papers.csv"
COLUMNS = ["paper", "model", "setting", "metric", "value", "source", "status", "note"]
# published: by the authors. reported: measured by someone else, who is named. secondary: we saw a restatement only.
STATUSES = {"published", "reported", "secondary", "study-notes-unsupported", "study-notes-wrong"}


@pytest.fixture(scope="module")
def rows():
    """All rows as dictionaries."""
    with PATH.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def find(rows, **wanted):
    """The one value whose row has all the wanted cells."""
    found = [row["value"] for row in rows if all(row[column] == cell for column, cell in wanted.items())]
    assert len(found) == 1, f"{len(found)} rows for {wanted}"
    return float(found[0])


def test_columns_and_types(rows):
    """Eight text cells each, nothing missing but the note; values are plain numbers; statuses are known."""
    assert rows and all(list(row) == COLUMNS for row in rows)
    for row in rows:
        assert all(row[column] and row[column] == row[column].strip() for column in COLUMNS if column != "note"), row
        assert float(row["value"]) > 0, row
        assert row["status"] in STATUSES, row


def test_no_number_twice(rows):
    """One row for one number: what was measured appears once per source."""
    keys = Counter(tuple(row[column] for column in ("paper", "model", "setting", "metric", "status")) for row in rows)
    assert max(keys.values()) == 1, keys.most_common(3)


def test_scores_are_in_range(rows):
    """Accuracies are percentages, judged scores 0 to 5: catches a slipped column."""
    for row in rows:
        value = float(row["value"])
        if "accuracy" in row["metric"] or row["metric"] in ("EgoSchema", "IntentQA", "PerceptionTest", "MLVU"):
            assert 10 < value < 100 or row["metric"].endswith("gain"), row
        if row["metric"].startswith(("VCG", "VDD")) or row["metric"].endswith("score"):
            assert 2 < value <= 5, row


def test_the_study_notes_are_marked(rows):
    """What no source supports, or what a source contradicts, can never be quoted as published."""
    for row in rows:
        assert row["status"].startswith("study-notes") == row["source"].startswith("the study notes"), row
        assert row["note"] or not row["status"].startswith("study-notes"), row


def test_known_numbers(rows):
    """A few numbers checked by hand against their tables."""
    dpo = {"model": "LLaVA-NeXT-Video-DPO-7B", "metric": "ActivityNet-QA accuracy"}
    assert find(rows, **dpo, status="published") == 60.2
    assert find(rows, **dpo, status="study-notes-wrong") == 56.2
    assert find(rows, model="SlowFast-LLaVA-7B", setting="slow 10x24x24; fast 50x4x4", metric="EgoSchema") == 53.2
    assert find(rows, model="LLaMA-VID-7B-224", metric="MSVD-QA accuracy") == 69.7
    ablation = "context=4096; rope=1; stride=2; tokens_per_frame=144; frames=16"
    assert find(rows, setting=ablation, metric="VDD") == 2.76
    for model, metric in (("LLaVA-NeXT-Video-7B", "MSVD-QA accuracy"), ("LLaVA-NeXT-Video-DPO-7B", "TGIF-QA accuracy")):
        assert not [row for row in rows if (row["model"], row["metric"], row["status"]) == (model, metric, "published")]
