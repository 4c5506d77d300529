"""Nets and losses that do not give the same value again, each in its own way."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLES = 40


def data(samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(samples, 3, generator=generator), torch.arange(samples) % 2


class Base(nn.Module):
    """A small classifier with weights of a fixed seed."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.linear = nn.Linear(3, 2)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Observing(Base):
    """A net whose observer of the range of its inputs also works in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.linear(x)
        self.largest = torch.maximum(self.largest, outputs.abs().max().detach())
        return outputs.round(decimals=1) / (1 + self.largest)


class Remembering(Base):
    """A recurrent net that keeps its hidden state in an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        before = 0.0 if self.hidden is None else self.hidden
        outputs = self.linear(x) + before
        self.hidden = 0.5 * outputs.mean(0).detach()
        return outputs


class Counting(Base):
    """A net that counts its calls, which changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(x)


class Dropping(Base):
    """A net that always drops inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(F.dropout(x, 0.5))


class Own:
    """A loss with a generator of its own, which no seed reaches."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.__name__ = "own"

    def __call__(self, net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        noise = torch.randn(batch[0].shape, generator=self.generator)
        return F.cross_entropy(net(batch[0] + noise), batch[1])


def noisy(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return a loss that adds noise to the inputs, as diffusion losses do."""
    return F.cross_entropy(net(batch[0] + torch.randn_like(batch[0])), batch[1])


def contrastive(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return a loss whose negatives are the other samples of the batch."""
    outputs = F.normalize(net(batch[0]))
    return F.cross_entropy(outputs @ outputs.T / 0.1, torch.arange(len(outputs)))
