"""Nets that count as large move as others do, with their minimiser and directions in files.

The size from which a net is large is lowered, and a block has 64 numbers.
"""

import itertools
import os
import shutil

import numpy as np
import pytest
import torch

from losslandscape.core import large
from losslandscape.core.errors import InputError
from losslandscape.files import h5_util, large_arrays
from losslandscape.nets import (
    direction_file,
    kept_tensors,
    minimiser,
    model_loader,
    net_plotter,
    net_tensors,
)
from losslandscape.nets.blocks import blocks, filter_blocks, holds
from losslandscape.nets.moving import moving
from losslandscape.nets.net_plotter import Recipe
from tests import large_net
from tests.nets.small_nets import needs_safetensors, save_file

MODEL = f"{large_net.__file__}:net"


@pytest.fixture(autouse=True)
def low_threshold(monkeypatch):
    monkeypatch.setattr(large, "LARGE", 100)
    monkeypatch.setattr(large, "BLOCK", 64)


@pytest.fixture
def net():
    return large_net.net()


def bits(tensors) -> list[bytes]:
    return [
        tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for tensor in tensors
    ]


def drawn(net, **options) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    direction = net_plotter.random_direction(net, "weights", **options)
    return dict(zip(net_tensors.moving_tensors(net, "weights"), direction, strict=True))


def test_blocks_cover_every_number_once():
    whole = torch.arange(7 * 6 * 5).view(7, 6, 5)
    for tensor in whole, whole.transpose(0, 2), whole[:, ::2], whole[:1], torch.zeros(()).expand(70, 3):
        parts = [part.flatten() for (part,) in blocks(tensor)]
        assert sorted(torch.cat(parts).tolist()) == sorted(tensor.flatten().tolist())
        assert len(parts) == 1 or max(map(len, parts)) <= large.BLOCK


def test_blocks_of_filters_hold_whole_filters(net):
    for tensor in net_tensors.tensors(net, "weights"):
        norms = torch.cat([part.filter_norms(part.value.float()) for (part,) in filter_blocks(tensor)])
        assert sorted(norms.tolist()) == pytest.approx(
            sorted(tensor.filter_norms(tensor.value.float()).tolist())
        )


@pytest.mark.parametrize("norm", ["filter", "layer", "weight", "dfilter", "dlayer", ""])
def test_random_directions_have_the_norms_of_small_nets(net, norm):
    tensors = {tensor.names[0]: tensor for tensor in net_tensors.tensors(net, "weights")}
    for name, d in drawn(net, norm=norm).items():
        tensor, w, d = tensors[name], tensors[name].value.float(), d.float()
        if not tensor.by_filters:
            assert torch.equal(d, w)
        elif norm == "filter":
            torch.testing.assert_close(tensor.filter_norms(d), tensor.filter_norms(w), rtol=5e-3, atol=0)
        elif norm == "dfilter":
            norms = tensor.filter_norms(d)
            torch.testing.assert_close(norms, torch.ones_like(norms), rtol=5e-3, atol=0)
        elif norm in ("layer", "dlayer"):
            assert float(d.norm()) == pytest.approx(float(w.norm()) if norm == "layer" else 1.0, rel=5e-3)
        else:
            draws = d / w if norm == "weight" else d
            assert abs(float(draws.mean())) < 0.2 and float(draws.std()) == pytest.approx(1, rel=0.1)


def test_each_tensor_is_drawn_by_itself(net):
    whole, part = drawn(net, norm="filter"), drawn(net, norm="filter", params="^mix")
    assert torch.equal(part["mix.weight"], whole["mix.weight"])
    assert not part["embedding.weight"].any() and part["embedding.weight"].stride() == (0, 0)
    assert not torch.equal(
        drawn(net)["mix.weight"].flatten()[:64], drawn(net)["embedding.weight"].flatten()[:64]
    )
    x, y = net_plotter.make_directions(net, "weights", [Recipe(), Recipe()])
    assert not torch.equal(x[0], y[0])


def test_directions_have_the_precision_of_the_net(net):
    assert {d.dtype for d in drawn(net).values()} == {torch.bfloat16}
    assert {d.dtype for d in drawn(net.half()).values()} == {torch.float16}
    assert {d.dtype for d in drawn(net.double()).values()} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_move_is_the_sum_rounded_once(net, dtype):
    net = net.to(dtype)
    before = [tensor.clone() for tensor in net.state_dict().values()]
    axes = net_plotter.make_directions(net, "weights", [Recipe(norm="filter"), Recipe(norm="layer")])
    start = [parameter.detach().clone() for parameter in net.parameters()]
    with moving(net, axes, "weights") as move:
        for a, b in itertools.product((-0.5, 0.0, 1.0), (0.25, 0.0)):
            move((a, b))
            for parameter, w, x, y in zip(net.parameters(), start, *axes, strict=True):
                exact = w.double() + a * x.double() + b * y.double()
                half_a_step = exact.abs() * torch.finfo(dtype).eps / 2
                rounding = 1e-6 if dtype != torch.float64 else 1e-15
                assert ((parameter.double() - exact).abs() <= half_a_step + rounding).all()
    assert bits(net.state_dict().values()) == bits(before)


def test_a_net_comes_back_after_an_error(net):
    net.embedding.weight.data[0, :3] = torch.tensor([float("nan"), -0.0, float("inf")])
    before = bits(net.state_dict().values())
    with pytest.raises(ZeroDivisionError), moving(net, [list(drawn(net).values())], "weights") as move:
        move((0.3,))
        assert bits(net.state_dict().values()) != before
        raise ZeroDivisionError
    assert bits(net.state_dict().values()) == before


