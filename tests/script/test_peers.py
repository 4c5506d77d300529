"""bench/peers.py: its plain loop, and that docs/compared.md says what was measured."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from bench import peer_page, peers
from bench.peer_planes import FIVE, compared, difference, plain_loss
from tests.helpers import REPO

RESULTS = json.loads((REPO / "bench" / "results" / "peers.json").read_text())


def test_tables_of_the_page_are_those_of_the_results():
    text = peer_page.PAGE.read_text()
    assert peer_page.page(text, RESULTS) == text


def test_numbers_in_sentences_of_the_page_are_those_of_the_results():
    text = " ".join(peer_page.PAGE.read_text().split())
    measured = {name: row["evaluation"] for name, row in RESULTS["planes"].items()}
    eigenvalues = {name: row["eigenvalue"] for name, row in RESULTS["curvature"].items()}
    along = measured["landscaper_eigenvectors"]
    for number in (
        f"cosine of {along['cosine of direction given and used']:.2f} with",
        f"off by {along['largest relative difference']:.2g}",
        f"{measured['loss_landscape_3d']['NaN of 25']} of 25 points are NaN",
        f"off by {measured['losscape']['largest relative difference']:.1%}".replace("%", " %"),
        f"{eigenvalues['hessian_eigenthings'] / eigenvalues['ours_precise'] - 1:.0%}".replace(
            "%", " % too large"
        ),
        f"{1 - eigenvalues['pyhessian'] / eigenvalues['ours_precise']:.1%}".replace("%", " % below"),
        f"Measured on {RESULTS['machine']['date']}",
    ):
        assert number in text


@pytest.mark.parametrize("script", peers.PLANES)
def test_lines_of_the_scripts_are_those_of_the_results(script):
    assert RESULTS["planes"][script]["lines"] == peers.lines_of(script)


def test_the_results_are_of_the_pinned_versions():
    assert RESULTS["requirements"] == {name: list(what) for name, what in peers.REQUIREMENTS.items()}


@pytest.fixture
def problem():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    return {"net": net, "images": torch.randn(130, 1, 4, 4), "labels": torch.randint(3, (130,))}


@pytest.fixture
def plane(problem):
    """A plane of filter-normalised axes, measured one point at a time by adding to the weights in place."""
    net = problem["net"]
    weights = [(name, tensor) for name, tensor in net.named_parameters() if tensor.dim() > 1]
    d, e = ({name: tensor.detach() * sign for name, tensor in weights} for sign in (1, -1))
    e["3.weight"] = -e["3.weight"]
    steps = np.linspace(-1, 1, 5)
    losses = np.empty((5, 5))
    for (i, a), (j, b) in ((x, y) for x in enumerate(steps) for y in enumerate(steps)):
        other = copy.deepcopy(net)
        with torch.no_grad():
            for name, tensor in other.named_parameters():
                if name in d:
                    tensor += a * d[name] + b * e[name]
        losses[i, j] = plain_loss(other, problem["images"], problem["labels"])
    return {"losses": losses, "a": steps, "b": steps, "d": d, "e": e, "notes": {}}


def test_a_right_plane_is_off_by_rounding_alone(problem, plane):
    row = compared(problem, plane)
    assert row["largest relative difference"] < 1e-6
    assert row["filters"][0] == pytest.approx({"least": 1, "median": 1, "greatest": 1})
    assert not row["biases and batch norms move"]


def test_faults_of_a_plane_are_seen(problem, plane):
    right = plane["losses"].copy()
    plane["losses"] = np.roll(right, 1, axis=0)  # rows one step apart
    assert compared(problem, plane)["largest relative difference"] > 0.01
    plane["losses"] = np.full((5, 5), right[2, 2])
    assert compared(problem, plane)["grid is constant"]
    plane["losses"] = right
    plane["losses"][FIVE[1]] = math.nan
    assert compared(problem, plane)["largest relative difference"] == math.inf
    plane["d"]["0.bias"] = torch.ones(2) / 9
    plane["e"] = {name: -2 * tensor for name, tensor in plane["d"].items()}
    row = compared(problem, plane)
    assert row["biases and batch norms move"] and row["cosine of the axes"] < -0.9
    assert row["filters"][1]["greatest"] == pytest.approx(2)


def test_two_nans_agree():
    assert difference(math.nan, math.nan) == 0
