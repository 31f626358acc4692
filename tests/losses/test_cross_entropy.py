"""Plain cross entropy equals torch's, for any batching."""

import pytest
import torch
import torch.nn.functional as F

from common.losses import CrossEntropyLoss

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5], [-3.0, 1.0, 0.0]], dtype=torch.float64)
LABEL = torch.tensor([0, 2, 1])


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 3.0]])
def test_equals_torch_for_any_batching(weights):
    loss = CrossEntropyLoss(weights)
    parts = [loss.terms({"logits": LOGITS[i]}, {"label": LABEL[i]}) for i in (slice(0, 1), slice(1, 3))]
    joined = loss.reduce({name: torch.cat([part[name] for part in parts]) for name in parts[0]})
    expected = F.cross_entropy(LOGITS, LABEL, weight=None if weights is None else torch.tensor(weights).double())
    torch.testing.assert_close(joined["loss"], expected)
    torch.testing.assert_close(loss({"logits": LOGITS}, {"label": LABEL})["classification"], expected)


def test_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = CrossEntropyLoss()({"logits": LOGITS.bfloat16()}, {"label": LABEL})["loss"]
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, F.cross_entropy(LOGITS.bfloat16().float(), LABEL))


@pytest.mark.parametrize(
    ("outputs", "batch", "message"),
    [
        ({"logits": LOGITS}, {"label": LABEL.unsqueeze(1)}, r"got labels of shape \(3, 1\)"),
        ({"logits": LOGITS}, {"label": LABEL + 1}, "got labels from 1 to 3, expected 0 to 2"),
        ({"logits": LOGITS}, {"image": LOGITS}, "needs 'label' but was given only image"),
        ({"evidence": LOGITS}, {"label": LABEL}, "needs 'logits' but was given only evidence"),
    ],
)
def test_unfit_batches_are_refused(outputs, batch, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropyLoss()(outputs, batch)


def test_impossible_weights_are_refused():
    with pytest.raises(ValueError, match="expected one positive number per class"):
        CrossEntropyLoss([1.0, 0.0])
