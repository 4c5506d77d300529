"""script/reproduction.py and the studies: docs/reproduction.md says what the kept surfaces say."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from losslandscape.cli import plot_1D, plot_2D, plot_hessian_eigen, plot_surface
from losslandscape.draw import surface_metrics
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from script import experiments, reproduction
from script.paper_studies import STUDIES
from tests.helpers import REPO

MEASURED = [measured for study in STUDIES.values() for measured in study.measured]
FIGURES = [figure for study in STUDIES.values() for figure in study.figures]
PARSERS = {
    "plot_surface.py": plot_surface.build_parser(),
    "plot_hessian_eigen.py": plot_hessian_eigen.build_parser(),
    "plot_1D.py": plot_1D.argument_parser(),
    "plot_2D.py": plot_2D.argument_parser(),
}


def test_the_page_is_what_the_script_writes():
    assert reproduction.page() == reproduction.PAGE.read_text()


@pytest.mark.parametrize("measured", MEASURED, ids=lambda measured: measured.name)
def test_each_surface_is_kept_whole_and_its_command_is_accepted(measured):
    surface = reproduction.read(measured.name)
    script, *flags = measured.command("nets", "images", "out")
    args = PARSERS[script].parse_args(flags)
    assert args.surf_file == f"out/{measured.name}.h5"
    axes = [axis for axis in (surface.x, surface.y) if axis is not None]
    for asked, axis in zip((args.x, args.y), axes, strict=False):
        assert asked == (axis[0], axis[-1], len(axis))
    assert all(surface.measured(name).all() for name in surface.names)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_each_figure_has_a_picture_on_the_page(figure):
    script, *flags = figure.command("docs/surfaces", "out")
    if script in PARSERS:
        PARSERS[script].parse_args(flags)
    assert (REPO / "docs" / "images" / f"{figure.name}.png").exists()
    assert f"](images/{figure.name}.png)" in reproduction.PAGE.read_text()


def test_surfaces_name_neither_the_machine_nor_its_folders():
    for measured in MEASURED:
        for run in reproduction.read(measured.name).runs:
            assert (run["host"], run["folder"]) == ("localhost", ".")
            assert not any(file.startswith("/") for file in run["files"].values())


@pytest.mark.parametrize("height", np.linspace(0.1, 1, 10))
def test_the_net_without_shortcuts_has_more_minima_at_every_height(height):
    assert reproduction.counts("paper_resnet56_noshort", height) > reproduction.counts(
        "paper_resnet56", height
    )


def test_numbers_of_the_readme_are_those_of_the_surfaces():
    text = " ".join((REPO / "README.md").read_text().split())
    pair = "paper_resnet56", "paper_resnet56_noshort"
    deep = [reproduction.counts(name, 0.1) for name in pair]
    assert f"the plane has {deep[0]} minima deeper than 0.1, and {deep[1]} around their net without" in text
    radii = [reproduction.number(name, "flatness radius least") for name in pair]
    assert f"flatness radius is {round(radii[0] / radii[1], -1):.0f} times smaller" in text
    after = [reproduction.counts(f"resnet56_noshort_epochs={epochs}", 0.1) for epochs in (15, 165)]
    assert f"has {after[0]} and {after[1]} such minima" in text


def test_spread_and_table(monkeypatch):
    losses = {"a": {"roughness": 1.0}, "b": {"roughness": 4.0}}
    monkeypatch.setattr(reproduction, "numbers", lambda name, quantity="train_loss": losses[name])
    monkeypatch.setattr(reproduction, "read", lambda name: name)
    monkeypatch.setattr(surface_metrics, "measure", lambda surface, quantity: surface)
    monkeypatch.setattr(surface_metrics, "numbers", lambda name: iter(losses[name].items()))
    spread = asdict(reproduction.spread(["a", "b"], "roughness"))
    assert spread.pop("known") == 2
    assert spread == pytest.approx({"mean": 2.5, "std": 4.5**0.5, "least": 1, "greatest": 4})
    table = reproduction.spread_table({"both": ["a", "b"]}, ["roughness"], "over 2")
    assert table.splitlines()[-1] == "| roughness | 2.5 ± 2.121 (1 to 4) |"
    monkeypatch.setattr(reproduction, "error_of", lambda name, row: 0.25 if name == "a" else None)
    assert reproduction.table({"A": "a", "B": "b"}, ["roughness", "no such"]).splitlines() == [
        "| train loss | A | B |",
        "|---|---:|---:|",
        "| roughness | 1 ± 0.25 | 4 |",
        "| no such |  |  |",
    ]


def test_keeping_a_surface(tmp_path, monkeypatch):
    """Complete surfaces are copied, without the names of the machine; others are not."""
    source, target = tmp_path / "figures", tmp_path / "kept"
    source.mkdir()
    target.mkdir()
    monkeypatch.setattr(reproduction, "SURFACES", target)
    run = {"host": "node7", "folder": "/home/me", "files": {"model_file": "/home/me/nets/a.t7"}}
    for measured, values in zip(MEASURED[:2], ([1.0, 2.0], [1.0, np.nan]), strict=True):
        surface = Surface(
            str(source / f"{measured.name}.h5"), x=np.array([0.0, 1.0]), y=None, dir_file="d.h5"
        )
        surface.add("train_loss")
        for index, value in enumerate(values):
            if np.isfinite(value):
                surface.set(index, {"train_loss": value})
        surface.runs = [run]
        h5_util.write_surface(surface)
    reproduction.keep(source)
    kept = list(target.iterdir())
    assert [path.stem for path in kept] == [MEASURED[0].name]
    [run] = h5_util.read_surface(str(kept[0])).runs
    assert run == {"host": "localhost", "folder": ".", "files": {"model_file": "nets/a.t7"}}


def test_weights_of_a_checkpoint(tmp_path):
    import torch

    state = {
        "conv.weight": torch.tensor([[0.05, -0.05], [0.0, 3.0]]),
        "bn.bias": torch.tensor([4.0]),
        "bn.running_var": torch.tensor([100.0]),
        "bn.num_batches_tracked": torch.tensor(7),
    }
    torch.save({"acc": 90.5, "state_dict": state}, tmp_path / "model_1.t7")
    facts = reproduction.weights_of(tmp_path / "model_1.t7")
    assert facts["recorded accuracy"] == 90.5
    assert facts["norm"] == pytest.approx((2 * 0.05**2 + 9) ** 0.5)
    assert sum(facts["histogram"]) == pytest.approx(0.75)  # one weight lies outside
    json.dumps(facts)


def listed(capsys, *flags):
    experiments.main([*flags, "--list"])
    return capsys.readouterr().out.splitlines()


def test_a_study_skips_nets_that_are_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    net = tmp_path / "nets" / "paper" / "resnet56_sgd_lr=0.1_bs=128_wd=0.0005" / "model_300.t7"
    net.parent.mkdir(parents=True)
    net.touch()
    lines = listed(capsys, "convexity", "--nets", "nets", "--images", "my images", "--ranks", "2", "--cuda")
    commands = [line for line in lines if not line.startswith("#")]
    assert len(commands) == 1  # no figure: one of its surfaces is missing
    assert commands[0].startswith("mpirun -n 2 python ") and commands[0].endswith(" --cuda")
    assert "'my images/cifar10-lossless'" in commands[0]
    assert sum("skipped" in line for line in lines) == 1


def test_a_study_without_any_net_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as refused:
        experiments.main(["planes", "--nets", str(tmp_path), "--list"])
    error = capsys.readouterr().err
    assert refused.value.code == 2 and "there is no net for planes" in error and error.count("\n") == 1


def test_a_study_has_its_own_grid(capsys):
    with pytest.raises(SystemExit) as refused:
        experiments.main(["planes", "--resolution", "5", "--list"])
    assert refused.value.code == 2 and "--resolution is not for a study" in capsys.readouterr().err


def test_a_study_trains_only_nets_that_are_absent(tmp_path, capsys):
    there = tmp_path / STUDIES["depth"].trainings[0].makes
    there.parent.mkdir(parents=True)
    there.touch()
    lines = listed(capsys, "depth", "--nets", str(tmp_path))
    trainings = [line for line in lines if "cifar10/main.py" in line]
    assert len(trainings) == len(STUDIES["depth"].trainings) - 1
    assert sum("plot_surface.py" in line for line in lines) == len(STUDIES["depth"].measured)
    assert "plot_2D.py" in lines[-1]
