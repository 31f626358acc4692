"""Words for people: suggestions for misspelt names, and the cause of an error as the last thing printed."""

import difflib
import sys
import traceback
from collections.abc import Iterable
from types import TracebackType

__all__ = ["PlainError", "did_you_mean", "print_causes_last", "root_cause"]


class PlainError(ValueError):
    """A mistake in what the user gave: the message says everything, a traceback would only hide it."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Suggest the option closest to a misspelt name.

    Args:
        name: what was given.
        options: the names that exist.

    Returns:
        ``"; did you mean 'option'?"``, ready to be appended to a message, or ``""`` when nothing is close.
    """
    close = difflib.get_close_matches(name, sorted(set(options)), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def root_cause(error: BaseException) -> BaseException:
    """Follow ``raise ... from ...`` down to the error that started the chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def print_causes_last() -> None:
    """Make an uncaught error end with the line that matters.

    MONAI wraps every error of a configured component, so the last line of a failed command speaks of a debugging mode
    and the reason stands thirty lines above. After this call the reason is printed (again) last; a ``PlainError`` is
    printed without any traceback. Only uncaught errors are touched: the process is ending anyway.
    """
    sys.excepthook = _print_cause_last


def _print_cause_last(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause = root_cause(error)
    if isinstance(cause, PlainError):
        print(f"Error: {cause}", file=sys.stderr)
        return
    traceback.print_exception(kind, error, trace)
    if cause is not error:
        print("\nThe reason: " + "".join(traceback.format_exception_only(cause)).rstrip(), file=sys.stderr)
