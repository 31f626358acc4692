"""One spelling for what reports and prompts write in many ways; both go through it before anything else reads them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from common.text.laterality import expand_laterality

__all__ = ["check_report", "join_lines", "mask_identifiers", "normalise", "plain_lines"]

_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
_QUOTES = dict.fromkeys(map(ord, "‘’‚‛′"), "'") | dict.fromkeys(map(ord, "“”„‟″«»"), '"')
_SIGNS = {ord("×"): " x ", ord("·"): " ", ord("•"): "\n"}
_CHARACTERS = _DASHES | _QUOTES | _SIGNS

_UNIT = r"(?:mm|cm)\b"
_BIRADS = re.compile(
    r"\b(?:acr[ -]?)?bi[ -]?rads?\b(?:[ -]*(?:category|categorie|cat\b\.?|score|klasse|class|assessment|code))*"
    r"[ :=-]*(?:([0-6])|(vi|iv|v|i{1,3})\b)(?:[ -]?([abc])(?=\W*$|[.,;:)])|-?([abc])\b)?"
)
_ROMAN = ("", "i", "ii", "iii", "iv", "v", "vi")
_RULES = (
    (re.compile(r"(?<=\d),(?=\d+ ?(?:x|by|bij|mm|cm)\b)"), "."),  # 2,1 cm, as written in Dutch
    (re.compile(r"(?<=\d),(?=\d+ ?[x*] ?\d)"), "."),
    (re.compile(r"(?<=\d)(?= ?(?:millimet(?:er|re)s?|mm)\b) ?(?:millimet(?:er|re)s?|mm)\b"), " mm"),
    (re.compile(r"(?<=\d)(?= ?(?:centimet(?:er|re)s?|cm)\b) ?(?:centimet(?:er|re)s?|cm)\b"), " cm"),
    (re.compile(r"(?<=\d) ?(?:x|\*) ?(?=\d)"), " x "),
    (re.compile(rf"(?<=\d) ?({_UNIT}) ?x ?(?=\d)"), r" \1 x "),
    (re.compile(r"\bbi[ -]?rads?\b(?! \d)"), "birads"),
)


def normalise(text: str, deidentify: Callable[[str], str] | None = None) -> str:
    """Write a text the one way that tokenizer, keys and prompts expect.

    Compatibility characters, dashes and quotation marks become plain ones (Unicode NFKC), letters lose their accents
    and capitals. "BI-RADS: 4c", "ACR BIRADS categorie 4 C" become "birads 4c"; "2,1cm" becomes "2.1 cm", "12x8mm"
    "12 x 8 mm"; "L", "rt", "linker", "rechts" become "left" or "right" (see :func:`expand_laterality`). All other
    words stay, in any language. The result is normal already: normalising it again changes nothing.

    Args:
        text: a report, a sentence or a prompt.
        deidentify: called first, with the text as it was given; for instance :func:`mask_identifiers`.

    Returns:
        The text in one line, single-spaced.
    """
    return join_lines(plain_lines(text, deidentify))


def plain_lines(text: str, deidentify: Callable[[str], str] | None = None) -> str:
    """Do the part of :func:`normalise` that concerns single characters and sides, and keep line breaks."""
    plain = deidentify(text) if deidentify is not None else text
    plain = unicodedata.normalize("NFKC", plain.translate(_CHARACTERS))
    plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    return expand_laterality(plain).translate(_CHARACTERS).lower()


def join_lines(lines: str) -> str:
    """Do the other part: lines that belong together become one, and its numbers, units and BI-RADS are rewritten."""
    line = _BIRADS.sub(_birads, " ".join(lines.split()))
    for pattern, replacement in _RULES:
        line = pattern.sub(replacement, line)
    return " ".join(line.split())


def mask_identifiers(text: str) -> str:
    """Replace what often names a person: dates, long numbers, names after a title, e-mail addresses.

    It is a net with wide meshes, not an anonymisation: names without a title stay. Sizes and BI-RADS stay too.

    Args:
        text: a report as it was written.

    Returns:
        The report with "date", "number", "name" and "address" in those places.
    """
    masked = re.sub(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "address", text)
    masked = re.sub(r"\b\d{1,4}[-/.]\d{1,2}[-/.]\d{2,4}\b", "date", masked)
    masked = re.sub(r"\b\d{5,}\b", "number", masked)
    return re.sub(r"\b(?:Drs?|Prof|Mrs?|Ms|Mw|Dhr)\b\.? +(?:[A-Z]\. ?)*[A-Z][\w'-]+", "name", masked)


def check_report(text: object, where: str) -> str:
    """Refuse a report that nothing could be learned from.

    Args:
        text: what was found in a report's place.
        where: whose report it is, for the message, such as "exam 'E0012'".

    Returns:
        The report as it was given.

    Raises:
        ValueError: if it is no text, empty, or mostly written in another script than the Latin one.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{where} has no report text (found {text!r}); write one, or leave the exam out")
    letters = [c for c in unicodedata.normalize("NFKC", text) if c.isalpha()]
    latin = sum(unicodedata.name(c, "").startswith("LATIN") for c in letters)
    if not letters:
        raise ValueError(f"{where}: the report {text.strip()[:40]!r} has no words; write one, or leave the exam out")
    if 2 * latin < len(letters):
        raise ValueError(
            f"{where}: the report {text.strip()[:40]!r} is not in Latin script, which the tokenizer knows alone; "
            "translate it first, or leave the exam out"
        )
    return text


def _birads(match: re.Match[str]) -> str:
    category = match[1] or str(_ROMAN.index(match[2]))
    return f"birads {category}{match[3] or match[4] or ''}"
