"""The transformer block is PyTorch's encoder layer, mask and both orders of normalisation included."""

import pytest
import torch
from torch import nn

from common.layers import TransformerBlock


@pytest.mark.parametrize("norm_first", [True, False])
def test_equals_the_encoder_layer(norm_first):
    torch.manual_seed(0)
    block = TransformerBlock(12, 3, 20, norm_first, epsilon=1e-3).eval()
    layer = nn.TransformerEncoderLayer(
        12, 3, 20, activation="gelu", layer_norm_eps=1e-3, batch_first=True, norm_first=norm_first
    ).eval()
    for ours in block.parameters():
        nn.init.normal_(ours)
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(block.projection.weight)
        layer.self_attn.in_proj_bias.copy_(block.projection.bias)
        pairs = [(layer.self_attn.out_proj, block.mixer), (layer.linear1, block.inner), (layer.linear2, block.outer)]
        for theirs, ours in [*pairs, (layer.norm1, block.attention_norm), (layer.norm2, block.perceptron_norm)]:
            theirs.load_state_dict(ours.state_dict())
    sequence = torch.randn(2, 5, 12)
    mask = torch.tensor([[True] * 5, [True, True, False, True, False]])
    torch.testing.assert_close(block(sequence, mask), layer(sequence, src_key_padding_mask=~mask), rtol=1e-5, atol=1e-5)


def test_tokens_that_may_not_be_looked_at_change_nothing_else():
    torch.manual_seed(0)
    block = TransformerBlock(8, 2, 8).eval()
    sequence, mask = torch.randn(1, 4, 8), torch.tensor([[True, True, True, False]])
    changed = sequence.clone()
    changed[0, 3] += 5
    assert block(sequence, mask)[0, :3].equal(block(changed, mask)[0, :3])


def test_heads_share_the_width():
    with pytest.raises(ValueError, match="width 10 cannot be shared among 3 heads"):
        TransformerBlock(10, 3, 8)
