"""The wording of prompts, and which of their words is the finding's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from common.text import Tokenizer, findings_in, load_prompts, prompt_texts

__all__ = ["PromptTexts", "finding_word"]


def finding_word(words: Sequence[str], finding: str) -> int | None:
    """Return which word of a sentence names a finding; None if none does.

    A word does so if it is one of the finding's names in :data:`common.text.lexicon.FINDINGS`, or one of the words of
    the finding's own name, the last one first.
    """
    plain = [word.lower() for word in words]
    for index, word in enumerate(plain):
        if findings_in(word).get(finding):
            return index
    parts = finding.lower().replace("_", " ").split()
    return next((plain.index(part) for part in reversed(parts) if part in plain), None)


class PromptTexts:
    """The sentences that a network's prompts were made of.

    Args:
        path: the file of prompts.
        findings: names of the F findings.
        sides: names of the S sides.
        tokenizer: the tokenizer, or its file.
        token: the network's prompts (S,F,2,Q,T), which the file has to agree with.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the file is no file of prompts, or the network has others.
    """

    def __init__(
        self,
        path: str | Path,
        findings: Sequence[str],
        sides: Sequence[str],
        tokenizer: Tokenizer | str | Path,
        token: Tensor,
    ) -> None:
        known = tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.from_file(tokenizer)
        self._texts = prompt_texts(path, findings, sides)
        self._words = [[[known.words(line) for line in pair[0]] for pair in side] for side in self._texts]
        self._findings = list(findings)
        same = load_prompts(path, findings, sides, known, token.shape[-1])[0]
        if same.shape != token.shape or not bool((same == token.cpu()).all()):
            raise ValueError(f"{path}: the network was given other prompts than these; give the describer its file")

    def sentence(self, side: int, finding: int) -> str:
        """Return the first sentence that states a finding."""
        return self._texts[side][finding][0][0]

    def words_of(self, side: int, finding: int) -> list[tuple[int, int, str]]:
        """Return the prompts that name the finding in a word: number of the prompt, number of the word, the word."""
        found = []
        for prompt, words in enumerate(self._words[side][finding]):
            number = finding_word(words, self._findings[finding])
            if number is not None:
                found.append((prompt, number, words[number]))
        return found
