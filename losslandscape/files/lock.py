"""A lock lets only one run write a file, so that two runs of one surface do not undo each other's work.

A lock is a file beside the locked file, because locks of the operating system fail on some network disks. The
lock file names its holder, and the holder touches it every few seconds. A lock is stale if its holder is dead
or its last touch is old. The next run then replaces it. If the old holder was only paused, it notices at its
next heartbeat that it has lost the lock (`Lock.lost`).
"""

import json
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from losslandscape.core.errors import InputError

HEARTBEAT_SECONDS = 10
STALE_SECONDS = 120  # twelve heartbeats, because a busy network disk may lose some
POLL_SECONDS = 1
ENDING = ".running"  # of a lock file's name, after the name of the locked file


class Lock:
    """The lock of one file, `<path>` and `ENDING`. Call `release` in a `finally`.

    The lock belongs to the process that acquired it, not to forks of that process.
    """

    def __init__(self, path: str):
        self._path = path
        self._file = os.path.realpath(path) + ENDING
        self._content = b""  # the content of our lock file; empty while we hold no lock
        self._process = 0
        self._released = threading.Event()
        self._lost = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether another process had removed or replaced our lock at the last heartbeat."""
        return self._lost.is_set()

    def acquire(self, *, wait: bool = False) -> None:
        """Lock the file for this process, at once or, with `wait`, as soon as no other run holds the lock.

        Raises:
            InputError: another run holds the lock, and `wait` is false.
            OSError: the folder of the file does not exist or cannot be written.
        """
        content = _new_content()
        if not _take(self._file, content):
            fault = f"{self._path!r} is being written by another run: {_holder(self._file)}"
            if not wait:
                raise InputError(
                    f"{fault}, lock file {self._path + ENDING!r}",
                    "give {wait:True} to wait for it, or another {surf_file}; "
                    "if that run is certainly dead, remove its lock file",
                )
            print(f"{fault}; waiting for it", file=sys.stderr, flush=True)
            while not _take(self._file, content):
                time.sleep(POLL_SECONDS)
        self._content = content
        self._process = os.getpid()
        self._released = threading.Event()
        self._lost = threading.Event()
        threading.Thread(
            target=self._beat, args=(content, self._released, self._lost), name="lock", daemon=True
        ).start()

    def release(self) -> None:
        """Remove our lock, if it is still ours. Never raises: a lock file that stays becomes stale."""
        content, self._content = self._content, b""
        if not content or self._process != os.getpid():
            return
        self._released.set()
        try:
            if _read(self._file) == content:
                os.unlink(self._file)
        except FileNotFoundError:
            pass
        except OSError as error:
            print(f"{self._file} cannot be removed: {error.strerror}", file=sys.stderr, flush=True)

    def _beat(self, content: bytes, released: threading.Event, lost: threading.Event) -> None:
        """Touch the lock file until the lock is released or lost.

        A disk error does not lose the lock: the disk may work again at the next heartbeat.
        """
        while not released.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):
                if _read(self._file) != content:
                    if not released.is_set():
                        lost.set()
                    return
                os.utime(self._file)


def _new_content() -> bytes:
    """Return the content of a new lock file of this process. Its token makes it unique."""
    fields = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "processes": _process_table(),
        "time": datetime.now().astimezone().isoformat(" ", "seconds"),
        "token": secrets.token_hex(16),
    }
    return json.dumps(fields, indent=1).encode() + b"\n"


def _process_table() -> str:
    """Return an identifier of the process ids of this host since its start, and of this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""  # not Linux


def _read(file: str) -> bytes | None:
    """Return the content of a lock file: empty if the file cannot be read, None if it does not exist."""
    try:
        with open(file, "rb") as lock:
            return lock.read()
    except FileNotFoundError:
        return None
    except PermissionError:
        return b""  # another user's lock; its age still shows whether it is stale


def _fields(content: bytes | None) -> dict[str, object]:
    """Return the fields of a lock file; an empty dict if the content is incomplete."""
    try:
        fields = json.loads(content or b"")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _holder(file: str) -> str:
    fields = _fields(_read(file))
    if not {"host", "pid", "time"} <= fields.keys():
        return "its lock does not say which one"
    return f"process {fields['pid']} on host {fields['host']!r}, since {fields['time']}"


def _take(file: str, content: bytes) -> bool:
    """Create our lock file, after removing a stale lock; return False if another run holds the lock."""
    if _create(file, content):
        return True
    old = _read(file)
    if old is not None:
        if not _is_stale(file, old):
            return False
        _remove_stale(file, old)
    return _create(file, content)


def _create(file: str, content: bytes) -> bool:
    """Create the lock file; return False if it exists. Exclusive creation works on network disks too."""
    try:
        lock = open(file, "xb", buffering=0)
    except FileExistsError:
        return False
    try:
        with lock:
            with suppress(OSError):  # some disks have no permissions
                os.fchmod(lock.fileno(), 0o644)  # all users may read who holds the lock
            lock.write(content)
    except OSError:  # such as a full disk
        os.unlink(file)
        raise
    return True


def _is_stale(file: str, content: bytes) -> bool:
    """Whether the holder of a lock is dead, or has not touched it for too long."""
    fields = _fields(content)
    pid = fields.get("pid")
    is_here = fields.get("host") == socket.gethostname() and fields.get("processes") == _process_table()
    if is_here and isinstance(pid, int) and _is_dead(pid):
        return True
    return _age(file) > STALE_SECONDS


def _is_dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass  # the process of another user, or an id that no process can have
    return False


def _age(file: str) -> float:
    """Return the seconds since a file was touched, by the clock of its file system: hosts' clocks differ."""
    with tempfile.TemporaryFile(dir=os.path.dirname(file)) as new:
        now = os.fstat(new.fileno()).st_mtime
    try:
        return now - os.stat(file).st_mtime
    except FileNotFoundError:
        return 0


def _remove_stale(file: str, content: bytes) -> None:
    """Remove the stale lock with this content.

    If several runs try, only one can rename it. A slow run may rename the new lock of a faster run. The slow
    run then sees the new content, and puts the new lock back.
    """
    aside = f"{file}.{secrets.token_hex(8)}"
    with suppress(FileNotFoundError):
        if _read(file) == content:
            os.rename(file, aside)
            if _read(aside) == content:
                os.unlink(aside)
            else:
                os.rename(aside, file)
