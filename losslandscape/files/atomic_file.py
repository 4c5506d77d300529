"""Files that are there whole or not at all: each is written under another name in its folder and then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str], *, lasting: bool = False) -> Iterator[str]:
    """The name of an empty file to be written in the block; it takes the place of `path` when the block ends well, and leaves no trace when not.

    With `lasting` the content and then the renaming are flushed to the disk, so that a loss of power leaves the old file or the new one. An `OSError`
    names `path`.
    """
    target = os.path.realpath(path)  # a link stays, and what it points to is replaced
    folder = os.path.dirname(target)
    part = ""
    try:
        handle, part = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
        os.close(handle)
        yield part
        os.chmod(part, 0o666 & ~_umask())
        if lasting:
            _flush(part)
        os.replace(part, target)
    except BaseException as error:
        if part:
            Path(part).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:
            raise OSError(
                error.errno, error.strerror, os.fspath(path)
            ) from error  # which file, rather than which call
        raise
    if lasting:
        with suppress(OSError):  # not every system lets folders be flushed
            _flush(folder)


def _flush(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
