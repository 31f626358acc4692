"""What the sections of a report share: the order of splits, figures that are also files, names as words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from common.explain.blocks import Picture
from common.explain.figure_parts import figure_svg, inline_svg
from common.explain.run_folder import RunFolder
from common.utils.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPLITS = ("test", "validation", "training")


def splits_in(content: Mapping[str, Any]) -> list[str]:
    """Return the splits that a file holds, test first."""
    return [split for split in SPLITS if content.get(split)] + [split for split in content if split not in SPLITS]


def picture(run: RunFolder, figure: Figure, name: str, alt: str, width: float = 0.0) -> Picture:
    """Return a figure for the page, and leave it as a file of its own in the run folder.

    Args:
        run: the folder.
        figure: to be drawn.
        name: of the file, a word that is unique on the page.
        alt: what the figure shows, in words.
        width: in rem; 0 fits the page.
    """
    svg = figure_svg(figure, name)
    write_text(run.path / "figures" / f"{name}.svg", svg)
    return Picture(inline_svg(svg, name), alt, width)


def word(text: str) -> str:
    """Return a text as one word of letters, digits and underscores."""
    return "".join(letter if letter.isalnum() else "_" for letter in text)
