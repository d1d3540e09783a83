"""Text for people: from outside, made safe for terminals and labels, and amounts in words."""

from __future__ import annotations

import unicodedata

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that do not show themselves: controls, bidi overrides, lone surrogates, …"""


def printable(text: str, keep: str = "") -> str:
    """Replace characters that act on a terminal or hide, but for ``keep``, by escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        at.encode("unicode_escape").decode("ascii")
        if unicodedata.category(at) in HIDDEN and at not in keep
        else at
        for at in text
    )


def is_unicode(text: str) -> bool:
    """Whether text can be written as UTF-8; the name of a file may be bytes that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class SentenceError(Exception):
    """An error whose message is one sentence, on one line, that can be shown anywhere."""

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


def duration(seconds: float) -> str:
    """Seconds in words: "3 min 36 s"."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.1f} s"


def counted(count: int, noun: str) -> str:
    """A number of things in words: "1 epoch", "2,000 steps"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
