"""The label map of a data set with masks of several structures: which pixel values of a file mean which structure.

In a datalist it stands in ``meta``::

    "structures": [{"name": "background", "values": [255]}, {"name": "rim", "values": [128]},
                   {"name": "cup", "values": [0]}]

A structure's index, which is what networks and metrics know, is its place in the list; index 0 is the background.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 65535  # a mask file holds at most 16 bits a pixel
EXAMPLE = '[{"name": "background", "values": [0]}, {"name": "lesion", "values": [255]}]'

Structure = Mapping[str, Any]


def structure_problems(structures: Any) -> Iterator[str]:
    """Yield what is wrong with a label map, in words; nothing if it can be used.

    Args:
        structures: what stands in ``meta.structures``.
    """
    if not isinstance(structures, list | tuple) or len(structures) < 2:
        yield f"it is {structures!r}, expected a list of at least two structures, the background first, as in {EXAMPLE}"
        return
    names: set[str] = set()
    taken: dict[int, str] = {}
    for position, structure in enumerate(structures):
        name = structure.get("name") if isinstance(structure, Mapping) else None
        values = structure.get("values") if isinstance(structure, Mapping) else None
        if not isinstance(name, str) or not name or not isinstance(values, list | tuple) or not values:
            yield f"entry {position} is {structure!r}, expected a name and its pixel values, as in {EXAMPLE}"
            continue
        if name in names:
            yield f"two structures are called '{name}'; give each its own name"
        names.add(name)
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
                yield f"'{name}' has the pixel value {value!r}, expected a whole number from 0 to {LARGEST}"
            elif value in taken:
                yield f"the pixel value {value} belongs to '{taken[value]}' and to '{name}'; it can mean only one"
            else:
                taken[value] = name


def structure_indices(
    values: NDArray[Any], structures: Sequence[Structure]
) -> tuple[NDArray[np.int64], list[int | float]]:
    """Translate the pixel values of a mask file to structure indices.

    Args:
        values: numbers of any type, any shape.
        structures: a label map without problems.

    Returns:
        The indices, int64 of the same shape, 0 where a value is unknown; and the unknown values, ascending.
    """
    largest = max(value for structure in structures for value in structure["values"])
    table = np.full(largest + 2, -1)  # the last place is for everything unknown
    for index, structure in enumerate(structures):
        table[list(structure["values"])] = index
    # Compared before the cast, as NaN and numbers beyond 64 bits have no integer.
    bounded = np.where((values >= 0) & (values <= largest), values, largest + 1)
    places = bounded.astype(np.int64)
    indices = np.where(places == bounded, table[places], -1)
    unknown = np.unique(values[indices < 0]).tolist()
    return np.maximum(indices, 0), [int(value) if value == value // 1 else value for value in unknown]


def parse_structures(text: str | Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the label map written on a command line: ``background=255,rim=128,cup=0``, several values as ``0+64``.

    Raises:
        ValueError: names the part that cannot be read.
    """
    parts = text.items() if isinstance(text, Mapping) else [part.partition("=")[::2] for part in text.split(",")]
    structures = []
    for name, values in parts:
        try:
            numbers = [int(value) for value in str(values).split("+")]
        except ValueError:
            raise ValueError(
                f"structures has '{name}={values}', expected name=value or name=value+value with whole numbers, "
                "such as background=255,rim=128,cup=0"
            ) from None
        structures.append({"name": str(name).strip(), "values": numbers})
    return structures
