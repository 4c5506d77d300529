"""A net that solves the wave u_t + c u_x = 0 on a circle: its loss is how badly it fulfils the equation, its start and its joint.

    python examples/physics_informed.py
    python plot_surface.py --model examples/physics_informed.py:net --model_file examples/physics_informed.pt \\
        --dataset examples/physics_informed.py:data --loss_name examples/physics_informed.py:loss \\
        --x=-0.1:0.1:25 --y=-0.1:0.1:25 --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot
"""

import sys
from math import tau

import torch
from torch import nn
from torch.utils.data import TensorDataset

SPEED = 5.0


def net(width: int = 50) -> nn.Module:
    """(N, 2) of place x in [0, 2 pi] and time t in [0, 1] to u (N, 1)."""
    return nn.Sequential(
        nn.Linear(2, width),
        nn.Tanh(),
        nn.Linear(width, width),
        nn.Tanh(),
        nn.Linear(width, width),
        nn.Tanh(),
        nn.Linear(width, 1),
    )


def data() -> TensorDataset:
    """512 places and times at which to ask for the equation; the places are also asked for the start, the times for the joint."""
    points = torch.rand(512, 2, generator=torch.Generator().manual_seed(0))
    return TensorDataset(points * torch.tensor([tau, 1.0]))


def loss(net: nn.Module, batch: tuple[torch.Tensor]) -> tuple[torch.Tensor, int, dict[str, torch.Tensor]]:
    """Mean over the points of three squares, the number of points, and more by name; `error` compares with the true solution."""
    points = batch[0].detach().requires_grad_()
    (x, t), u = points.split(1, dim=1), net(points)
    u_x, u_t = torch.autograd.grad(u.sum(), points, create_graph=True)[0].split(1, dim=1)
    residual = (u_t + SPEED * u_x).square()
    start = (net(torch.cat([x, 0 * t], 1)) - x.sin()).square()
    joint = (net(torch.cat([0 * x, t], 1)) - net(torch.cat([0 * x + tau, t], 1))).square()
    samples, error = residual + start + joint, (u - (x - SPEED * t).sin()).square()
    return (
        samples.mean(),
        len(points),
        {
            "residual": residual.mean(),
            "boundary": (start + joint).mean(),
            "error": error.mean(),
            "samples": samples.squeeze(1),
        },
    )


if __name__ == "__main__":
    steps = int(sys.argv[1]) if sys.argv[1:] else 600
    torch.manual_seed(0)
    torch.set_num_threads(1)  # for a small net, threads wait more than they work
    model, batch = net(), data().tensors
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=steps, history_size=50, line_search_fn="strong_wolfe", tolerance_change=0
    )

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        mean, _, _ = loss(model, batch)
        mean.backward()
        return mean

    optimizer.step(step)
    mean, _, parts = loss(model, batch)
    print(f"loss {mean:.2e}, mean squared error of the solution {parts['error']:.2e}")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
