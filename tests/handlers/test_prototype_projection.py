"""Projection on real files: prototypes are places of training images, and everything written about them is true."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Resized, SelectItemsd
from torch import nn

from common.data import (
    CaseLoader,
    CropBreastd,
    FlipToLeftd,
    ImageReader2D,
    RecordSized,
    ToChannelsd,
    datalist_hash,
    load_section,
)
from common.data.phantoms import MammogramSettings, write_mammograms
from common.explain.prototype_files import PrototypeBook, load_prototypes
from common.handlers import PrototypeProjection
from common.metrics import classification_scores
from common.networks import InterNRL, ProtoPNet
from tests.prototype_setup import items as square_items

SIZE = (64, 32)
CLASSES = ["benign", "malignant"]
KEYS = ["image", "label", "source_size", "crop", "flipped", "case_id"]


def transforms() -> Compose:
    """As in the bundle's configuration."""
    return Compose(
        [
            LoadImaged("image", reader=ImageReader2D()),
            EnsureChannelFirstd("image"),
            RecordSized("image"),
            CropBreastd("image"),
            FlipToLeftd("image"),
            Resized("image", SIZE, mode="bilinear", anti_aliasing=True),
            ToChannelsd("image", 3),
            SelectItemsd(KEYS),
        ]
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mammograms")
    write_mammograms(MammogramSettings(count=48, size=(128, 64), radius=(0.045, 0.06)), folder, progress=False)
    return folder / "datalist.json"


def loader(cases: Sequence[Mapping[str, Any]], batch_size: int = 4, shuffle: bool = False) -> CaseLoader:
    return CaseLoader(Dataset(list(cases), transforms()), batch_size=batch_size, shuffle=shuffle)


def small_network(**options: Any) -> InterNRL:
    torch.manual_seed(1)
    return InterNRL("small", prototypes_per_class=[3, 4], prototype_channels=16, hidden=8, **options)


def trainer_of(network: nn.Module) -> SimpleNamespace:
    return SimpleNamespace(network_def=network, state=SimpleNamespace(device=torch.device("cpu")))


def project(network: nn.Module, folder: Path, data: Path, batch_size: int = 4, **options: Any) -> PrototypeBook:
    """Project on the training section, and load what was written."""
    cases = load_section(data, "training")
    handler = PrototypeProjection(
        **{"dataloader": loader(cases, batch_size), "items": cases, "classes": CLASSES, "folder": folder, **options}
    )
    handler(trainer_of(network))
    return load_prototypes(folder)


@pytest.fixture(scope="module")
def projected(data, tmp_path_factory) -> tuple[InterNRL, PrototypeBook]:
    network, folder = small_network(), tmp_path_factory.mktemp("projected")
    validation = loader(load_section(data, "validation"))
    options = {"validation": validation, "root": data.parent, "datalist": data, "method": "internrl"}
    return network, project(network, folder, data, **options)


def test_prototypes_are_places_of_training_images(projected, data):
    """Every source image is read again from its file, alone, and looked at in the noted place."""
    network, book = projected
    network.eval()
    cases = {case["case_id"]: case for case in load_section(data, "training")}
    assert network.student.prototypes.projected
    assert book.describes(network.student.prototypes.vectors)
    assert len(book.prototypes) == 7
    for source, vector in zip(book.prototypes, torch.from_numpy(book.vectors), strict=True):
        case = cases[source.source_case]
        assert (data.parent / source.source_image).samefile(case["image"])
        item = transforms()({**case, "image": str(data.parent / source.source_image)})
        assert item["label"] == source.class_index == book.class_map[source.index]
        with torch.no_grad():
            feature = network.feature(item["image"].as_tensor()[None])[0]
        assert (feature[:, source.row, source.column] - vector).square().sum() < 1e-6
        assert source.crop == tuple(item["crop"].tolist())
        assert source.source_size == tuple(item["source_size"].tolist())
        assert source.flipped is bool(item["flipped"])


def test_no_patient_twice(projected):
    patients = [source.patient_id for source in projected[1].prototypes]
    assert None not in patients
    assert len(set(patients)) == 7
    assert not any(source.shared for source in projected[1].prototypes)
    assert (projected[1].rule, projected[1].unique, projected[1].warnings) == ("greedy", "patient", [])


def test_boxes_and_peaks_are_in_source_pixels(projected):
    _, book = projected
    assert {source.flipped for source in book.prototypes} == {True, False}
    for source in book.prototypes:
        x0, y0, x1, y1 = source.crop
        across = (source.column + 0.5) / book.grid[1]
        across = 1 - across if source.flipped else across
        rows, columns = source.source_size
        expected = np.array([x0 + across * (x1 - x0), y0 + (source.row + 0.5) / book.grid[0] * (y1 - y0)])
        assert np.abs(np.minimum(expected, [columns - 1, rows - 1]) - source.peak).max() <= 1
        if source.box is not None:
            left, top, right, bottom = source.box
            assert 0 <= left <= source.peak[0] <= right <= columns
            assert 0 <= top <= source.peak[1] <= bottom <= rows
            cell = np.array([(x1 - x0) / book.grid[1], (y1 - y0) / book.grid[0]])
            assert (np.array([right - left, bottom - top]) < 3 * cell).all(), "a twentieth of the map, round the peak"


def test_self_maps_are_similarities_with_the_own_image(projected, data):
    network, book = projected
    cases = {case["case_id"]: case for case in load_section(data, "training")}
    for index, source in enumerate(book.prototypes):
        with torch.no_grad():
            image = transforms()(cases[source.source_case])["image"].as_tensor()[None]
            similarity = network.explain(image)["similarity_map"][0, index]
        torch.testing.assert_close(torch.from_numpy(book.self_maps[index]).float(), similarity, rtol=0, atol=1e-3)
        assert book.self_maps[index, source.row, source.column] == 1


def test_moved_is_the_distance_to_where_training_left_them(projected):
    before = small_network().student.prototypes.vectors
    moved = (before - torch.from_numpy(projected[1].vectors)).square().sum(1)
    assert [source.moved for source in projected[1].prototypes] == pytest.approx(moved.tolist(), rel=1e-5)


def test_the_effect_is_that_on_the_validation_images(projected, data):
    network, book = projected
    images = list(Dataset(load_section(data, "validation"), transforms()))
    batch, label = torch.stack([item["image"].as_tensor() for item in images]), [int(item["label"]) for item in images]
    old, middle = small_network().eval(), small_network().eval()
    middle.student.prototypes.load_state_dict(network.student.prototypes.state_dict())
    with torch.no_grad():
        logits = [one.explain_student(batch)["logits"] for one in (old, middle, network.eval())]
    assert book.effect["mean_logit_change"] == pytest.approx((logits[1] - logits[0]).abs().mean().item(), rel=1e-4)
    for name, values in zip(("auroc_before", "auroc_after", "auroc_after_refit"), logits, strict=True):
        assert book.effect[name] == pytest.approx(classification_scores(values.softmax(1), label)["auroc"]), name
    assert book.datalist_hash == datalist_hash(data)
    assert book.method == "internrl"


def test_nothing_else_of_the_network_changes(projected):
    network, book = projected
    before, after = small_network().state_dict(), network.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {f"student.{key}" for key in ("prototypes.vectors", "prototypes.projected", "last_layer.weight")}
    assert [source.weight for source in book.prototypes] == network.student.last_layer.weight.tolist()


@pytest.mark.parametrize(
    ("options", "network_options"),
    [
        ({"batch_size": 7}, {}),
        ({"memory_gb": 1e-6}, {}),
        ({"batch_size": 3, "rule": "optimal"}, {"similarity": "cosine"}),
        ({"scope": "class"}, {"similarity": "log_l2", "top_k": 2}),
    ],
)
def test_batches_order_and_memory_do_not_matter(data, tmp_path, options, network_options):
    """Against batches of four in the datalist's order, all of whose maps are kept."""
    usual = {name: value for name, value in options.items() if name in ("rule", "scope")}
    first, second = small_network(**network_options), small_network(**network_options)
    book = project(first, tmp_path / "first", data, **usual)
    cases = load_section(data, "training")
    shuffled = loader(cases, options.get("batch_size", 4), shuffle=True)
    other = project(second, tmp_path / "second", data, **{**options, "dataloader": shuffled})
    assert [vars(a) | {"weight": 0, "moved": 0} for a in book.prototypes] == [
        vars(b) | {"weight": 0, "moved": 0} for b in other.prototypes
    ]
    assert np.abs(book.vectors - other.vectors).max() < 1e-6
    torch.testing.assert_close(first.student.last_layer.weight, second.student.last_layer.weight, rtol=0, atol=1e-5)


def test_a_second_projection_changes_no_prototype(projected, data, tmp_path):
    network = copy.deepcopy(projected[0])
    again = project(network, tmp_path, data, refit_passes=0)
    assert np.array_equal(again.vectors, projected[1].vectors)
    assert [source.source_case for source in again.prototypes] == [s.source_case for s in projected[1].prototypes]
    assert max(source.moved for source in again.prototypes) == 0
    assert torch.equal(network.student.last_layer.weight, projected[0].student.last_layer.weight)


def test_the_refit_serves_the_labels_and_leaves_the_layer_as_frozen_as_it_was(data, tmp_path):
    network, without = small_network(), small_network()
    for one in (network, without):
        one.student.last_layer.requires_grad_(False)
    project(network, tmp_path / "a", data, refit_rate=0.1)
    project(without, tmp_path / "b", data, refit_passes=0)
    cases = list(Dataset(load_section(data, "training"), transforms()))
    batch, label = torch.stack([c["image"].as_tensor() for c in cases]), torch.tensor([int(c["label"]) for c in cases])
    losses = [F.cross_entropy(one.eval().explain_student(batch)["logits"], label) for one in (network, without)]
    assert losses[0] < losses[1] - 1e-3
    assert not network.student.last_layer.weight.requires_grad
    assert torch.equal(without.student.last_layer.weight, torch.ones(7))


def squares(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{**item, **more} for item in square_items(count, seed=1)]


def in_memory(network: nn.Module, folder: Path, cases: Sequence[Mapping[str, Any]], **options: Any) -> PrototypeBook:
    """Project on images that are in no file."""
    arguments = {"dataloader": DataLoader(cases, batch_size=4), "items": cases, "classes": ["dark", "bright"]}
    PrototypeProjection(**{**arguments, "folder": folder, **options})(trainer_of(network))
    return load_prototypes(folder)


def test_modes_are_restored(tmp_path):
    network = small_network().train()
    network.teacher.eval()
    in_memory(network, tmp_path, squares(16))
    assert network.student.training
    assert not any(module.training for module in network.teacher.modules())


def test_too_few_sources_are_shared_and_reported(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        book = in_memory(small_network(), tmp_path, squares(4))
    assert [source.shared for source in book.prototypes] == [False, False, True, False, False, True, True]
    assert book.warnings == [
        "1 of the 3 prototypes of 'dark' share their source with another prototype: there are not enough sources, "
        "each patient being used once",
        "2 of the 4 prototypes of 'bright' share their source with another prototype: there are not enough sources, "
        "each patient being used once",
    ]
    assert "2 of the 4 prototypes of 'bright'" in caplog.text
    assert len({(s.source_case, s.row, s.column) for s in book.prototypes}) >= 4


def test_without_uniqueness_nothing_is_shared(tmp_path):
    book = in_memory(small_network(), tmp_path, squares(4), unique="none")
    assert not any(source.shared for source in book.prototypes)
    assert book.warnings == []


def test_cases_without_a_label_become_no_prototype(tmp_path):
    cases = [{**case, "label_given": torch.tensor(number < 10)} for number, case in enumerate(squares(16))]
    book = in_memory(small_network(), tmp_path, cases, unique="image")
    assert {int(source.source_case.removeprefix("case")) for source in book.prototypes} <= set(range(10))


@pytest.mark.parametrize("background", [None, 2])
def test_several_labels_at_once(tmp_path, background):
    """A case is a source for every class it has; one without any for the background."""
    torch.manual_seed(1)
    network = ProtoPNet("small", num_classes=3, prototypes_per_class=2, prototype_channels=8)
    labels = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 1]]
    labels = [label[:2] if background is not None else label for label in labels]
    cases = [{**case, "label": np.float32(label)} for case, label in zip(squares(7), labels, strict=True)]
    options = {"branch": "", "background": background, "validation": DataLoader(cases, batch_size=7)}
    book = in_memory(network, tmp_path, cases, classes=["a", "b", "c"], unique="image", **options)
    member = [[*label, float(not any(label))] if background is not None else label for label in labels]
    for source in book.prototypes:
        assert member[int(source.source_case.removeprefix("case"))][source.class_index]
    shared = sum(source.shared for source in book.prototypes)
    assert shared == (1 if background is None else 0), "five cases have a label"
    assert len({source.source_case for source in book.prototypes}) == 6 - shared
    assert 0 <= book.effect["auroc_after"] <= 1
    assert network.prototypes.projected


