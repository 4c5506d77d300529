"""The user's own functions, named on a command line as `FILE.py:FUNCTION` or `package.module:function`.

What goes wrong in them is theirs: it ends in one sentence, with their traceback and without our frames. A file's neighbours can be imported from
it as if it were a script, whatever they are called: a user's `losses.py` and ours do not meet.
"""

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from operator import attrgetter
from types import ModuleType
from typing import Any, TypeVar

from losslandscape.core.errors import InputError
from losslandscape.core.provenance import DIGITS, Facts

T = TypeVar("T")

PROGRAM = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
SHOWN = 6  # names that a sentence lists

_run: dict[str, ModuleType] = {}  # by path, the files that have been run, or are being


class OwnCodeError(InputError):
    """The user's code raised; `trace` is its traceback as text, and the message one sentence. Can be pickled, as ranks send it to each other."""

    def __init__(self, message: str, trace: str = ""):
        super().__init__(message)
        self.trace = trace


def is_own(spec: str) -> bool:
    """Whether this names a function of the user, rather than something that we know by a name without a colon."""
    return ":" in spec or spec.endswith(".py")


def load(spec: str) -> Callable[..., Any]:
    """The function (or class) that `FILE.py:FUNCTION` or `package.module:function` names; its file is run unless it has been.

    A module is looked for in the working folder, then among the installed packages. What a file draws from torch's global generator when it is
    run, or seeds, leaves that as it was.

    Raises:
        InputError: naming what there is, where there is no such file, module or function.
        OwnCodeError: if the file raises when it is run.
    """
    import torch  # takes seconds, and the plots do without it

    source, name = _parts(spec)
    with torch.random.fork_rng(devices=[]):
        module = _load_file(source) if source.endswith(".py") else _load_module(source)
    try:
        found = attrgetter(name)(module)
    except AttributeError:
        raise InputError(
            f"{source} has no function {name!r}; {_one_of(_functions(module), 'it has none')}"
        ) from None
    if not callable(found):
        raise InputError(
            f"{spec} is a {type(found).__name__}, not a function; {_one_of(_functions(module), 'it has none')}"
        )
    return found


def call(function: Callable[..., T], /, *args: Any, what: str) -> T:
    """`function(*args)`; `what` says in the sentence what was called, such as `--model net.py:make`.

    Raises:
        OwnCodeError: for whatever the function raises, but for an `InputError`, and for a lack of memory, which callers may know how to meet.
    """
    try:
        return function(*args)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if (
            isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        ):  # torch's; plots do without importing it
            raise
        raise _own_error(error, what) from error


