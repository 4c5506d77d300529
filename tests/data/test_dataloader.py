"""Every dataset gives the published images, labels, normalisation and parts, as torchvision decodes them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets, transforms

from losslandscape.core.errors import InputError
from losslandscape.core.quantity import PARTS
from losslandscape.data import dataloader
from losslandscape.evaluate.evaluation import evaluate

NORMALISE = transforms.Normalize(
    [x / 255 for x in (125.3, 123.0, 113.9)], [x / 255 for x in (63.0, 62.1, 66.7)]
)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.RandomState(0)
    for part, count in (("train", 7), ("test", 3)):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.randint(0, 256, (20, 24, 3), np.uint8)).save(
                    tmp_path / part / label / f"{i}.png"
                )
    return tmp_path


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A small set in the pickle format of the real one, with its own checksums."""
    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    rng = np.random.RandomState(1)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for name in names:
        (base / name).write_bytes(
            pickle.dumps(
                {"data": rng.randint(0, 256, (4, 3072), np.uint8), "labels": rng.randint(0, 10, 4).tolist()}
            )
        )
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[name, None] for name in names[:5]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(
        datasets.CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": None}
    )
    return tmp_path


def reference(dataset):
    images, labels = zip(*dataset, strict=True)
    return torch.stack(images), torch.tensor(labels)


def everything(data):
    return data.batch(slice(None)), data.labels


@pytest.mark.parametrize("raw_data", [False, True])
@pytest.mark.parametrize("part", PARTS)
def test_folder_equals_torchvision(folder, part, raw_data):
    steps = [transforms.ToTensor()] + ([] if raw_data else [NORMALISE])
    expected = reference(datasets.ImageFolder(str(folder / part), transforms.Compose(steps)))
    images, labels = everything(dataloader.load("folder", part, datapath=str(folder), raw_data=raw_data))
    assert torch.equal(images, expected[0])
    assert torch.equal(labels, expected[1])


@pytest.mark.parametrize("part", PARTS)
def test_cifar10_equals_torchvision(cifar, part):
    transform = transforms.Compose([transforms.ToTensor(), NORMALISE])
    expected = reference(datasets.CIFAR10(str(cifar), train=part == "train", transform=transform))
    dataloader.download("cifar10", str(cifar))
    images, labels = everything(dataloader.load("cifar10", part, datapath=str(cifar)))
    assert torch.equal(images, expected[0])
    assert torch.equal(labels, expected[1])


def test_digits():
    train, test = (dataloader.load("digits", part, datapath="") for part in PARTS)
    assert (len(train), len(test), train.num_classes) == (1437, 360, 10)
    images = train.batch(slice(0, 5))
    assert images.shape == (5, 3, 32, 32)
    from sklearn.datasets import load_digits

    pixel = (load_digits().images[3, 5, 2] / 16 - 0.3053) / 0.3761
    assert images[3, :, 20:24, 8:12].numpy() == pytest.approx(np.full((3, 4, 4), pixel), rel=1e-6)


def test_parts_are_disjoint_and_the_first_is_the_published_one(folder):
    whole = dataloader.load("digits", "train", datapath="")
    published = np.random.RandomState(0).choice(1437, 1437 // 4, replace=False)
    first = dataloader.load("digits", "train", datapath="", data_split=4)
    assert torch.equal(first.labels, whole.labels[published])
    assert torch.equal(first.images, whole.images[published])
    parts = [dataloader.split_indices(1437, 4, k) for k in range(4)]
    assert len(np.unique(np.concatenate(parts))) == 4 * (1437 // 4)


def test_only_the_images_asked_for_are_decoded(folder):
    chosen = {
        sample
        for i, sample in enumerate(datasets.ImageFolder(str(folder / "train")).samples)
        if i in dataloader.split_indices(14, 7, 2)
    }
    for path, label in datasets.ImageFolder(str(folder / "train")).samples:
        if (path, label) not in chosen:
            Path(path).write_bytes(b"no image")
    assert len(dataloader.load("folder", "train", datapath=str(folder), data_split=7, split_idx=2)) == 2
    with pytest.raises(InputError, match="cannot be read as an image"):
        dataloader.load("folder", "train", datapath=str(folder))


def test_other_normalisation(folder):
    raw = dataloader.load("folder", "train", datapath=str(folder), raw_data=True).batch(slice(None))
    images = dataloader.load("folder", "train", datapath=str(folder), mean=(0.5,), std=(0.1, 0.2, 0.4)).batch(
        slice(None)
    )
    torch.testing.assert_close(images, (raw - 0.5) / torch.tensor([0.1, 0.2, 0.4]).view(1, 3, 1, 1))
    with pytest.raises(InputError, match="mean has 2 values for images of 3 channels"):
        dataloader.load("folder", "train", datapath=str(folder), mean=(0.5, 0.5))


def test_batches_do_not_change_the_images(folder):
    for data in (
        dataloader.load("digits", "test", datapath=""),
        dataloader.load("folder", "test", datapath=str(folder)),
    ):
        assert torch.equal(data.batch(slice(0, 4)), data.batch(slice(0, 4)))


def test_npz_and_labels(tmp_path):
    images, labels = np.random.RandomState(0).randint(0, 256, (8, 3, 4, 4), np.uint8), np.arange(8) % 3
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    np.save(tmp_path / "labels.npy", labels[::-1])
    files = dict(datapath="", npz_file=str(tmp_path / "data.npz"), raw_data=True)
    data = dataloader.load("cifar10", "train", **files)
    np.testing.assert_allclose(data.batch(slice(None)), images / 255, rtol=1e-6)
    split = dict(data_split=2, split_idx=1)
    relabelled = dataloader.load(
        "cifar10", "train", labels_file=str(tmp_path / "labels.npy"), **files, **split
    )
    np.testing.assert_array_equal(relabelled.labels, labels[::-1][dataloader.split_indices(8, **split)])


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps([1, 2])])
def test_data_files_are_not_unpickled(tmp_path, content):
    (tmp_path / "data").write_bytes(content)
    with pytest.raises(InputError, match="save the two arrays"):
        dataloader.load("digits", "train", datapath="", npz_file=str(tmp_path / "data"))
    with pytest.raises(InputError, match="label"):
        dataloader.load("digits", "train", datapath="", labels_file=str(tmp_path / "data"))


