"""The right of one run to write a file, so that two runs started on one surface file do not undo each other's work.

A claim is a small file beside the claimed one, not a lock of the operating system: those do not work on every network disk. It
tells who holds it, and its holder touches it every few seconds. A claim whose holder is dead is stale, and the next run replaces it.

Only one process at a time may replace or remove a claim: the one that holds the *guard* of that claim, a second file, named after
the claim's content, with its own holder in it. Under the guard it looks at the claim once more. As two claims never have the same content, a
process that was slow, and still wants to replace a claim replaced long ago, finds another one there and lets it be. A guard
is there for milliseconds; one that a dying process left behind is stale like any claim, and is replaced in the same way.

A holder on another host that stops for more than `STALE_SECONDS`, and then goes on, is the one thing that no file can rule out:
it has lost its claim without knowing. It learns of it at its next heartbeat (`Claim.lost`).
"""

import atexit
import hashlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from losslandscape.core.errors import InputError

HEARTBEAT_SECONDS = 10
STALE_SECONDS = 120
POLL_SECONDS = 1
RELEASE_TRIES = 20  # of 50 ms, for as long as another run looks into the claim that we want to remove


class Claim:
    """The right of one run to write a file, shown by a file beside it: `<path>.running`.

    It is given up by `release`, at the latest when the program ends in an orderly way. It belongs to the process that acquired
    it, not to processes forked from that one.
    """

    def __init__(self, path: str):
        self._path = path
        self._file = os.path.realpath(path) + ".running"
        self._content: bytes | None = None  # of the claim that is ours, whether or not it is still there
        self._process = 0
        self._released = threading.Event()
        self._lost = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether the claim was removed or taken over by others since it was acquired, as of the last heartbeat."""
        return self._lost.is_set()

    def acquire(self, *, wait: bool = False) -> None:
        """Make the file this run's to write, at once or, with `wait`, as soon as no other run holds it.

        Raises `InputError` if another run holds it and `wait` is false; `OSError` if its folder is missing or cannot be written.
        """
        taken = _take(self._file)
        if isinstance(taken, _Found) and wait:
            print(f"{self._held_by(taken)}; waiting for it", file=sys.stderr, flush=True)
            while isinstance(taken, _Found):
                time.sleep(POLL_SECONDS)
                taken = _take(self._file)
        if isinstance(taken, _Found):
            raise InputError(
                f"{self._held_by(taken)}; wait for it (--wait, or wait=True from Python), or give another --surf_file; "
                f"if that run is dead for certain, remove {self._path + '.running'!r}"
            )
        self._content, self._process = taken, os.getpid()
        self._released, self._lost = threading.Event(), threading.Event()
        atexit.register(self.release)
        threading.Thread(
            target=self._beat, args=(taken, self._released, self._lost), name="claim", daemon=True
        ).start()

    def release(self) -> None:
        """Give the claim up, if it is still ours; else do nothing. Never fails: a claim that cannot be removed is stale before long."""
        content, self._content = self._content, None
        if content is None or self._process != os.getpid():
            return
        self._released.set()
        atexit.unregister(self.release)
        try:
            _remove(self._file, content)
        except OSError as error:
            print(f"{self._file} cannot be removed: {error.strerror}", file=sys.stderr, flush=True)

    def _held_by(self, found: "_Found") -> str:
        if found.holder is None:
            return f"{self._path!r} is being written by another run (which one, its claim does not tell)"
        holder = found.holder
        return f"{self._path!r} is being written by another run: process {holder.pid} on host {holder.host!r}, since {holder.since}"

    def _beat(self, content: bytes, released: threading.Event, lost: threading.Event) -> None:
        """Show that the holder lives until it gives the claim up or loses it."""
        while not released.wait(HEARTBEAT_SECONDS):
            try:
                found = _look(self._file)
                if found is None or found.content not in (
                    content,
                    None,
                ):  # None: unreadable for now, as network disks may be
                    if not released.is_set():
                        lost.set()
                    return
                os.utime(self._file)
            except OSError:
                pass  # the disk may come back; if others take the claim meanwhile, the next heartbeat finds that out


# Who holds a claim --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Holder:
    """A process, so named that no other is taken for it: processes of other hosts and containers may have its number."""

    host: str
    boot: str
    namespace: str  # of process ids: differs between the containers of a host
    pid: int
    started: int | None  # None where the system does not tell
    since: str

    @staticmethod
    def this() -> "_Holder":
        process = _process(os.getpid())
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            boot = ""
        try:
            namespace = os.readlink("/proc/self/ns/pid")
        except OSError:
            namespace = ""
        return _Holder(
            socket.gethostname(),
            boot,
            namespace,
            os.getpid(),
            process and process[1],
            datetime.now().astimezone().isoformat(" ", "seconds"),
        )

    @staticmethod
    def parse(content: bytes | None) -> "_Holder | None":
        """The holder according to a claim's content; None if it is not the whole content of a claim."""
        try:
            fields = json.loads(content or b"")
            holder = _Holder(**{name: fields[name] for name in _Holder.__dataclass_fields__})
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        texts = (holder.host, holder.boot, holder.namespace, holder.since)
        numbers = (holder.pid, 0 if holder.started is None else holder.started)
        right = all(type(text) is str for text in texts) and all(type(number) is int for number in numbers)
        return holder if right and 0 < holder.pid < 2**31 else None

    def alive(self) -> bool | None:
        """Whether the process lives; None if that cannot be told from here."""
        here = _Holder.this()
        if (self.host, self.boot, self.namespace) != (here.host, here.boot, here.namespace):
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it is another user's
        process = _process(self.pid)
        if process is None or self.started is None:
            return None
        state, started = process
        return state not in "ZX" and started == self.started


