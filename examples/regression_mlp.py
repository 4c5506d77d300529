"""A small net that predicts how diabetes goes on (442 patients, scikit-learn's data): regression with the mean squared error.

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
    return nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


def data() -> tuple[TensorDataset, TensorDataset]:
    """Ten features and one target of 342 and of 100 patients, scaled to mean 0 and standard deviation 1."""
    features, target = (
        torch.tensor(array, dtype=torch.float32) for array in load_diabetes(return_X_y=True, scaled=False)
    )
    features, target = ((values - values.mean(0)) / values.std(0) for values in (features, target[:, None]))
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(0))
    return tuple(TensorDataset(features[part], target[part]) for part in (order[:342], order[342:]))


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if sys.argv[1:] else 50
    torch.manual_seed(0)
    torch.set_num_threads(1)  # for a small net, threads wait more than they work
    model, (patients, others) = net(), data()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    for _ in range(epochs):
        for features, target in DataLoader(patients, batch_size=32, shuffle=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(features), target).backward()
            optimizer.step()
    for name, part in (("train", patients), ("test", others)):
        print(f"{name} loss {nn.functional.mse_loss(model(part.tensors[0]), part.tensors[1]):.3f}")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
