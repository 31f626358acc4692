"""Sentences that stand for a finding's presence and absence, so that a network can be asked about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.text.normalise import normalise
from common.text.tokenizer import Tokenizer
from common.utils.messages import did_you_mean

__all__ = ["load_prompts", "prompt_texts"]

ANSWERS = ("positive", "negative")


def prompt_texts(path: str | Path, findings: Sequence[str], sides: Sequence[str]) -> list[list[list[list[str]]]]:
    """Read a file of prompts.

    The file: ``{"findings": {"mass": {"positive": ["There is a mass in the {side} breast.", ...], "negative": [...]},
    ...}}``, as many sentences each time. Sides are written "left" and "right" in all languages, since that is how
    :func:`common.text.normalise` writes them.

    Args:
        path: the JSON file.
        findings: the F findings to ask about.
        sides: names of the S sides; a single one means a body without sides, whose prompts need no ``{side}``.

    Returns:
        Q normalised sentences for each side, finding and answer (S, F, 2), the positive answer first.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such file, a finding is missing or has no prompt for an answer, the numbers of prompts
            differ, or a prompt does not say which of several sides it means.
    """
    content = _read(Path(path))
    for finding in findings:
        if finding not in content:
            raise ValueError(
                f"{path} has no prompts for the finding '{finding}'{did_you_mean(finding, content)}; it has some for "
                f"{', '.join(content) or 'nothing'}. Add them, or leave the finding out"
            )
    sentences = {finding: _sentences(content[finding], finding, sides, path) for finding in findings}
    counts = {(finding, answer): len(lines) for finding in findings for answer, lines in sentences[finding].items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} for {finding} {answer}" for (finding, answer), count in counts.items())
        raise ValueError(f"{path}: expected equally many prompts everywhere, found {listed}")
    return [
        [
            [[normalise(line.replace("{side}", side)) for line in sentences[finding][answer]] for answer in ANSWERS]
            for finding in findings
        ]
        for side in sides
    ]


def load_prompts(
    path: str | Path,
    findings: Sequence[str],
    sides: Sequence[str],
    tokenizer: Tokenizer | str | Path,
    max_tokens: int = 32,
) -> tuple[Tensor, Tensor]:
    """Read prompts as numbers, ready to be kept in a network.

    Args:
        path: see :func:`prompt_texts`.
        findings: the F findings to ask about.
        sides: names of the S sides.
        tokenizer: the tokenizer of the text encoder, or its file.
        max_tokens: length T.

    Returns:
        token (S,F,2,Q,T) and word (S,F,2,Q,T), int64, as :meth:`Tokenizer.encode` returns them; the positive answer
        comes first.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: see :func:`prompt_texts`; also if a prompt has no known word.
    """
    texts = prompt_texts(path, findings, sides)
    known = tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.from_file(tokenizer)
    shape = (len(sides), len(findings), len(ANSWERS), -1, max_tokens)
    token, word = known.encode(
        [line for side in texts for pair in side for lines in pair for line in lines], max_tokens
    )
    return torch.reshape(token, shape), torch.reshape(word, shape)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"prompt file {path} does not exist; the bundle has some in configs/text/")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is not JSON ({error}); compare it with the bundle's configs/text/prompts.json"
        ) from None
    findings = content.get("findings") if isinstance(content, dict) else None
    if not isinstance(findings, dict):
        raise ValueError(f'{path}: expected {{"findings": {{"<name>": {{"positive": [...], "negative": [...]}}}}}}')
    return findings


def _sentences(given: object, finding: str, sides: Sequence[str], path: str | Path) -> dict[str, list[str]]:
    """Return a finding's prompts by answer, checked."""
    checked = {}
    for answer in ANSWERS:
        lines = given.get(answer) if isinstance(given, Mapping) else None
        if (
            not isinstance(lines, list)
            or not lines
            or not all(isinstance(line, str) and line.strip() for line in lines)
        ):
            raise ValueError(
                f"{path}: '{finding}' has no {answer} prompts (found {lines!r}); expected a list of sentences, such as "
                '["There is a mass in the {side} breast."]'
            )
        for line in lines:
            if len(sides) > 1 and "{side}" not in line:
                raise ValueError(
                    f"{path}: the {answer} prompt of '{finding}' {line!r} does not say which side it means; write "
                    f"{{side}}, which becomes {' or '.join(sides)}"
                )
        checked[answer] = lines
    return checked
