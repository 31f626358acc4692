"""Public data sets: tiny folders in their official layouts."""

from collections import Counter

import numpy as np
import pytest
import torch

from common.data import (
    DatalistError,
    RoiMaskd,
    SegmentationMaskd,
    load_datalist,
    load_section,
    load_structures,
)
from common.data.sources import brain_mr_cheng, imagenet_hvz, medmnist, nci_cervical

SECTIONS = ("training", "validation", "test")


def sizes(datalist):
    return [len(datalist[name]) for name in SECTIONS]


def everything(datalist):
    return [item for name in SECTIONS for item in datalist[name]]


# ---------------------------------------------------------------- horses and zebras


@pytest.fixture
def hvz(tmp_path, write_csv):
    """The published numbers of horses and zebras; files only need to exist."""

    def make(horses=324, zebras=345):
        rows = [{"imageID": f"n02389026_{i}.JPEG", "label": "horse"} for i in range(horses)]
        rows += [{"imageID": f"n02391049_{i}.JPEG", "label": "zebra"} for i in range(zebras)]
        for row in rows:
            stem = row["imageID"].removesuffix(".JPEG")
            for path in (f"images/{row['label']}/{stem}.JPEG", f"masks/{row['label']}/{stem}_mask.JPEG"):
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).touch()
        write_csv(rows)
        return tmp_path

    return make


def test_hvz_has_the_published_split(hvz):
    datalist = load_datalist(imagenet_hvz.convert(str(hvz())))
    counts = [Counter(item["label"] for item in datalist[name]) for name in SECTIONS]
    assert [(count[0], count[1]) for count in counts] == [(221, 234), (55, 59), (48, 52)]
    assert datalist["meta"]["classes"] == ["horse", "zebra"]
    found = {item["case_id"]: item for item in everything(datalist)}
    assert found["zebra_n02391049_7"] == {
        "case_id": "zebra_n02391049_7",
        "image": "images/zebra/n02391049_7.JPEG",
        "label": 1,
        "mask": "masks/zebra/n02391049_7_mask.JPEG",
    }


def test_hvz_mistakes(hvz, tmp_path, write_csv):
    with pytest.raises(DatalistError, match=r"data.csv' does not exist"):
        imagenet_hvz.convert(str(tmp_path))
    root = hvz(10, 10)
    (root / "masks/horse/n02389026_3_mask.JPEG").unlink()
    with pytest.raises(DatalistError, match=r"are missing: '.*n02389026_3_mask.JPEG'"):
        imagenet_hvz.convert(str(root))
    write_csv([{"imageID": "x.JPEG", "label": "donkey"}])
    with pytest.raises(DatalistError, match=r"unknown label 'donkey' for 'x.JPEG', expected horse or zebra"):
        imagenet_hvz.convert(str(root))


# ---------------------------------------------------------------- cervix


