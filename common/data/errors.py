"""The two errors of the data layer; each says what was given, what was expected and what to do."""

from __future__ import annotations

from common.utils.messages import PlainError


class DatalistError(PlainError):
    """A datalist, or the table it is made from, cannot be used as it stands."""


class CaseError(PlainError):
    """One case cannot be used; the others can.

    Attributes:
        source: the file, or whatever names the case best.
        what: what was found and what was expected.
        remedy: what to do about it.
        case_id: the case's name in the datalist, empty where only the file is known.
    """

    def __init__(self, source: str, what: str, remedy: str, case_id: str = "") -> None:
        self.source = source
        self.what = what
        self.remedy = remedy
        self.case_id = case_id
        name = f"case '{case_id}' ({source})" if case_id and case_id != source else source
        super().__init__(f"{name}: {what}. {remedy}")

    def __reduce__(self) -> tuple[type[CaseError], tuple[str, str, str, str]]:
        """Survive the trip from a loader's worker process; the message alone would not be enough to rebuild it."""
        return CaseError, (self.source, self.what, self.remedy, self.case_id)

    def named(self, case_id: str) -> CaseError:
        """Return the same error with the case's name, unless it has one."""
        return CaseError(self.source, self.what, self.remedy, self.case_id or case_id)


def case_error_in(error: BaseException | None) -> CaseError | None:
    """Return the CaseError an exception was raised from, or None; MONAI wraps every error of a transform."""
    while error is not None:
        if isinstance(error, CaseError):
            return error
        error = error.__cause__ or error.__context__
    return None
