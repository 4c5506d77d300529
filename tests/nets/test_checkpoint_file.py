"""Files that are no checkpoint, damaged or hostile end in one sentence that names the file."""

import os
import pickle
import struct

import numpy as np
import pytest
import torch

from losslandscape.core.errors import InputError
from losslandscape.nets.checkpoint import read_checkpoint
from tests.nets.small_nets import (
    needs_safetensors,
    one_sentence,
    refused,
    save_file,
    small_net,
)


class Code:
    """Pickled, it calls os.mkdir when it is read carelessly."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError) as error:
        read_checkpoint(tmp_path / "none.t7")
    one_sentence(error, tmp_path / "none.t7", "no such file")
    with pytest.raises(InputError) as error:
        read_checkpoint(tmp_path)
    one_sentence(error, tmp_path, "folder")


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is\n" * 20, b'{"a": 1}', b"\x89HDF\r\n\x1a\n" + bytes(9), bytes(1000)]
)
def test_not_a_checkpoint(tmp_path, content):
    file = tmp_path / "m.t7"
    file.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_checkpoint(file)
    one_sentence(error, file, "not a checkpoint")


@pytest.mark.parametrize("zip_format", [True, False])
def test_truncated_anywhere(resnet, tmp_path, zip_format):
    whole, file = tmp_path / "whole.t7", tmp_path / "m.t7"
    torch.save(
        {"acc": 1.0, "epoch": 1, "state_dict": resnet.state_dict()},
        whole,
        _use_new_zipfile_serialization=zip_format,
    )
    content = whole.read_bytes()
    for length in (1, 2, 3, 10, 100, 1000, *np.linspace(2000, len(content) - 1, 20).astype(int)):
        file.write_bytes(content[:length])
        with pytest.raises(InputError) as error:
            read_checkpoint(file)
        one_sentence(error, file, "damaged")


@pytest.mark.parametrize("how", ["zip", "legacy", *range(6)])
def test_code_is_refused_and_not_run(tmp_path, how):
    file, trace = tmp_path / "m.t7", tmp_path / "ran"
    saved = {"state_dict": {"conv1.weight": torch.ones(1)}, "extra": Code(str(trace))}
    if isinstance(how, int):
        file.write_bytes(pickle.dumps(Code(str(trace)), protocol=how))
    else:
        torch.save(saved, file, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(InputError) as error:
        read_checkpoint(file)
    sentence = "not a checkpoint" if how in (4, 5) else "more than tensors ('posix.mkdir') and was not run"
    one_sentence(error, file, sentence)
    assert not trace.exists()


def test_a_whole_pickled_net_is_refused_with_the_way_out(resnet, tmp_path):
    file = tmp_path / "m.t7"
    torch.save(resnet, file)
    with pytest.raises(InputError) as error:
        read_checkpoint(file)
    one_sentence(error, file, "state_dict()")


@needs_safetensors
def test_damaged_safetensors_are_refused(tmp_path):
    whole, file = tmp_path / "whole.safetensors", tmp_path / "m.safetensors"
    save_file(small_net().state_dict(), whole)
    content = whole.read_bytes()
    header = struct.unpack("<Q", content[:8])[0]
    huge = content[:8] + content[8 : 8 + header].replace(b"[2,3,3,3]", b"[9,9,9,9]") + content[8 + header :]
    assert huge != content
    for damaged in (
        b"",
        b"hello",
        content[:20],
        content[:-1],
        content + b"x",
        struct.pack("<Q", 2**40) + content[8:],
        huge,
        b"PK\x03\x04" + content,
    ):
        file.write_bytes(damaged)
        refused(small_net(1), file, "not a safetensors file, or is damaged")


def test_safetensors_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    (tmp_path / "m.safetensors").write_bytes(b"x")
    refused(small_net(1), tmp_path / "m.safetensors", "pip install safetensors")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_saved_net_of_torch_jit_is_refused_with_the_way_out(tmp_path):
    """Its archive is compressed."""
    net, file = small_net(), str(tmp_path / "scripted.pt")
    torch.jit.script(net).save(file)
    with pytest.raises(InputError) as error:
        read_checkpoint(file)
    one_sentence(error, file, "holds more than tensors (a compiled net)", "unsafe_pickle=True")
    state = read_checkpoint(file, unsafe_pickle=True).state
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items())
