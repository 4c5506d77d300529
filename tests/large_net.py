"""A language model in bfloat16 that counts as large, for `FILE.py:FUNCTION`, and its data."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losslandscape.core import large

VOCABULARY, WIDTH = 29, 24


class TinyLanguageModel(nn.Module):
    """Embeddings tied to the output, a layer with transposed filters, a norm layer, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.mix = nn.ConvTranspose1d(WIDTH, WIDTH, 3, padding=1, groups=2)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("scale", torch.ones(()))

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embedding(tokens).transpose(1, 2)
        return self.head(self.norm(F.gelu(self.mix(hidden)).transpose(1, 2)) * self.scale)


def net() -> nn.Module:
    torch.manual_seed(3)
    return TinyLanguageModel().to(torch.bfloat16)


def counted_as_large() -> nn.Module:
    """For a process of its own: there, this and all later nets are large."""
    large.LARGE, large.BLOCK = 100, 64
    return net()


def data() -> list[tuple[Tensor, Tensor]]:
    tokens = torch.randint(VOCABULARY, (6, 9), generator=torch.Generator().manual_seed(1))
    return [(tokens[:, :-1], tokens[:, 1:])]


def deep() -> nn.Module:
    """Return a net of 34 million numbers, whose forward pass needs little memory."""
    large.LARGE = 2**20
    layers = [nn.Linear(2048, 2048, bias=False, dtype=torch.bfloat16, device="meta") for _ in range(8)]
    ends = nn.Embedding(VOCABULARY, 2048), nn.Linear(2048, VOCABULARY)
    net = nn.Sequential(ends[0].bfloat16(), *layers, ends[1].bfloat16())
    return net.to_empty(device="cpu")
