"""Turn plain values, as they come from a command line or a JSON file, into the settings of a generator and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from common.utils.messages import did_you_mean

__all__ = ["GeneratorSettings", "at_least", "is_list", "read_pair", "read_scalar"]


class GeneratorSettings:
    """Base of the settings of a generator: dataclasses whose fields all have defaults and hold plain values or pairs.

    Attributes:
        presets: named sets of options.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]]

    @classmethod
    def from_options(cls, options: Mapping[str, Any], preset: str = "standard") -> Self:
        """Make settings from plain values, as they come from a command line or a JSON file.

        Args:
            options: values by the names of the settings. A single number stands for a range of one value. What is left
                out is as in the preset.
            preset: one of ``presets``.

        Raises:
            ValueError: for an unknown preset or name (a similar one is suggested), or a value of the wrong type or out
                of range.
        """
        known = {field.name: field.default for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for kind, name, names in (("preset", preset, cls.presets), *(("setting", name, known) for name in options)):
            if name not in names:
                hint = did_you_mean(name, names) or "; there are: " + ", ".join(names)
                raise ValueError(f"there is no {kind} '{name}'{hint}")
        given = {**cls.presets[preset], **options}
        return cls(**{name: cls.read(name, known[name], value) for name, value in given.items()})

    def to_options(self) -> dict[str, Any]:
        """Return all settings as plain JSON values, which :meth:`from_options` reads back to the same settings."""
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}

    @classmethod
    def read(cls, name: str, default: Any, value: Any) -> Any:
        """Turn a plain value into the type of its setting, or say what was expected."""
        return (
            read_pair(name, default, value) if isinstance(default, tuple) else read_scalar(name, value, type(default))
        )


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
