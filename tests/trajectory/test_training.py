"""The paper's recipe: weights, learning rate, labels, batches and augmentation."""

import math

import pytest
import torch
from torch import nn

from losslandscape.nets import model_loader
from losslandscape.trajectory import training


@pytest.mark.parametrize("fraction", [0, 0.3, 1])
def test_share_of_corrupted_labels(fraction):
    labels = torch.arange(50_000) % 10
    corrupted = training.corrupt_labels(labels, fraction, num_classes=10, seed=1)
    share = (corrupted != labels).double().mean()
    assert share == pytest.approx(0.9 * fraction, abs=0.01)  # a tenth is drawn as it was
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
    augmented = training.crop(
        images, *training.draw_crops(400, torch.Generator().manual_seed(1), padding=2), padding=2
    )
    padded = nn.functional.pad(images, [2] * 4)
    seen = set()
    for image, result in zip(padded, augmented, strict=True):
        windows = {
            (top, left, mirrored): image[:, top : top + 6, left : left + 5].flip([2] if mirrored else [])
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
        }
        (place,) = (place for place, window in windows.items() if torch.equal(window, result))
        seen.add(place)
    assert augmented.dtype == dtype and augmented.is_contiguous()
    assert len(seen) == 50  # every place, either way round


@pytest.mark.parametrize(
    "count, batch_size, sizes",
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (1, 4, [1]), (3, 1, [1, 1, 1]), (8, 4, [4, 4])],
)
def test_batches_visit_each_image_once(count, batch_size, sizes):
    parts = training.batches(count, batch_size, torch.Generator().manual_seed(0))
    assert [len(part) for part in parts] == sizes
    assert sorted(torch.cat(parts).tolist()) == list(range(count))


def test_epochs_and_seeds_draw_differently():
    generators = [training.epoch_generator(seed, epoch) for seed in range(20) for epoch in range(20)]
    assert len({generator.initial_seed() for generator in generators}) == 400


def test_a_table_holds_the_epoch_in_the_order_of_its_batches():
    table, sizes = training.draw_epoch(9, 4, torch.Generator().manual_seed(0), augmented=True)
    generator = torch.Generator().manual_seed(0)
    assert sizes == [4, 5]
    assert torch.equal(table[0], torch.randperm(9, generator=generator))
    for part in table[1:].split(sizes, dim=1):
        assert torch.equal(part[:2], torch.randint(9, (2, part.shape[1]), generator=generator))
        assert torch.equal(part[2], torch.randint(2, part.shape[1:], generator=generator))
    alone, _ = training.draw_epoch(9, 4, torch.Generator().manual_seed(0), augmented=False)
    assert torch.equal(alone, table[:1])
