"""hessian.py prints what it writes, and refuses what it cannot use in one sentence."""

import json

import pytest

from losslandscape.cli import hessian
from tests.helpers import SMALL_BATCH

QUICK = ["--dataset", "digits", "--data_split", "700", "--model", "resnet20"]  # 2 images


def test_the_script_prints_what_it_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model_6.t7").write_bytes(SMALL_BATCH.read_bytes())
    hessian_script.main(
        [
            *QUICK,
            "--model_folder",
            str(tmp_path),
            "--model_file",
            "model_6.t7",
            "--top",
            "2",
            "--most_products",
            "6",
            "--probes",
            "4",
            "--steps",
            "4",
            "--density_probes",
            "2",
            "--json",
            "numbers.json",
        ]
    )
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "numbers.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model_6.t7",
        "model_6.t7_hessian_density.pdf",
        "numbers.json",
    ]
    ends = found["eigenvalues"]
    assert len(ends["largest"]) == 2 and len(ends["smallest"]) == 1
    for number in (
        *(eigen["value"] for eigen in ends["largest"] + ends["smallest"]),
        found["trace"]["value"],
        found["trace"]["layers"]["linear.weight"][0],
    ):
        assert f"{number:.6g}" in printed
    assert found["parameters"]["conv1.weight"] == 432 and set(found["trace"]["layers"]) == set(
        found["parameters"]
    )
    assert found["samples"] == 2 and "NOT CONVERGED" in printed


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--model_file", "absent.t7"], "absent.t7"),
        (["--tolerance", "0"], "--tolerance"),
        (["--model_file2", "x.t7"], "--model_file2"),
        (["--only", "eigenvalues", "--most_products", "1"], "1 products"),
        (["--probes", "1", "--only", "trace"], "1 random vectors"),
        (["--only", "density", "--density_probes", "1"], "1 random vectors"),
    ],
)
def test_the_script_refuses_in_a_sentence(flags, named, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        hessian_script.main([*QUICK, *flags])
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["nowhere/x.json", "."])
def test_a_place_where_nothing_can_be_written_is_told_before_computing(place, capsys):
    with pytest.raises(SystemExit) as ended:
        hessian_script.main([*QUICK, "--json", place])
    assert ended.value.code == 2 and f"--json: {place!r}" in capsys.readouterr().err
