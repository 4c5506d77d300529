"""What rounding does to a step is that of the formula, and too small steps give a warning."""

import numpy as np
import pytest
import torch
from torch import nn

from losslandscape.measure.rounding_checks import check_rounding, round_step
from losslandscape.nets import net_plotter


def linear(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(64, 48).to(dtype)


def points(spacing: float) -> np.ndarray:
    return spacing * np.arange(-2, 3)[:, None]


def test_the_error_is_that_of_the_rounded_step():
    w = torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.bfloat16)  # its neighbours are at 1 +- 2^-7, 2^-8
    d = torch.tensor([0.0, 2.0**-7, 2.0**-9, 1.5 * 2.0**-7])
    rounded = torch.tensor([0.0, 2.0**-7, 0.0, 2.0**-6])
    rounding = round_step([w], [d], 1.0)
    assert rounding.error == pytest.approx(float((rounded - d).norm() / d.norm()))
    assert rounding.unchanged == pytest.approx(1 / 3)


def test_random_numbers_of_large_tensors_tell_the_same():
    torch.manual_seed(1)
    w, d = torch.randn(300, 400).bfloat16(), torch.randn(300, 400)
    whole = round_step(list(w.split(30)), list(d.split(30)), 0.01)  # each part is tried as a whole
    sampled = round_step([w], [d], 0.01)
    assert sampled.error == pytest.approx(whole.error, rel=0.03)
    assert sampled.unchanged == pytest.approx(whole.unchanged, rel=0.03)


@pytest.mark.parametrize(("spacing", "warns"), [(0.1, False), (0.001, True)])
def test_a_warning_names_the_axis_and_what_to_do(spacing, warns):
    net = linear(torch.bfloat16)
    x = net_plotter.random_direction(net, "weights", norm="filter")
    report = check_rounding(net, [x], points(spacing), dir_type="weights")
    assert f"a step of {spacing:g} along x" in report.lines[0]
    assert bool(report.warnings) == warns
    if warns:
        assert "{x}" in report.warnings[0].advice and "{precision:fp32}" in report.warnings[0].advice


def test_nothing_is_said_of_weights_of_32_bits_or_of_one_point():
    net = linear(torch.float32)
    x = net_plotter.random_direction(net, "weights", norm="filter")
    assert not check_rounding(net, [x], points(1e-9), dir_type="weights").lines
    assert not check_rounding(linear(torch.bfloat16), [x], np.zeros((1, 1)), dir_type="weights").lines
