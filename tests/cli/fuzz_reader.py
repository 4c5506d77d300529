"""Valid files of each kind, mutations of them, and a process that reads them with limits on time and memory.

HDF5 and zlib are C libraries, which a damaged file may crash or send round in circles. So another process
reads.
"""

import json
import os
import resource
import select
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.data import dataloader
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.nets.checkpoint import read_checkpoint
from losslandscape.nets.state_loading import load_state
from tests.helpers import REPO, write_surface_file

SECONDS = 20  # that reading a file of a few kilobytes may take
MEBIBYTES = 1024  # that it may ask for, beyond what the process begins with
RESIDENT = 256  # MiB of these that it may really use

# Valid files and their readers ------------------------------------------------------------------------------


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))


def write_projection(path: str) -> None:
    h5_util.write_projection(
        Projection(
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


def load_checkpoint(path: str) -> None:
    net = small_net()
    load_state(net, read_checkpoint(path).state, what=path)


def read_checked_checkpoint(path: str) -> None:
    """The zip format has checksums: what is read is what was written."""
    state = read_checkpoint(path).state
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
    "legacy checkpoint": (lambda path: write_checkpoint(path, zip_format=False), load_checkpoint),
    "checkpoint.safetensors": (lambda path: save_file(small_net().state_dict(), path), load_checkpoint),
    "images": (write_images, read_images),
    "compressed images": (lambda path: write_images(path, save=np.savez_compressed), read_images),
    "labels": (write_labels, read_labels),
}


# Mutations --------------------------------------------------------------------------------------------------


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


# The process that reads -------------------------------------------------------------------------------------


def resident_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def serve(folder: str) -> None:
    """Answer each line `[kind, path]` or `[kind, mutations]` of standard input.

    The answer says what is wrong with how the file was read; it is empty if nothing is.
    """
    # Reading each valid file also imports what readers import late, before memory is limited.
    for kind, (write, read) in KINDS.items():
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


def fault_of(read: Callable[[str], object], path: str) -> str:
    """What is wrong with how the file was read: any exception but `InputError` with one sentence."""
    try:
        read(path)
    except InputError as error:
        return "" if "\n" not in str(error) and len(str(error)) < 1000 else f"not one sentence: {error}"
    except Exception as error:
        frame = error.__traceback__
        while frame.tb_next and Path(frame.tb_next.tb_frame.f_code.co_filename).is_relative_to(REPO):
            frame = frame.tb_next
        file = Path(frame.tb_frame.f_code.co_filename).name
        return f"{type(error).__name__} at {file}:{frame.tb_lineno}: {error}"
    return ""


class Reader:
    """The process that reads, started anew after a crash or a hang."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="fuzz_")
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"from tests.cli.fuzz_reader import serve; serve({self.folder.name!r})"],
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
