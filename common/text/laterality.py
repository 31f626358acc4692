"""Left and right: how reports write them, and which side a sentence speaks of."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["expand_laterality", "side_of"]

_LEFT = re.compile(
    r"\b(?:links?zijdige?|linker|links|lt\b\.?(?!')|li\.)(?=\W|$|(?:borst|mamma|oksel|boven|onder)\w*)", re.IGNORECASE
)
_RIGHT = re.compile(
    r"\b(?:rechtszijdige?|rechter|rechts|rt\b\.?(?!')|re\.)(?=\W|$|(?:borst|mamma|oksel|boven|onder)\w*)", re.IGNORECASE
)
_LETTER = re.compile(r"(?<![\w'.])(?<!\d )(?:\(([LR])\)|([LR])\b\.?(?!['\d]))")
_NAMES = {"L": "left", "R": "right"}
_BOTH = re.compile(r"\b(?:bilateral\w*|both|beid(?:e|er)\w*|bdz)\b")


def expand_laterality(text: str) -> str:
    """Write "left" and "right" out.

    Args:
        text: a report in its own capitals: a single letter is a side only if it is a capital.

    Returns:
        The text with "left" or "right" for L, R, (L), lt, rt, "li.", "re.", links, rechts, linker, rechter (a compound
        such as "linkerborst" is parted) and linkszijdig, rechtszijdig.
    """
    text = _LETTER.sub(lambda match: _NAMES[match[1] or match[2]], text)
    return _word(_word(text, _LEFT, "left"), _RIGHT, "right")


def side_of(sentence: str, sides: Sequence[str]) -> int:
    """Tell which side a sentence speaks of.

    Args:
        sentence: normalised text.
        sides: names of the sides, such as ``["left", "right"]``; a single name stands for a body without sides, of
            which every sentence speaks.

    Returns:
        Index of the only side that is named, or -1: none is, several are, or the sentence speaks of both.
    """
    if len(sides) == 1:
        return 0
    named = [index for index, side in enumerate(sides) if re.search(rf"\b{re.escape(side.lower())}\b", sentence)]
    return named[0] if len(named) == 1 and not _BOTH.search(sentence) else -1


def _word(text: str, pattern: re.Pattern[str], name: str) -> str:
    """Replace a side's words, with a blank before the rest of a compound."""
    return pattern.sub(
        lambda match: name + (" " if match.string[match.end() : match.end() + 1].isalpha() else ""), text
    )
