"""The words of prompts that name findings, and their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FindingWords", "finding_words", "word_vectors"]

MAX_TOKENS = 64


@dataclass(frozen=True)
class FindingWords:
    """Positive prompts as numbers, and which of their words name the finding that they state.

    Attributes:
        token: (S,F,Q,T) int64.
        word: (S,F,Q,T) int64.
        named: (S,F,Q,T) bool, by word number.
    """

    token: Tensor
    word: Tensor
    named: Tensor


def finding_words(
    prompts: str | Path, tokenizer: str | Path, findings: Sequence[str], sides: Sequence[str]
) -> FindingWords:
    """Read positive prompts and find the word in each that names its finding (:mod:`common.explain.finding_words`).

    Args:
        prompts: see :func:`common.text.prompt_texts`.
        tokenizer: its file.
        findings: names of the F findings.
        sides: names of the S sides.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a finding is named by no single word in any of its prompts.
    """
    from common.explain.finding_words import finding_word
    from common.text import Tokenizer, prompt_texts  # the library of tokenizers takes its time to load

    known = Tokenizer.from_file(tokenizer)
    texts = [[pair[0] for pair in side] for side in prompt_texts(prompts, findings, sides)]
    lines = [line for side in texts for lines in side for line in lines]
    token, word = known.encode(lines, MAX_TOKENS)
    named = torch.zeros_like(token, dtype=torch.bool)
    row = 0
    for side in texts:
        for finding, positive in zip(findings, side, strict=True):
            for line in positive:
                number = finding_word(known.words(line), finding)
                if number is not None and number < MAX_TOKENS:
                    named[row, number] = True
                row += 1
            if not named[row - len(positive) : row].any():
                raise ValueError(
                    f"no word in the positive prompts of '{finding}' names it, such as in '{positive[0]}'; write one "
                    "with its name, or leave the maps of words out"
                )
    shape = (len(sides), len(findings), -1, MAX_TOKENS)
    return FindingWords(token.reshape(shape), word.reshape(shape), named.reshape(shape))


def word_vectors(network: Any, words: FindingWords) -> Tensor:
    """Return a unit vector for the words that name each finding, inside the prompts for each side.

    Args:
        network: with "encode_text", whose "word_vector" (M,W,D) is compared with regions.
        words: of S sides and F findings.

    Returns:
        (S,F,D): unit vectors along the mean of the unit vectors of all such words.
    """
    device = next(network.parameters()).device
    with torch.no_grad():
        text = network.encode_text(words.token.flatten(0, 2).to(device), words.word.flatten(0, 2).to(device))
    vectors = F.normalize(text["word_vector"].float(), dim=2, eps=1e-8)
    length = vectors.shape[1]
    named = words.named.flatten(0, 2)[:, :length].to(vectors)
    total = (vectors * named.unsqueeze(2)).sum(1)
    return F.normalize(total.unflatten(0, words.token.shape[:3]).sum(2), dim=2, eps=1e-8)
