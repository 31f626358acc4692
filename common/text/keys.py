"""Which findings a sentence states or denies, and numbers that are equal where two sentences say the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from common.text.laterality import side_of
from common.text.lexicon import DENIALS_AFTER, DENIALS_BEFORE, FINDINGS, GONE, NO_DENIALS, NORMAL, PARTS, SCOPE_ENDS
from common.text.normalise import normalise
from common.utils.choices import check_choice

__all__ = ["KEY_MODES", "findings_in", "sentence_key"]

KEY_MODES = ("finding", "text")


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(patterns, key=len, reverse=True))})(?![\w])")


_FINDINGS = {name: _any_of(patterns) for name, patterns in FINDINGS.items()}
_NORMAL, _BEFORE, _AFTER = _any_of(NORMAL), _any_of(DENIALS_BEFORE), _any_of(DENIALS_AFTER)
_NO_DENIAL, _PART, _GONE = _any_of(NO_DENIALS), _any_of(PARTS), _any_of(GONE)
_SCOPE_END = re.compile(rf"{_any_of(SCOPE_ENDS).pattern}|[;.!?](?=\s|$)")
_ALL_SIDES = ("left", "right")
_VERB = (
    r"\b(?:is|are|was|were|has|have|shows?|seen|noted|present|identified|visible|found|"
    r"wordt|worden|zijn|zichtbaar|aanwezig|gezien|gevonden)\b"
)
_STATED = re.compile(_VERB)
_NEXT_STATEMENT = re.compile(_VERB + r"\W*(?:,|\band\b|\ben\b)")


def findings_in(sentence: str) -> dict[str, bool]:
    """Find what a sentence says about findings.

    Keywords of :data:`common.text.lexicon.FINDINGS` in English and Dutch; a denial holds for its clause ("no mass, but
    calcifications"; "mass without calcifications"; "calcifications are not seen"). A sentence that names no finding and
    calls a side or all normal, not just the skin or the heart, states ``"normal"``. A list of words, not an
    understanding: hedges count as statements.

    Args:
        sentence: one sentence, normalised or not.

    Returns:
        Whether each finding named is present, by name, in the lexicon's order; empty where none is named. One that is
        both stated and denied counts as stated.
    """
    found: dict[str, bool] = {}
    text = _NO_DENIAL.sub(lambda match: "~" * len(match[0]), normalise(sentence))
    for clause in _SCOPE_END.split(text):
        for name, pattern in _FINDINGS.items():
            for match in pattern.finditer(clause):
                denied = _is_denied(clause[: match.start()], clause[match.end() :])
                found[name] = found.get(name, False) or not denied
    if not found and _NORMAL.search(text) and not _PART.search(text):
        return {"normal": True}
    return {name: found[name] for name in _FINDINGS if name in found}


def _is_denied(before: str, after: str) -> bool:
    """Tell whether words around a keyword deny it, and do not belong to another statement of the clause."""
    for match in _BEFORE.finditer(before):
        if not _NEXT_STATEMENT.search(before[match.end() :]):
            return True
    gone = _GONE.search(after)
    if gone is not None and not _NEXT_STATEMENT.search(after[: gone.start()]):
        return True
    denial = _AFTER.search(after)
    return denial is not None and not _STATED.search(after[: denial.start()])


def sentence_key(sentence: str, mode: str = "finding") -> int:
    """Return a number that two sentences share if they say the same.

    Args:
        sentence: one sentence.
        mode: ``"finding"``: the same findings are stated and denied of the same side, in whatever words, and a
            sentence without findings is only like itself; ``"text"``: the normalised texts are equal.

    Returns:
        A number of 63 bits, the same in every process and on every machine.

    Raises:
        ValueError: if the mode is unknown.
    """
    check_choice("the mode of sentence keys", mode, KEY_MODES)
    text = normalise(sentence).strip(" .!?;")
    found = findings_in(text) if mode == "finding" else {}
    if found:
        facts = " ".join(f"{'+' if present else '-'}{name}" for name, present in found.items())
        text = f"{side_of(text, _ALL_SIDES)} {facts}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
