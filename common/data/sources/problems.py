"""Collect what is wrong with single cases of a data set, then refuse it or leave those cases out."""

from __future__ import annotations

import logging
from pathlib import Path

from common.data.errors import DatalistError

ON_PROBLEM = ("refuse", "skip")
SHOWN = 5  # cases named for each kind of problem

logger = logging.getLogger(__name__)


class Problems:
    """The cases of a data set that cannot be used, by the kind of problem.

    Args:
        on_problem: "refuse" the data set, or "skip" these cases with a warning that names them.

    Raises:
        DatalistError: if on_problem is neither.
    """

    def __init__(self, on_problem: str) -> None:
        if on_problem not in ON_PROBLEM:
            raise DatalistError(f"on_problem is '{on_problem}', expected {' or '.join(ON_PROBLEM)}")
        self.on_problem = on_problem
        self.cases: dict[str, list[str]] = {}

    def add(self, kind: str, case: str) -> None:
        """Note one case.

        Args:
            kind: what is wrong, to be read after a number: "images without mask".
            case: its name.
        """
        self.cases.setdefault(kind, []).append(case)

    def settle(self, root: str | Path) -> None:
        """Refuse the data set if there are problems, or warn that the cases are left out.

        Raises:
            DatalistError: lists every kind of problem with the first cases.
        """
        if not self.cases:
            return
        lines = [f"{len(cases)} {kind}: {_some(cases)}" for kind, cases in self.cases.items()]
        if self.on_problem == "refuse":
            listed = "\n".join(f"  - {line}" for line in lines)
            raise DatalistError(
                f"'{root}' has cases that cannot be used:\n{listed}\n"
                "Complete or correct them, or leave them out with --on_problem skip"
            )
        for line in lines:
            logger.warning("left out: %s", line)


def _some(cases: list[str]) -> str:
    return ", ".join(cases[:SHOWN]) + (", ..." if len(cases) > SHOWN else "")
