"""Sentences in English and Korean, the switch between them, and the form in which texts are compared.

The variable F2T_LANGUAGE ("en" or "ko") is the switch. If it names neither, the locale decides (LC_ALL, LC_MESSAGES,
LANG): Korean for a Korean locale, else English. `exercises.language` and a Korean notebook set the variable.
"""

import os
import re
import unicodedata
from typing import NamedTuple

LANGUAGES = ("en", "ko")
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: ord(" ")}  # "！" to "～", and the blank
ZERO_WIDTH = dict.fromkeys([0x200B, 0x200C, 0x200D, 0xFEFF])  # None: str.translate deletes them

_notebook = "en"  # language of this session's notebook


def switched() -> str | None:
    """The language that F2T_LANGUAGE names; None if it names none."""
    named = os.environ.get("F2T_LANGUAGE")
    return named if named in LANGUAGES else None


def spoken() -> str:
    """The language of messages: that of F2T_LANGUAGE, else Korean in a Korean locale, else English."""
    named = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return switched() or ("ko" if re.fullmatch(r"ko([_.@].*)?", named) else "en")


def begin_notebook(language: str) -> None:
    """Starts a notebook in this language: messages use it, unless F2T_LANGUAGE names one already."""
    global _notebook
    _notebook = language
    if not switched():
        os.environ["F2T_LANGUAGE"] = language


def notebook_language() -> str:
    """The language in which this session's notebook is written."""
    return _notebook


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
        """The filled sentence in the language of messages (`spoken`)."""
        return getattr(self.fill(**values), spoken())


def in_columns(text: str, width: int) -> str:
    """A text padded with blanks to `width` columns: on the right, or on the left if width is below 0. Hangul takes two.

    >>> in_columns("card", 6) + "|", in_columns("카드", 6) + "|", in_columns("카드", -6)
    ('card  |', '카드  |', '  카드')
    """
    blanks = " " * (abs(width) - sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text))
    return text + blanks if width > 0 else blanks + text


def composed(text: str) -> str:
    """A text without blanks around it, in Unicode's composed form (NFC). macOS decomposes Hangul (NFD).

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
