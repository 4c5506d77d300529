"""A small net that predicts the progress of diabetes (442 patients, scikit-learn's data): regression.

    python examples/regression_mlp.py
    python plot_surface.py --model examples/regression_mlp.py:net --model_file examples/regression_mlp.pt \\
        --dataset examples/regression_mlp.py:data --loss_name regression_mse --test_set \\
        --x=-1:1:25 --y=-1:1:25 --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot
"""

import sys

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def net() -> nn.Module:
    """Ten features (N, 10) to a prediction (N, 1)."""
    return nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


def data() -> tuple[TensorDataset, TensorDataset]:
    """Features and target of 342 and of 100 patients, scaled to mean 0 and standard deviation 1."""
    arrays = load_diabetes(return_X_y=True, scaled=False)
    features, target = (torch.tensor(array, dtype=torch.float32) for array in arrays)
    features = (features - features.mean(0)) / features.std(0)
    target = ((target - target.mean()) / target.std())[:, None]
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(0))
    train, test = order[:342], order[342:]
    return TensorDataset(features[train], target[train]), TensorDataset(features[test], target[test])


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if sys.argv[1:] else 50
    torch.manual_seed(0)
    torch.set_num_threads(1)  # a small net is faster with one
    model, (train, test) = net(), data()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    for _ in range(epochs):
        for features, target in DataLoader(train, batch_size=32, shuffle=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(features), target).backward()
            optimizer.step()
    for name, part in (("train", train), ("test", test)):
        features, target = part.tensors
        print(f"{name} loss {nn.functional.mse_loss(model(features), target):.3f}")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
