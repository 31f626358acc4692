"""The files of projected prototypes: ``prototypes.json`` says where they come from, ``prototypes.npz`` holds arrays."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from common.data.placement import Placement
from common.utils.files import write_atomic, write_json

__all__ = [
    "PROTOTYPE_ARRAYS",
    "PROTOTYPE_FILE",
    "PrototypeBook",
    "PrototypeSource",
    "load_prototypes",
    "save_prototypes",
]

SCHEMA, SCHEMA_VERSION = "vitrine.prototypes", 1
PROTOTYPE_FILE, PROTOTYPE_ARRAYS = "prototypes.json", "prototypes.npz"
SAME = 1e-6  # of a vector's numbers, each
REMEDY = "project the prototypes again"


@dataclass(frozen=True)
class PrototypeSource:
    """Where a prototype comes from.

    Attributes:
        index: of the prototype, from 0.
        class_name: its class ("class" in the file).
        class_index: the class's number.
        weight: of the last layer, at the time of the projection.
        source_case: name of the case in the datalist.
        source_image: its image as the datalist gives it.
        row: of the place on the feature map.
        column: of that place.
        moved: the distance (the prototype layer's, so as a rule squared) from where training had left the prototype.
        shared: whether it had to take a source that another prototype has too, since there were not enough.
        box: the part of the source image that it responds to, x0, y0, x1, y1 in source pixels, x1 and y1 excluded;
            None where the place lies in the padding beside the image.
        peak: x, y of the middle of the place, in source pixels.
        source_size: rows and columns of the source image.
        crop: the part that the network saw, x0, y0, x1, y1 in source pixels; it may go beyond the image.
        flipped: whether left and right were exchanged for the network.
        patient_id: only where the datalist gives one.
    """

    index: int
    class_name: str
    class_index: int
    weight: float
    source_case: str
    source_image: str
    row: int
    column: int
    moved: float
    shared: bool
    box: tuple[int, int, int, int] | None
    peak: tuple[int, int]
    source_size: tuple[int, int]
    crop: tuple[int, int, int, int]
    flipped: bool
    patient_id: str | None = None

    @property
    def placement(self) -> Placement:
        """Where in the source image lies what the network saw."""
        return Placement(self.source_size, self.crop, self.flipped)


@dataclass(frozen=True)
class PrototypeBook:
    """All prototypes of a network, and the training places that they are copies of.

    Attributes:
        classes: names of the C classes.
        rule: how sources were given out, "greedy" or "optimal".
        unique: what was taken only once: "image", "patient" or "none".
        prototypes: one for each, in the order of the network.
        vectors: copies (P,D), float32.
        self_maps: similarity of each prototype to its own source image (P,h,w), float16.
        class_map: class of each prototype (P,), int64.
        method: name of the bundle.
        datalist_hash: of the datalist that the sources are from.
        warnings: what a reader should know, one sentence each.
        effect: what the projection did to the predictions, see :class:`common.handlers.PrototypeProjection`.
    """

    classes: Sequence[str]
    rule: str
    unique: str
    prototypes: Sequence[PrototypeSource]
    vectors: NDArray[np.float32]
    self_maps: NDArray[np.float16]
    class_map: NDArray[np.int64]
    method: str | None = None
    datalist_hash: str | None = None
    warnings: Sequence[str] = ()
    effect: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the vectors, float32 in little-endian order."""
        return hashlib.sha256(np.ascontiguousarray(self.vectors, dtype="<f4").tobytes()).hexdigest()

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self.self_maps.shape[1], self.self_maps.shape[2]

    def describes(self, vectors: Tensor | ArrayLike) -> bool:
        """Say whether a network's prototypes (P,D) are the ones of this book, every number within 1e-6."""
        given = vectors.detach().cpu().numpy() if isinstance(vectors, Tensor) else np.asarray(vectors)
        return given.shape == self.vectors.shape and bool(np.abs(given - self.vectors).max(initial=0.0) <= SAME)


def save_prototypes(folder: str | Path, book: PrototypeBook) -> None:
    """Write ``prototypes.npz``, then ``prototypes.json``.

    Raises:
        ValueError: if the numbers of prototypes, vectors, maps and classes do not agree.
        OSError: if the disk is full.
    """
    count = len(book.prototypes)
    lengths = {"vectors": len(book.vectors), "self_maps": len(book.self_maps), "class_map": len(book.class_map)}
    for name, length in lengths.items():
        if length != count:
            raise ValueError(f"{name} holds {length} prototypes, expected {count}, one for each of the book's")
    arrays: dict[str, NDArray[Any]] = {
        "vectors": np.asarray(book.vectors, dtype=np.float32),
        "self_maps": np.asarray(book.self_maps, dtype=np.float16),
        "class_map": np.asarray(book.class_map, dtype=np.int64),
    }
    write_atomic(Path(folder) / PROTOTYPE_ARRAYS, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]
    write_json(Path(folder) / PROTOTYPE_FILE, _content(book))


def load_prototypes(folder: str | Path) -> PrototypeBook:
    """Read what :func:`save_prototypes` wrote; nothing in the files is executed.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged, of another kind, or of another projection than the other one.
    """
    path, arrays_path = Path(folder) / PROTOTYPE_FILE, Path(folder) / PROTOTYPE_ARRAYS
    for file in (path, arrays_path):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} does not exist; it is written when prototypes are projected, at the end of a training stage "
                "with PrototypeProjection"
            )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); {REMEDY}") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no record of prototypes, expected a JSON object with schema '{SCHEMA}'")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(
            f"{path} has schema_version {content.get('schema_version')}, this version reads {SCHEMA_VERSION}; {REMEDY}"
        )
    try:
        with np.load(arrays_path, allow_pickle=False) as arrays:
            vectors, self_maps, class_map = (arrays[name] for name in ("vectors", "self_maps", "class_map"))
        book = _book(content, vectors, self_maps, class_map)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{arrays_path} or {path} is damaged ({error}); {REMEDY}") from None
    if book.fingerprint != content.get("fingerprint"):
        raise ValueError(f"{path} and {arrays_path} are of different projections: the fingerprints differ; {REMEDY}")
    return book