def source_facts(spec: str) -> Facts:
    """A fingerprint of the code: of its file, and of the files beside it that it imports; empty for a name that is not `is_own`.

    A module of an installed package counts as its one file.
    """
    if not is_own(spec):
        return {}
    source, name = _parts(spec)
    file, root = (
        (source, os.path.dirname(source))
        if source.endswith(".py")
        else (getattr(_load_module(source), "__file__", None), os.getcwd())
    )
    if file is None:  # built into Python
        return {}
    digest = hashlib.sha256()
    for path in sorted(_with_imports(os.path.realpath(file), os.path.realpath(root))):
        with open(path, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return {f"code of {os.path.basename(source)}:{name}": digest.hexdigest()[:DIGITS]}


def forget() -> None:
    """Run the user's files again when they are next asked for."""
    _run.clear()


def _parts(spec: str) -> tuple[str, str]:
    """File or module, and function."""
    source, _, name = ("", "", "") if spec.endswith(".py") else spec.rpartition(":")
    if source and name:
        return source, name
    if spec.endswith(".py"):
        raise InputError(
            f"{spec}: which function of it? give {spec}:FUNCTION; {_one_of(_functions(_load_file(spec)), 'it has none')}"
        )
    raise InputError(f"{spec!r} names no function; give FILE.py:FUNCTION or package.module:function")


def _load_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        folder = os.path.dirname(path) or "."
        there = (
            sorted(name for name in os.listdir(folder) if name.endswith(".py"))
            if os.path.isdir(folder)
            else []
        )
        raise InputError(f"there is no file {path!r}; {_one_of(there, 'there is no .py file in its folder')}")
    real = os.path.realpath(path)
    if real in _run:
        return _run[real]
    folder, name = os.path.dirname(real), os.path.splitext(os.path.basename(real))[0]
    _look_first_into(folder)
    known = sys.modules.get(name)
    if (
        known is not None and os.path.realpath(getattr(known, "__file__", None) or "") == real
    ):  # imported by a neighbour
        return known
    return _run_file(real, f"{name} of {folder}" if known else name, what=path)


def _run_file(path: str, name: str, *, what: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = _run[path] = module
    try:
        call(spec.loader.exec_module, module, what=what)
    except BaseException:
        del _run[path]
        sys.modules.pop(name, None)
        raise
    return module


def _load_module(name: str) -> ModuleType:
    def load() -> ModuleType:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and f"{name}.".startswith(f"{error.name}."):
                raise InputError(
                    f"there is no module {error.name!r} in {os.getcwd()}, nor is it installed; give FILE.py:FUNCTION or "
                    "package.module:function"
                ) from None
            raise

    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(
            f"{name!r} is neither a .py file nor a module; give FILE.py:FUNCTION or package.module:function"
        )
    _look_first_into(os.path.realpath(os.getcwd()))
    return call(load, what=name)


def _look_first_into(folder: str) -> None:
    """Imports look into `folder` first from now on, as Python does for a script of that folder: also those inside functions, at a later call."""
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()  # a file may be younger than the last look into its folder


def _functions(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    ]


def _one_of(names: list[str], none: str) -> str:
    return f"there is {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}" if names else none


def _own_error(error: BaseException, what: str) -> OwnCodeError:
    theirs = error.__traceback__
    while theirs is not None and _is_ours(theirs.tb_frame.f_code.co_filename):
        theirs = theirs.tb_next
    shown = (
        "".join(traceback.format_exception(type(error), error, theirs))
        if theirs or isinstance(error, SyntaxError)
        else ""
    )
    words = " ".join(str(error).split())[:200]
    return OwnCodeError(f"{what} raised {type(error).__name__}{f': {words}' if words else ''}", shown)


def _is_ours(file: str) -> bool:
    """Whether this is a file of the program or of the import machinery, rather than one that was run for the user."""
    file = os.path.realpath(file) if not file.startswith("<") else file
    return file not in _run and (
        file.startswith("<frozen importlib")
        or file == importlib.__file__
        or file.startswith(PROGRAM + os.sep)
    )


def _with_imports(path: str, root: str) -> set[str]:
    """The file and, if it is under `root`, the Python files there that it imports, and those that they import, but for the modules of this program."""
    found, left = set(), [path]
    while left:
        file = left.pop()
        found.add(file)
        if os.path.commonpath([file, root]) == root:
            imported = {
                other
                for name in _imported(file)
                for other in _files_of(name, os.path.dirname(file)) | _files_of(name, root)
            }
            left += {other for other in imported - found if not other.startswith(PROGRAM + os.sep)}
    return found


def _imported(file: str) -> set[str]:
    """Dotted names that a file imports, or may; relative ones without their dots."""
    with open(file, "rb") as content:
        try:
            tree = ast.parse(content.read())
        except (SyntaxError, ValueError):
            return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" if node.module else alias.name for alias in node.names}
    return names


def _files_of(name: str, folder: str) -> set[str]:
    """The files in `folder` that importing a dotted name runs."""
    parts = name.split(".")
    stems = [os.path.join(folder, *parts[:length]) for length in range(1, len(parts) + 1)]
    return {
        file
        for stem in stems
        for file in (f"{stem}.py", os.path.join(stem, "__init__.py"))
        if os.path.isfile(file)
    }
