"""Sentences in English and Korean, and the form in which texts are compared."""

import os
import unicodedata
from typing import NamedTuple

LANGUAGES = ("en", "ko")
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: ord(" ")}  # "！" to "～", and the blank
ZERO_WIDTH = dict.fromkeys([0x200B, 0x200C, 0x200D, 0xFEFF])  # None: str.translate deletes them


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


def composed(text: str) -> str:
    """A text without blanks around it, in Unicode's composed form (NFC). macOS writes Hangul in pieces (NFD).

    >>> composed(unicodedata.normalize("NFD", " 바다\\n")) == "바다"
    True
    """
    return unicodedata.normalize("NFC", text.strip())


def comparable(text: str) -> str:
    """A text in the one form in which it is scored.

    It is `composed`; full-width "．" becomes "."; characters without width (U+200B to U+200D, U+FEFF) are deleted.
    NFKC would change more than the form: it turns "…" into "..." and "ㄱ" into "ᄀ".

    >>> comparable("\\ufeff바\\u200b다．")
    '바다.'
    """
    return composed(text.translate(FULL_WIDTH | ZERO_WIDTH))
