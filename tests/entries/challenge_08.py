"""The adapter that the course ships: 7,000 steps."""

from lib.files import DATA


def entry():
    return DATA / "korean-lora"
