"""Matrices to compare with: dense ones of a small net, and ones of known spectrum."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev

from losslandscape.data.image_set import ImageSet
from losslandscape.evaluate.losses import sample_losses


class SmallNet(nn.Module):
    """All that makes second derivatives hard, in 158 parameters.

    Batch norms, ReLUs in place, pooling, a shortcut, and a layer that is used twice.
    """

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)
        self.twice = nn.Conv2d(3, 3, 3, padding=1)
        self.bare = nn.BatchNorm2d(3, affine=False)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.BatchNorm1d(3)
        self.linear = nn.Linear(3, 5)

    def forward(self, images):
        maps = self.relu(self.norm(self.conv(images)))
        maps = self.relu(maps + self.bare(self.twice(torch.tanh(self.twice(maps)))))
        return self.linear(self.last(nn.functional.max_pool2d(maps, 2).mean((2, 3))))


def small_net(dtype: torch.dtype = torch.float64) -> SmallNet:
    torch.manual_seed(1)
    net = SmallNet()
    for norm in (net.norm, net.bare, net.last):
        norm.running_mean.normal_(std=0.3)
        norm.running_var.uniform_(0.5, 2)
    for tensor in [net.norm.weight, net.norm.bias, net.last.weight, net.last.bias]:
        nn.init.normal_(tensor)
    return net.to(dtype)


def small_data(count: int = 23) -> ImageSet:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (count, 2, 6, 6), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 5, (count,), generator=generator)
    return ImageSet(images, labels, mean=(0.4, 0.5), std=(0.2, 0.3))


def dense(
    net: nn.Module,
    data: ImageSet,
    *,
    kind: str = "hessian",
    loss_name: str = "crossentropy",
    all_parameters: bool = False,
) -> Tensor:
    """The matrix (n, n) from its definition, over the whole dataset at once."""
    net.eval()
    chosen = {name: p.detach() for name, p in net.named_parameters() if all_parameters or p.dim() > 1}
    start = torch.cat([parameter.flatten() for parameter in chosen.values()])
    sizes = [parameter.numel() for parameter in chosen.values()]
    images = data.batch(slice(None)).to(start.dtype)

    def logits(flat):
        parts = zip(chosen.items(), flat.split(sizes), strict=True)
        weights = {name: part.view_as(parameter) for (name, parameter), part in parts}
        return functional_call(net, weights, (images,))

    def loss_of_logits(one, label):
        return sample_losses(loss_name, one[None], label[None])[0]

    def all_losses(flat):
        return sample_losses(loss_name, logits(flat), data.labels)

    if kind == "hessian":
        return hessian(lambda flat: all_losses(flat).mean())(start).detach()
    if kind == "fisher":
        gradients = jacrev(all_losses)(start)
        return (gradients.T @ gradients / len(data)).detach()
    jacobian = jacrev(logits)(start)
    samples = zip(logits(start), data.labels, strict=True)
    inner = torch.stack([hessian(loss_of_logits)(one, label) for one, label in samples])
    return (torch.einsum("icp,icd,idq->pq", jacobian, inner, jacobian) / len(data)).detach()


class Dense:
    """A dense matrix with the interface of `Curvature`, as if of parameter tensors of these sizes."""

    def __init__(self, matrix: Tensor, sizes: tuple[int, ...] = ()):
        self.matrix, self.dimension = matrix, len(matrix)
        self.dtype, self.device = matrix.dtype, matrix.device
        self.sizes = sizes or (self.dimension,)
        self.names = tuple(f"tensor{i}" for i in range(len(self.sizes)))
        self.products = 0

    def __call__(self, vectors: Tensor) -> Tensor:
        self.products += 1
        return vectors @ self.matrix


def with_spectrum(
    values: Sequence[float], sizes: tuple[int, ...] = (), *, dtype: torch.dtype = torch.float64
) -> Dense:
    """A matrix with these eigenvalues."""
    diagonal = torch.as_tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
    basis, _ = torch.linalg.qr(drawn)
    return Dense(((basis * diagonal) @ basis.T).to(dtype), sizes)
