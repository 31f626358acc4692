"""The exam encoder: views that are not there, sides, regions, and weights from a pre-training."""

import copy
import logging

import pytest
import torch
import torch.nn.functional as F

from common.networks.exam_encoder import ExamEncoder, load_image_encoder
from tests.networks.exam_setup import exams

OPTIONS = [{}, {"fusion": "attention"}, {"shared": False}]


@torch.no_grad()
@pytest.mark.parametrize("options", OPTIONS)
def test_unit_vectors_of_what_exists_and_zeros_elsewhere(options):
    outputs, features, rows = ExamEncoder(joint_width=16, **options).eval()(exams())
    view_mask = torch.tensor([[True, False, True, True], [True, True, False, False], [True] * 4])
    side_mask = torch.tensor([[True, True], [True, False], [True, True]])
    assert torch.equal(outputs["view_mask"], view_mask)
    assert torch.equal(outputs["side_mask"], side_mask)
    for name, mask in (
        ("view_vector", view_mask),
        ("side_vector", side_mask),
        ("exam_vector", torch.tensor([True] * 3)),
    ):
        torch.testing.assert_close(outputs[name].norm(dim=-1), mask.float())
    torch.testing.assert_close(outputs["region"].norm(dim=2), view_mask.float()[..., None, None].expand(-1, -1, 8, 8))
    left = outputs["view_importance"][:, :2].sum(1)
    torch.testing.assert_close(left, torch.ones(3))
    assert outputs["view_importance"][0].tolist()[:2] == [1.0, 0.0]
    assert [tuple(feature.shape) for feature in features] == [(12, 32, 32, 32), (12, 64, 16, 16), (12, 96, 8, 8)]
    assert rows.tolist() == list(range(12))


@torch.no_grad()
@pytest.mark.parametrize("options", OPTIONS)
def test_an_exam_does_not_depend_on_the_others_nor_on_their_order(options):
    encoder, image = ExamEncoder(joint_width=16, **options).eval(), exams(4)
    outputs = encoder(image)[0]
    for name, value in encoder(image[[2, 0, 1]])[0].items():
        torch.testing.assert_close(value, outputs[name][[2, 0, 1]], rtol=1e-4, atol=1e-5, msg=name)


@torch.no_grad()
def test_deleting_a_view_changes_nothing_but_its_side():
    encoder, image = ExamEncoder(joint_width=16).eval(), exams(3)[2:]
    without = image.clone()
    without[0, 3] = 0
    before, after = encoder(image)[0], encoder(without)[0]
    assert torch.equal(before["view_vector"][:, :3], after["view_vector"][:, :3])
    assert torch.equal(before["side_vector"][:, 0], after["side_vector"][:, 0])
    assert not torch.allclose(before["side_vector"][:, 1], after["side_vector"][:, 1])
    torch.testing.assert_close(after["side_vector"][:, 1], after["view_vector"][:, 2])  # one view is the whole side


@pytest.mark.parametrize("options", OPTIONS)
def test_training_leaves_absent_views_out_of_the_norms(options):
    """As if they were not in the batch; nothing becomes NaN because of them."""
    encoder, image = ExamEncoder(joint_width=16, **options).train(), exams(2)
    image[1] = 0
    image[0, 2:] = 0  # one view of eight is left
    alone = copy.deepcopy(encoder.trunks[0])
    outputs, features, rows = encoder(image)
    assert rows.tolist() == [0]
    assert len(features[0]) == 1
    alone(image[0, :1])
    for key, value in encoder.trunks[0].state_dict().items():
        torch.testing.assert_close(value, alone.state_dict()[key], msg=key)
    assert (outputs["side_vector"][1] == 0).all()
    assert (outputs["region"][1] == 0).all()
    (outputs["side_vector"].sum() + outputs["region"].sum() + outputs["exam_vector"].sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def test_refuses_a_batch_without_views_and_other_shapes():
    encoder = ExamEncoder(joint_width=16)
    with pytest.raises(ValueError, match="no exam of the batch has any view"):
        encoder(torch.zeros(2, 4, 1, 64, 64))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 1, 64, 64\), expected exams \(E,4,1,H,W\)"):
        encoder(torch.rand(2, 3, 1, 64, 64))


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
def test_one_trunk_for_each_kind_of_view(training):
    """CC views by the first, MLO views by the second, in every exam."""
    encoder = ExamEncoder(joint_width=16, shared=False).train(training)
    assert len(encoder.trunks) == 2
    image = exams(3)
    _, features, rows = encoder(image)
    views = image.flatten(0, 1)[rows]
    for kind, trunk in enumerate(encoder.trunks):
        own = torch.where(rows % 2 == kind)[0]
        for level, feature in enumerate(trunk(views[own])):
            torch.testing.assert_close(features[level][own], feature)


