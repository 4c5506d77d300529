"""The surface of a pruned net, and of nets with parametrizations, from the command line."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from losslandscape.core import user_code
from losslandscape.files import h5_util
from losslandscape.nets import net_tensors
from tests.helpers import run, succeed

STUDY = """
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

def plain():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))

def pruned():
    net = plain()
    for layer in (net[0], net[2]):
        prune.l1_unstructured(layer, "weight", 0.5)
    return net

def normed():
    net = plain()
    parametrizations.weight_norm(net[0])
    parametrizations.spectral_norm(net[2])
    return net

def data():
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()
"""
LINE = ["--dataset", "mine.py:data", "--x=-1:1:5", "--xnorm", "filter", "--xignore", "biasbn"]


@pytest.fixture
def folder(inside):
    (inside / "mine.py").write_text(STUDY)
    return inside


def weights(net: nn.Module) -> list[torch.Tensor]:
    net(torch.zeros(1, 3))  # hooks compute the weights here
    return [net[0].weight.detach().clone(), net[2].weight.detach().clone()]


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
@pytest.mark.parametrize("name", ["pruned", "normed"])
def test_the_losses_are_those_of_a_plain_loop_and_steps_are_those_of_filters(folder, name, dir_type):
    flags = ["--model", f"mine.py:{name}", "--dir_type", dir_type, *LINE, "--surf_file", "surface.h5"]
    printed = succeed("plot_surface.py", *flags, cwd=folder)
    assert "warning" not in printed
    assert ("moves: 20 of 50 parameters (40 %), 20 are pruned" in printed) == (name == "pruned")
    surface = h5_util.read_surface("surface.h5")
    (direction,) = h5_util.read_directions(surface.dir_file)

    def at(alpha: float) -> nn.Module:
        net = user_code.load(f"mine.py:{name}")().eval()
        stored = net_tensors.moving_tensors(net, dir_type).values()
        for tensor, d in zip(stored, direction, strict=True):
            tensor += alpha * torch.from_numpy(d).to(tensor)
        return net

    images, labels = user_code.load("mine.py:data")()
    with torch.no_grad():
        losses = [float(F.cross_entropy(at(alpha)(images), labels)) for alpha in surface.x]
        small_step = zip(weights(at(-1e-2)), weights(at(0)), weights(at(1e-2)), strict=True)
        for before, weight, after in small_step:
            speed = (after - before).norm(dim=1) / 2e-2
            torch.testing.assert_close(speed, weight.norm(dim=1), rtol=3e-3, atol=1e-5)
    np.testing.assert_allclose(surface.get("train_loss"), losses, rtol=1e-5)
    assert len(np.unique(surface.get("train_loss"))) == 5


def test_a_direction_file_of_an_earlier_version_is_used_and_told(folder):
    """Its surface is resumed. The report says that the steps are not those of filters."""
    flags = ["--model", "mine.py:pruned", *LINE, "--surf_file", "surface.h5"]
    succeed("plot_surface.py", *flags, cwd=folder)
    surface = h5_util.read_surface("surface.h5")
    (direction,) = h5_util.read_directions(surface.dir_file)
    made_with = h5_util.read_made_with(surface.dir_file, "direction")
    old = [d / 2 for d in direction]
    h5_util.write_directions(surface.dir_file, [old], made_with=made_with)
    (folder / "surface.h5").unlink()
    printed = succeed("plot_surface.py", *flags, cwd=folder)
    assert "warning: the x direction moves 2 weights, 0.weight first, by 0.5 to 0.5 times" in printed
    again = run("plot_surface.py", *flags, cwd=folder)
    assert again.returncode == 0, again.stderr
    (used,) = h5_util.read_directions(surface.dir_file)
    assert all(np.array_equal(a, b) for a, b in zip(used, old, strict=True))
