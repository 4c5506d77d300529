"""Damaged, swapped and hostile files end in a result or in one sentence: no other exception, no crash, no
hang, no code run, no memory blow-up.

HDF5 and zlib are C libraries that a damaged file may crash or send round in circles, so files are read by
another process, with limits on time and memory. The mutations are the same on every run, and hypothesis
prints the shortest that fails. For a longer hunt, with new ones:

    FUZZ_EXAMPLES=5000 python -m pytest tests/test_fuzz.py -k mutated
"""

import json
import os
import pickle
import resource
import select
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.data import dataloader
from losslandscape.files import h5_util
from losslandscape.nets import model_loader
from tests.helpers import DIGITS, REPO, SMALL_BATCH, succeed, write_surface_file

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", 0))
SECONDS, MEBIBYTES = (
    20,
    1024,
)  # that reading a file of a few kilobytes may take, here beyond what the process begins with
RESIDENT = 256  # MiB of these that may in fact be used


# The valid files and their readers
# ------------------------------------------------------------------------------------------


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))


def write_projection(path: str) -> None:
    h5_util.write_projection(
        h5_util.Projection(
            path,
            np.arange(5.0),
            np.arange(5.0) ** 2,
            epochs=np.arange(5),
            distance=np.linspace(0, 1, 5),
            lr_drops=np.array([3]),
            shares=np.array([0.7, 0.2]),
            made_with={"directions": "abc"},
        )
    )


def write_pca_directions(path: str) -> None:
    h5_util.write_directions(
        path, [[np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)]] * 2
    )
    with h5py.File(path, "a") as file:
        file["explained_variance_ratio_"] = [0.7, 0.2]


def write_surface(path: str) -> None:
    values = np.arange(12.0).reshape(3, 4)
    write_surface_file(
        path,
        x=np.arange(4.0),
        y=np.arange(3.0),
        quantities={"train_loss": values, "train_acc": -values},
        dir_file="d.h5",
    )


def write_checkpoint(path: str, *, zip_format: bool) -> None:
    saved = {"epoch": 3, "acc": np.float64(62.5), "state_dict": small_net().state_dict()}
    torch.save(saved, path, _use_new_zipfile_serialization=zip_format)


def write_images(path: str, *, save=np.savez) -> None:
    with open(path, "wb") as file:
        save(
            file, images=np.arange(8 * 3 * 2 * 2, dtype=np.uint8).reshape(8, 3, 2, 2), labels=np.arange(8) % 3
        )


def write_labels(path: str) -> None:
    with open(path, "wb") as file:
        np.save(file, np.arange(8) % 3)


def read_checkpoint(path: str) -> None:
    net = small_net()
    model_loader.load_state(net, model_loader.read_checkpoint(path).state, what=path)


def read_checked_checkpoint(path: str) -> None:
    """The zip format has checksums: what is read is what was written."""
    state = model_loader.read_checkpoint(path).state
    assert all(torch.equal(value, state[name]) for name, value in small_net().state_dict().items())


def read_images(path: str) -> None:
    dataloader.load("digits", "train", datapath="", npz_file=path)


def read_labels(path: str) -> None:
    dataloader.load(
        "digits", "train", datapath="", npz_file=str(Path(path).with_name("images")), labels_file=path
    )


KINDS = {
    "surface": (write_surface, h5_util.read_surface),
    "direction": (write_pca_directions, h5_util.read_directions),
    "explained variance": (write_pca_directions, h5_util.read_explained_variance),
    "projection": (write_projection, h5_util.read_projection),
    "zip checkpoint": (lambda path: write_checkpoint(path, zip_format=True), read_checked_checkpoint),
    "legacy checkpoint": (lambda path: write_checkpoint(path, zip_format=False), read_checkpoint),
    "checkpoint.safetensors": (lambda path: save_file(small_net().state_dict(), path), read_checkpoint),
    "images": (write_images, read_images),
    "compressed images": (lambda path: write_images(path, save=np.savez_compressed), read_images),
    "labels": (write_labels, read_labels),
}


# Mutations
# ------------------------------------------------------------------------------------------------------------------

