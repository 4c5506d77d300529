"""Checkpoints in several files, and folders with one checkpoint, as the libraries write them."""

import json
import os
import pickle
import shutil
import warnings

import pytest
import torch
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import fingerprint_of_file
from losslandscape.nets import model_loader
from losslandscape.nets.checkpoint import read_checkpoint
from tests.nets.small_nets import loads, needs_safetensors, one_sentence, refused, save_file, small_net


def fault(path, *parts: str) -> None:
    with pytest.raises(InputError) as error:
        read_checkpoint(path)
    one_sentence(error, path, *parts)


def write_shards(folder, net: nn.Module, *, ending: str = "safetensors", shards: int = 3):
    """Write the net's tensors as transformers does: shards, and an index with the shard of each tensor."""
    folder.mkdir(exist_ok=True)
    stem = "model" if ending == "safetensors" else "pytorch_model"
    state = net.state_dict()
    index: dict[str, str] = {}
    for shard in range(shards):
        file = f"{stem}-{shard + 1:05d}-of-{shards:05d}.{ending}"
        part = {name: state[name] for name in list(state)[shard::shards]}
        save_file(part, folder / file) if ending == "safetensors" else torch.save(part, folder / file)
        index |= dict.fromkeys(part, file)
    index_file = folder / f"{stem}.{ending}.index.json"
    index_file.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": index}))
    return index_file


@needs_safetensors
@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_shards_load_by_their_index_and_by_their_folder(tmp_path, ending):
    net, folder = small_net(), tmp_path / "checkpoint-500"
    index = write_shards(folder, net, ending=ending)
    (folder / "trainer_state.json").write_text(json.dumps({"epoch": 2.5, "global_step": 500}))
    for name in ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state.pth"):
        (folder / name).write_bytes(b"of the training")
    for path in (index, folder, f"{folder}/"):
        assert loads(net, path) and read_checkpoint(path).epoch == 2


def test_shards_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=20, n_positions=12)
    torch.manual_seed(0)
    net = transformers.GPT2LMHeadModel(config).eval()
    net.save_pretrained(tmp_path / "gpt", max_shard_size="4KB")
    assert (tmp_path / "gpt" / "model.safetensors.index.json").exists()
    (tmp_path / "bare").mkdir()
    shutil.copy(tmp_path / "gpt" / "config.json", tmp_path / "bare")
    loaded = model_loader.load(f"hf:{tmp_path}/bare", f"{tmp_path}/gpt")
    tokens = torch.arange(6)[None]
    assert torch.equal(loaded(tokens).logits, net(tokens).logits)


@needs_safetensors
def test_one_shard_is_no_checkpoint(tmp_path):
    index = write_shards(tmp_path / "run", small_net())
    shard = tmp_path / "run" / "model-00002-of-00003.safetensors"
    fault(shard, "is shard 2 of 3", f"give {index} or its folder")
    fault(str(shard).replace("00002", "00007"), "no such file")
    index.unlink()
    fault(shard, "is shard 2 of 3", "model.safetensors.index.json is not there")
    fault(tmp_path / "run", "model.safetensors.index.json is not there")


@needs_safetensors
def test_damaged_shards(tmp_path):
    index = write_shards(tmp_path / "run", small_net())
    whole = json.loads(index.read_text())
    for map_, part in (
        ({"conv.weight": "../secret.safetensors"}, "is not an index"),
        ({"conv.weight": 3}, "is not an index"),
        ({"other": "model-00001-of-00003.safetensors"}, "lacks 'other'"),
        ({"conv.weight": "model-00009-of-00009.safetensors"}, "model-00009-of-00009.safetensors"),
        ({}, "is not an index"),
    ):
        index.write_text(json.dumps({**whole, "weight_map": map_}))
        with pytest.raises(InputError) as error:
            read_checkpoint(index)
        one_sentence(error, tmp_path, part)
    index.write_text("{")
    fault(index, "is not an index")
    index.write_text(json.dumps(whole))
    (tmp_path / "run" / "model-00003-of-00003.safetensors").unlink()
    fault(index, "model-00003-of-00003.safetensors")


