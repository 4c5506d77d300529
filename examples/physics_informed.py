"""A net that solves the wave equation u_t + c u_x = 0 on a circle, with u = sin x at the start.

The loss is how badly the net fulfils the equation, the start and the boundary, where x = 0 meets x = 2 pi.

    python examples/physics_informed.py
    python plot_surface.py --model examples/physics_informed.py:net \\
        --model_file examples/physics_informed.pt \\
        --dataset examples/physics_informed.py:data --loss_name examples/physics_informed.py:loss \\
        --x=-0.1:0.1:25 --y=-0.1:0.1:25 --xnorm filter --xignore biasbn --ynorm filter \\
        --yignore biasbn --plot
"""

import sys
from math import tau

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

SPEED = 5.0


def net(width: int = 50) -> nn.Module:
    """Places x in [0, 2 pi] and times t in [0, 1] (N, 2) to u (N, 1)."""
    first = nn.Linear(2, width), nn.Tanh()
    hidden = nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
    return nn.Sequential(*first, *hidden, nn.Linear(width, 1))


def data() -> TensorDataset:
    """512 places and times. The start is tested at all places, the boundary at all times."""
    points = torch.rand(512, 2, generator=torch.Generator().manual_seed(0))
    return TensorDataset(points * torch.tensor([tau, 1.0]))


def loss(net: nn.Module, batch: tuple[Tensor]) -> tuple[Tensor, int, dict[str, Tensor]]:
    """Mean loss, number of points, and more means by name; `error` compares with the true solution."""
    points = batch[0].detach().requires_grad_()
    x, t = points.split(1, dim=1)
    u = net(points)
    u_x, u_t = torch.autograd.grad(u.sum(), points, create_graph=True)[0].split(1, dim=1)
    residual = (u_t + SPEED * u_x).square()
    start = (net(torch.cat([x, 0 * t], 1)) - x.sin()).square()
    left, right = net(torch.cat([0 * x, t], 1)), net(torch.cat([0 * x + tau, t], 1))
    boundary = start + (left - right).square()
    samples = residual + boundary
    error = (u - (x - SPEED * t).sin()).square()
    means = {"residual": residual.mean(), "boundary": boundary.mean(), "error": error.mean()}
    return samples.mean(), len(points), {**means, "samples": samples.squeeze(1)}


if __name__ == "__main__":
    steps = int(sys.argv[1]) if sys.argv[1:] else 600
    torch.manual_seed(0)
    torch.set_num_threads(1)  # a small net is faster with one
    model, batch = net(), data().tensors
    search = {"line_search_fn": "strong_wolfe", "history_size": 50, "tolerance_change": 0}
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=steps, **search)

    def step() -> Tensor:
        optimizer.zero_grad()
        mean, _, _ = loss(model, batch)
        mean.backward()
        return mean

    optimizer.step(step)
    mean, _, parts = loss(model, batch)
    print(f"loss {mean:.2e}, mean squared error of the solution {parts['error']:.2e}")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
