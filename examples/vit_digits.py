"""A small vision transformer (timm, nothing is downloaded) that reads scikit-learn's handwritten digits.

    python examples/vit_digits.py
    python plot_surface.py --model examples/vit_digits.py:net --model_file examples/vit_digits.pt \\
        --dataset examples/vit_digits.py:data --test_set --data_split 2 \\
        --x=-1:1:25 --y=-1:1:25 --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot
"""

import sys

import torch
from sklearn.datasets import load_digits
from timm.models import VisionTransformer
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset, random_split


def net(depth: int = 4) -> nn.Module:
    """Images (N, 1, 8, 8) to scores of ten classes (N, 10)."""
    images = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10}
    return VisionTransformer(**images, embed_dim=64, depth=depth, num_heads=4)


def data() -> list[Subset]:
    """1500 training and 297 test images of 1x8x8 between 0 and 1, with their digits."""
    images, digits = map(torch.from_numpy, load_digits(return_X_y=True))
    pairs = TensorDataset(images.view(-1, 1, 8, 8).float() / 16, digits)
    return random_split(pairs, (1500, 297), torch.Generator().manual_seed(0))


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if sys.argv[1:] else 15
    torch.manual_seed(0)
    torch.set_num_threads(1)  # a small net is faster with one
    model, (train, test) = net(), data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    for _ in range(epochs):
        for images, digits in DataLoader(train, batch_size=50, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), digits).backward()
            optimizer.step()
    images, digits = test[:]
    with torch.no_grad():
        right = (model.eval()(images).argmax(1) == digits).float().mean()
    print(f"{100 * right:.1f} % of the test digits read right")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
