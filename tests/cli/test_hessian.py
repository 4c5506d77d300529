"""hessian.py prints what it writes, and refuses what it cannot use in one sentence."""

import json

import pytest

from losslandscape.cli import hessian
from tests.helpers import SMALL_BATCH

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
