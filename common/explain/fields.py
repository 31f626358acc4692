"""Check JSON against a TypedDict, with messages for people."""

from __future__ import annotations

from types import UnionType
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from common.utils.messages import did_you_mean

_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def check_fields(value: Any, kind: Any, where: str) -> None:
    """Check that a JSON value has the fields and types that an annotation asks for.

    Args:
        value: what ``json.loads`` returned.
        kind: a TypedDict, ``list[...]``, ``dict[str, ...]``, ``str``, ``int``, ``float`` or ``bool``.
        where: how messages name the value.

    Raises:
        ValueError: for the first field that is missing, unknown or of another type.
    """
    if is_typeddict(kind):
        _check_object(value, kind, where)
        return
    plain = get_origin(kind) or kind
    allowed: type | UnionType = int | float if plain is float else plain
    if not isinstance(value, allowed) or (isinstance(value, bool) and plain is not bool):
        raise ValueError(f"{where} is {value!r}, expected {_WORDS[plain]}")
    if plain is list:
        for index, item in enumerate(value):
            check_fields(item, get_args(kind)[0], f"{where}[{index}]")
    elif plain is dict:
        for name, item in value.items():
            check_fields(item, get_args(kind)[1], f"{where}.{name}")


def _check_object(value: Any, kind: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {value!r}, expected an object")
    hints = get_type_hints(kind, include_extras=True)
    unknown = [name for name in value if name not in hints]
    if unknown:
        raise ValueError(f"{where}: unknown field '{unknown[0]}'{did_you_mean(unknown[0], hints)}")
    for name, hint in hints.items():
        optional = get_origin(hint) is NotRequired
        if name in value:
            check_fields(
                value[name],
                get_args(hint)[0] if optional else hint,
                f"{where}: {name}" if ":" not in where else f"{where}.{name}",
            )
        elif not optional:
            raise ValueError(f"{where}: the field '{name}' is missing")
