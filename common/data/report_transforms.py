"""Turn the reports of exams into the numbers that text encoders and losses take."""

from __future__ import annotations

import logging
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms.transform import Randomizable, Transform
from torch import Tensor

from common.data.errors import CaseError
from common.utils.choices import check_choice

__all__ = ["ChooseReportd", "TokenizeReportd"]

TOKENIZED = ("token", "word", "sentence_side", "sentence_finding", "text_key")
FEWEST_TOKENS = 3  # two mark begin and end
NORMAL = "normal"  # what findings_in says of a side without any

logger = logging.getLogger(__name__)


class TokenizeReportd(Transform):
    """Split reports into sentences and number their tokens.

    The item gets, for N sentences of T tokens:

    * ``token`` (N, T) int64, 0 for padding, and ``word`` (N, T) int64, the number of the word that a token is part of,
      -1 for padding and special tokens;
    * ``sentence_side`` (N,) int64, the side that a sentence speaks of, -1 for both, none, and no sentence;
    * ``sentence_finding`` (N,) int64, 1 where a finding is stated, 0 where all are denied or a side is called normal,
      -1 where none is spoken of (:func:`common.text.findings_in`);
    * ``text_key`` (N,) int64, equal where sentences say the same (:func:`common.text.sentence_key`), -1 where there is
      no sentence.

    An exam with a list of R reports gets all of them, with a further first axis R, for :class:`ChooseReportd` to choose
    from. Nothing is drawn at random, so results can be cached.

    Args:
        tokenizer: the ``tokenizer.json``, or a :class:`common.text.Tokenizer`.
        max_sentences: N; of longer reports the end is left out, which is logged and counted.
        max_tokens: T; of longer sentences the end is left out, which the tokenizer logs.
        sides: names of the sides, in the order of the network's.
        key: what makes two sentences the same: "finding" or "text".
        sided_only: leave out sentences of no single side, such as those about density, unless no others are there.
        allow_missing: whether an exam may have no report: all its values then are padding.
        report_key: the report, a text or a list of texts.

    Attributes:
        shortened: how many reports have lost sentences so far, in this process.

    Raises:
        ValueError: if max_sentences, max_tokens or key cannot be used, or the file is no tokenizer.
        FileNotFoundError: if there is no tokenizer.
    """

    def __init__(
        self,
        tokenizer: Any,
        max_sentences: int = 12,
        max_tokens: int = 32,
        sides: Sequence[str] = ("left", "right"),
        key: str = "finding",
        sided_only: bool = False,
        allow_missing: bool = False,
        report_key: str = "report",
    ) -> None:
        from common.text import KEY_MODES, Tokenizer  # the library of tokenizers takes its time to load

        check_choice("key", key, KEY_MODES)
        if max_sentences < 1 or max_tokens < FEWEST_TOKENS:
            raise ValueError(
                f"max_sentences is {max_sentences} and max_tokens {max_tokens}, expected 1 or more and {FEWEST_TOKENS} "
                "or more"
            )
        if isinstance(sides, str):
            raise ValueError(f"sides is the text '{sides}', expected a list: ['{sides}']")
        self.tokenizer = Tokenizer.from_file(tokenizer) if isinstance(tokenizer, str | Path) else tokenizer
        self.max_sentences, self.max_tokens = max_sentences, max_tokens
        self.sides, self.key = tuple(sides), key
        self.sided_only, self.allow_missing, self.report_key = sided_only, allow_missing, report_key
        self.shortened = 0

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its report in numbers.

        Raises:
            CaseError: if the report is missing, not in Latin letters, or has a sentence without any known token.
        """
        item = dict(data)
        report = item.get(self.report_key)
        if isinstance(report, list | tuple) and report:
            numbers = [self._numbers(item, text) for text in report]
            return item | {key: torch.stack([each[key] for each in numbers]) for key in TOKENIZED}
        return item | self._numbers(item, report)

    def _numbers(self, item: Mapping[Hashable, Any], report: Any) -> dict[str, Tensor]:
        from common.text import check_report, sentence_key, side_of, split_sentences

        rows = torch.zeros(self.max_sentences, self.max_tokens, dtype=torch.int64)
        none = torch.full((self.max_sentences,), -1, dtype=torch.int64)
        made = {"token": rows, "word": rows - 1}
        made |= {key: none.clone() for key in ("sentence_side", "sentence_finding", "text_key")}
        if not report and self.allow_missing:
            return made
        case = str(item.get("case_id", ""))
        try:
            sentences = split_sentences(check_report(report, "the exam"))
            if not sentences:
                raise ValueError(f"the report {report!r} has no sentence")
            sided = [sentence for sentence in sentences if side_of(sentence, self.sides) >= 0]
            sentences = self._shortened(sided if self.sided_only and sided else sentences, case)
            token, word = self.tokenizer.encode(sentences, self.max_tokens)
        except ValueError as error:
            remedy = "Correct the report, or leave the exam out of the datalist"
            raise CaseError(self.report_key, str(error), remedy, case) from None
        count = len(sentences)
        made["token"][:count], made["word"][:count] = token, word
        made["sentence_side"][:count] = torch.tensor([side_of(sentence, self.sides) for sentence in sentences])
        made["sentence_finding"][:count] = torch.tensor([_stated(sentence) for sentence in sentences])
        made["text_key"][:count] = torch.tensor([sentence_key(sentence, self.key) for sentence in sentences])
        return made

    def _shortened(self, sentences: list[str], case: str) -> list[str]:
        """Return the sentences that there is room for; say so for the first report cut, the tenth, and so on."""
        if len(sentences) <= self.max_sentences:
            return sentences
        self.shortened += 1
        if re.fullmatch("10*", str(self.shortened)):
            logger.warning(
                "%d report(s) so far had more than %d sentences and lost the others; that of case '%s' has %d. Raise "
                "max_sentences if that matters",
                self.shortened,
                self.max_sentences,
                case,
                len(sentences),
            )
        return sentences[: self.max_sentences]


def _stated(sentence: str) -> int:
    """Return 1 for a sentence that states a finding, 0 for one that denies all it names, -1 for one about none."""
    from common.text import findings_in

    found = findings_in(sentence)
    if not found:
        return -1
    return int(any(present for name, present in found.items() if name != NORMAL))


class ChooseReportd(Transform, Randomizable):
    """Take one of an exam's reports: any in training, the first in validation.

    Put it behind :class:`TokenizeReportd`, so that the tokens of all reports are cached and only the choice is made
    anew; before it, it chooses among the texts. An exam whose report is a text passes unchanged.

    Args:
        random: whether to draw one; False takes the first.
        keys: what has one value for each report; those that an item does not have are passed over.
        report_key: the list of reports.
    """

    def __init__(self, random: bool, keys: Sequence[str] = TOKENIZED, report_key: str = "report") -> None:
        self.random, self.keys, self.report_key = random, tuple(keys), report_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with one report.

        Raises:
            CaseError: if its list of reports is empty.
        """
        item = dict(data)
        reports = item.get(self.report_key)
        if not isinstance(reports, list | tuple):
            return item
        if not reports:
            remedy = "Give it a report, or leave the exam out of the datalist"
            raise CaseError(self.report_key, "the list of its reports is empty", remedy, str(item.get("case_id", "")))
        index = int(self.R.randint(len(reports))) if self.random else 0
        return item | {key: item[key][index] for key in (self.report_key, *self.keys) if key in item}
