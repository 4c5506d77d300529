"""Training: the published names and files, the paper's recipe, and a resumed training that is the uninterrupted one."""

import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from losslandscape.cli import train as program
from losslandscape.data import dataloader
from losslandscape.nets import model_loader
from losslandscape.trajectory import training

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"e: \d+ loss: \d+\.\d{5} train_err: \d+\.\d{3} test_top1: \d+\.\d{3} test_loss \d+\.\d{5}")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Flags for a data set that an epoch passes in a blink: noise in three classes."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    flags = []
    for part, count in {"train": 9, "test": 4}.items():
        pixels = random.integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
        np.savez(folder / f"{part}.npz", images=pixels, labels=np.arange(count) % 3)
        flags += [f"--{part}loader", str(folder / f"{part}.npz")]
    return flags


def train(images, save, *flags):
    """Train in this process; return the one folder that it made."""
    program.main(
        [
            "--model",
            "resnet20",
            "--batch_size",
            "4",
            "--lr",
            "0.01",
            "--cpu",
            "--save",
            str(save),
            *images,
            *flags,
        ]
    )
    (folder,) = Path(save).iterdir()
    return folder


def state(folder, epoch):
    return torch.load(folder / f"model_{epoch}.t7", weights_only=True)["state_dict"]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "flags, name",
    [
        ("", "vgg9_sgd_lr=0.1_bs=128_wd=0.0005_mom=0.9_save_epoch=10"),
        (
            "--model resnet56 --optimizer adam --lr 0.001 --batch_size 8192 --weight_decay 0 --save_epoch 1",
            "resnet56_adam_lr=0.001_bs=8192_wd=0.0_mom=0.9_save_epoch=1",
        ),
        (
            "--lr_decay 0.5 --loss_name mse --noaug --raw_data --label_corrupt_prob 0.25 --ngpu 4 --idx 3 --momentum 0",
            "vgg9_sgd_lr=0.1_lr_decay=0.5_bs=128_wd=0.0005_mom=0.0_save_epoch=10_loss=mse_noaug_rawdata_randlabel=0.25_ngpu=4_idx=3",
        ),
    ],
)
def test_folder_name_is_the_published_one(flags, name):
    assert program.folder_name(program.make_parser().parse_args(flags.split())) == name


def test_files_of_a_training(images, tmp_path):
    folder = train(images, tmp_path, "--epochs", "4", "--save_epoch", "3")
    assert folder.name == "resnet20_sgd_lr=0.01_bs=4_wd=0.0005_mom=0.9_save_epoch=3"
    names = {path.name for path in folder.iterdir() if "tfevents" not in path.name}
    assert names == {
        "log.out",
        *(f"{kind}_{epoch}.t7" for kind in ("model", "opt_state") for epoch in (0, 1, 3)),
    }
    assert any("tfevents" in path.name for path in folder.iterdir())

    lines = (folder / "log.out").read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert [int(line.split()[1]) for line in lines] == [1, 2, 3, 4]

    checkpoint = torch.load(folder / "model_3.t7", weights_only=True)
    assert checkpoint.keys() == {"acc", "epoch", "state_dict"} and checkpoint["epoch"] == 3
    assert checkpoint["acc"] == pytest.approx(100 - float(lines[2].split()[7]), abs=1e-3)
    assert list(checkpoint["state_dict"]) == list(model_loader.build("resnet20").state_dict())
    assert torch.load(folder / "opt_state_3.t7", weights_only=True).keys() == {"optimizer"}


@pytest.mark.parametrize(
    "epoch, expected",
    [(0, True), (1, True), (2, False), (149, False), (150, True), (160, False), (200, True)],
)
def test_kept_epochs(epoch, expected):
    assert program.kept(epoch, 100) is expected


@pytest.mark.parametrize("flags", [(), ("--optimizer", "adam", "--noaug", "--label_corrupt_prob", "0.5")])
def test_resumed_is_uninterrupted(images, tmp_path, flags):
    flags = ("--save_epoch", "2", *flags)
    whole = train(images, tmp_path / "whole", "--epochs", "4", *flags)
    half = train(
        images, tmp_path / "half", "--epochs", "3", *flags
    )  # epoch 3 is lost: it was not kept, but it is in the log
    files = ("--resume_model", str(half / "model_2.t7"), "--resume_opt", str(half / "opt_state_2.t7"))
    train(images, tmp_path / "half", "--epochs", "4", *flags, *files)
    assert same(state(whole, 4), state(half, 4))
    assert (whole / "log.out").read_text() == (half / "log.out").read_text()


