"""bench/large.py: its checkpoint, and its count of a process's memory."""

import sys

import torch
from safetensors.torch import load_file

from bench import gpt, large


def test_checkpoint_holds_the_net_and_is_as_large(tmp_path):
    size = gpt.write_checkpoint(tmp_path / "gpt.safetensors", width=64, layers=2)
    weights = load_file(tmp_path / "gpt.safetensors")
    net = gpt.net(width=64, layers=2)
    net.load_state_dict(weights)
    assert size == sum(tensor.nbytes for tensor in weights.values())
    assert all(tensor.dtype == torch.bfloat16 for tensor in weights.values())
    assert weights["blocks.1.norm2.weight"].eq(1).all() and weights["blocks.1.norm2.bias"].eq(0).all()
    assert abs(float(weights["head.weight"].float().std()) / gpt.SPREAD - 1) < 0.02
    assert net(gpt.data()["input_ids"][:1, :8]).shape == (1, 8, gpt.VOCABULARY)


def test_host_memory_is_what_a_process_owns_and_not_the_files_that_it_maps(tmp_path):
    size = 64 * 2**20
    (tmp_path / "file").write_bytes(bytes(size))
    begin = "import mmap, sys, time; file = open(sys.argv[1], 'rb'); "
    touched = "kept = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ); sum(kept[::4096])"
    peaks = {
        name: large.watched([sys.executable, "-c", f"{begin}{way}; time.sleep(0.3)", tmp_path / "file"])
        for name, way in {"owned": "kept = bytearray(file.read())", "mapped": touched}.items()
    }
    assert peaks["owned"]["host"] > size > peaks["mapped"]["host"]
    assert peaks["mapped"]["RSS"] > size
