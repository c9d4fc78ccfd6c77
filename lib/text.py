"""Sentences in English and Korean, and the form in which texts are compared."""

import os
import unicodedata
from typing import NamedTuple

LANGUAGES = ("en", "ko")


class Text(NamedTuple):
    """A sentence in both languages.

    >>> Text("{n} frames", "{n}개 프레임").fill(n=8)
    Text(en='8 frames', ko='8개 프레임')
    """

    en: str
    ko: str

    def fill(self, **values) -> "Text":
        return Text(self.en.format(**values), self.ko.format(**values))

    def say(self, **values) -> str:
        """The filled sentence in the language of the variable F2T_LANGUAGE; in English where it names neither."""
        language = os.environ.get("F2T_LANGUAGE")
        return getattr(self.fill(**values), language if language in LANGUAGES else "en")


def comparable(text: str) -> str:
    """A text without blanks around it, in Unicode's composed form (NFC). macOS writes Hangul in pieces (NFD).

    >>> comparable(unicodedata.normalize("NFD", " 바다\\n")) == "바다"
    True
    """
    return unicodedata.normalize("NFC", text.strip())
