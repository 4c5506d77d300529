"""The order of a training's files, and their numbers, for the names that trainers give."""

import random

import pytest

from losslandscape.files import training_order

STEPS = [f"run/checkpoint-{step}/model.safetensors" for step in (500, 1000, 10500)]
NAMES = {  # paths in their order, their numbers, and what these count
    "published": (["a/model_0.t7", "a/model_9.t7", "a/model_10.t7"], [0, 9, 10], "epoch"),
    "zeros in front": ([f"epoch={epoch:02d}.ckpt" for epoch in range(20)], list(range(20)), "epoch"),
    "epoch and step": (
        ["epoch=5-step=144.ckpt", "epoch=6-step=168.ckpt", "epoch=10-step=264.ckpt"],
        [5, 6, 10],
        "epoch",
    ),
    "step before epoch": (
        ["step=9-epoch=1.pt", "step=30-epoch=2.pt", "step=7-epoch=30.pt"],
        [1, 2, 30],
        "epoch",
    ),
    "loss before epoch": (["val=0.9-epoch=1.pt", "val=0.23-epoch=2.pt"], [1, 2], "epoch"),
    "loss after epoch": (["epoch=1-val=0.9.pt", "epoch=2-val=0.23.pt"], [1, 2], "epoch"),
    "epochs that repeat": (
        ["epoch=0-step=50.ckpt", "epoch=0-step=100.ckpt", "epoch=1-step=120.ckpt"],
        [50, 100, 120],
        "step",
    ),
    "parts of an epoch": (["epoch=0.25.pt", "epoch=0.5.pt", "epoch=10.0.pt"], [0.25, 0.5, 10], "epoch"),
    "saved twice": (["epoch=1-step=9.ckpt", "epoch=1-step=9-v1.ckpt"], None, "epoch"),
    "steps in folders": (STEPS, [500, 1000, 10500], "step"),
    "folders": ([path.rpartition("/")[0] for path in STEPS], [500, 1000, 10500], "step"),
    "epochs called checkpoints": (["checkpoint-2.pth.tar", "checkpoint-10.pth.tar"], [2, 10], "epoch"),
    "an epoch in all names": (["save_epoch=10_m1.pt", "save_epoch=10_m2.pt"], [1, 2], "epoch"),
    "batches of an epoch": (["epoch=5-batch=100.pt", "epoch=5-batch=200.pt"], [100, 200], "step"),
    "iterations": (["iter_200.pt", "iter_1000.pt"], [200, 1000], "step"),
    "numbers of the run": (["bs=64_lr=0.1/e1.pt", "bs=64_lr=0.1/e2.pt"], [1, 2], "epoch"),
    "brackets": (["run[1]/m[2].pt", "run[1]/m[10].pt"], [2, 10], "epoch"),
    "no numbers": (["a.t7", "b.t7"], None, "epoch"),
    "digests": ([f"model_{10**30 + i}.pt" for i in range(3)], None, "epoch"),
    "one": (["model_3.t7"], [3], "epoch"),
}


@pytest.mark.parametrize("name", NAMES)
def test_order_and_numbers(name):
    paths, expected, unit = NAMES[name]
    shuffled = list(paths)
    random.Random(0).shuffle(shuffled)
    assert training_order.in_order(shuffled) == paths
    found = training_order.numbers(paths)
    assert (found.values if expected is None else found.values.tolist()) == expected
    assert found.unit == unit


def test_a_name_without_a_number_among_others():
    without_number = training_order.without_number
    assert without_number(["run_1/epoch=1.ckpt", "run_1/last.ckpt"]) == ["run_1/last.ckpt"]
    assert without_number(["model_1.t7", "model_best.t7"]) == ["model_best.t7"]
    assert without_number(["a.t7", "b.t7"]) == without_number(["a.1", "a.2"]) == []
