"""Damaged, swapped and hostile files end in a result or in one sentence.

There is no other exception, crash or hang, no code is run, and memory stays small. The mutations are the same
on every run, and hypothesis prints the shortest that fails. For a longer hunt, with new ones:

    FUZZ_EXAMPLES=5000 python -m pytest -m nightly tests/cli/test_fuzz.py
"""

import os
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from losslandscape.core.errors import InputError
from losslandscape.files import h5_util
from losslandscape.nets import model_loader
from losslandscape.nets.checkpoint import read_checkpoint
from tests.cli.fuzz_reader import KINDS, Reader, read_images, small_net
from tests.helpers import DIGITS, SMALL_BATCH, succeed

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", 0))
# Sizes, counts and addresses that are none.
NUMBERS = [0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 10**12, 2**63 - 1, 2**64 - 1]
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


def require_read_or_refused(reader: Reader, kind: str, *, examples: int, derandomize: bool = True) -> None:
    @settings(
        max_examples=examples,
        derandomize=derandomize,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(MUTATIONS)
    def check(mutations):
        assert not reader.fault(kind, mutations)

    check()


@pytest.fixture(scope="module")
def reader():
    reader = Reader()
    reader.start()
    yield reader
    reader.stop()
    reader.folder.cleanup()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_file_is_read_or_refused(kind, reader):
    require_read_or_refused(reader, kind, examples=20)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_mutated_in_many_ways_is_read_or_refused(kind, reader):
    require_read_or_refused(reader, kind, examples=EXAMPLES or 200, derandomize=not EXAMPLES)


@pytest.mark.slow
def test_a_file_cut_anywhere_is_refused(reader):
    for kind in KINDS:
        size = Path(reader.folder.name, kind).stat().st_size
        for length in {0, 1, size // 2, size - 1}:
            assert not reader.fault(kind, [["cut", length]]), (kind, length)


# Files made to harm -----------------------------------------------------------------------------------------


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


@pytest.mark.slow
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
        read = read_checkpoint if path.suffix == ".t7" else read_images
        with pytest.raises(InputError):
            read(str(path))
        assert not place.exists(), path


@pytest.mark.slow
def test_a_trusted_pickle_is_read_on_request_alone(tmp_path):
    """A whole net, saved as people do who save no state dict."""
    line = [*DIGITS, "--x=0:0:1", "--surf_file", "s.h5", "--model_file", "net.t7"]
    net = model_loader.load("resnet20", str(SMALL_BATCH))
    torch.save(net, tmp_path / "net.t7")
    with pytest.raises(InputError, match="unsafe_pickle"):
        model_loader.load("resnet20", str(tmp_path / "net.t7"))
    succeed("plot_surface.py", *line, "--unsafe_pickle", cwd=tmp_path)
    assert h5_util.read_surface(str(tmp_path / "s.h5")).measured("train_loss").all()