def test_bad_folders(folder, tmp_path):
    with pytest.raises(InputError, match="DIR/train/<class>/"):
        dataloader.load("folder", "train", datapath=str(tmp_path / "nowhere"))
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no class folders"):
        dataloader.load("folder", "train", datapath=str(tmp_path / "empty"))
    Image.new("RGB", (5, 6)).save(folder / "train" / "cat" / "small.png")
    with pytest.raises(InputError, match=r"is 5x6 pixels.*all images must have one size"):
        dataloader.load("folder", "train", datapath=str(folder))


@pytest.mark.parametrize(("data_split", "split_idx"), [(4, 4), (0, 0), (2, -1), (2000, 0)])
def test_bad_splits(data_split, split_idx):
    with pytest.raises(InputError, match=f"data_split {data_split}"):
        dataloader.load("digits", "train", datapath="", data_split=data_split, split_idx=split_idx)


def test_parts_of_a_folder_have_the_classes_of_train(tmp_path):
    for place in ("train/cat", "train/dog", "train/emu", "test/dog", "test/emu"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / place / "0.png")
    assert dataloader.load("folder", "test", datapath=str(tmp_path)).labels.tolist() == [1, 2]
    (tmp_path / "test" / "emu").rename(tmp_path / "test" / "fox")
    with pytest.raises(InputError, match="has the class 'fox', which .*train' has not"):
        dataloader.load("folder", "test", datapath=str(tmp_path))


def test_hidden_folders_and_files_are_no_classes_and_no_images(folder):
    expected = {part: dataloader.load("folder", part, datapath=str(folder)) for part in PARTS}
    for hidden in ("train/.ipynb_checkpoints", "train/cat/.ipynb_checkpoints", "test/.thumbnails"):
        (folder / hidden).mkdir()
        Image.new("RGB", (24, 20)).save(folder / hidden / "0-checkpoint.png")
    (folder / "train" / "cat" / "._0.png").write_bytes(b"no image")
    for part, known in expected.items():
        data = dataloader.load("folder", part, datapath=str(folder))
        assert torch.equal(data.images, known.images) and torch.equal(data.labels, known.labels)


def test_hidden_folders_do_not_shift_the_accuracy(folder):
    """A net that knows the labels by the images' means is right on all of them."""
    (folder / "train" / ".cache").mkdir()
    Image.new("RGB", (24, 20)).save(folder / "train" / ".cache" / "0.png")
    for label, grey in (("cat", 0), ("dog", 255)):
        for path in (folder / "train" / label).iterdir():
            Image.new("RGB", (24, 20), (grey,) * 3).save(path)

    class Brightness(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, images):
            brightness = images.mean((1, 2, 3))[:, None]
            return torch.cat([-brightness, brightness], 1) * self.scale

    assert evaluate(Brightness(), dataloader.load("folder", "train", datapath=str(folder)))[1] == 100


def test_an_empty_class_is_named_in_train_and_allowed_in_test(folder):
    for part in PARTS:
        (folder / part / "bee").mkdir()
    with pytest.raises(InputError, match=r"class folder '.*train/bee' holds no image; put images"):
        dataloader.load("folder", "train", datapath=str(folder))
    assert dataloader.load("folder", "test", datapath=str(folder)).labels.tolist() == [1, 1, 1, 2, 2, 2]


def test_the_first_samples(folder):
    for dataset in ("digits", "folder"):
        whole = dataloader.load(dataset, "train", datapath=str(folder))
        data = dataloader.load(dataset, "train", datapath=str(folder), count=10)
        assert torch.equal(data.images, whole.images[:10]) and torch.equal(data.labels, whole.labels[:10])
        chosen = dataloader.split_indices(10, 2, 1)
        half = dataloader.load(dataset, "train", datapath=str(folder), count=10, data_split=2, split_idx=1)
        assert torch.equal(half.labels, whole.labels[chosen])
        assert len(dataloader.load(dataset, "train", datapath=str(folder), count=10**6)) == len(whole)
