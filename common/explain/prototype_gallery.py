"""The section of a report about prototypes: which parts of which training images the network compares with."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from common.data.placement import Placement
from common.explain.blocks import Block, Prose, Section, Tile, Tiles
from common.explain.card_parts import COLOURS
from common.explain.class_heatmap import ordinary_similarity
from common.explain.metric_facts import PROTOTYPES
from common.explain.metric_table import group_table, number
from common.explain.prototype_files import PROTOTYPE_FILE, PrototypeBook, PrototypeSource, load_prototypes
from common.explain.prototype_patches import Box, SourceImages, cut_patch, network_view, part_in, patch_side
from common.explain.regions import FloatArray, Size, resample_map
from common.explain.run_folder import RunFolder
from common.explain.section_parts import splits_in

__all__ = ["prototypes_section"]

MOST_TILES, OPEN_TILES = 60, 6  # with a picture, of all classes; open, of each class
HEIGHT, WIDEST, GAP = 200, 260, 8  # of the pictures on a tile, in pixels
LINE = "#56b4e9"
HOW_TO_READ = (
    "Each prototype is a copy of a place of a training image. From left to right: the part it responds to; that part "
    "in its image, as the network sees it; how similar all places of the image are, from an ordinary one (dark) to the "
    "prototype itself (yellow). Weight: what a similarity is multiplied with. Moved: the distance by which the "
    "projection has moved the prototype, 0 where training had left it on that place."
)


def prototypes_section(run: RunFolder) -> Section | None:
    """Return the prototypes of a run folder, class by class, and what was measured of them; None where it has none."""
    warnings = dict.fromkeys(
        record["warning"]
        for record, _ in run.explanations
        if "warning" in record and any(item["kind"] == "prototype" for item in record["evidence"])
    )
    blocks: list[Block] = [Prose(text, notice=True) for text in warnings]
    book = _read_book(run)
    if book is not None:
        backgrounds = {record["background"] for record, _ in run.explanations if "background" in record}
        blocks += [*_words(book, backgrounds), *_tiles(book, _images(run), backgrounds)]
    tables = [group_table(split, run.metrics[split], PROTOTYPES) for split in splits_in(run.metrics)]
    blocks += [table for table in tables if table is not None]
    return Section("prototypes", "What it compares with", blocks) if blocks else None


def _read_book(run: RunFolder) -> PrototypeBook | None:
    if not (run.path / "prototypes" / PROTOTYPE_FILE).is_file():
        return None
    try:
        return load_prototypes(run.path / "prototypes")
    except (OSError, ValueError) as error:
        run.problems.append(str(error).replace(f"{run.path}/", ""))
        return None


def _images(run: RunFolder) -> SourceImages:
    """Return the training images, where the run's settings say that they are."""
    given = [run.configs.get("config_training.json", {}).get("dataset_dir")]
    given += [config.get("training_dir") for config in run.configs.values()]
    datalist = run.run.get("workflows", {}).get("training", {}).get("datalist")
    given += [Path(str(datalist)).parent] if datalist else []
    return SourceImages([Path(str(folder)) for folder in given if folder])


def _words(book: PrototypeBook, backgrounds: Collection[str]) -> list[Block]:
    blocks: list[Block] = [Prose(text, notice=True) for text in book.warnings]
    blocks.append(Prose(HOW_TO_READ))
    effect = book.effect
    if "auroc_before" in effect and "auroc_after" in effect:
        whose = "AUROC" if backgrounds else "AUROC of the prototypes' branch"
        text = f"{whose} on validation images {number(effect['auroc_before'])} before the projection, "
        text += f"{number(effect['auroc_after'])} after it"
        if "auroc_after_refit" in effect:
            text += f", {number(effect['auroc_after_refit'])} with the weights fitted again"
        change = effect.get("mean_logit_change")
        text += "" if change is None else f"; logits changed by {number(change)} on average"
        blocks.append(Prose(f"{text}."))
    return blocks