@pytest.fixture
def nci(tmp_path, picture, write_csv):
    """Two studies; the worst histology of image i is codes[i % 5], two images a patient."""

    def make(codes=("-2", "0", "1", "2", "3"), count=40, suffix="csv"):
        for study in ("ALTS", "NHS"):
            folder = tmp_path / "data" / study
            rows = []
            for index in range(count):
                picture(f"{index}.jpg", seed=index, folder=folder)
                if index % 2:
                    picture(f"{index}_mask.jpg", folder=folder)
                code = codes[index % len(codes)]
                rows.append(
                    {"GG_IMAGE_ID": str(index), "GG_PATIENT_ID": str(index // 2), "WRST_HIST_AFTER": code, "HPV": "."}
                )
            rows.append({"GG_IMAGE_ID": "not_there", "GG_PATIENT_ID": "1", "WRST_HIST_AFTER": "1", "HPV": "."})
            write_csv(rows, "covariate_data.csv", folder, above=4)
            if suffix == "xlsx":
                import pandas

                sheet = pandas.read_csv(folder / "covariate_data.csv", header=None, names=list("abcd"), dtype=str)
                sheet.to_excel(folder / "covariate_data.xlsx", header=False, index=False)
                (folder / "covariate_data.csv").unlink()
        return tmp_path

    return make


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_nci_labels_masks_and_patients(nci, suffix, caplog):
    datalist = load_datalist(nci_cervical.convert(str(nci(suffix=suffix)), fractions=(0.6, 0.2, 0.2)))
    items = {item["case_id"]: item for item in everything(datalist)}
    assert len(items) == 80
    # codes -2, 0, 1 are below CIN2; 2 and 3 are not
    assert [items[f"ALTS_{index}"]["label"] for index in range(5)] == [0, 0, 0, 1, 1]
    assert items["NHS_3"] == {
        "case_id": "NHS_3",
        "image": "data/NHS/3.jpg",
        "label": 1,
        "mask": "data/NHS/3_mask.jpg",
        "patient_id": "NHS_1",
    }
    assert "mask" not in items["NHS_2"]
    assert "ALTS: 1 of 41 rows without image left out" in caplog.text
    patients = [{item["patient_id"] for item in datalist[name]} for name in SECTIONS]
    assert len(set.union(*patients)) == sum(map(len, patients))


def test_nci_fractions_are_about_the_published_ones(nci):
    sizes_found = sizes(load_datalist(nci_cervical.convert(str(nci(count=200)))))
    assert np.array(sizes_found) / 400 == pytest.approx([0.76, 0.19, 0.05], abs=0.03)


def test_nci_code_minus_two_can_be_dropped_and_missing_codes_always_are(nci, caplog):
    datalist = load_datalist(nci_cervical.convert(str(nci()), no_histology="drop", fractions=(0.6, 0.2, 0.2)))
    assert len(everything(datalist)) == 64
    assert datalist["meta"]["no_histology"] == "drop"
    assert "ALTS: 8 of 41 rows with code -2 (no histology), dropped left out" in caplog.text
    datalist = load_datalist(nci_cervical.convert(str(nci(codes=(".", "-1", "1", "2"))), fractions=(0.6, 0.2, 0.2)))
    assert Counter(item["label"] for item in everything(datalist)) == {0: 20, 1: 20}
    assert "ALTS: 20 of 41 rows without histology code left out" in caplog.text


def test_nci_mistakes(nci, tmp_path):
    with pytest.raises(DatalistError, match="none of ALTS, Biopsy, CVT, NHS is a folder"):
        nci_cervical.convert(str(tmp_path))
    root = nci()
    with pytest.raises(DatalistError, match="no_histology is 'maybe', expected 'normal' or 'drop'"):
        nci_cervical.convert(str(root), no_histology="maybe")
    table = root / "data" / "NHS" / "covariate_data.csv"
    content = table.read_text()
    table.write_text(content.replace("WRST_HIST_AFTER", "WRST_HIST_AFTR"))
    with pytest.raises(DatalistError, match="no column 'WRST_HIST_AFTER'; did you mean 'WRST_HIST_AFTR'"):
        nci_cervical.convert(str(root))
    table.write_text(content.replace("3,1,2,.", "3,1,CIN3,."))
    with pytest.raises(DatalistError, match="NHS: WRST_HIST_AFTER of '3' is 'CIN3', expected a number"):
        nci_cervical.convert(str(root))
    table.write_text(content + "3,1,2,.\n")
    with pytest.raises(DatalistError, match="the table of NHS lists the image '3' twice"):
        nci_cervical.convert(str(root))
    table.unlink()
    with pytest.raises(DatalistError, match=r"has no covariate_data.xls, .xlsx or .csv"):
        nci_cervical.convert(str(root))


# ---------------------------------------------------------------- brain


@pytest.fixture
def brain(tmp_path, write_csv):
    """Three classes with ten blocks of four slices each; files only need to exist."""
    rows = []
    for number in range(120):
        label = brain_mr_cheng.CLASSES[number // 40]
        row = {
            "id": number + 1,
            "image": f"images/{number + 1:04d}.jpg",
            "mask": f"masks/{number + 1:04d}.png",
            "label": label,
        }
        row |= {
            "x1": 133.1,
            "y1": 88.3,
            "x2": 189.4,
            "y2": 126.7,
            "mask_px": 9,
            "split_group": f"{label[:3]}{number % 40 // 4}",
        }
        for path in (row["image"], row["mask"]):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).touch()
        rows.append(row)
    write_csv(rows, "labels.csv")
    return tmp_path


def test_brain_keeps_blocks_together_and_says_what_kind_of_split_it_is(brain):
    datalist = load_datalist(brain_mr_cheng.convert(str(brain)))
    assert datalist["meta"]["split"] == "slice-block split (patient ids not available)"
    assert datalist["meta"]["classes"] == ["meningioma", "glioma", "pituitary"]
    counts = [Counter(item["label"] for item in datalist[name]) for name in SECTIONS]
    assert counts == [Counter(dict.fromkeys(range(3), count)) for count in (24, 8, 8)]
    items = {item["case_id"]: item for item in everything(datalist)}
    assert items["glioma_0041"] == {
        "case_id": "glioma_0041",
        "image": "images/0041.jpg",
        "label": 1,
        "mask": "masks/0041.png",
        "boxes": [[133.1, 88.3, 189.4, 126.7]],
        "group": "gli0",
    }
    assert not any("patient_id" in item for item in items.values())


def test_brain_masks_serve_as_regions_and_as_structures(brain):
    """One-bit masks: the same file is a region of interest and a map of two structures."""
    from PIL import Image

    datalist = brain_mr_cheng.convert(str(brain))
    item = load_section(datalist, "test")[0]
    inside = np.zeros((8, 9), dtype=bool)
    inside[2:5, 3:7] = True
    Image.fromarray(inside).save(item["mask"])
    image = torch.rand(3, 8, 9)
    region = RoiMaskd("mask")({**item, "image": image})["mask"]
    segment = SegmentationMaskd("segmentation", load_structures(datalist))({**item, "image": image})["segmentation"]
    np.testing.assert_array_equal(region[0], inside)
    np.testing.assert_array_equal(segment[0], inside)


@pytest.mark.parametrize(
    ("options", "expected"), [({"fraction": 0.5}, [36, 12, 12]), ({"max_per_class": 5}, [15, 15, 15])]
)
def test_brain_parts_are_fixed_and_lie_within_the_whole_split(brain, options, expected):
    whole = load_datalist(brain_mr_cheng.convert(str(brain)))
    part = load_datalist(brain_mr_cheng.convert(str(brain), out=str(brain / "part.json"), **options))
    assert sizes(part) == expected
    assert part == load_datalist(brain_mr_cheng.convert(str(brain), **options))
    for name in SECTIONS:
        assert {item["case_id"] for item in part[name]} < {item["case_id"] for item in whole[name]}


def test_brain_mistakes(brain):
    with pytest.raises(DatalistError, match="fraction is 2, expected above 0, up to 1"):
        brain_mr_cheng.convert(str(brain), fraction=2)
    table = brain / "labels.csv"
    table.write_text(table.read_text().replace("glioma", "glioblastoma", 1))
    with pytest.raises(DatalistError, match="unknown label 'glioblastoma', expected meningioma, glioma, pituitary"):
        brain_mr_cheng.convert(str(brain))


# ---------------------------------------------------------------- MedMNIST


def save_npz(path, channels=1, classes=2, multilabel=False, count=12):
    random = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        shape = (count, 64, 64) if channels == 1 else (count, 64, 64, 3)
        arrays[f"{split}_images"] = random.integers(0, 256, shape, dtype=np.uint8)
        labels = random.integers(0, 2, (count, classes)) if multilabel else np.arange(count).reshape(-1, 1) % classes
        arrays[f"{split}_labels"] = labels.astype(np.uint8)
    np.savez(path, **arrays)
    return arrays


def test_medmnist_writes_images_and_the_official_splits(tmp_path):
    from common.data import ImageReader2D

    arrays = save_npz(tmp_path / "breastmnist_64.npz")
    path = medmnist.convert(str(tmp_path))
    assert path == tmp_path / "breastmnist_64" / "datalist.json"
    datalist = load_datalist(path)
    assert sizes(datalist) == [12, 12, 12]
    assert datalist["meta"]["classes"] == ["malignant", "normal, benign"]
    assert datalist["meta"]["licence"] == "CC BY 4.0"
    item = load_section(path, "validation")[5]
    assert item["label"] == arrays["val_labels"][5, 0]
    reader = ImageReader2D()
    np.testing.assert_allclose(reader.get_data(reader.read(item["image"]))[0], arrays["val_images"][5] / 255, atol=1e-6)


def test_medmnist_multilabel_colour_and_parts(tmp_path):
    arrays = save_npz(tmp_path / "chestmnist_64.npz", classes=14, multilabel=True)
    items = load_section(medmnist.convert(str(tmp_path), name="chestmnist"), "test")
    np.testing.assert_array_equal([item["label"] for item in items], arrays["test_labels"])
    save_npz(tmp_path / "pathmnist.npz", channels=3, classes=9, count=27)
    datalist = load_datalist(medmnist.convert(str(tmp_path), name="pathmnist", size=28, max_per_class=2))
    assert sizes(datalist) == [18, 18, 18]
    assert len(list((tmp_path / "pathmnist_28").rglob("*.png"))) == 54


def test_medmnist_mistakes(tmp_path):
    with pytest.raises(
        DatalistError, match="'brestmnist' is no two-dimensional MedMNIST data set; did you mean 'breastmnist'"
    ):
        medmnist.convert(str(tmp_path), name="brestmnist")
    with pytest.raises(DatalistError, match="no two-dimensional"):
        medmnist.convert(str(tmp_path), name="organmnist3d")
    with pytest.raises(DatalistError, match="size is 100, expected one of 28, 64, 128, 224"):
        medmnist.convert(str(tmp_path), size=100)
    with pytest.raises(
        DatalistError, match=r"breastmnist_64.npz' does not exist; .*or let it be fetched with --download true"
    ):
        medmnist.convert(str(tmp_path))
    (tmp_path / "breastmnist_64.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DatalistError, match="is damaged or no MedMNIST file"):
        medmnist.convert(str(tmp_path))


def test_medmnist_downloads_only_when_told(tmp_path, monkeypatch):
    asked = []

    class Breast:
        def __init__(self, split, root, size, download):
            asked.append((root, size, download))
            save_npz(f"{root}/breastmnist_128.npz")

    monkeypatch.setattr("medmnist.BreastMNIST", Breast)
    with pytest.raises(DatalistError, match="does not exist"):
        medmnist.convert(str(tmp_path / "new"), size=128)
    assert asked == []
    assert sizes(load_datalist(medmnist.convert(str(tmp_path / "new"), size=128, download=True))) == [12, 12, 12]
    assert asked == [(str(tmp_path / "new"), 128, True)]


def test_medmnist_failed_download_is_one_message(tmp_path, monkeypatch):
    def fail(**_):
        raise RuntimeError("Automatic download failed!\n   Please download it manually")

    monkeypatch.setattr("medmnist.BreastMNIST", fail)
    with pytest.raises(
        DatalistError, match="the download failed: Automatic download failed! Please download it manually"
    ):
        medmnist.convert(str(tmp_path), download=True)