def _process(pid: int) -> tuple[str, int] | None:
    """State and start time, in ticks since the host's start, of a process; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[0].decode(), int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


# Claim files and guards ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """A claim file as it was found."""

    content: bytes | None  # None: there is one, but it cannot be read
    touched: float  # by the file system's clock

    @property
    def holder(self) -> _Holder | None:
        return _Holder.parse(self.content)


def _look(file: str) -> _Found | None:
    """The claim file, or None if there is none. Opening it makes a network disk tell its present state, not a remembered one."""
    try:
        try:
            with open(file, "rb") as claim:
                return _Found(claim.read(), os.fstat(claim.fileno()).st_mtime)
        except FileNotFoundError:
            return None
        except OSError:
            return _Found(None, os.stat(file).st_mtime)
    except FileNotFoundError:
        return None


def _stale(file: str, found: _Found) -> bool:
    """Whether the holder of a claim found in this file is dead, or has shown no life for too long where we cannot see it."""
    alive = found.holder.alive() if found.holder else None
    if alive is not None:
        return not alive
    now = _file_system_time(os.path.dirname(file))
    again = _look(
        file
    )  # after the clock: if this process was stopped meanwhile, the claim looks younger than it is, not older
    return again is not None and again.content == found.content and now - again.touched > STALE_SECONDS


def _take(file: str) -> bytes | _Found:
    """Put a claim of this process into the file and return its content; or return the claim in its way, which is not stale."""
    while True:
        found = _look(file)
        if found is None:
            content = _place(file)
            if content is not None:
                return content
            time.sleep(0.001)  # another was quicker
        elif not _stale(file, found):
            return found
        else:
            guard = _guard(file, found)
            key = _take(guard)
            if isinstance(key, _Found):
                return key  # its holder is about to have the claim
            try:
                if _holds(file, found.content) and _stale(file, found):
                    return _replace(file)
            finally:
                _unlink(guard, key)


def _remove(file: str, content: bytes) -> None:
    """Remove our own claim, if it is still there."""
    for _ in range(RELEASE_TRIES):
        found = _look(file)
        if found is None or found.content != content:
            return
        guard = _guard(file, found)
        key = _take(guard)
        if isinstance(key, bytes):
            try:
                _unlink(file, content)
            finally:
                _unlink(guard, key)
            return
        time.sleep(0.05)


def _guard(file: str, found: _Found) -> str:
    """The file whose holder alone may replace or remove the claim that was found."""
    name = hashlib.sha256(
        os.path.basename(file).encode(errors="surrogateescape") + b"\0" + (found.content or b"")
    ).hexdigest()[:24]
    return os.path.join(os.path.dirname(file), f".{name}.guard")


def _holds(file: str, content: bytes | None) -> bool:
    found = _look(file)
    return found is not None and found.content == content


def _unlink(file: str, content: bytes) -> None:
    if _holds(file, content):
        Path(file).unlink(missing_ok=True)


def _place(file: str) -> bytes | None:
    """Make a claim file of this process where there is none: its content, or None if another was quicker."""
    content = _new_content()
    part = _write_part(file, content)
    try:
        os.link(part, file)  # the file is there whole or not at all
    except FileExistsError:
        return (
            content if _holds(file, content) else None
        )  # a network disk may be told twice, and refuse what it has done
    except OSError:  # no hard links here, or a fault that the next line meets too
        return _place_without_link(file, content)
    finally:
        Path(part).unlink(missing_ok=True)
    return content


def _place_without_link(file: str, content: bytes) -> bytes | None:
    try:
        _write_new(file, content)
    except FileExistsError:
        return content if _holds(file, content) else None
    return content


def _replace(file: str) -> bytes:
    """Put a claim of this process in the place of the one that is there."""
    content = _new_content()
    part = _write_part(file, content)
    try:
        os.replace(part, file)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return content


def _new_content() -> bytes:
    return json.dumps({**vars(_Holder.this()), "token": secrets.token_hex(16)}, indent=1).encode() + b"\n"


def _write_part(file: str, content: bytes) -> str:
    """A file of a new name in the same folder."""
    part = os.path.join(os.path.dirname(file), f".{secrets.token_hex(12)}.claim.part")
    _write_new(part, content)
    return part


def _write_new(file: str, content: bytes) -> None:
    """Write a file that must not be there yet; all users may read it, to see whose it is."""
    handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        with open(handle, "wb") as new:
            with suppress(OSError):  # some disks have no permissions to set
                os.fchmod(handle, 0o644)
            new.write(content)
    except BaseException as error:
        Path(file).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, error.strerror, file) from error  # which file, rather than which call
        raise


def _file_system_time(folder: str) -> float:
    """The present time by the clock that stamps the files of a folder: the clocks of hosts differ."""
    part = _write_part(os.path.join(folder, ""), b"\n")
    try:
        return os.stat(part).st_mtime
    finally:
        Path(part).unlink(missing_ok=True)
