"""The label of an exam, one value for each side and finding: from columns of 0 and 1, or from what its reports say."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from common.data.datalist_checks import suggestion
from common.data.errors import DatalistError
from common.data.exams import ExamLayout
from common.data.sources.table_labels import FLAGS
from common.data.tables import Row


def label_columns(layout: ExamLayout) -> list[str]:
    """Return the names of the columns with the label: those of the classes, with _ for blanks."""
    return [name.replace(" ", "_") for name in layout.classes]


def label_in_columns(row: Row, layout: ExamLayout, views: Collection[str]) -> list[int] | str:
    """Return the label in a row, or a word on the cell that is none.

    Args:
        row: with a column for each class.
        layout: the classes.
        views: those that the exam has; of a side without views an empty cell is 0.
    """
    seen = {layout.sides[side] for view, side in zip(layout.views, layout.view_side, strict=True) if view in views}
    label = []
    for index, column in enumerate(label_columns(layout)):
        cell = row[column]
        if not cell and layout.sides[index // len(layout.findings)] not in seen:
            cell = "0"
        if cell not in FLAGS:
            return f"{column} is '{cell}'"
        label.append(FLAGS[cell])
    return label


def label_in_reports(texts: Sequence[str], layout: ExamLayout) -> list[int]:
    """Return what reports state, by keywords, see :func:`common.text.findings_in`.

    A sentence that names no side, or both, speaks of every side.

    Args:
        texts: the reports of an exam.
        layout: sides and findings.

    Raises:
        DatalistError: if there are no keywords for a finding.
    """
    from common.text import findings_in, side_of, split_sentences
    from common.text.lexicon import FINDINGS

    for finding in layout.findings:
        if finding not in FINDINGS:
            raise DatalistError(
                f"'{finding}' cannot be looked up in reports: no keywords are known for it"
                f"{suggestion(finding, list(FINDINGS))}. Give its labels in columns"
            )
    label = [0] * len(layout.classes)
    for sentence in (sentence for text in texts for sentence in split_sentences(text)):
        side = side_of(sentence, layout.sides)
        for finding, present in findings_in(sentence).items():
            if present and finding in layout.findings:
                for index in [side] if side >= 0 else range(len(layout.sides)):
                    label[index * len(layout.findings) + layout.findings.index(finding)] = 1
    return label
