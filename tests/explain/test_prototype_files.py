"""prototypes.json and prototypes.npz: what is written, read back, and refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from common.data import Placement
from common.explain.prototype_files import PrototypeBook, PrototypeSource, load_prototypes, save_prototypes


def make_book() -> PrototypeBook:
    sources = [
        PrototypeSource(
            index=index,
            class_name=("benign", "malignant")[index // 2],
            class_index=index // 2,
            weight=1.5 + index,
            source_case=f"case {index}",
            source_image=f"images/{index}.png",
            row=index,
            column=2,
            moved=0.25,
            shared=index == 2,
            box=None if index == 1 else (0, 10, 20, 30),
            peak=(5, 15),
            source_size=(100, 50),
            crop=(-5, 0, 50, 100),
            flipped=index == 0,
            patient_id="p1" if index == 0 else None,
        )
        for index in range(3)
    ]
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
    maps = np.linspace(0, 1, 18, dtype=np.float16).reshape(3, 2, 3)
    return PrototypeBook(
        classes=["benign", "malignant"],
        rule="greedy",
        unique="patient",
        prototypes=sources,
        vectors=vectors,
        self_maps=maps,
        class_map=np.array([0, 0, 1]),
        method="internrl_prototype_classification",
        datalist_hash="abc",
        warnings=["1 of the 1 prototypes of 'malignant' share their source"],
        effect={"auroc_before": 0.9, "auroc_after": 0.875},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_prototypes(tmp_path / "prototypes", make_book())
    return tmp_path / "prototypes"


def test_what_is_written_is_read_back(folder):
    written, read = make_book(), load_prototypes(folder)
    assert read.prototypes == written.prototypes
    for name in ("vectors", "self_maps", "class_map"):
        assert np.array_equal(getattr(read, name), getattr(written, name)), name
        assert getattr(read, name).dtype == getattr(written, name).dtype
    for name in ("classes", "rule", "unique", "method", "datalist_hash", "warnings", "effect", "grid", "fingerprint"):
        assert getattr(read, name) == getattr(written, name), name
    assert read.grid == (2, 3)
    assert read.prototypes[0].placement == Placement((100, 50), (-5, 0, 50, 100), True)


def test_the_file_is_plain_json(folder):
    content = json.loads((folder / "prototypes.json").read_text())
    assert (content["schema"], content["schema_version"]) == ("vitrine.prototypes", 1)
    assert content["fingerprint"] == hashlib.sha256(make_book().vectors.tobytes()).hexdigest()
    assert content["effect"] == {"auroc_before": 0.9, "auroc_after": 0.875}
    assert content["prototypes"][1] == {
        "index": 1,
        "class": "benign",
        "class_index": 0,
        "weight": 2.5,
        "source_case": "case 1",
        "source_image": "images/1.png",
        "row": 1,
        "column": 2,
        "moved": 0.25,
        "shared": False,
        "box": None,
        "peak": [5, 15],
        "source_size": [100, 50],
        "crop": [-5, 0, 50, 100],
        "flipped": False,
    }
    assert content["prototypes"][0]["patient_id"] == "p1"


@pytest.mark.parametrize(("change", "same"), [(0.0, True), (9e-7, True), (2e-6, False)])
def test_a_book_knows_its_network(change, same):
    book = make_book()
    vectors = torch.from_numpy(book.vectors).double()
    vectors[1, 2] += change
    assert book.describes(torch.nn.Parameter(vectors)) is same
    assert not book.describes(vectors[:2])


def test_other_vectors_have_another_fingerprint():
    book = make_book()
    assert replace(book, vectors=book.vectors + np.float32(1e-6)).fingerprint != book.fingerprint


def damage(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("prototypes.json", None, FileNotFoundError, "prototypes.json does not exist; it is written when prototypes"),
        ("prototypes.npz", None, FileNotFoundError, "prototypes.npz does not exist"),
        ("prototypes.json", b"{", ValueError, "prototypes.json is not valid JSON .* project the prototypes again"),
        ("prototypes.json", b"[]", ValueError, "is no record of prototypes, expected a JSON object with schema"),
        (
            "prototypes.json",
            b'{"schema": "vitrine.prototypes", "schema_version": 2}',
            ValueError,
            "has schema_version 2, this version reads 1",
        ),
        ("prototypes.json", b'{"schema": "vitrine.prototypes", "schema_version": 1}', ValueError, "is damaged"),
        ("prototypes.npz", b"PK\x03\x04", ValueError, "is damaged"),
    ],
)
def test_damaged_files_are_named(folder, name, content, error, message):
    damage(folder, name, content)
    with pytest.raises(error, match=message):
        load_prototypes(folder)


def test_a_pickle_among_the_arrays_is_not_opened(folder):
    with (folder / "prototypes.npz").open("wb") as file:
        np.savez(file, vectors=np.array([{"a": 1}], dtype=object), self_maps=np.zeros(1), class_map=np.zeros(1))
    with pytest.raises(ValueError, match="is damaged"):
        load_prototypes(folder)


def test_files_of_two_projections_do_not_go_together(folder, tmp_path):
    book = make_book()
    save_prototypes(tmp_path / "other", replace(book, vectors=book.vectors * 2))
    damage(folder, "prototypes.npz", (tmp_path / "other" / "prototypes.npz").read_bytes())
    with pytest.raises(ValueError, match="of different projections: the fingerprints differ"):
        load_prototypes(folder)


def test_numbers_of_prototypes_must_agree(tmp_path):
    with pytest.raises(ValueError, match="self_maps holds 2 prototypes, expected 3"):
        save_prototypes(tmp_path, replace(make_book(), self_maps=make_book().self_maps[:2]))
