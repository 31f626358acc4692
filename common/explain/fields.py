"""Check JSON against a TypedDict, with messages for people."""

from __future__ import annotations

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


def check_fields(value: Any, kind: Any, source: str, field: str = "") -> None:
    """Check that a JSON value has the fields and types that an annotation asks for.

    Args:
        value: what ``json.loads`` returned.
        kind: a TypedDict, ``list[...]``, ``dict[str, ...]``, ``str``, ``int``, ``float`` or ``bool``.
        source: the file or case that messages begin with.
        field: where in it the value stands, such as ``evidence[0].box``.

    Raises:
        ValueError: for the first field that is missing, unknown or of another type.
    """
    if is_typeddict(kind):
        _check_object(value, kind, source, field)
        return
    plain = get_origin(kind) or kind
    allowed = (int, float) if plain is float else plain
    if not isinstance(value, allowed) or (isinstance(value, bool) and plain is not bool):
        raise ValueError(f"{source}: {field} is {value!r}, expected {_WORDS[plain]}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            check_fields(item, get_args(kind)[0], source, f"{field}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            check_fields(item, get_args(kind)[1], source, f"{field}.{name}")


def _check_object(value: Any, kind: Any, source: str, field: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{source}: {field} is {value!r}, expected an object")
    prefix = f"{field}." if field else ""
    hints = get_type_hints(kind, include_extras=True)
    unknown = [name for name in value if name not in hints]
    if unknown:
        raise ValueError(f"{source}: unknown field '{prefix}{unknown[0]}'{did_you_mean(unknown[0], hints)}")
    for name, hint in hints.items():
        optional = get_origin(hint) is NotRequired
        if name in value:
            check_fields(value[name], get_args(hint)[0] if optional else hint, source, prefix + name)
        elif not optional:
            raise ValueError(f"{source}: the field '{prefix}{name}' is missing")
