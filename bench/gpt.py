"""A plain GPT of any size, its checkpoint of random weights, and tokens: what `bench/large.py` measures.

Nothing here holds a net twice, or draws weights that a file then overwrites.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DTYPE = torch.bfloat16
VOCABULARY, LENGTH, HEAD = 16_384, 1024, 64
TOKENS = 16 * LENGTH
SPREAD = 0.02  # of random weights, as in GPT-2


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.attention(self.norm1(x)).unflatten(2, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts.unbind(), is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Tokens (N, LENGTH) to scores of the next token (N, LENGTH, VOCABULARY)."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.places = nn.Embedding(LENGTH, width)
        self.blocks = nn.Sequential(*[Block(width) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        return self.head(self.norm(self.blocks(self.tokens(input_ids) + self.places(places))))


def shapes(width: int, layers: int) -> GPT:
    """Return the net without numbers."""
    with torch.device("meta"):
        return GPT(width, layers).to(DTYPE)


def net(width: int, layers: int) -> nn.Module:
    """Return the net with weights that are in no memory before a file fills them."""
    return shapes(width, layers).to_empty(device="cpu")


def data() -> dict[str, Tensor]:
    """Return sequences of random tokens as one batch."""
    generator = torch.Generator().manual_seed(0)
    return {"input_ids": torch.randint(VOCABULARY, (TOKENS // LENGTH, LENGTH), generator=generator)}


def write_checkpoint(path: Path, width: int, layers: int) -> int:
    """Write random weights as safetensors, one tensor in memory at a time; return the bytes of the net."""
    tensors, header, end = shapes(width, layers).state_dict(), {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    generator = torch.Generator().manual_seed(0)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in tensors.items():
            values = torch.ones(tensor.shape, dtype=DTYPE)
            if tensor.dim() > 1:
                values.normal_(0, SPREAD, generator=generator)
            elif name.endswith("bias"):
                values.zero_()
            file.write(memoryview(values.view(torch.uint8).numpy()))
    return end
