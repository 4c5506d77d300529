"""hessian.py prints what it writes, and refuses what it cannot use in one sentence."""

import json

import pytest
import torch
from torch.func import functional_call
from torch.func import hessian as dense_hessian
from torch.nn.functional import cross_entropy

from losslandscape.cli import hessian
from losslandscape.core import user_code
from tests.cli.own_net import OWN
from tests.helpers import SMALL_BATCH, run, succeed

TWO_IMAGES = ["--dataset", "digits", "--data_split", "700", "--model", "resnet20"]
QUICK = "--most_products 6 --probes 4 --steps 4 --density_probes 2".split()


@pytest.mark.slow
def test_all_numbers_are_printed_and_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model_6.t7").write_bytes(SMALL_BATCH.read_bytes())
    place = ["--model_folder", str(tmp_path), "--model_file", "model_6.t7"]
    hessian.main([*TWO_IMAGES, *place, *QUICK, "--top", "2", "--json", "numbers.json"])
    printed = capsys.readouterr().out
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["model_6.t7", "model_6.t7_hessian_density.pdf", "numbers.json"]
    smallest, largest = (numbers["eigenvalues"][side] for side in ("smallest", "largest"))
    assert len(largest) == 2 and len(smallest) == 1
    layers = numbers["trace"]["layers"]
    values = [eigen["value"] for eigen in largest + smallest]
    for number in [*values, numbers["trace"]["value"], layers["linear.weight"][0]]:
        assert f"{number:.6g}" in printed
    assert numbers["parameters"]["conv1.weight"] == 432
    assert set(layers) == set(numbers["parameters"])
    assert len(numbers["density"]["grid"]) == len(numbers["density"]["density"])
    assert numbers["samples"] == 2 and "NOT CONVERGED" in printed


def dense_blocks(*names: str) -> torch.Tensor:
    """The Hessian by these parameters of the user's net: from its definition, in float64."""
    net = user_code.load("mine.py:net")().double()
    samples, labels = user_code.load("mine.py:data")()
    chosen = {name: net.get_parameter(name).detach() for name in names}
    sizes = [value.numel() for value in chosen.values()]

    def loss(flat):
        parts = zip(chosen.items(), flat.split(sizes), strict=True)
        weights = {name: part.view_as(value) for (name, value), part in parts}
        return cross_entropy(functional_call(net, weights, (samples.double(),)), labels)

    return dense_hessian(loss)(torch.cat([value.flatten() for value in chosen.values()])).detach()


def numbers_of(*flags, cwd):
    printed = succeed("hessian.py", *OWN, *flags, "--json", "numbers.json", cwd=cwd)
    return printed, json.loads((cwd / "numbers.json").read_text())


def test_each_layer_has_the_eigenvalues_and_the_trace_of_its_block(own):
    flags = ["--per_layer", "--all_parameters", "--only", "trace"]
    printed, numbers = numbers_of(*flags, "--tolerance", "1e-5", cwd=own)
    assert list(numbers["layers"]) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    for name, ends in numbers["layers"].items():
        exact = torch.linalg.eigvalsh(dense_blocks(name))
        row = next(line for line in printed.splitlines() if name in line)
        for end, value in (("smallest", exact[0]), ("largest", exact[-1])):
            assert ends[end]["converged"]
            assert ends[end]["value"] == pytest.approx(float(value), abs=1e-4 * float(exact.abs().max()))
            assert f"{ends[end]['value']:.6g}" in row
        trace, error = numbers["trace"]["layers"][name]
        assert abs(trace - float(exact.sum())) < 4 * error + 1e-5
        assert f"{trace:.6g} +- {error:.2g}" in row


def test_params_choose_what_the_matrix_covers(own):
    printed, numbers = numbers_of("--params", r"^2\.", "--all_parameters", *QUICK[2:], cwd=own)
    assert numbers["parameters"] == {"2.weight": 15, "2.bias": 3}
    exact = torch.linalg.eigvalsh(dense_blocks("2.weight", "2.bias"))
    (largest,) = numbers["eigenvalues"]["largest"]
    assert largest["value"] == pytest.approx(float(exact[-1]), rel=1e-3)
    estimate = numbers["trace"]
    assert abs(estimate["value"] - float(exact.sum())) < 4 * estimate["standard_error"] + 1e-5
    assert "18 parameters in 2 tensors" in printed


def test_without_a_checkpoint_the_weights_are_those_of_the_users_function(own):
    (own / "proj").mkdir()
    (own / "mine.py").rename(own / "proj" / "mine.py")
    flags = ["--dataset", "proj/mine.py:data", "--model", "proj/mine.py:net", "--model_args", "width=3"]
    printed = succeed("hessian.py", *flags, "--params", r"^2\.", "--only", "density", *QUICK[4:], cwd=own)
    assert "the net is as proj/mine.py:net makes it" in printed and "random weights" not in printed
    (figure,) = own.glob("*.pdf")
    assert figure.name.startswith("proj_mine.py_net_width=3_hessian_params=")