@torch.no_grad()
def test_global_vector_by_hand():
    """Maximum and mean over views, code of the side, a hidden layer; the recipe that was measured."""
    encoder, image = ExamEncoder(joint_width=16).eval(), exams(3)[2:]
    outputs, features, _ = encoder(image)
    left = features[-1][:2]
    pooled = torch.cat([left.amax((0, 2, 3)), left.mean((0, 2, 3)), encoder.global_head.side_code.weight[0]])
    vector = encoder.global_head.out(F.relu(encoder.global_head.hidden(pooled)))
    torch.testing.assert_close(outputs["side_vector"][0, 0], vector / vector.norm())
    both = outputs["side_vector"][0].mean(0)
    torch.testing.assert_close(outputs["exam_vector"][0], both / both.norm())


@torch.no_grad()
def test_regions_are_centred_and_know_no_side():
    encoder = ExamEncoder(joint_width=16).train()
    encoder.local_head.kind_code.weight.copy_(torch.randn(2, 16))
    image = torch.rand(2, 4, 1, 64, 64)
    image[:, 2:] = image[:, :2]  # the same pictures as right views
    outputs, features, _ = encoder(image)
    torch.testing.assert_close(outputs["region"][:, :2], outputs["region"][:, 2:])
    local = features[-1]
    centred = (local - local.mean((0, 2, 3), keepdim=True)) / (local.var((0, 2, 3), False, keepdim=True) + 1e-5).sqrt()
    vector = (
        F.conv2d(centred, encoder.local_head.project.weight)[0] + encoder.local_head.kind_code.weight[0][:, None, None]
    )
    torch.testing.assert_close(outputs["region"][0, 0], vector / vector.norm(dim=0), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_background_regions():
    """Bright from column 29 on: the cell around pixel 24 is dark (pixels 20 to 27), that around 32 is not."""
    encoder, image = ExamEncoder(joint_width=16).eval(), torch.zeros(1, 4, 1, 64, 64)
    image[0, 0, 0, :, 29:] = 0.5
    image[0, 1] = 0.05  # dark as a whole: nothing is left out
    mask = encoder(image)[0]["region_mask"]
    assert mask[0, 0].all(0).tolist() == [False] * 4 + [True] * 4
    assert not mask[0, 0, :, :4].any()
    assert mask[0, 1].all()
    assert not mask[0, 2:].any()


def test_weights_of_a_pre_training(tmp_path, caplog):
    torch.manual_seed(0)
    trained = ExamEncoder(joint_width=16)
    state = {f"image_encoder.{key}": value for key, value in trained.state_dict().items()}
    torch.save({**state, "log_sharpness": torch.tensor(1.0)}, tmp_path / "model.pt")
    with caplog.at_level(logging.INFO):
        encoder = ExamEncoder(joint_width=16, heads=[])
        report = load_image_encoder(encoder, tmp_path / "model.pt")
    assert report.loaded == len(encoder.state_dict())
    assert report.notes == ("global_head, local_head left out, not needed here",)
    assert "image encoder of" in caplog.text
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, trained.state_dict()[key])


def test_weights_that_do_not_fit(tmp_path):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="holds no tensor named image_encoder"):
        load_image_encoder(ExamEncoder(), tmp_path / "other.pt")
    state = {f"image_encoder.{key}": value for key, value in ExamEncoder(shared=False).state_dict().items()}
    torch.save(state, tmp_path / "two.pt")
    with pytest.raises(ValueError, match=r"does not fit ExamEncoder: .* unexpected: trunks\.1"):
        load_image_encoder(ExamEncoder(), tmp_path / "two.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": ["words"]}, "head is 'words', expected one of global, local"),
        ({"joint_width": 0}, "joint_width is 0"),
        ({"background": 30}, "background is 30, expected a grey value"),
        ({"view_side": [0, 2]}, r"view_side is \[0, 2\]"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ExamEncoder(**options)
