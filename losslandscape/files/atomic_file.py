"""Write each file under a temporary name in the same folder, and then rename it.

So a reader never sees a partly written file, and a program that ends early leaves the old file.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str], *, lasting: bool = False) -> Iterator[str]:
    """Yield the name of an empty file, and replace `path` by this file after the block.

    If the block raises an error, `path` stays unchanged, and the new file is removed.

    Args:
        path: the file to replace. If it is a link, the file that the link points to is replaced.
        lasting: whether to flush the content and then the renaming to the disk. Then even after a power
            failure there is the old file or the new file.

    Raises:
        OSError: the file cannot be written. The `filename` of the error is `path`.
    """
    target = os.path.realpath(path)
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
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    if lasting:
        with suppress(OSError):  # not every system can flush a folder
            _flush(folder)


def keep_aside(path: str) -> str:
    """Rename a file so that its name is free.

    Returns:
        The new name: the first free one of PATH.old, PATH.old2, …
    """
    free_path = f"{path}.old"
    number = 2
    while os.path.lexists(free_path):
        free_path = f"{path}.old{number}"
        number += 1
    os.rename(path, free_path)
    return free_path


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
