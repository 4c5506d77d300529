"""The published program's numbers come out: names, directions, losses and accuracies of every golden case."""

import shlex

import numpy as np
import pytest
import torch

from losslandscape.cli import plot_surface, request
from losslandscape.data import dataloader
from losslandscape.files import file_names, h5_util
from losslandscape.measure.evaluation import Evaluator
from losslandscape.nets import model_loader, net_plotter
from tests.helpers import CASES, GOLDEN, folder_with, succeed

THROUGH_THE_COMMAND_LINE = ("1d_weight", "1d_mse", "interpolate_states")


def flags_of(case: dict):
    return plot_surface.build_parser().parse_args(
        [
            *shlex.split(case["flags"]),
            "--model",
            case["model"],
            "--model_file",
            case["model_file"],
            "--dataset",
            "digits",
            "--data_split",
            "4",
        ]
    )


def assert_fingerprints(directions, golden: dict) -> None:
    """Size, sum, norm and first entry of each tensor, to 1e-6 of the tensor's norm."""
    assert len(directions) == len(golden)
    for direction, expected in zip(directions, golden.values(), strict=True):
        for tensor, (size, total, norm, first) in zip(direction, expected, strict=True):
            values = np.asarray(tensor, np.float64).ravel()
            assert values.size == size
            assert [values.sum(), np.linalg.norm(values), values[0]] == pytest.approx(
                [total, norm, first], rel=1e-6, abs=1e-6 * norm
            )


def assert_values(loss, acc, case: dict) -> None:
    expected = np.array(case["train_loss"], float)
    np.testing.assert_array_equal(np.isnan(loss), np.isnan(expected))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(acc, case["train_acc"], atol=1e-9)


@pytest.fixture(scope="module")
def digits():
    return dataloader.load("digits", "train", datapath="", data_split=4, split_idx=0)


@pytest.mark.parametrize("name", [name for name in CASES if name not in THROUGH_THE_COMMAND_LINE])
def test_golden_case_through_the_modules(name, digits):
    case = CASES[name]
    args = flags_of(case)
    torch.manual_seed(request.SEED)
    net = model_loader.load(case["model"], str(GOLDEN / case["model_file"]))
    directions = [net_plotter.random_direction(net, args.dir_type, norm=args.xnorm, ignore=args.xignore)]
    if args.y:
        directions.append(
            net_plotter.random_direction(net, args.dir_type, norm=args.ynorm, ignore=args.yignore)
        )
    assert_fingerprints(directions, case["directions"])

    x, y = np.linspace(*args.x), np.linspace(*args.y) if args.y else None
    surface = h5_util.Surface("unused", x=x, y=y)
    evaluator = Evaluator(net, {"train": digits}, loss=args.loss_name)
    measured = []
    with net_plotter.moving(net, directions, args.dir_type) as move:
        for point in range(np.prod(surface.shape)):
            move(surface.point(point))
            measured.append(evaluator.measure())
    assert_values(
        *(
            np.reshape([values[key] for values in measured], surface.shape)
            for key in ("train_loss", "train_acc")
        ),
        case,
    )


@pytest.mark.parametrize("name", THROUGH_THE_COMMAND_LINE)
def test_golden_case_through_the_command_line(name, tmp_path):
    case = CASES[name]
    folder = folder_with(
        tmp_path,
        *(
            GOLDEN / file
            for file in ("resnet20_digits_bs=64/model_6.t7", "resnet20_digits_bs=512/model_40.t7")
        ),
    )
    succeed(
        "plot_surface.py",
        "--dataset",
        "digits",
        "--data_split",
        4,
        "--model",
        case["model"],
        "--model_file",
        case["model_file"],
        *shlex.split(case["flags"]),
        "--surf_file",
        "surface.h5",
        cwd=folder,
    )
    surface = h5_util.read_surface(str(folder / "surface.h5"))
    assert_values(surface.get("train_loss"), surface.get("train_acc"), case)
    assert_fingerprints(h5_util.read_directions(str(folder / surface.dir_file)), case["directions"])


@pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if "direction_file" in case],
    ids=[name for name in CASES if "direction_file" in CASES[name]],
)
def test_golden_file_names(case):
    args = flags_of(case)
    dir_file = file_names.direction_file_name(
        args.model_file,
        args.dir_type,
        model_file2=args.model_file2,
        two_d=args.y is not None,
        xignore=args.xignore,
        xnorm=args.xnorm,
        yignore=args.yignore,
        ynorm=args.ynorm,
    )
    assert dir_file == case["direction_file"]
    assert file_names.surface_file_name(dir_file, args.x, args.y) == case["surface_file"]
