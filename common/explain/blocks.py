"""What a report is made of: sections of blocks. The template knows how to show each kind of block, and nothing else.

A method adds to the report by writing a function that returns a section of these blocks; the template stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Prose:
    """A paragraph; ``notice`` makes it stand out."""

    kind: ClassVar[str] = "prose"
    text: str
    notice: bool = False


@dataclass(frozen=True)
class Column:
    """Head of a table's column. ``better`` is "higher", "lower" or "" and shown as an arrow; ``hint`` explains."""

    title: str
    numeric: bool = True
    better: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Interval:
    """A value with its interval, placed on a scale: all three in [0, 1] from the scale's left end to its right."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """One cell: what is read, what it is sorted by, and how it looks."""

    text: str
    order: float | str = ""
    interval: Interval | None = None
    detail: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows; a folded one opens on demand under its caption."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure as inline SVG, and the sentence that stands for it where it cannot be seen.

    ``width`` in rem is for figures that are scrolled sideways rather than shrunk; 0 fits the page.
    """

    svg: str
    alt: str
    width: float = 0.0


@dataclass(frozen=True)
class Figures:
    """Figures side by side; the folded ones open on demand under ``folded_title``."""

    kind: ClassVar[str] = "figures"
    pictures: Sequence[Picture]
    note: str = ""
    folded: Sequence[Picture] = ()
    folded_title: str = ""


@dataclass(frozen=True)
class GalleryItem:
    """One case: a small picture, the card behind it, what is said below it, and what sorts and filters it."""

    case_id: str
    thumbnail: str
    card: str
    alt: str
    card_alt: str
    predicted: Sequence[str]
    true: Sequence[str]
    said: str
    outcome: str
    confidence: float
    error: float | None
    uncertainty: float | None


@dataclass(frozen=True)
class Gallery:
    """Cases that can be sorted, filtered and enlarged."""

    kind: ClassVar[str] = "gallery"
    items: Sequence[GalleryItem]
    classes: Sequence[str]
    note: str = ""

    @property
    def has_uncertainty(self) -> bool:
        """Whether the cases can be sorted by how uncertain they are."""
        return any(item.uncertainty is not None for item in self.items)


@dataclass(frozen=True)
class Tile:
    """A photograph with a caption: a title and what is said below it, a line each. ``picture`` is a data URI or ""."""

    picture: str
    alt: str
    title: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Tiles:
    """Photographs side by side under a heading; the folded ones open on demand under ``folded_title``."""

    kind: ClassVar[str] = "tiles"
    caption: str
    items: Sequence[Tile]
    folded: Sequence[Tile] = ()
    folded_title: str = ""


@dataclass(frozen=True)
class Definitions:
    """Names and their values."""

    kind: ClassVar[str] = "definitions"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Listing:
    """A long text, such as a configuration, folded under its title."""

    kind: ClassVar[str] = "listing"
    title: str
    text: str


Block = Prose | Table | Figures | Gallery | Tiles | Definitions | Listing


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading of its own."""

    name: str
    title: str
    blocks: Sequence[Block]
