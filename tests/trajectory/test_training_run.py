"""Several trainings take turns on a GPU, and follow each other on a CPU; checkpoints fit any device."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from losslandscape.data import dataloader
from losslandscape.evaluate import evaluation
from losslandscape.nets import model_loader
from losslandscape.trajectory import training_resume
from losslandscape.trajectory.training_folder import save_checkpoint
from losslandscape.trajectory.training_run import EpochResult, prepared_test, take_turns

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def refuse(memo):
    raise TypeError("cannot be copied")


def fake_training(name, *, epochs, steps, log):
    try:
        for epoch in range(epochs):
            for _ in range(steps):
                log.append(name)
                yield None
            yield EpochResult(epoch, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0)
    finally:
        log.append(f"{name} closed")


@pytest.fixture
def pretended_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)


@pytest.mark.parametrize("device, order", [(CPU, "aaaabb"), (CUDA, "abab")])
def test_turns(pretended_gpu, device, order):
    log = []
    trainings = [
        fake_training("a", epochs=2, steps=2, log=log),
        fake_training("b", epochs=1, steps=2, log=log),
    ]
    results = [(number, result.epoch) for number, result in take_turns(trainings, device)]
    assert sorted(results) == [(0, 0), (0, 1), (1, 0)]
    steps = "".join(entry for entry in log if "closed" not in entry)
    assert steps.startswith(order)
    assert len(steps) == 6


def test_an_interruption_closes_all_trainings(pretended_gpu):
    def interrupted():
        yield None
        raise KeyboardInterrupt

    log = []
    with pytest.raises(KeyboardInterrupt):
        list(take_turns([fake_training("a", epochs=9, steps=9, log=log), interrupted()], CUDA))
    assert log[-1] == "a closed"


@pytest.mark.slow
@pytest.mark.parametrize("can_be_copied", [True, False])
def test_the_prepared_test_of_a_gpu_measures_the_net_as_it_has_become(can_be_copied):
    images = dataloader.load("digits", "test", datapath="").take(torch.arange(64))
    torch.manual_seed(0)
    net = model_loader.build("resnet20")
    if not can_be_copied:
        net.__deepcopy__ = refuse
    test = prepared_test(net, images, loss_name="crossentropy")
    net.train()
    net(images.batch(slice(0, 64))).square().sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.01).step()
    expected = evaluation.evaluate(net, images)
    net.train()
    assert test() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_checkpoint_of_a_gpu_is_that_of_a_cpu(tmp_path, name):
    """Fused kernels and the memory layout of GPUs leave no trace in the files, which fit both again."""
    files = {}
    for fused in (False, True):
        torch.manual_seed(0)
        net = nn.Conv2d(3, 4, 3)
        if fused:
            net.to(memory_format=torch.channels_last)
        optimizer = make_optimizer(net, name, fused=fused)
        net(torch.randn(2, 3, 8, 8)).square().mean().backward()
        optimizer.step()
        folder = tmp_path / str(fused)
        folder.mkdir()
        save_checkpoint(folder, net, optimizer, epoch=1, accuracy=0.0)
        files[fused] = torch.load(folder / "opt_state_1.t7", weights_only=True)["optimizer"]
        model = torch.load(folder / "model_1.t7", weights_only=True)["state_dict"]
        assert all(tensor.is_contiguous() for tensor in model.values())

    assert files[True]["param_groups"] == files[False]["param_groups"]
    for index, state in files[False]["state"].items():
        for key, value in state.items():
            other = files[True]["state"][index][key]
            assert torch.allclose(value, other) and value.stride() == other.stride()

    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(net, name, fused=True)
    training_resume.resume_optimizer(optimizer, str(tmp_path / "False" / "opt_state_1.t7"))
    for parameter, state in optimizer.state.items():
        buffers = [value for value in state.values() if value.shape == parameter.shape]
        assert buffers and all(buffer.stride() == parameter.stride() for buffer in buffers)
    net(torch.randn(2, 3, 8, 8)).square().mean().backward()
    optimizer.step()


def make_optimizer(net, name, *, fused):
    if name == "adam":
        return torch.optim.Adam(net.parameters(), lr=0.1, fused=fused or None)
    return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, fused=fused or None)
