import pytest
import torch

from common.metrics.uncertainty import image_uncertainties


def test_measures_of_two_opinions_by_pencil():
    # no evidence, and evidence 9 against 1: S = 2 and 12
    evidence = torch.tensor([[0.0, 0.0], [9.0, 1.0]])
    alpha = evidence + 1
    outputs = {
        "probability": alpha / alpha.sum(1, keepdim=True),
        "uncertainty": 2 / alpha.sum(1, keepdim=True),
        "evidence": evidence,
    }
    found = image_uncertainties(outputs)
    assert found["uncertainty"].tolist() == pytest.approx([1.0, 1 / 6])
    assert found["least_confidence"].tolist() == pytest.approx([0.5, 2 / 12])
    # beliefs 9/12 and 1/12: balance 1 - 8/10 of each with the other
    assert found["dissonance"].tolist() == pytest.approx([0.0, (9 + 1) / 12 * 0.2])
    # flat over [0, 1]: ln 2 less the mean entropy 1/2 nat
    assert found["mutual_information"][0].item() == pytest.approx(0.6931471805599453 - 0.5)
    assert all(values.shape == (2,) for values in found.values())


def test_a_network_without_evidence_is_as_uncertain_as_it_is_unconfident():
    found = image_uncertainties({"probability": torch.tensor([[0.7, 0.2, 0.1]])})
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {"uncertainty": 0.3, "least_confidence": 0.3}
    )
