"""Options that are one of a few names."""

from __future__ import annotations

from collections.abc import Collection

from common.utils.messages import did_you_mean

__all__ = ["check_choice"]


def check_choice(what: str, given: object, options: Collection[str]) -> None:
    """Refuse a name that does not exist.

    Args:
        what: the option's name, as it is written in a config.
        given: its value.
        options: the legal values.

    Raises:
        ValueError: naming the value, all legal ones and, where one is close, the one probably meant.
    """
    if given not in options:
        raise ValueError(
            f"{what} is {given!r}, expected one of {', '.join(options)}{did_you_mean(str(given), options)}"
        )
