"""``python -m scripts.tokenizer``: make the tokenizer of a small text encoder from reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fire
import numpy as np
from numpy.random import Generator

from common.text import Tokenizer, train_tokenizer
from common.text.report_writer import LANGUAGES, write_report
from common.text.report_writer_facts import DENSITIES, DESCRIPTORS, QUADRANT_HOURS, SIDES, VALUES, Finding, ReportFacts
from common.utils.messages import PlainError, print_causes_last


def main(out: str, datalist: str | Sequence[str] = (), reports: int = 3000, size: int = 1500, seed: int = 0) -> None:
    """Make a tokenizer.json from made-up mammography reports in English and Dutch, and your own reports.

    The vocabulary holds a lexicon of radiology, all ASCII letters and signs, the words that the reports repeat, and
    pieces for all other words. The same command makes the same file. A text encoder and its tokenizer belong together:
    weights trained with another one are refused.

    Examples:
        python -m scripts.tokenizer --out bundles/vwyl_report_classification/configs/text/tokenizer.json
        python -m scripts.tokenizer --out tokenizer.json --datalist data/exams/datalist.json --reports 0

    Args:
        out: file to write.
        datalist: datalist, or several with commas between, whose training items have reports that are read too.
        reports: number of made-up reports in each language; 0 for none.
        size: number of tokens at most.
        seed: of the made-up reports.
    """
    files = [datalist] if isinstance(datalist, str) else list(datalist)
    texts = [*_made_up(reports, seed), *(text for file in files for text in _of_datalist(Path(file)))]
    tokenizer = train_tokenizer(texts, size)
    tokenizer.save(out)
    print(f"{out}: {tokenizer.vocabulary_size} tokens from {len(texts)} reports, fingerprint {tokenizer.fingerprint}")
    _report_lengths(tokenizer, texts)


def _made_up(count: int, seed: int) -> Iterator[str]:
    """Write reports of random facts in every language."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        facts = _random_facts(rng)
        for number, language in enumerate(LANGUAGES):
            yield write_report(facts, [seed, index, number], language, omitted=0.0)


def _random_facts(rng: Generator) -> ReportFacts:
    """Draw a finding or none for each breast, with any descriptors."""
    findings, absent, normal = [], [], []
    for side in SIDES:
        kind = str(rng.choice([*DESCRIPTORS, "normal"]))
        if kind == "normal":
            normal.append(side)
            continue
        named: dict[str, Any] = {name: str(rng.choice(VALUES[name])) for name in (*DESCRIPTORS[kind], "depth")}
        hours = {
            hour if side == "left" else 12 - hour: place for place, pair in QUADRANT_HOURS.items() for hour in pair
        }
        named["clock"] = int(rng.choice(list(hours)))
        named["quadrant"] = hours[named["clock"]]
        findings.append(Finding(side, kind, size_mm=int(rng.integers(3, 40)), **named))
        absent += [(side, other) for other in DESCRIPTORS if other != kind]
    birads = {side: int(rng.integers(1, 6)) for side in SIDES}
    return ReportFacts(tuple(findings), tuple(absent), tuple(normal), str(rng.choice(DENSITIES)), birads)


def _of_datalist(path: Path) -> list[str]:
    """Return the reports of a datalist's training items."""
    if not path.is_file():
        raise PlainError(f"datalist {path} does not exist; write one with python -m scripts.prepare")
    items = json.loads(path.read_text(encoding="utf-8")).get("training", [])
    found = [item["report"] for item in items if item.get("report")]
    if not found:
        raise PlainError(f"no training item of {path} has a report; name a datalist of exams with reports")
    return [text for report in found for text in ([report] if isinstance(report, str) else report)]


def _report_lengths(tokenizer: Tokenizer, texts: Sequence[str]) -> None:
    """Say how long reports become, for the choice of max_tokens."""
    lengths = [int((tokenizer.encode([text], 512)[0] > 0).sum()) for text in texts[:500]]
    if lengths:
        print(f"a report has {np.median(lengths):.0f} tokens as a rule, {max(lengths)} at most (of {len(lengths)})")


if __name__ == "__main__":
    print_causes_last()
    fire.Fire(main)