def _tiles(book: PrototypeBook, images: SourceImages, backgrounds: Collection[str]) -> list[Block]:
    """Return the prototypes of every class under a heading of its own."""
    blocks: list[Block] = []
    most = max(MOST_TILES // len(book.classes), 1)
    missing = False
    for index, name in enumerate(book.classes):
        own = sorted((one for one in book.prototypes if one.class_index == index), key=lambda one: -one.weight)
        if not own:
            continue
        tiles = [_tile(book, source, images) for source in own[:most]]
        missing = missing or not all(tile.picture for tile in tiles)
        count = f"{len(own)} prototype{'s' if len(own) > 1 else ''}"
        shown = count if len(own) <= most else f"{most} of {count}, those with the largest weights"
        shown += "; all other classes are held against it" if name in backgrounds else ""
        rest = tiles[OPEN_TILES:]
        blocks.append(Tiles(f"{name}: {shown}", tiles[:OPEN_TILES], rest, f"{len(rest)} more of {name}"))
    if missing:
        blocks.insert(0, Prose("Some training images are not where the run has found them: no picture of those."))
    return blocks


def _tile(book: PrototypeBook, source: PrototypeSource, images: SourceImages) -> Tile:
    image = images.read(source.source_image, source.source_size)
    name = f"prototype {source.index}"
    alt = f"{name} of {source.class_name}, a part of case {source.source_case}, in its image and as a similarity map."
    lines = [f"of {source.source_case}{', shown mirrored' if source.flipped else ''}"]
    lines.append(f"weight {number(source.weight)}, moved {number(source.moved)}")
    if source.weight == 0:
        lines.append("its weight is 0: it says nothing")
    twins = [str(one.index) for one in book.prototypes if one.index != source.index and _place(one) == _place(source)]
    if twins:
        lines.append(f"the same place as prototype{'s' if len(twins) > 1 else ''} {', '.join(twins)}")
    elif source.shared:
        lines.append("shares its source: there were not enough")
    return Tile("" if image is None else _data_uri(_picture(book, source, image)), alt, name, lines)


def _place(source: PrototypeSource) -> tuple[str, int, int]:
    return source.source_case, source.row, source.column


def _picture(book: PrototypeBook, source: PrototypeSource, image: FloatArray) -> Image.Image:
    """Return part, image and similarity map side by side; what lies between them is transparent."""
    x0, y0, x1, y1 = source.crop
    whole = network_view(image, source.placement, (y1 - y0, x1 - x0))
    values = book.self_maps[source.index].astype(np.float32)
    part = part_in(values, source.row, source.column, (y1 - y0, x1 - x0))
    patch = cut_patch(whole, part, patch_side([part.box], (y1 - y0, x1 - x0)))
    scale = min(WIDEST / (x1 - x0), HEIGHT / (y1 - y0))
    seen = _resized(whole, (max(round(scale * (y1 - y0)), 1), max(round(scale * (x1 - x0)), 1)))
    zoom = HEIGHT / patch.picture.shape[-1]
    parts = [
        _framed(_resized(patch.picture, (HEIGHT, HEIGHT)), patch.box, zoom),
        _framed(seen, part.box, scale),
        _framed(_overlay(book, values, seen)),
    ]
    sheet = Image.new("RGBA", (sum(part.width for part in parts) + GAP * (len(parts) - 1), HEIGHT), (0, 0, 0, 0))
    left = 0
    for picture in parts:
        sheet.paste(picture, (left, (HEIGHT - picture.height) // 2))
        left += picture.width + GAP
    return sheet


def _overlay(book: PrototypeBook, values: FloatArray, seen: FloatArray) -> FloatArray:
    """Colour a picture (H, W, 3) by a similarity map (h, w), the more similar the stronger."""
    from matplotlib import colormaps

    lowest = ordinary_similarity(book.self_maps, float(book.self_maps.min()))
    shares = np.clip((values - lowest) / max(float(values.max()) - lowest, 1e-6), 0, 1)
    likeness = resample_map(shares, (seen.shape[0], seen.shape[1]))
    alpha = 0.7 * likeness[..., None]
    return np.asarray((1 - alpha) * seen.mean(axis=-1, keepdims=True) + alpha * colormaps[COLOURS](likeness)[..., :3])


def _resized(image: FloatArray, size: Size) -> FloatArray:
    """Return an image (D, h, w) in colour and in another size, (H, W, 3)."""
    rows, columns = image.shape[-2:]
    drawn = network_view(image, Placement((rows, columns), (0, 0, columns, rows)), size)
    return np.repeat(drawn, 3 // len(drawn), axis=0).transpose(1, 2, 0)


def _framed(picture: FloatArray, box: Box | None = None, scale: float = 1.0) -> Image.Image:
    """Return a picture (H, W, 3) in [0, 1] with a scaled box on it, bright in dark so that it shows on any ground."""
    drawn = Image.fromarray(np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8))
    if box is not None:
        x0, y0, x1, y1 = (round(scale * value) for value in box)
        inside = (max(x0, -4), max(y0, -4), min(x1, drawn.width + 4) - 1, min(y1, drawn.height + 4) - 1)
        outside = (inside[0] - 1, inside[1] - 1, inside[2] + 1, inside[3] + 1)
        draw = ImageDraw.Draw(drawn)
        draw.rectangle(outside, outline="black", width=4)
        draw.rectangle(inside, outline=LINE, width=2)
    return drawn


def _data_uri(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, format="WEBP", quality=75, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
