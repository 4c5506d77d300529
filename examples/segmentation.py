"""A small U-Net that finds and reads a handwritten digit in a noisy picture, pixel by pixel.

    python examples/segmentation.py
    python plot_surface.py --model examples/segmentation.py:net --model_file examples/segmentation.pt \\
        --dataset examples/segmentation.py:data --loss_name examples/segmentation.py:loss \\
        --test_set --data_split 5 --x=-1:1:25 --y=-1:1:25 \\
        --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset, random_split

BACKGROUND, IGNORED = 10, -100  # -100 is PyTorch's class of pixels to ignore


class Skip(nn.Sequential):
    """Concatenates the input and the layers' output."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images, super().forward(images)], 1)


def block(a: int, b: int) -> nn.Module:
    first = nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()
    second = nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()
    return nn.Sequential(*first, *second)


def net(width: int = 16) -> nn.Module:
    """Pictures (N, 1, 16, 16) to scores of 11 classes (N, 11, 16, 16): ten digits and the background."""
    coarse = Skip(nn.MaxPool2d(2), block(width, 4 * width), nn.Upsample(scale_factor=2))
    return nn.Sequential(block(1, width), coarse, block(5 * width, width), nn.Conv2d(width, 11, 1))


def data() -> list[Subset]:
    """1500 and 297 pictures with a digit somewhere; a pixel between white and black is ignored."""
    digits, names = map(torch.from_numpy, load_digits(return_X_y=True))
    digits = digits.view(-1, 8, 8) / 16
    random = torch.Generator().manual_seed(0)
    corners = torch.randint(9, (len(digits), 2), generator=random)
    ink = torch.zeros(len(digits), 1, 16, 16)
    for canvas, digit, (row, column) in zip(ink, digits, corners, strict=True):
        canvas[0, row : row + 8, column : column + 8] = digit
    unclear = torch.where(ink > 0.1, IGNORED, BACKGROUND)
    classes = torch.where(ink > 0.5, names.view(-1, 1, 1, 1), unclear).squeeze(1)
    noise = 0.3 * torch.randn(ink.shape, generator=random)
    return random_split(TensorDataset(ink + noise, classes), (1500, 297), random)


def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Mean cross entropy of the pixels that count, their number, and how many percent are read right."""
    images, classes = batch
    scores, counts = net(images), classes >= 0
    right = 100.0 * (scores.argmax(1) == classes)[counts]
    return nn.functional.cross_entropy(scores, classes), counts.sum(), {"pixel_acc": right.mean()}


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if sys.argv[1:] else 8
    torch.manual_seed(0)
    torch.set_num_threads(1)  # a small net is faster with one
    model, (train, test) = net(), data()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in DataLoader(train, batch_size=50, shuffle=True):
            optimizer.zero_grad()
            loss(model, batch)[0].backward()
            optimizer.step()
    _, _, means = loss(model.eval(), test[:])
    print(f"{means['pixel_acc']:.1f} % of the test pixels read right")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