def test_a_table_of_curvature_along_named_directions(own):
    """The eigenvector has the largest curvature; towards a checkpoint it is that of the line to it."""
    net = user_code.load("mine.py:net")()
    torch.save({name: value + 1 for name, value in net.state_dict().items()}, "other.pt")
    flags = ["--all_parameters", "--only", "trace", "--along", "random:2", "gradient", "sam", "hessian"]
    printed, numbers = numbers_of(*flags, "other.pt", cwd=own)
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    exact = dense_blocks(*names)
    lines = numbers["along"]
    assert list(lines) == ["random 1", "random 2", "gradient", "sam", "hessian", "other.pt"]
    ones = torch.ones(len(exact), dtype=exact.dtype)
    assert lines["other.pt"]["product"] == pytest.approx(float(ones @ exact @ ones) / len(exact), rel=1e-4)
    assert lines["hessian"]["product"] == pytest.approx(float(torch.linalg.eigvalsh(exact)[-1]), rel=1e-3)
    for name, line in lines.items():
        assert line["curvature"] == pytest.approx(line["product"], rel=1e-3, abs=1e-6)
        row = next(text for text in printed.splitlines() if text.strip().startswith(name))
        assert f"{line['slope']:.6g}" in row and f"{line['product']:.6g}" in row
    steepest = max(lines.values(), key=lambda line: line["slope"])
    assert steepest is lines["gradient"]
    assert f"{numbers['trace']['value'] / len(exact):.6g}" in printed.splitlines()[-2]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--params", "bias"], "matches no parameter of more than one dimension; give --all_parameters"),
        (["--params", "lora_"], "params 'lora_' is in none of the 4 names"),
    ],
)
def test_params_that_choose_nothing(own, flags, words, capsys):
    with pytest.raises(SystemExit) as ended:
        hessian.main([*OWN, *flags])
    assert ended.value.code == 2 and words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--model_file", "absent.t7"], "absent.t7"),
        (["--tolerance", "0"], "--tolerance"),
        (["--model_file2", "x.t7"], "--model_file2"),
        (["--only", "eigenvalues", "--most_products", "1"], "1 products"),
        (["--probes", "1", "--only", "trace"], "1 random vectors"),
        (["--only", "density", "--density_probes", "1"], "1 random vectors"),
        (["--json", "nowhere/x.json"], "--json: 'nowhere/x.json'"),
        (["--along", "random:0"], "'random:0' is not random:N"),
        (["--along", "absent.t7"], "absent.t7"),
        (["--along", "gradient", "--kind", "fisher"], "leave --kind or --along out"),
        (["--json", "."], "--json: '.'"),
    ],
)
def test_one_sentence_and_status_2(flags, named, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        hessian.main([*TWO_IMAGES, *flags])
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


UNSTEADY = """
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))

def data():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(24, 3, generator=generator)
    return DataLoader(TensorDataset(inputs, torch.arange(24) % 2), batch_size=6)

def noisy(net, batch):
    return F.cross_entropy(net(batch[0] + torch.randn_like(batch[0])), batch[1])

def contrastive(net, batch):
    outputs = F.normalize(net(batch[0]))
    return F.cross_entropy(outputs @ outputs.T / 0.5, torch.arange(len(outputs)))
"""
NET = ["--model", "mine.py:net", "--dataset", "mine.py:data"]


def test_a_loss_that_draws_random_numbers_is_the_cause(tmp_path):
    """Its Hessian is that of one draw, once the draw is fixed."""
    (tmp_path / "mine.py").write_text(UNSTEADY)
    flags = [*NET, "--loss_name", "mine.py:noisy", "--only", "eigenvalues"]
    output = succeed("hessian.py", *flags, cwd=tmp_path)
    assert "warning: the loss draws random numbers" in output and "--fix_randomness" in output
    assert "the estimates are noise" in output and "--most_products" not in output
    strict = run("hessian.py", *flags, "--strict", cwd=tmp_path)
    assert strict.returncode == 2 and "draws random numbers" in strict.stderr
    for name in ("first", "second"):
        succeed("hessian.py", *flags, "--fix_randomness", "--json", f"{name}.json", cwd=tmp_path)
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("first", "second"))
    assert first == second
    assert all(eigen["converged"] for eigen in first["eigenvalues"]["largest"])


def test_a_loss_that_needs_its_batches(tmp_path):
    """The largest eigenvalue is that of the mean loss over the loader's own batches."""
    (tmp_path / "mine.py").write_text(UNSTEADY)
    flags = [*NET, "--loss_name", "mine.py:contrastive", "--all_parameters", "--json", "own.json"]
    succeed("hessian.py", *flags, "--only", "eigenvalues", cwd=tmp_path)
    numbers = json.loads((tmp_path / "own.json").read_text())
    assert numbers["batches"] == "of 6"
    mine: dict = {}
    exec(UNSTEADY, mine)
    net = mine["net"]()
    names = [name for name, _ in net.named_parameters()]
    start = torch.nn.utils.parameters_to_vector(net.parameters()).detach()

    def mean_loss(vector):
        parts = vector.split([p.numel() for p in net.parameters()])
        weights = {n: v.view_as(p) for n, v, p in zip(names, parts, net.parameters(), strict=True)}
        call = lambda inputs: torch.func.functional_call(net, weights, inputs)  # noqa: E731
        return sum(mine["contrastive"](call, batch) for batch in mine["data"]()) / 4

    expected = torch.linalg.eigvalsh(torch.autograd.functional.hessian(mean_loss, start))[-1]
    assert numbers["eigenvalues"]["largest"][0]["value"] == pytest.approx(float(expected), rel=1e-3)
