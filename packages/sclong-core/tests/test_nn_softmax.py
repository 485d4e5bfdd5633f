import torch

from sclong_core.config import PerformerConfig
from sclong_core.nn.softmax import SoftmaxAttention


def _attention() -> SoftmaxAttention:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return SoftmaxAttention(
            PerformerConfig(dim=12, depth=1, heads=3, dim_head=4, attention="softmax")
        )


def test_it_is_softmax_attention():
    attention = _attention()
    x = torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(1))
    query = attention.query(x).unflatten(-1, (3, 4)).transpose(1, 2)
    key, value = (
        part.unflatten(-1, (3, 4)).transpose(1, 2) for part in attention.key_value(x).chunk(2, -1)
    )
    weights = torch.softmax(query @ key.transpose(-1, -2) / 2, dim=-1)
    expected = attention.output((weights @ value).transpose(1, 2).flatten(-2))
    assert torch.allclose(attention(x, attention.summarise([x])), expected, atol=1e-5)


def test_positions_may_come_in_blocks():
    attention = _attention()
    x = torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(1))
    whole, parts = attention.summarise([x]), attention.summarise(x.split(3, dim=1))
    assert torch.allclose(attention(x, whole), attention(x, parts), atol=1e-6)
