"""Imports a file of the user that has relative imports: its folders are taken as a package."""

import hashlib
import importlib
import importlib.util
import os
import sys
from types import ModuleType

from losslandscape.core.errors import InputError

DIGITS = 8  # hexadecimal digits in the name of a package whose own name is not possible


def load(file: str, top: str) -> ModuleType:
    """Return the module of a file; relative imports in it work.

    Args:
        file: the real path of the file.
        top: the highest folder that its relative imports reach. The package begins there, or at a folder
            above it if all between have an `__init__.py`.

    Raises:
        InputError: the file, or a folder inside the package, has a dot in its name.
    """
    while os.path.isfile(os.path.join(os.path.dirname(top), "__init__.py")):
        top = os.path.dirname(top)
    root = os.path.dirname(top)
    parts = os.path.splitext(os.path.relpath(file, root))[0].split(os.sep)
    for part in parts[1:]:
        if "." in part:
            fault = f"{file} imports relatively, and {part!r} cannot be a name in its package"
            raise InputError(fault, "rename it")
    import_first_from(root)
    import_first_from(os.path.dirname(file))
    return importlib.import_module(".".join([_import_package(top), *parts[1:]]))


def _import_package(folder: str) -> str:
    """Import a folder as a package, and return the package's name.

    It is the name of the folder, with a digest if another module has that name or if the name has a dot.
    """
    name = os.path.basename(folder)
    package = sys.modules.get(name)
    is_taken = package and folder not in map(os.path.realpath, getattr(package, "__path__", ()))
    if is_taken or "." in name:
        name = f"{name.replace('.', '_')}_{hashlib.sha256(folder.encode()).hexdigest()[:DIGITS]}"
    if name not in sys.modules:
        code = os.path.join(folder, "__init__.py")
        spec = importlib.util.spec_from_file_location(name, code, submodule_search_locations=[folder])
        assert spec is not None and spec.loader is not None  # as its name ends in .py
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            if os.path.isfile(code):
                spec.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
    return name


def import_first_from(folder: str, *, behind: int = 0) -> None:
    """Make imports search a folder first, as Python does for a script in that folder.

    With `behind`, that many entries of `sys.path` stay before the folder. The change is permanent, because
    functions may import modules when they are called.
    """
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(behind, folder)
    importlib.invalidate_caches()  # files may have been added since the last import
