"""The user's own functions, named as `FILE.py:FUNCTION` or `package.module:function`.

Their files can import their neighbours, as if they were scripts. An error in them is the user's: it ends in
one sentence, with their traceback and without our frames.
"""

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
from losslandscape.core.source_files import is_of_program, with_imports
from losslandscape.core.text import one_line

T = TypeVar("T")

NAMES_SHOWN = 6  # in a message
HOW_TO_NAME = "give FILE.py:FUNCTION or package.module:function"

_modules: dict[str, ModuleType] = {}  # of files that were run or are running, by real path


class OwnCodeError(InputError):
    """The user's code raised an error.

    Args:
        fault: one sentence.
        trace: the user's traceback as text. Ranks send it to each other, so it is no traceback object.
    """

    def __init__(self, fault: str, trace: str = ""):
        super().__init__(fault)
        self.trace = trace


def is_own(spec: str) -> bool:
    """Whether this names a function of the user. Names that this program knows have no colon."""
    return ":" in spec or spec.endswith(".py")


def load(spec: str) -> Callable[..., Any]:
    """The function or class that `spec` names. Its file is run once; torch's random state stays as it was.

    Modules are found in the working folder, then among the installed packages.

    Raises:
        InputError: there is no such file, module or function.
        OwnCodeError: the file raises an error when it is run.
    """
    import torch  # takes seconds, and drawing does not need it

    source, name = _split(spec)
    with torch.random.fork_rng(devices=[]):
        module = _load_file(source) if source.endswith(".py") else _load_module(source)
    try:
        function = attrgetter(name)(module)
    except AttributeError:
        raise InputError(f"{source} has no function {name!r}; {_content(module)}") from None
    if not callable(function):
        kind = type(function).__name__
        raise InputError(f"{spec} is of type {kind}, not a function; {_content(module)}")
    return function


def call(function: Callable[..., T], /, *args: Any, what: str, **options: Any) -> T:
    """`function(*args, **options)`, where the function runs code of the user.

    Args:
        function: the function to call.
        args, options: its arguments.
        what: a name of this call for the message, such as `model net.py:make`.

    Raises:
        OwnCodeError: the user's code raises any error. An `InputError` passes, and so does a lack of memory,
            which callers may handle.
    """
    try:
        return function(*args, **options)
    except (InputError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's
            raise
        raise _own_code_error(error, what) from error


def source_facts(spec: str) -> Facts:
    """The fingerprint of the user's code, as a fact: of its file, and of files beside it that it imports.

    For a module outside the working folder, such as an installed package, it is that of the one file. Names
    of this program have no fact.
    """
    if not is_own(spec):
        return {}
    source, name = _split(spec)
    file: str | None = source
    root = os.path.dirname(source)
    if not source.endswith(".py"):
        file = getattr(_load_module(source), "__file__", None)
        root = os.getcwd()
    if file is None:  # built into Python
        return {}
    digest = hashlib.sha256()
    for path in sorted(with_imports(os.path.realpath(file), os.path.realpath(root))):
        with open(path, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return {f"code of {os.path.basename(source)}:{name}": digest.hexdigest()[:DIGITS]}


def forget() -> None:
    """Run the user's files again at their next use."""
    _modules.clear()


def _split(spec: str) -> tuple[str, str]:
    """File or module, and function."""
    if spec.endswith(".py"):
        content = _content(_load_file(spec))
        raise InputError(f"{spec} names no function; {content}", HOW_TO_NAME)
    source, _, name = spec.rpartition(":")
    if not source or not name:
        raise InputError(f"{spec!r} names no function", HOW_TO_NAME)
    return source, name


def _load_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise InputError(f"there is no file {path!r}; {_files_beside(path)}")
    file = os.path.realpath(path)
    if file in _modules:
        return _modules[file]
    folder = os.path.dirname(file)
    name = os.path.splitext(os.path.basename(file))[0]
    _import_first_from(folder)
    imported = sys.modules.get(name)
    if imported is None:
        return _run_file(file, name, what=path)
    if os.path.realpath(getattr(imported, "__file__", None) or "") == file:  # by a neighbour
        return imported
    return _run_file(file, f"{name} of {folder}", what=path)


def _run_file(file: str, name: str, *, what: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # as its name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = _modules[file] = module
    try:
        call(spec.loader.exec_module, module, what=what)
    except BaseException:
        del _modules[file]
        sys.modules.pop(name, None)
        raise
    return module


def _load_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(f"{name!r} is neither a .py file nor a module", HOW_TO_NAME)
    here = os.path.realpath(os.getcwd())
    folders = {os.path.dirname(file) for file in _modules}
    if here not in folders:
        # After the folders of the files that were run: their functions may still import neighbours.
        _import_first_from(here, behind=len(folders & set(sys.path)))
    return call(_import_module, name, what=name)


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not error.name or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module exists, but imports one that does not
        fault = f"there is no module {error.name!r} in {os.getcwd()}, nor is it installed"
        raise InputError(fault, HOW_TO_NAME) from None


def _import_first_from(folder: str, *, behind: int = 0) -> None:
    """Make imports look into a folder first, as Python does for a script there.

    This stays, because functions may import when they are called.
    """
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(behind, folder)
    importlib.invalidate_caches()  # files may have been added since the last import


def _content(module: ModuleType) -> str:
    """The functions and classes of a module, in words."""
    names = [
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    ]
    return f"it has {_list(names)}" if names else "it has no functions"


def _files_beside(path: str) -> str:
    """The Python files of a file's folder, in words."""
    folder = os.path.dirname(path) or "."
    files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    names = [name for name in files if name.endswith(".py")]
    return f"its folder has {_list(names)}" if names else "there is no .py file in its folder"


def _list(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")


def _own_code_error(error: BaseException, what: str) -> OwnCodeError:
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    text = ""
    if trace is not None or isinstance(error, SyntaxError):
        text = "".join(traceback.format_exception(type(error), error, trace))
    kind = type(error).__name__
    words = f": {one_line(error)}" if str(error).split() else ""
    return OwnCodeError(f"{what} raised {kind}{words}", text)


def _is_ours(file: str) -> bool:
    """Whether a frame's file is of this program or of Python's import machinery."""
    if file.startswith("<frozen importlib") or file == importlib.__file__:
        return True
    return is_of_program(file if file.startswith("<") else os.path.realpath(file))
