"""Turn plain values, as they come from a command line or a JSON file, into the settings of a generator and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from common.utils.messages import did_you_mean

__all__ = ["at_least", "is_list", "plain_options", "read_options", "read_pair", "read_scalar"]


def read_options(
    settings: type[Any],
    options: Mapping[str, Any],
    presets: Mapping[str, Mapping[str, Any]],
    preset: str,
    read: Callable[[str, Any, Any], Any],
) -> dict[str, Any]:
    """Return the constructor's arguments for a settings class.

    Args:
        settings: a dataclass whose fields all have defaults.
        options: values by name; what is left out is as in the preset.
        presets: named sets of options.
        preset: one of their names.
        read: turns (name, default, plain value) into the value of the setting.

    Raises:
        ValueError: for an unknown preset or name (a similar one is suggested), or a value of the wrong type.
    """
    known = {field.name: field.default for field in dataclasses.fields(settings)}
    for kind, name, names in (("preset", preset, presets), *(("setting", name, known) for name in options)):
        if name not in names:
            hint = did_you_mean(name, names) or "; there are: " + ", ".join(names)
            raise ValueError(f"there is no {kind} '{name}'{hint}")
    return {name: read(name, known[name], value) for name, value in {**presets[preset], **options}.items()}


def plain_options(settings: Any) -> dict[str, Any]:
    """Return all fields of a settings object, tuples as lists."""
    options = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


def read_pair(name: str, default: tuple[Any, Any], value: Any) -> tuple[Any, ...]:
    """Return a range; a single number is one of a single value."""
    values = value if is_list(value) else (value, value)
    if len(values) != 2:
        raise ValueError(f"{name}={value}: expected one number, or two separated by a comma")
    return tuple(read_scalar(name, number, type(default[0])) for number in values)


def read_scalar(name: str, value: Any, expected: type[Any]) -> Any:
    """Return the value as the expected type; a whole number will do as a real one, but nothing else is converted."""
    if expected is float and type(value) is int:
        value = float(value)
    if type(value) is not expected or (expected is float and not math.isfinite(value)):
        words = {int: "a whole number", float: "a number", bool: "True or False", str: "a word"}
        raise ValueError(f"{name}={value!r}: expected {words[expected]}")
    return value


def is_list(value: Any) -> bool:
    """Return whether several values were given."""
    return isinstance(value, list | tuple)


def at_least(least: float, **values: float) -> None:
    """Refuse settings below a limit.

    Raises:
        ValueError: names the setting.
    """
    for name, value in values.items():
        if not value >= least:
            raise ValueError(f"{name}={value}: expected at least {least}")
