"""An autoencoder that squeezes handwritten digits of 64 pixels through 6 numbers: the loss compares the picture with itself.

    python examples/autoencoder.py
    python plot_surface.py --model examples/autoencoder.py:net --model_file examples/autoencoder.pt \\
        --dataset examples/autoencoder.py:data --loss_name regression_mse --test_set \\
        --x=-1:1:25 --y=-1:1:25 --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def net(code: int = 6) -> nn.Module:
    """(N, 64) to (N, 64)."""
    encoder = nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, code)
    return nn.Sequential(*encoder, nn.Linear(code, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid())


def data() -> tuple[TensorDataset, TensorDataset]:
    """1500 and 297 pictures, each its own target."""
    pictures = torch.from_numpy(load_digits().data).float() / 16
    return tuple(TensorDataset(part, part) for part in (pictures[:1500], pictures[1500:]))


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if sys.argv[1:] else 30
    torch.manual_seed(0)
    torch.set_num_threads(1)  # for a small net, threads wait more than they work
    model, (pictures, others) = net(), data()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for inputs, target in DataLoader(pictures, batch_size=50, shuffle=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs), target).backward()
            optimizer.step()
    print(f"test loss {nn.functional.mse_loss(model(others.tensors[0]), others.tensors[1]):.4f}")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
