"""Encoders by name: published weights fit or are refused, and the report says what was dropped."""

import logging

import pytest
import torch

from common.networks.uml_encoders import base_channels, build_encoder
from tests.networks.published_encoders import res2net_state


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "res2net50_v1b_26w_4s.pth"
    torch.save(res2net_state(), path)
    return path


def _changed(published, tmp_path, **changes):
    state = {**torch.load(published, weights_only=True), **changes}
    path = tmp_path / "changed.pth"
    torch.save({key: value for key, value in state.items() if value is not None}, path)
    return path


def test_every_tensor_arrives_and_the_rest_is_reported(published, caplog):
    with caplog.at_level(logging.INFO):
        encoder = build_encoder("res2net50", norm="frozen", weights=published)
    stored = torch.load(published, weights_only=True)
    assert all(torch.equal(value, stored[key]) for key, value in encoder.state_dict().items())
    assert f"loaded {len(encoder.state_dict())} tensors from res2net50 weights {published}" in caplog.text
    assert "4 tensors of unused stages and of the head dropped" in caplog.text
    assert "71 batch-norm counters dropped, the norms are frozen" in caplog.text


def test_batch_norms_keep_their_counters(published):
    encoder = build_encoder("res2net50", norm="batch", weights=str(published))
    assert encoder.bn1.num_batches_tracked.item() == 7


def test_grey_images_sum_the_first_convolution(published, caplog):
    with caplog.at_level(logging.INFO):
        grey = build_encoder("res2net50", in_channels=1, weights=published)
    colour = torch.load(published, weights_only=True)["conv1.0.weight"]
    assert torch.equal(grey.conv1[0].weight, colour.sum(dim=1, keepdim=True))
    assert "summed over RGB" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer2.1.convs.1.weight": None}, "does not fit Res2NetEncoder: 1 missing: layer2.1.convs.1.weight"),
        ({"layer3.6.conv1.weight": torch.zeros(1)}, "1 unexpected: layer3.6.conv1.weight"),
        ({"bn1.weight": torch.zeros(32)}, r"bn1.weight is \(32,\), expected \(64,\)"),
        ({"bn1.running_var": torch.zeros(64)}, "bn1.running_var holds variances that are not positive"),
    ],
)
def test_files_that_do_not_fit(published, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        build_encoder("res2net50", norm="frozen", weights=_changed(published, tmp_path, **changes))


def test_weights_of_another_network(published):
    with pytest.raises(ValueError, match=r"vgg16 weights .* does not fit VGGEncoder: 60 missing"):
        build_encoder("vgg16", norm="frozen", weights=published)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "res2net"}, "encoder is 'res2net', expected one of res2net50, vgg16, small; did you mean"),
        ({"name": "small", "norm": "layer"}, "norm is 'layer', expected one of frozen, batch, group"),
        ({"name": "small", "stem_stride": 4}, "stem_stride is 4, expected 1 .* or 2"),
        ({"name": "res2net50", "norm": "frozen"}, "norm is 'frozen', but weights is null: .* no normalisation at all"),
        ({"name": "res2net50", "norm": "group", "weights": "x.pth"}, "'group', but weights x.pth were trained with"),
        ({"name": "small", "weights": "x.pth"}, "no published weights exist for the small encoder"),
        ({"name": "small", "norm": "frozen", "weights": "checkpoint"}, "no published weights exist for the small"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ValueError, match=message):
        build_encoder(**options)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match=r"nowhere.pth does not exist"):
        build_encoder("res2net50", weights="nowhere.pth")


def test_frozen_norms_for_a_checkpoint_that_is_loaded_next(published):
    trained = build_encoder("res2net50", norm="frozen", weights=published)
    fresh = build_encoder("res2net50", norm="frozen", weights="checkpoint")
    fresh.load_state_dict(trained.state_dict())
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(fresh(image)[3], trained(image)[3])


@pytest.mark.parametrize(("width", "channels"), [(1.0, 64), (0.5, 32), (0.125, 8), (0.01, 8), (0.2, 16), (1.5, 96)])
def test_channels_at_a_width(width, channels):
    assert base_channels(width) == channels


def test_width_that_is_none():
    with pytest.raises(ValueError, match="width is 0, expected a positive multiplier"):
        base_channels(0)