NUMBERS = [
    0,
    1,
    0x7F,
    0xFF,
    0xFFFF,
    2**31 - 1,
    2**32 - 1,
    10**12,
    2**63 - 1,
    2**64 - 1,
]  # sizes, counts and addresses that are none
PLACE, LENGTH = st.integers(0, 2**14), st.integers(1, 64)
MUTATION = st.one_of(
    st.tuples(st.just("flip"), PLACE, st.integers(0, 7)),
    st.tuples(st.just("zero"), PLACE, LENGTH),
    st.tuples(st.just("number"), PLACE, st.sampled_from(NUMBERS), st.sampled_from([1, 2, 4, 8])),
    st.tuples(st.just("bytes"), PLACE, st.binary(min_size=1, max_size=16).map(bytes.hex)),
    st.tuples(st.just("repeat"), PLACE, LENGTH),
    st.tuples(st.just("copy"), PLACE, LENGTH, PLACE),
    st.tuples(st.just("delete"), PLACE, LENGTH),
    st.tuples(st.just("cut"), PLACE),
    st.tuples(st.just("append"), st.binary(min_size=1, max_size=64).map(bytes.hex)),
)
MUTATIONS = st.lists(MUTATION, min_size=1, max_size=4)


def mutated(content: bytes, mutations: list) -> bytes:
    """The content after each mutation, whose places are counted from the start, round and round."""
    content = bytearray(content)
    for name, *values in mutations:
        at = values[0] % (len(content) or 1) if name != "append" else len(content)
        length = values[1] if name in ("zero", "repeat", "copy", "delete") else 0
        if name == "flip" and content:
            content[at] ^= 1 << values[1]
        elif name == "zero":
            content[at : at + length] = bytes(len(content[at : at + length]))
        elif name == "number":
            content[at : at + values[2]] = struct.pack("<Q", values[1])[: values[2]]
        elif name == "bytes":
            new = bytes.fromhex(values[1])
            content[at : at + len(new)] = new
        elif name == "repeat":
            content[at:at] = content[at : at + length]
        elif name == "copy":
            to = values[2] % (len(content) or 1)
            content[to : to + length] = content[at : at + length]
        elif name == "delete":
            del content[at : at + length]
        elif name == "cut":
            del content[at:]
        elif name == "append":
            content += bytes.fromhex(values[0])
    return bytes(content)


# The process that reads
# --------------------------------------------------------------------------------------------------------


def resident_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def serve(folder: str) -> None:
    """Answer each line `[kind, path]` or `[kind, mutations]` of standard input by what is wrong with how the
    file was read; "" if nothing.
    """
    for kind, (
        write,
        read,
    ) in KINDS.items():  # also imports what the readers import late, before memory is limited
        path = os.path.join(folder, kind)
        write(path)
        read(path)
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (address_space() + MEBIBYTES * 2**20,) * 2)
    begun_with = resident_mebibytes()
    print("ready", flush=True)
    for number, line in enumerate(sys.stdin):
        kind, given = json.loads(line)
        path = given
        if isinstance(given, list):
            path = os.path.join(folder, f"mutated {number}{Path(kind).suffix}")
            Path(path).write_bytes(mutated(Path(folder, kind).read_bytes(), given))
        fault = fault_of(KINDS[kind][1], path)
        if resident_mebibytes() > begun_with + RESIDENT:
            fault = fault or f"took {resident_mebibytes() - begun_with:.0f} MiB of memory"
        if path != given:
            os.remove(path)
        print(json.dumps(fault), flush=True)


def fault_of(read, path: str) -> str:
    """What is wrong with how the file was read: any exception but `InputError` with one sentence."""
    try:
        read(path)
    except InputError as error:
        return "" if "\n" not in str(error) and len(str(error)) < 1000 else f"not one sentence: {error}"
    except Exception as error:
        frame = error.__traceback__
        while frame.tb_next and Path(frame.tb_next.tb_frame.f_code.co_filename).parent in (
            REPO,
            REPO / "tests",
        ):
            frame = frame.tb_next
        return f"{type(error).__name__} at {Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}: {error}"
    return ""


