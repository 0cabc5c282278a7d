"""The words of a text in any language."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

from unrolled.errors import require_extra

# Scripts that put no blanks between words, and the marks of length that kana share.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー"
_JOINED = r"\p{Extended_Pictographic}(?:\uFE0F|\p{Emoji_Modifier})?"
_TOKEN = (
    rf"(?V1)[[\p{{L}}\p{{M}}\p{{N}}_]--[{_UNSPACED}]]+(?:'[[\p{{L}}\p{{M}}]--[{_UNSPACED}]]+)*"  # a word, it's
    rf"|[[\p{{L}}\p{{M}}\p{{N}}ー]&&[{_UNSPACED}]]\p{{M}}*"  # a character with its marks
    rf"|{_JOINED}(?:\u200D{_JOINED})*"  # an emoji, of several people and of any skin
    r"|\p{Regional_Indicator}{2}"  # a flag
)
# What _TOKEN finds in lower-case ASCII, three times as fast. Not possessive: Python 3.11.2 gets that wrong with groups.
_ASCII_TOKEN = re.compile(r"[0-9a-z_]+(?:'[a-z]+)*")


@cache
def _pattern() -> Any:
    return require_extra("regex", "text", "Splitting texts into words").compile(_TOKEN)


def split_words(text: str) -> list[str]:
    """The words of a text in any language, in lower case.

    "Don't panic, 東京! 👍🏽" -> don't, panic, 東, 京, 👍🏽

    A word is a run of letters, marks and digits of any script, with apostrophes inside. Scripts without
    blanks between words (Han, kana, Thai, Lao, Khmer, Burmese) give a token for each character; an emoji or a flag is a
    token; other signs are left out. Forms that look alike are unified first
    (NFKC: half-width kana, full-width letters, composed accents).

    Returns: the words in order; none for a text without any.
    Raises:  MissingExtraError (an ImportError) for a text beyond ASCII without the extra "text".
    Source:  Unicode Standard Annexes 15 and 29, simplified; properties from the package regex.
    """
    if text.isascii():
        return _ASCII_TOKEN.findall(text.lower())
    unified = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
    return list(_pattern().findall(unified))
