import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from common.explain.prototype_files import load_prototypes
from common.explain.prototype_gallery import GAP, HEIGHT, OPEN_TILES, prototypes_section
from common.explain.report import write_report
from common.explain.run_folder import read_run_folder
from tests.explain.prototype_run_folder import make_prototype_run
from tests.explain.test_report import Page


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = make_prototype_run(tmp_path_factory.mktemp("runs") / "demo")
    metrics = {"prototype_purity": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 7}}
    (folder / "metrics.json").write_text(json.dumps({"test": metrics}))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run_dir):
    return Page((run_dir / "report.html").read_text())


def tiles_of(section):
    return [tile for block in section.blocks if block.kind == "tiles" for tile in (*block.items, *block.folded)]


def picture_in(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_the_report_shows_every_prototype_with_its_source(run_dir, page):
    assert "What it compares with" in page.text
    for entry in json.loads((run_dir / "prototypes" / "prototypes.json").read_text())["prototypes"]:
        words = f"prototype {entry['index']} of {entry['source_case']}"
        words += ", shown mirrored" if entry["flipped"] else ""
        assert f"{words} weight {entry['weight']:.3f}, moved {entry['moved']:.3f}" in page.text
    assert "benign: 3 prototypes" in page.text
    assert "malignant: 4 prototypes" in page.text
    images = [attributes for attributes in page.all("img") if attributes["alt"].startswith("prototype")]
    assert len(images) == 7
    effect = "on validation images 0.910 before the projection, 0.890 after it; logits changed by 0.120"
    assert f"AUROC of the prototypes' branch {effect}" in page.text
    assert "Purity" in page.text


def test_the_heaviest_come_first(run_dir):
    section = prototypes_section(read_run_folder(run_dir))
    for block in section.blocks:
        if block.kind == "tiles":
            weights = [float(re.search(r"weight ([\d.]+)", tile.lines[1])[1]) for tile in block.items]
            assert weights == sorted(weights, reverse=True)


def test_a_picture_is_the_part_the_image_and_its_likeness(run_dir):
    section = prototypes_section(read_run_folder(run_dir))
    book = load_prototypes(run_dir / "prototypes")
    for tile in tiles_of(section):
        picture = picture_in(tile.picture)
        assert picture.mode == "RGBA"
        assert picture.size == (HEIGHT + 100 + 100 + 2 * GAP, HEIGHT), "images of 96 x 48 pixels"
        pixels = np.asarray(picture).astype(int)
        assert (pixels[:, HEIGHT : HEIGHT + GAP, 3] == 0).all(), "the page shows between them"
        source = book.prototypes[int(tile.title.split()[1])]
        row, column = source.row, source.column
        rows, columns = book.grid
        overlay = pixels[:, -100:, :3]
        y, x = int((row + 0.5) * HEIGHT / rows), int((column + 0.5) * 100 / columns)
        red, green, blue = overlay[y, min(x, 97)]
        assert green > blue + 60, "yellow at the prototype's own place"
        assert red > blue


def test_copies_of_one_place_and_silent_ones_are_marked(run_dir, tmp_path):
    content = json.loads((run_dir / "prototypes" / "prototypes.json").read_text())
    first, second, third, *_ = content["prototypes"]
    for name in ("source_case", "source_image", "row", "column"):
        second[name] = first[name]
    second["shared"] = True
    third |= {"shared": True, "weight": 0.0}
    (tmp_path / "prototypes").mkdir()
    (tmp_path / "prototypes" / "prototypes.json").write_text(json.dumps(content))
    (tmp_path / "prototypes" / "prototypes.npz").write_bytes((run_dir / "prototypes" / "prototypes.npz").read_bytes())
    lines = {tile.title: tile.lines for tile in tiles_of(prototypes_section(read_run_folder(tmp_path)))}
    assert "the same place as prototype 1" in lines["prototype 0"]
    assert "the same place as prototype 0" in lines["prototype 1"]
    assert {"shares its source: there were not enough", "its weight is 0: it says nothing"} <= {*lines["prototype 2"]}


def test_without_the_training_images_the_section_says_so(run_dir, tmp_path):
    (tmp_path / "prototypes").mkdir()
    for name in ("prototypes.json", "prototypes.npz"):
        (tmp_path / "prototypes" / name).write_bytes((run_dir / "prototypes" / name).read_bytes())
    section = prototypes_section(read_run_folder(tmp_path))
    assert not any(tile.picture for tile in tiles_of(section))
    assert any("no picture of those" in block.text for block in section.blocks if block.kind == "prose")
    write_report(tmp_path)
    assert "prototype 3" in Page((tmp_path / "report.html").read_text()).text


def test_many_prototypes_are_folded(tmp_path):
    folder = make_prototype_run(tmp_path / "run", cases=0, prototypes=(9, 70))
    section = prototypes_section(read_run_folder(folder))
    benign, malignant = (block for block in section.blocks if block.kind == "tiles")
    assert (benign.caption, len(benign.items), len(benign.folded)) == ("benign: 9 prototypes", OPEN_TILES, 3)
    assert malignant.caption == "malignant: 30 of 70 prototypes, those with the largest weights"
    assert malignant.folded_title == "24 more of malignant"


def test_warnings_of_explained_cases_are_repeated(tmp_path):
    folder = make_prototype_run(tmp_path / "run", cases=1, projected=False)
    section = prototypes_section(read_run_folder(folder))
    assert [block.notice for block in section.blocks] == [True]
    assert "never projected" in section.blocks[0].text


def test_a_damaged_book_is_told_and_a_run_without_prototypes_has_no_section(tmp_path):
    assert prototypes_section(read_run_folder(tmp_path)) is None
    (tmp_path / "prototypes").mkdir()
    (tmp_path / "prototypes" / "prototypes.json").write_text("{")
    run = read_run_folder(tmp_path)
    assert prototypes_section(run) is None
    assert run.problems
    assert "prototypes" in run.problems[0]
