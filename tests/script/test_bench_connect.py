"""bench/connect.py measures between the nets, and with the training, that its command gives."""

import json

import pytest
import torch

from bench import connect
from losslandscape.files import h5_util
from tests.cli.own_net import OWN, OWN_CODE
from tests.helpers import succeed


@pytest.mark.slow
def test_other_nets_than_those_of_the_demo(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(OWN_CODE)
    for seed, name in enumerate(("a.pt", "b.pt")):
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
        torch.save(net.state_dict(), tmp_path / name)
    nets = [*OWN, "--model_file", "a.pt", "--model_file2", "b.pt", "--lr", "0.01", "--batch_size", "16"]
    measuring = ["--epochs", "2", "--points", "3"]
    monkeypatch.chdir(tmp_path)
    connect.main(["--curves", "chain", "--seeds", "4", *measuring, "--folder", "f", "--out", "c.json", *nets])
    rows = json.loads((tmp_path / "c.json").read_text())["rows"]
    assert [(row["between"], row["seed"]) for row in rows] == [("line", ""), ("chain", 4)]
    succeed("connect.py", *nets, *measuring, "--curve", "chain", "--seed", "4", "--out", "same", cwd=tmp_path)
    ours, same = (h5_util.as_surface(str(tmp_path / name)) for name in ("f/chain_4.h5", "same.h5"))
    assert ours.get("train_loss").tolist() == same.get("train_loss").tolist()
