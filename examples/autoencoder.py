"""An autoencoder that squeezes handwritten digits of 64 pixels through 6 numbers.

The loss compares each picture with its reconstruction.

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
    """Pictures (N, 64) to reconstructions (N, 64)."""
    encoder = nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, code)
    decoder = nn.Linear(code, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid()
    return nn.Sequential(*encoder, *decoder)


def data() -> tuple[TensorDataset, TensorDataset]:
    """1500 training and 297 test pictures, each its own target."""
    pictures = torch.from_numpy(load_digits().data).float() / 16
    train, test = pictures[:1500], pictures[1500:]
    return TensorDataset(train, train), TensorDataset(test, test)


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if sys.argv[1:] else 30
    torch.manual_seed(0)
    torch.set_num_threads(1)  # a small net is faster with one
    model, (train, test) = net(), data()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for pictures, target in DataLoader(train, batch_size=50, shuffle=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(pictures), target).backward()
            optimizer.step()
    pictures, target = test.tensors
    print(f"test loss {nn.functional.mse_loss(model(pictures), target):.4f}")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