@needs_safetensors
@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_the_minimiser_stays_in_a_mapped_checkpoint(net, ending, tmp_path, monkeypatch):
    path = str(tmp_path / f"net{ending}")
    state = {name: value for name, value in net.state_dict().items() if name != "head.weight"}
    (save_file if ending == ".safetensors" else torch.save)(state, path)
    loaded = model_loader.load(MODEL, path)
    room = []
    monkeypatch.setattr(kept_tensors, "empty", lambda like, dtypes: room.extend(like) or [])
    kept = minimiser.kept(loaded, dict(loaded.named_parameters()))
    assert not room
    assert bits(kept) == bits(loaded.parameters())
    mapped = [line for line in open("/proc/self/maps") if path in line] if os.path.exists("/proc") else [path]
    assert mapped
    loaded.mix.weight.data += 1
    monkeypatch.undo()
    moved = minimiser.kept(loaded, dict(loaded.named_parameters()))
    assert holds(moved[1], loaded.mix.weight) and not holds(kept[1], moved[1])


def test_a_checkpoint_that_is_overwritten_ends_the_run(net, tmp_path):
    path = tmp_path / "net.pt"
    torch.save(net.state_dict(), path)
    loaded = model_loader.load(MODEL, str(path))
    axes = [list(drawn(loaded).values())]
    with moving(loaded, axes, "weights") as move:
        os.replace(shutil.copy(path, tmp_path / "other.pt"), path)  # another file of this name
        move((0.5,))
    loaded = model_loader.load(MODEL, str(path))
    with pytest.raises(InputError, match="was overwritten"), moving(loaded, axes, "weights") as move:
        with open(path, "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"0")
        move((0.5,))


@needs_safetensors
def test_a_direction_leads_to_another_net_whose_checkpoint_is_mapped(net, tmp_path):
    path = str(tmp_path / "other.safetensors")
    other = {name: value * 1.01 for name, value in net.state_dict().items() if name != "embedding.weight"}
    save_file(other, path)
    at_target = Recipe(target=lambda: model_loader.load_beside(net, MODEL, path))
    (x,) = net_plotter.make_directions(net, "weights", [at_target])
    with moving(net, [x], "weights") as move:
        move((1.0,))
        assert torch.equal(net.head.weight, other["head.weight"])
        assert torch.equal(net.embedding.weight, other["head.weight"])
        assert torch.equal(net.mix.weight, other["mix.weight"])


def test_a_direction_file_keeps_the_bits(net, tmp_path):
    path = str(tmp_path / "d.h5")
    axes = [list(drawn(net, params=params).values()) for params in ("", "mix")]
    h5_util.write_directions(path, direction_file.arrays(axes), made_with={"net": "large"})
    read = direction_file.read_direction_file(path, net, "weights", dimensions=2)
    assert [bits(direction) for direction in read] == [bits(direction) for direction in axes]
    assert [d.dtype for d in read[0]] == [d.dtype for d in axes[0]]
    assert h5_util.read_made_with(path, "direction") == {"net": "large"}
    read[0][0][:] = 0  # the file stays as it is
    assert bits(direction_file.read_direction_file(path, net, "weights", dimensions=1)[0]) == bits(axes[0])


def test_a_direction_file_needs_no_room_for_zeros(tmp_path):
    path = str(tmp_path / "d.h5")
    h5_util.write_directions(path, [[large_arrays.zeros(large_arrays.BFLOAT16, (2**28, 4))]])
    assert os.path.getsize(path) < 2**16
    (array,) = h5_util.read_directions(path)[0]
    assert array.shape == (2**28, 4) and not np.any(large_arrays.numbers(array[:2]))


def test_a_failure_while_writing_leaves_the_old_file(net, tmp_path, monkeypatch):
    path = tmp_path / "d.h5"
    arrays = direction_file.arrays([list(drawn(net).values())])
    h5_util.write_directions(str(path), arrays)
    before = path.read_bytes()

    def full_after_a_block(values):
        yield values.reshape(-1)[:3].view(np.uint8)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(large_arrays, "blocks", full_after_a_block)
    with pytest.raises(OSError, match="No space left"):
        h5_util.write_directions(str(path), arrays)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["d.h5"]


def test_a_full_disk_is_said_in_one_sentence(monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(InputError, match="temporary file of 0.0 GiB .*No space left.*TMPDIR"):
        kept_tensors.empty([torch.empty(3)], [torch.float32])


def test_kept_tensors_leave_no_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    like = [torch.empty(3, 5), torch.empty(0, 4), torch.empty(())]
    kept = kept_tensors.empty(like, [torch.bfloat16, torch.float32, torch.float64])
    assert [(tensor.shape, tensor.dtype) for tensor in kept] == [
        (like[0].shape, torch.bfloat16),
        (like[1].shape, torch.float32),
        (like[2].shape, torch.float64),
    ]
    assert not any(tensor.any() for tensor in kept) and not os.listdir(tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_a_gpu_moves_a_net_as_the_cpu_does(net, monkeypatch):
    monkeypatch.setattr(large, "GPU_BLOCK", 100)
    (x,) = net_plotter.make_directions(net, "weights", [Recipe(norm="filter")])
    before, on_gpu = bits(net.parameters()), large_net.net().cuda()
    with moving(net, [x], "weights") as move, moving(on_gpu, [x], "weights") as move_on_gpu:
        for coordinate in (0.3, -0.7):
            move((coordinate,))
            move_on_gpu((coordinate,))
            for ours, theirs in zip(net.parameters(), on_gpu.parameters(), strict=True):
                torch.testing.assert_close(theirs.cpu(), ours, rtol=2**-7, atol=0)
    assert bits(parameter.cpu() for parameter in on_gpu.parameters()) == before
