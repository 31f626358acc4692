"""Networks of exams and reports from Python: one answer however it is asked, and plain words where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from common.api import vwyl
from common.networks import ExamClassifier, MultiViewReportNet
from common.utils.checkpoint import save_atomic
from common.utils.messages import PlainError
from tests.report_setup import CLASSES, FINDINGS, SIDES, VIEW_SIDE, VIEWS, small_report_net, write_exam

LEFT, RIGHT = "There is a mass in the left breast.", "There are calcifications in the right breast."


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, MultiViewReportNet]:
    """A bundle as a training leaves it."""
    folder = tmp_path / "vwyl_report_classification"
    network = small_report_net(folder / "configs" / "text")
    text = {"_target_": "common.networks.build_text_encoder", "name": "bag", "width": 16, "tokenizer": "@tokenizer"}
    names = {"findings": "@findings", "sides": "@sides", "tokenizer": "@tokenizer", "max_tokens": 16}
    prompts = {"_target_": "common.text.load_prompts", "path": "@prompts", **names}
    config = {
        "bundle_root": "?",
        "views": VIEWS,
        "sides": ["none", "of these"],
        "view_side": VIEW_SIDE,
        "findings": FINDINGS,
        "image_size": [64, 64],
        "crop": True,
        "tokenizer": "$@bundle_root + '/configs/text/tokenizer.json'",
        "prompts": "$@bundle_root + '/configs/text/prompts.json'",
        "network_def": {
            "_target_": "common.networks.MultiViewReportNet",
            "text": text,
            "prompts": prompts,
            "views": "@views",
            "view_side": "@view_side",
            "sides": "@sides",
            "findings": "@findings",
            "joint_width": 16,
        },
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps({"version": "0.1.0"}))
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "models").mkdir()
    (folder / "models" / "settings.json").write_text(json.dumps({"sides": SIDES}))
    save_atomic(network.state_dict(), folder / "models" / "model.pt")
    return folder, network


@pytest.fixture
def model(trained: tuple[Path, MultiViewReportNet]) -> vwyl.ReportModel:
    return vwyl.load_model(trained[0], "cpu")


def test_a_loaded_model_answers_as_the_trained_one(
    model: vwyl.ReportModel, trained: tuple[Path, MultiViewReportNet], tmp_path: Path
) -> None:
    exams = [write_exam(tmp_path / "a", VIEWS), write_exam(tmp_path / "b", ["left_cc"], seed=1)]
    image, places = model.images(exams)
    with torch.no_grad():
        expected = trained[1](image).sigmoid().tolist()
    full, half = vwyl.zero_shot_classify(model, exams)
    assert list(full) == model.classes == CLASSES
    assert list(full.values()) == pytest.approx(expected[0], abs=1e-6)
    assert list(half) == CLASSES[:2], "nothing is said about a side without a view"
    assert [place.flipped for place in places[0]] == [False, False, True, True]
    again = vwyl.zero_shot_classify(model, exams, tmp_path / "vwyl_report_classification/configs/text/prompts.json")
    assert again[0] == pytest.approx(full)


@pytest.mark.parametrize("level", vwyl.LEVELS)
def test_similarity_is_that_of_vectors_and_regions(model: vwyl.ReportModel, tmp_path: Path, level: str) -> None:
    exams = [write_exam(tmp_path / "a", VIEWS), write_exam(tmp_path / "b", VIEWS[:2], seed=1)]
    encoded, text = model.encode_exam(exams), model.encode_text([LEFT, RIGHT])
    whole, part, both = (model.similarity(exams, [LEFT, RIGHT], level, kind) for kind in vwyl.KINDS)
    vectors = encoded[f"{level}_vector"]
    expected = torch.einsum("...d,md->...m", vectors, text["sentence"])
    torch.testing.assert_close(whole, expected)
    torch.testing.assert_close(both, (whole + part) / 2)
    assert part.shape == expected.shape
    assert part.abs().max() <= 1
    if level != "exam":
        assert part[1, len(part[1]) // 2 :].abs().max() == 0, "the right side has no view"
    cosine = torch.einsum("vdhw,d->vhw", encoded["region"][0], text["sentence_local"][0])
    seen = cosine[encoded["region_mask"][0]]
    weight = torch.softmax(model.network.log_sharpness.detach().exp() * seen, 0)
    if level == "exam":
        assert part[0, 0].item() == pytest.approx((weight * seen).sum().item(), abs=1e-5)


def test_maps_of_a_sentence_and_of_its_words(model: vwyl.ReportModel, tmp_path: Path) -> None:
    exam = write_exam(tmp_path / "a", VIEWS[:3])
    found = model.explain(exam, LEFT)
    assert found["map"].shape == (4, 64, 64)
    assert list(found["word_map"]) == ["there", "is", "a", "mass", "in", "the", "left", "breast", "."]
    assert found["map"][3].abs().max() == 0, "no attention where there is no view"
    assert found["map"][:3].max() > 0
    assert found["similarity"] == pytest.approx(model.similarity(exam, [LEFT])[0, 0].item())
    assert found["placement"][0].to_source(found["map"][0]).shape == (64, 48)
    mask = vwyl.zero_shot_segment(model, exam, LEFT, threshold=0.7)
    assert torch.equal(mask, found["map"] >= 0.7 * found["map"].max())


def test_given_arrays_and_their_mask(model: vwyl.ReportModel) -> None:
    image = torch.rand(2, 4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, True, True, False], [True] * 4])
    encoded = model.encode_exam(image, mask)
    assert torch.equal(encoded["view_mask"], mask)
    with pytest.raises(ValueError, match=r"shape \(2, 3, 1, 64, 64\), expected .* left_cc"):
        model.encode_exam(image[:, :3])
    with pytest.raises(ValueError, match="2 exams are given, expected one"):
        model.explain(image, LEFT)
    with pytest.raises(ValueError, match="threshold is 0"):
        vwyl.zero_shot_segment(model, image[0], LEFT, 0.0)


def test_published_names(model: vwyl.ReportModel, trained: tuple[Path, MultiViewReportNet]) -> None:
    image = torch.rand(2, 4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    table = vwyl.zero_shot_classification(model, image, {"mass": [LEFT, RIGHT], "none": [RIGHT]})
    similarity = vwyl.get_similarities(model, image, [LEFT, RIGHT], "both")
    assert table["mass"].tolist() == pytest.approx(similarity.amax(1).tolist())
    assert table["none"].tolist() == pytest.approx(similarity[:, 1].tolist())
    alone = vwyl.zero_shot_classification(model, image[:1], {"none": [RIGHT]})
    assert alone["none"][0] == pytest.approx(table["none"][0]), "no answer depends on other exams"
    assert vwyl.load_VSWL(str(trained[0]), "cpu").classes == CLASSES


def test_classifier_and_segmenter_take_over_the_image_encoder(
    trained: tuple[Path, MultiViewReportNet], tmp_path: Path
) -> None:
    folder, network = trained
    image = torch.rand(1, 4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    classifier = vwyl.load_classifier(folder, "cpu")
    assert classifier.eval()(image).shape == (1, 4)
    own, taken = network.image_encoder.trunks.state_dict(), classifier.image_encoder.trunks.state_dict()
    assert all(torch.equal(own[key], taken[key]) for key in own)
    assert vwyl.load_segmenter(folder, "cpu")(image).shape == (1, 4, 64, 64)
    save_atomic(classifier.state_dict(), folder / "models" / "model.pt")
    with torch.no_grad():
        expected = classifier(image)
        assert torch.equal(vwyl.load_classifier(folder, "cpu").eval()(image), expected), "a fine-tuned one as it is"


def test_which_models_there_are(trained: tuple[Path, MultiViewReportNet], tmp_path: Path) -> None:
    assert vwyl.available_models(tmp_path) == ["vwyl_report_classification"]
    (trained[0] / "models" / "model.pt").unlink()
    assert vwyl.available_models(tmp_path) == []
    with pytest.raises(PlainError, match=r"no models/model.pt yet"):
        vwyl.load_model(trained[0])
    with pytest.raises(PlainError, match=r"there is no model 'vwyl_reports'.*model\.pt"):
        vwyl.load_model("vwyl_reports")


def test_weights_with_code_in_them_are_refused(trained: tuple[Path, MultiViewReportNet]) -> None:
    torch.save({"network": print}, trained[0] / "models" / "model.pt")
    with pytest.raises(ValueError, match="nothing in it was executed"):
        vwyl.load_model(trained[0])


@pytest.mark.parametrize("feature", ["pooled", "vector"])
@pytest.mark.parametrize("fusion", ["mean", "attention"])
def test_a_fine_tuned_classifier_is_built_as_its_settings_say(
    trained: tuple[Path, MultiViewReportNet], tmp_path: Path, feature: str, fusion: str
) -> None:
    _folder, _ = trained
    torch.manual_seed(1)
    classifier = ExamClassifier(2, feature=feature, fusion=fusion, joint_width=16).eval()
    weights = tmp_path / "model.pt"
    save_atomic(classifier.state_dict(), weights)
    (tmp_path / "settings.json").write_text(json.dumps({"feature": feature, "fusion": fusion, "joint_width": 16}))
    image = torch.rand(1, 4, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(vwyl.load_classifier(weights, "cpu")(image), classifier(image))
