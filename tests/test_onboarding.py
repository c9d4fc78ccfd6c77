"""The plan of five days: every lesson once, and minutes that add up from the cards of lessons and exercises."""

import re

import pytest

from lib import exercises
from lib.files import ROOT
from lib.job.settings import read_job
from lib.job.training import clips_of
from notebooks import build
from notebooks.korean_twins import read, sections

PLAN = read("docs/onboarding.md")
DAYS = {heading: text for heading, text in sections(PLAN).items() if heading.startswith("Day ")}
CARDS = {source.name[:2]: source.read_text(encoding="utf-8") for source in build.lessons()}


def rows(text):
    """The rows of the tables of a text that end in minutes: (first cell, second cell, minutes)."""
    found = re.findall(r"^\|([^|\n]*)\|([^|\n]*)\| \**(\d+)\** \|$", text, re.MULTILINE)
    return [(first.strip("* "), second.strip("* "), int(minutes)) for first, second, minutes in found]


def lesson_minutes(number):
    """Minutes to read and think, as the lesson's card says."""
    return int(re.search(r"\*\*Minutes\*\* \| (\d+) to read and think; ", CARDS[number])[1])


def exercise_minutes(number):
    return sum(exercise.card.minutes for exercise in exercises.lessons()[number].EXERCISES)


def row_of(day, name):
    """The lessons that a day's row names, and its minutes."""
    ((_, numbers, minutes),) = [row for row in rows(DAYS[day]) if row[0] == name]
    return numbers.split(", "), minutes


def test_every_lesson_has_its_day_in_order():
    assert [int(day[4]) for day in DAYS] == [1, 2, 3, 4, 5]
    assert [number for day in DAYS for number in row_of(day, "Lessons")[0]] == sorted(CARDS)


@pytest.mark.parametrize(("name", "of_card"), [("Lessons", lesson_minutes), ("Exercises", exercise_minutes)])
@pytest.mark.parametrize("day", DAYS)
def test_minutes_are_those_on_the_cards(day, name, of_card):
    numbers, minutes = row_of(day, name)
    assert numbers == row_of(day, "Lessons")[0]
    assert minutes == sum(map(of_card, numbers)), {number: of_card(number) for number in numbers}


@pytest.mark.parametrize("day", DAYS)
def test_a_day_adds_up_and_is_no_longer_than_six_hours(day):
    *parts, (together, _, total) = rows(DAYS[day])
    assert together == "Together" and total == sum(minutes for _, _, minutes in parts) <= 360
    assert len(re.findall(r"^- .+\?$", DAYS[day], re.MULTILINE)) == 4  # what one can explain at its end


def test_the_week_adds_up():
    *days, (_, together, total) = rows(sections(PLAN)["top"])
    assert together == "Together"
    assert [minutes for _, _, minutes in days] == [rows(text)[-1][2] for text in DAYS.values()]
    assert total == sum(minutes for _, _, minutes in days)


def test_readme_has_the_minutes_of_the_cards():
    mapped = re.findall(r"^\| (\d\d) \| .+ \| (\d+) \|$", read("README.md"), re.MULTILINE)
    assert {number: int(minutes) for number, minutes in mapped} == {n: lesson_minutes(n) for n in CARDS}


def test_day_4_trains_in_a_fresh_clone():
    """The commands of the plan name a job and data that are there, with clips to train on and to test on."""
    (text,) = [text for day, text in DAYS.items() if day.startswith("Day 4")]
    ((path, data),) = re.findall(r"-m lib plan (jobs/tiny\.yaml) (data=\S+)`", text)
    _, parts = clips_of(read_job(ROOT / path, [data, "steps=20", "output=runs/sample"]))
    assert parts.to_train_on() and parts.held_out
    assert "train` and `steps=20 output=runs/sample`" in text and "evaluate runs/sample/job.yaml`" in text
