"""Maps the names that the paper's command lines use to functions that build its nets."""

from collections.abc import Callable
from functools import partial

from torch import nn

from losslandscape.nets.models.densenet import densenet, densenet_cifar
from losslandscape.nets.models.resnet import resnet, resnet_cifar
from losslandscape.nets.models.vgg import vgg

_WITH_SHORTCUT: dict[str, Callable[..., nn.Module]] = {
    **{f"resnet{depth}": partial(resnet, depth) for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}": partial(resnet_cifar, depth) for depth in (20, 32, 44, 56, 110)},
    "resnet50_16": partial(resnet_cifar, 50),  # "resnet50" is the four-stage net
    **{
        f"wrn{depth}_{k}": partial(resnet_cifar, depth, widen=k)
        for depth, k in ((56, 2), (56, 4), (56, 8), (110, 2), (110, 4))
    },
}

MODELS: dict[str, Callable[[], nn.Module]] = {
    **{f"vgg{depth}": partial(vgg, depth) for depth in (9, 16, 19)},
    **{f"densenet{depth}": partial(densenet, depth) for depth in (121, 161, 169, 201)},
    "densenet_cifar": densenet_cifar,
    **_WITH_SHORTCUT,
    **{f"{name}_noshort": partial(make, shortcut=False) for name, make in _WITH_SHORTCUT.items()},
}
