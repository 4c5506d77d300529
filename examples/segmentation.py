"""A small U-Net that finds and reads a handwritten digit in a noisy picture, pixel by pixel; unclear pixels do not count.

    python examples/segmentation.py
    python plot_surface.py --model examples/segmentation.py:net --model_file examples/segmentation.pt \\
        --dataset examples/segmentation.py:data --loss_name examples/segmentation.py:loss --test_set --data_split 5 \\
        --x=-1:1:25 --y=-1:1:25 --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Beside(nn.Sequential):
    """Puts what comes in beside what the layers make of it."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images, super().forward(images)], 1)


def net(width: int = 16) -> nn.Module:
    """(N, 1, 16, 16) to scores of 11 classes (N, 11, 16, 16): the digits 0 to 9, and the background."""

    def block(a: int, b: int) -> nn.Module:
        return nn.Sequential(
            *(
                layer
                for size in (a, b)
                for layer in (nn.Conv2d(size, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
            )
        )

    coarse = Beside(nn.MaxPool2d(2), block(width, 4 * width), nn.Upsample(scale_factor=2))
    return nn.Sequential(block(1, width), coarse, block(5 * width, width), nn.Conv2d(width, 11, 1))


def data() -> tuple[TensorDataset, ...]:
    """1500 and 297 pictures with a digit somewhere; the class of a pixel that is neither white nor black is -100, PyTorch's mark to ignore."""
    digits, names = map(torch.from_numpy, load_digits(return_X_y=True))
    random = torch.Generator().manual_seed(0)
    ink = torch.zeros(len(digits), 1, 16, 16)
    for canvas, digit, (row, column) in zip(
        ink, digits.view(-1, 8, 8) / 16, torch.randint(9, (len(digits), 2), generator=random), strict=True
    ):
        canvas[0, row : row + 8, column : column + 8] = digit
    classes = torch.where(ink > 0.5, names.view(-1, 1, 1, 1), torch.where(ink > 0.1, -100, 10)).squeeze(1)
    return tuple(
        random_split(
            TensorDataset(ink + 0.3 * torch.randn(ink.shape, generator=random), classes), (1500, 297), random
        )
    )


def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Mean cross entropy of the pixels that count, their number, and the share of them in percent that is read right."""
    scores, counts = net(batch[0]), batch[1] >= 0
    right = 100.0 * (scores.argmax(1) == batch[1])[counts]
    return nn.functional.cross_entropy(scores, batch[1]), counts.sum(), {"pixel_acc": right.mean()}


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if sys.argv[1:] else 8
    torch.manual_seed(0)
    torch.set_num_threads(1)  # for a small net, threads wait more than they work
    model, (pictures, others) = net(), data()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in DataLoader(pictures, batch_size=50, shuffle=True):
            optimizer.zero_grad()
            loss(model, batch)[0].backward()
            optimizer.step()
    print(f"{loss(model.eval(), others[:])[2]['pixel_acc']:.1f} % of the test pixels read right")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
