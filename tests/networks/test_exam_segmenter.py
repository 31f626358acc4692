"""The segmenter of exams."""

import pytest
import torch

from common.networks import ExamSegmenter, MultiViewReportNet
from tests.networks.exam_setup import WordMeans, exams, texts


@torch.no_grad()
@pytest.mark.parametrize("image", ["tiny", "resnet18"])
@pytest.mark.parametrize("size", [(64, 64), (75, 50)])
def test_sizes_and_scripting(image, size):
    network, given = ExamSegmenter(image=image).eval(), exams(size=size)
    outputs = network.explain(given)
    logits = outputs["segmentation_logits"]
    assert logits.shape == (3, 4, *size)
    assert (logits[1, 2:] == -20).all()
    assert (logits[0, 0] != -20).all()
    torch.testing.assert_close(outputs["segmentation_probability"], torch.sigmoid(logits))
    torch.testing.assert_close(torch.jit.script(network)(given), logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_view_is_segmented_by_itself():
    network, image = ExamSegmenter().eval(), exams()
    single = torch.zeros(1, 4, 1, 64, 64)
    single[0, 3] = image[2, 3]
    torch.testing.assert_close(network(single)[0, 3], network(image)[2, 3], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.slow
def test_exported_for_any_number_of_exams():
    network, shapes = ExamSegmenter().eval(), {"image": {0: torch.export.Dim("batch", min=1)}}
    module = torch.export.export(network, (exams(3),), dynamic_shapes=shapes).module()
    torch.testing.assert_close(module(exams(1)), network(exams(1)), rtol=1e-4, atol=1e-5)


def test_learns_a_square():
    """Thirty steps on one exam with a view missing; a lesion is where it is bright."""
    network = ExamSegmenter().train()
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    image = exams(1) * 0.2
    mask = torch.zeros(1, 4, 64, 64)
    mask[:, 0, 20:40, 10:30] = 1
    image[:, :, 0] += 0.6 * mask
    for _ in range(30):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(image), mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = network(image)[0, 0] > 0
    overlap = (found & (mask[0, 0] > 0)).sum() / (found | (mask[0, 0] > 0)).sum()
    assert overlap > 0.8


@torch.no_grad()
def test_starts_from_a_pre_training(tmp_path):
    trained = MultiViewReportNet(WordMeans(), texts(2, 3, 2, 1, 5), joint_width=16).eval()
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    network = ExamSegmenter(weights=tmp_path / "model.pt").eval()
    _, expected, _ = trained.image_encoder(exams())
    _, found, _ = network.image_encoder(exams())
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_refuses_two_sources_of_weights():
    with pytest.raises(ValueError, match="weights and trunk_weights are both given"):
        ExamSegmenter(weights="a.pt", trunk_weights="b.pt")