def _content(book: PrototypeBook) -> dict[str, Any]:
    optional = {"method": book.method, "datalist_hash": book.datalist_hash, "warnings": list(book.warnings) or None}
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        **{name: value for name, value in optional.items() if value is not None},
        "classes": list(book.classes),
        "rule": book.rule,
        "unique": book.unique,
        "grid": list(book.grid),
        "fingerprint": book.fingerprint,
        "effect": dict(book.effect),
        "prototypes": [_entry(source) for source in book.prototypes],
    }


def _entry(source: PrototypeSource) -> dict[str, Any]:
    """Return a source as it stands in the file: "class" for its class's name, no patient where none is known."""
    named = {"class" if name == "class_name" else name: value for name, value in vars(source).items()}
    return {name: value for name, value in named.items() if name != "patient_id" or value is not None}


def _source(entry: Mapping[str, Any]) -> PrototypeSource:
    named = {"class_name" if name == "class" else name: value for name, value in entry.items()}
    lists = {name: tuple(value) for name, value in named.items() if isinstance(value, list)}
    return PrototypeSource(**{**named, **lists})


def _book(
    content: Mapping[str, Any], vectors: NDArray[Any], self_maps: NDArray[Any], class_map: NDArray[Any]
) -> PrototypeBook:
    prototypes = [_source(entry) for entry in content["prototypes"]]
    shapes = (vectors.ndim, self_maps.ndim, class_map.ndim)
    if shapes != (2, 3, 1) or {len(vectors), len(self_maps), len(class_map)} != {len(prototypes)}:
        raise ValueError(f"{len(prototypes)} prototypes, but arrays {vectors.shape}, {self_maps.shape}")
    return PrototypeBook(
        classes=content["classes"],
        rule=content["rule"],
        unique=content["unique"],
        prototypes=prototypes,
        vectors=vectors,
        self_maps=self_maps,
        class_map=class_map,
        method=content.get("method"),
        datalist_hash=content.get("datalist_hash"),
        warnings=content.get("warnings", []),
        effect=content["effect"],
    )