def test_a_folder_is_its_only_checkpoint_or_lists_what_it_has(tmp_path):
    net = small_net()
    fault(tmp_path, "is a folder without a checkpoint")
    (tmp_path / "notes.txt").write_text("x")
    fault(tmp_path, "it has notes.txt")
    torch.save({"epoch": 3, "state_dict": net.state_dict()}, tmp_path / "model_3.t7")
    torch.save({"optimizer": {}}, tmp_path / "opt_state_3.t7")
    assert loads(net, tmp_path) and loads(net, f"{tmp_path}/.")
    torch.save(net.state_dict(), tmp_path / "model_4.t7")
    fault(tmp_path, "is a folder with 2 checkpoints: model_3.t7, model_4.t7", "give one of them")


@needs_safetensors
def test_names_of_files_in_a_folder(tmp_path):
    """`optimal.pt` is no optimizer, and a single shard with an index is one checkpoint."""
    net = small_net()
    torch.save(net.state_dict(), tmp_path / "optimal.pt")
    for name in ("optimizer.pt", "optimizer_1.pt", "optim.pt", "opt_state_1.t7", "scheduler.pt"):
        (tmp_path / name).write_bytes(b"")
    assert loads(net, tmp_path)
    write_shards(tmp_path / "one", net, shards=1)
    assert loads(net, tmp_path / "one") and loads(net, tmp_path / "one/model-00001-of-00001.safetensors")


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def denied(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", denied)
    fault(tmp_path, "cannot be read (Permission denied)")


def test_a_folder_of_folders(tmp_path):
    net = small_net()
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        torch.save(net.state_dict(), tmp_path / f"checkpoint-{step}" / "pytorch_model.bin")
        if step == 5:
            assert loads(net, tmp_path)
    fault(tmp_path, "2 checkpoints: checkpoint-5/pytorch_model.bin, checkpoint-10/pytorch_model.bin")


def save_distributed(folder, content: dict) -> None:
    dcp = pytest.importorskip("torch.distributed.checkpoint")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without a process group
        dcp.save(content, checkpoint_id=str(folder))


@pytest.mark.parametrize(
    "content",
    [
        lambda state: state,
        lambda state: {"model": state, "epoch": 3, "optimizer": {"state": {"0": torch.ones(5)}}},
        lambda state: {"app": {"model": state, "optim": {"a": [torch.ones(2), 3]}}},
        lambda state: {"state_dict": {f"_fsdp_wrapped_module.{name}": state[name] for name in state}},
    ],
)
def test_folders_of_distributed_checkpoint(tmp_path, content):
    net, folder = small_net(), tmp_path / "step-9"
    save_distributed(folder, content(net.state_dict()))
    assert loads(net, folder) and loads(net, f"{folder}/")
    assert read_checkpoint(folder).epoch == (3 if "epoch" in content({}) else None)
    assert not any("optim" in key for key in read_checkpoint(folder).candidates)
    fault(folder / "__0_0.distcp", "is a part of a distributed checkpoint", f"give the folder {folder}")
    fault(folder / ".metadata", "is a part of a distributed checkpoint")


def test_a_distributed_checkpoint_of_several_ranks(tmp_path):
    """Rows of one tensor in files of two ranks, as FSDP splits them."""
    save_distributed(tmp_path, {"weight": torch.arange(6.0).reshape(3, 2), "bias": torch.ones(3)})
    from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex

    metadata = pickle.loads((tmp_path / ".metadata").read_bytes())
    entry = metadata.state_dict_metadata["weight"]
    entry.chunks = []
    storage = {index: info for index, info in metadata.storage_data.items() if index.fqn != "weight"}
    whole = next(info for index, info in metadata.storage_data.items() if index.fqn == "weight")
    for rank, (start, rows) in enumerate([(0, [[0.0, 1.0], [2.0, 3.0]]), (2, [[7.0, 8.0]])]):
        file = tmp_path / f"__{rank + 1}_0.distcp"
        torch.save(torch.tensor(rows), file)
        offset = torch.Size([start, 0])
        entry.chunks.append(ChunkStorageMetadata(offset, torch.Size([len(rows), 2])))
        storage[MetadataIndex("weight", offset, rank)] = type(whole)(file.name, 0, file.stat().st_size)
    metadata.storage_data = storage
    (tmp_path / ".metadata").write_bytes(pickle.dumps(metadata))
    state = read_checkpoint(tmp_path).state
    assert state["weight"].tolist() == [[0.0, 1.0], [2.0, 3.0], [7.0, 8.0]] and state["bias"].sum() == 3
    before = fingerprint_of_file(str(tmp_path))
    torch.save(torch.tensor([[7.0, 9.0]]), tmp_path / "__2_0.distcp")
    assert fingerprint_of_file(str(tmp_path)) != before
    (tmp_path / "__2_0.distcp").unlink()
    fault(tmp_path, "lacks its file __2_0.distcp")


def test_flipped_bits_in_a_distributed_checkpoint(tmp_path):
    save_distributed(tmp_path, {"weight": torch.full((64,), 1.5)})
    part = tmp_path / "__0_0.distcp"
    number = torch.tensor(1.5).numpy().tobytes()
    assert number * 64 in part.read_bytes()
    part.write_bytes(part.read_bytes().replace(number, torch.tensor(2.5).numpy().tobytes(), 1))
    fault(tmp_path, "damaged")


def test_a_folder_of_lightning(tmp_path):
    """Lightning's sharded checkpoints: tensors in .distcp files, the epoch in meta.pt."""
    net, folder = small_net(), tmp_path / "epoch=3-step=8.ckpt"
    model = {f"net.{name}": value for name, value in net.state_dict().items()}
    save_distributed(folder, {"model": model, "optimizer_0": {"state": {"exp_avg": torch.ones(2)}}})
    torch.save({"epoch": 3, "global_step": 8, "hyper_parameters": {"width": 3}}, folder / "meta.pt")
    assert loads(net, folder) and read_checkpoint(folder).epoch == 3


class Code:
    """Pickled, it calls os.mkdir when it is read carelessly."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_distributed_checkpoint_is_not_run(tmp_path):
    net, folder, trace = small_net(), tmp_path / "step", tmp_path / "ran"
    save_distributed(folder, {"model": net.state_dict(), "extra": Code(str(trace))})
    assert loads(net, folder) and not trace.exists()
    (folder / ".metadata").write_bytes(pickle.dumps({"a": Code(str(trace))}))
    fault(folder, "holds more than tensors ('posix.mkdir') and was not run", "unsafe_pickle=True")
    assert not trace.exists()
    with pytest.raises(InputError, match="cannot be unpickled"):  # there is nothing but the code
        read_checkpoint(folder, unsafe_pickle=True)
    assert trace.exists()
    (folder / ".metadata").write_bytes(b"x")
    fault(folder, "damaged")


@needs_safetensors
def test_the_fingerprint_of_a_folder_is_of_its_weights(tmp_path):
    net, folder = small_net(), tmp_path / "run"
    index = write_shards(folder, net)
    first = fingerprint_of_file(str(folder))
    assert first == fingerprint_of_file(str(index)) == fingerprint_of_file(f"{folder}/")
    (folder / "surface.h5").write_bytes(b"x")
    (folder / "trainer_state.json").write_text("{}")
    assert fingerprint_of_file(str(folder)) == first
    state = net.state_dict()
    save_file(
        {name: state[name] + 1 for name in list(state)[1::3]}, folder / "model-00002-of-00003.safetensors"
    )
    assert fingerprint_of_file(str(folder)) != first
    one = tmp_path / "one"
    one.mkdir()
    torch.save(net.state_dict(), one / "m.pt")
    assert fingerprint_of_file(str(one)) == fingerprint_of_file(str(one / "m.pt"))


def test_the_shards_must_fit_the_net(tmp_path):
    wide = nn.Sequential(nn.Linear(2, 3))
    write_shards(tmp_path, wide, ending="bin", shards=2)
    refused(small_net(1), tmp_path, "'conv.weight' is missing", "another model")


def test_the_path_of_a_folder_names_files_beside_it(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    assert model_loader.find("", "run/") == "run" and model_loader.find(str(tmp_path), "run///") == "run"
    assert model_loader.find("elsewhere", "m.t7") == "m.t7"
    monkeypatch.chdir(tmp_path / "run")
    assert model_loader.find("", ".") == str(tmp_path / "run")