def test_resumed_without_optimizer_says_so(images, tmp_path, capsys):
    folder = train(images, tmp_path, "--epochs", "1")
    train(images, tmp_path, "--epochs", "2", "--resume_model", str(folder / "model_1.t7"))
    assert "without --resume_opt" in capsys.readouterr().out
    assert len((folder / "log.out").read_text().splitlines()) == 2


def test_seed_and_idx_make_other_nets(images, tmp_path):
    first = train(images, tmp_path / "a", "--epochs", "1")
    assert same(state(first, 1), state(train(images, tmp_path / "b", "--epochs", "1"), 1))
    repetition = train(images, tmp_path / "c", "--epochs", "1", "--idx", "1")
    assert repetition.name.endswith("_idx=1")
    assert not same(state(first, 0), state(repetition, 0))


def test_corrupted_labels_are_kept(images, tmp_path):
    folder = train(images, tmp_path, "--epochs", "1", "--label_corrupt_prob", "0.5")
    labels = np.load(folder / "train_labels.npy")
    assert folder.name.endswith("_randlabel=0.5")
    assert labels.dtype == np.int64 and labels.shape == (9,) and (labels != np.arange(9) % 3).any()


@pytest.mark.parametrize("fraction", [0, 0.3, 1])
def test_share_of_corrupted_labels(fraction):
    labels = torch.arange(50_000) % 10
    corrupted = training.corrupt_labels(labels, fraction, num_classes=10, seed=1)
    assert (corrupted != labels).double().mean() == pytest.approx(
        0.9 * fraction, abs=0.01
    )  # a tenth is drawn as it was
    changed = corrupted[corrupted != labels]
    assert all(abs((changed == label).sum() - len(changed) / 10) < 500 for label in range(10))
    assert torch.equal(corrupted, training.corrupt_labels(labels, fraction, num_classes=10, seed=1))


@pytest.mark.parametrize(
    "epoch, decays", [(1, 0), (150, 0), (151, 1), (225, 1), (226, 2), (275, 2), (276, 3), (300, 3)]
)
def test_learning_rate(epoch, decays):
    assert training.learning_rate(epoch, lr=0.1, lr_decay=0.5) == pytest.approx(0.1 * 0.5**decays)


def test_weights_at_the_start():
    torch.manual_seed(0)
    net = model_loader.build("vgg9")
    training.initialise(net)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.06)
        elif isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(1e-3, rel=0.06)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert (module.weight == 1).all()
        else:
            continue
        assert module.bias is None or (module.bias == 0).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_augmented_images_are_windows_of_the_padded_ones(dtype):
    images = torch.randint(1, 256, (400, 3, 6, 5), generator=torch.Generator().manual_seed(0)).to(dtype)
    augmented = training.augment(images, torch.Generator().manual_seed(1), padding=2)
    padded = nn.functional.pad(images, [2] * 4)
    seen = set()
    for image, result in zip(padded, augmented, strict=True):
        windows = {
            (top, left, mirrored): image[:, top : top + 6, left : left + 5].flip([2] if mirrored else [])
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
        }
        (found,) = (place for place, window in windows.items() if torch.equal(window, result))
        seen.add(found)
    assert augmented.dtype == dtype and augmented.is_contiguous()
    assert len(seen) == 50  # every place, either way round


def test_border_is_black_before_normalisation():
    white = torch.full((64, 3, 8, 8), 255, dtype=torch.uint8)
    data = dataloader.ImageSet(white, torch.zeros(64, dtype=torch.long), (0.5,) * 3, (0.25,) * 3)
    ((batch, _),) = training.training_batches(
        data, batch_size=64, augmented=True, generator=torch.Generator().manual_seed(0)
    )
    assert batch.unique().tolist() == [-2, 2]


def test_noaug_leaves_the_images_as_they_are():
    images = torch.randint(256, (10, 3, 8, 8), dtype=torch.uint8)
    data = dataloader.ImageSet(images, torch.arange(10))
    generator = torch.Generator().manual_seed(0)
    for batch, labels in training.training_batches(data, batch_size=4, augmented=False, generator=generator):
        assert torch.equal(batch, data.batch(labels))  # the label is the image's number