class Reader:
    """The process that reads, started anew after a crash or a hang."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="fuzz_")
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"from tests.test_fuzz import serve; serve({self.folder.name!r})"],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout.readline() == "ready\n"

    def fault(self, kind: str, given: list | str) -> str:
        if self.process is None:
            self.start()
        self.process.stdin.write(json.dumps([kind, given]) + "\n")
        self.process.stdin.flush()
        answered, _, _ = select.select([self.process.stdout], [], [], SECONDS)
        answer = self.process.stdout.readline() if answered else ""
        if answer:
            return json.loads(answer)
        fault = "the process crashed" if answered else f"no end in {SECONDS} seconds"
        self.stop()
        return fault

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture(scope="module")
def reader():
    reader = Reader()
    yield reader
    reader.stop()
    reader.folder.cleanup()


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_file_is_read_or_refused(kind, reader):
    @settings(
        max_examples=EXAMPLES or 200,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(MUTATIONS)
    def check(mutations):
        assert not reader.fault(kind, mutations)

    check()


def test_a_file_cut_anywhere_is_refused(reader):
    for kind in KINDS:
        size = Path(reader.folder.name, kind).stat().st_size
        for length in {0, 1, size // 2, size - 1}:
            assert not reader.fault(kind, [["cut", length]]), (kind, length)


# Files made to harm
# ---------------------------------------------------------------------------------------------------------


def huge_dataset(path: str, name: str) -> None:
    """HDF5 that declares 8 TB of numbers and holds none of them."""
    with h5py.File(path, "w") as file:
        file.create_dataset(name, shape=(10**12,), dtype="f8", chunks=(1024,), compression="gzip")


def huge_header(path: str) -> None:
    """An .npz whose labels' header declares 10**12 numbers."""
    np.savez(path, images=np.zeros((8, 3, 2, 2), np.uint8), labels=np.arange(8))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["labels.npy"] = members["labels.npy"].replace(b"(8,), }           ", b"(1000000000000,), }")
    assert b"1000000000000" in members["labels.npy"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def bomb(path: str) -> None:
    """A checkpoint whose records are compressed: some kilobytes that become a gigabyte."""
    torch.save({"state_dict": small_net().state_dict()}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content if "/data/" not in name else bytes(2**30 // 9))


HARMFUL = {
    "huge coordinates": ("surface", lambda path: huge_dataset(path, "xcoordinates")),
    "huge direction": ("direction", lambda path: huge_dataset(path, "xdirection/0")),
    "huge projection": ("projection", lambda path: huge_dataset(path, "proj_xcoord")),
    "huge labels": ("images", huge_header),
    "zip bomb": ("zip checkpoint", bomb),
    "a number repeated 10**12 times": (
        "legacy checkpoint",
        lambda path: torch.save({"state_dict": {"0.weight": torch.zeros(1).expand(10**12)}}, path),
    ),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_what_is_declared_and_not_there_takes_no_memory(name, reader, tmp_path):
    kind, make = HARMFUL[name]
    path = tmp_path / "file.npz"
    make(str(path))
    assert path.stat().st_size < 2**22
    assert not reader.fault(kind, str(path))
    with pytest.raises(InputError):
        KINDS[kind][1](str(path))


class Code:
    """A pickle of this runs a command when it is loaded."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def hostile_files(folder: Path, place: Path) -> list[Path]:
    """Pickles with code, as every kind of file that the program takes."""
    files = [folder / name for name in ("new.t7", "old.t7", "plain.t7", "data.npz", "object.npz")]
    torch.save({"state_dict": {"conv1.weight": Code(place)}}, files[0])
    torch.save({"state_dict": {"conv1.weight": Code(place)}}, files[1], _use_new_zipfile_serialization=False)
    files[2].write_bytes(pickle.dumps({"state_dict": Code(place)}))
    files[3].write_bytes(pickle.dumps(Code(place)))
    np.savez(files[4], images=np.array([Code(place)], dtype=object), labels=np.zeros(1, int))
    return files


def test_code_in_files_is_not_run(tmp_path):
    place = tmp_path / "the code was run"
    for path in hostile_files(tmp_path, place):
        read = model_loader.read_checkpoint if path.suffix == ".t7" else read_images
        with pytest.raises(InputError):
            read(str(path))
        assert not place.exists(), path


def test_a_trusted_pickle_is_read_on_request_alone(tmp_path):
    """A whole net, saved as people do who save no state dict."""
    line = [*DIGITS, "--x=0:0:1", "--surf_file", "s.h5", "--model_file", "net.t7"]
    net = model_loader.load("resnet20", str(SMALL_BATCH))
    torch.save(net, tmp_path / "net.t7")
    with pytest.raises(InputError, match="--unsafe_pickle"):
        model_loader.load("resnet20", str(tmp_path / "net.t7"))
    succeed("plot_surface.py", *line, "--unsafe_pickle", cwd=tmp_path)
    assert h5_util.read_surface(str(tmp_path / "s.h5")).measured("train_loss").all()