def broken(network: InterNRL) -> None:
    with torch.no_grad():
        network.student.add_on[-2].bias.fill_(torch.nan)


CASES = squares(6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataloader": DataLoader(CASES[::2], batch_size=2)}, "no image of 'bright' is among those to project"),
        ({"items": CASES[:5]}, "case 'case5' of the dataloader is not among the 5 items"),
        ({"rule": "best"}, "rule is 'best', expected one of greedy, optimal"),
        ({"unique": "patients"}, "unique is 'patients', expected one of image, patient, none; did you mean 'patient'"),
        ({"scope": "x"}, "scope is 'x', expected one of all, class"),
        ({"refit_passes": -1}, "refit_passes is -1"),
        ({"refit_rate": 0}, "refit_rate is 0"),
        ({"items": []}, "items is empty"),
        ({"background": 2}, "background is 2, expected one of the classes 0 to 1 or null"),
    ],
)
def test_impossible_requests_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        in_memory(small_network(), tmp_path, CASES, **options)
    assert not list(tmp_path.iterdir())


def test_features_that_are_no_numbers_are_refused(tmp_path):
    network = small_network()
    broken(network)
    with pytest.raises(ValueError, match=r"the features of case 'case0' \(4 of 4 in its batch\) are not finite"):
        in_memory(network, tmp_path, CASES)
    assert not network.student.prototypes.projected


def test_other_cases_than_those_of_the_training_are_noted(tmp_path):
    book = in_memory(small_network(), tmp_path, squares(16), trained_on=[*squares(12), {"case_id": "new"}])
    assert book.warnings == [
        "the cases projected on are not those trained on: 4 were not in training, and 1 that were are missing"
    ]
    assert in_memory(small_network(), tmp_path, squares(16), trained_on=squares(16)).warnings == []