@pytest.mark.parametrize(
    "count, batch_size, sizes",
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (1, 4, [1]), (3, 1, [1, 1, 1]), (8, 4, [4, 4])],
)
def test_batches_visit_each_image_once(count, batch_size, sizes):
    parts = training.batches(count, batch_size, torch.Generator().manual_seed(0))
    assert [len(part) for part in parts] == sizes
    assert sorted(torch.cat(parts).tolist()) == list(range(count))


def test_epochs_and_seeds_draw_differently():
    seeds = {
        training.epoch_generator(seed, epoch).initial_seed() for seed in range(20) for epoch in range(20)
    }
    assert len(seeds) == 400


def test_training_learns(tmp_path):
    """The digits of four classes, by a net small enough for a test: far better than chance after a few epochs."""
    digits = dataloader.load("digits", "train", datapath="")
    few = digits.labels < 4
    data = dataclasses.replace(digits, images=digits.images[few], labels=digits.labels[few])
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.AvgPool2d(4), nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10)
    )
    training.initialise(net)
    optimizer = training.make_optimizer(net, "sgd", lr=0.1, momentum=0.9, weight_decay=5e-4)
    results = [
        training.train_epoch(
            net,
            data,
            optimizer=optimizer,
            loss_name="crossentropy",
            batch_size=64,
            augmented=False,
            seed=0,
            epoch=epoch,
        )
        for epoch in range(1, 4)
    ]
    assert results[0][0] > results[-1][0] < 0.1 and results[-1][1] < 3


def test_nan_is_said_once(images, tmp_path, capsys):
    folder = train(images, tmp_path, "--epochs", "3", "--lr", "1e30")
    assert capsys.readouterr().out.count("Warning") == 1
    assert len((folder / "log.out").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--epochs", "0"], "--epochs: '0'"),
        (["--batch_size", "0"], "--batch_size: '0'"),
        (["--lr", "nan"], "--lr nan"),
        (["--momentum", "1"], "--momentum 1.0"),
        (["--label_corrupt_prob", "1.5"], "1.5"),
        (["--rand_seed=-1"], "--rand_seed -1"),
        (["--ngpu", "64"], "--ngpu 64"),
        (["--model", "resnet21"], "resnet21"),
        (["--dataset", "cifar11"], "cifar11"),
        (["--loss_name", "hinge"], "hinge"),
        (["--optimizer", "lbfgs"], "lbfgs"),
        (["--trainloader", "nowhere.npz"], "nowhere.npz"),
        (["--resume_model", "nowhere.t7"], "nowhere.t7"),
        (["--resume_opt", "nowhere.t7"], "--resume_model"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(images, tmp_path, monkeypatch, capsys, flags, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        program.main([*images, "--model", "resnet20", "--cpu", *flags])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_labels_beyond_the_net_are_refused(images, tmp_path, capsys):
    np.savez(tmp_path / "many.npz", images=np.zeros((20, 3, 32, 32), np.uint8), labels=np.arange(20))
    with pytest.raises(SystemExit):
        train(images, tmp_path / "nets", "--trainloader", str(tmp_path / "many.npz"))
    assert "0 to 19" in capsys.readouterr().err
    assert not (tmp_path / "nets").exists()


def test_resume_files_are_checked(images, tmp_path, capsys):
    folder = train(images, tmp_path / "nets", "--epochs", "1")
    model, optimizer = str(folder / "model_1.t7"), str(folder / "opt_state_1.t7")
    for flags, said in {
        ("--epochs", "1", "--resume_model", model): "--epochs 1",
        ("--resume_model", model, "--resume_opt", model): "opt_state_N.t7",
        ("--resume_model", model, "--resume_opt", optimizer, "--optimizer", "adam"): "another --optimizer",
        ("--resume_model", model, "--model", "resnet32"): "layer1.3.conv1.weight",
    }.items():
        with pytest.raises(SystemExit):
            train(images, tmp_path / "other", *flags)
        assert said in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("command, folder", [(["main.py"], ROOT / "cifar10"), (["-m", "cifar10.main"], ROOT)])
def test_starts_from_either_folder(command, folder):
    ended = subprocess.run(
        [sys.executable, *command, "--epochs", "0"], check=False, cwd=folder, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert "--epochs: '0'" in ended.stderr and "Traceback" not in ended.stderr
