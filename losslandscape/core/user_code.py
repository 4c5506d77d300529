"""Load and call the user's own functions, named as `FILE.py:FUNCTION` or `package.module:function`.

The user's files can import files beside them, as scripts can, and relatively, as parts of a package can. An
error in the user's code ends in one sentence, with a traceback that leaves out the leading frames of this
program.
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

from losslandscape.core import user_package
from losslandscape.core.errors import InputError
from losslandscape.core.provenance import DIGITS, Facts
from losslandscape.core.source_files import is_of_program, relative_imports, with_imports
from losslandscape.core.text import one_line, shortlist
from losslandscape.core.user_package import import_first_from

T = TypeVar("T")

NAMES_SHOWN = 6  # names that a message lists
HOW_TO_NAME = "give FILE.py:FUNCTION or package.module:function"

_modules: dict[str, ModuleType] = {}  # modules of the user's files that have run or are running, by real path


class OwnCodeError(InputError):
    """The error that is raised when the user's code raised an error.

    Args:
        fault: what is wrong, in one sentence.
        trace: the user's traceback. It is a text, because ranks send it to each other.
    """

    def __init__(self, fault: str, trace: str = ""):
        super().__init__(fault)
        self.trace = trace


def is_own(spec: str) -> bool:
    """Whether `spec` names a function of the user. Names that belong to this program do not have a colon."""
    return ":" in spec or spec.endswith(".py")


def load(spec: str) -> Callable[..., Any]:
    """Return the function or class that `spec` names.

    A file runs only once, and does not change torch's random state on the CPU. Modules are searched in the
    folders of the files that have run, then in the working folder, then among the installed packages.

    Raises:
        InputError: the file, module or function does not exist, or cannot be called.
        OwnCodeError: the file or module raises an error when it runs.
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
    """Return `function(*args, **options)`, where the function runs code of the user.

    Args:
        function: the function to call.
        args, options: the arguments of the function.
        what: the name of this call in the message, such as `model net.py:make`.

    Raises:
        OwnCodeError: the user's code raises an error or exits. An `InputError` passes unchanged, and so does
            an error for lack of memory, because callers may handle it.
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
    """Return the fingerprint of the user's code as a fact.

    The fingerprint covers the file and the files beside it that it imports. For a module outside the working
    folder, such as an installed package, it covers only the file. A name of this program has no facts.
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
    file, root = os.path.realpath(file), os.path.realpath(root)
    files = with_imports(file, root)
    if source.endswith(".py"):
        files = files.union(*(with_imports(other, root) for other in relative_imports(file)[1]))
    digest = hashlib.sha256()
    for path in sorted(files):
        with open(path, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return {f"code of {os.path.basename(source)}:{name}": digest.hexdigest()[:DIGITS]}


def forget() -> None:
    """Forget which files have run. A file runs again if it is also removed from `sys.modules`."""
    _modules.clear()


def _split(spec: str) -> tuple[str, str]:
    """Return the file or module, and the function."""
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
    top, _ = relative_imports(file)
    if top:
        _modules[file] = call(user_package.load, file, top, what=path)
        return _modules[file]
    folder = os.path.dirname(file)
    name = os.path.splitext(os.path.basename(file))[0]
    import_first_from(folder)
    imported = sys.modules.get(name)
    if imported is None:
        return _run_file(file, name, what=path)
    if os.path.realpath(getattr(imported, "__file__", None) or "") == file:  # imported by a file beside it
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
    current = os.path.realpath(os.getcwd())
    folders = {os.path.dirname(file) for file in _modules}
    if current not in folders:
        # After the folders of the files that have run: their functions may still import files beside them.
        import_first_from(current, behind=len(folders & set(sys.path)))
    return call(_import_module, name, what=name)


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not error.name or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module exists, but imports one that does not
        fault = f"there is no module {error.name!r} in {os.getcwd()}, nor is it installed"
        raise InputError(fault, HOW_TO_NAME) from None


def _content(module: ModuleType) -> str:
    """Describe the functions and classes of a module, for a message."""
    names = [
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    ]
    return f"it has {shortlist(names, NAMES_SHOWN)}" if names else "it has no functions"


def _files_beside(path: str) -> str:
    """Describe the Python files in the folder of a file, for a message."""
    folder = os.path.dirname(path) or "."
    files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    names = [name for name in files if name.endswith(".py")]
    return (
        f"its folder has {shortlist(names, NAMES_SHOWN)}" if names else "there is no .py file in its folder"
    )


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
