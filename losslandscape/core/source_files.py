"""Find the Python files that a file imports from its own folder, without running the file."""

import ast
import os
from collections.abc import Iterator

PROGRAM = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # the folder of this package
CHECKOUT = os.path.dirname(PROGRAM)


def is_of_program(file: str) -> bool:
    """Whether a file is a module of this program."""
    return file.startswith(PROGRAM + os.sep)


def with_imports(file: str, root: str) -> set[str]:
    """Return a file and the files that it imports, directly or through other files.

    Imported modules of this program, and imported files beside its package, are left out. The imports of a
    file outside `root` are not followed.

    Args:
        file: the real path of the file.
        root: the real path of a folder; imports are searched there and beside the importing file.
    """
    files: set[str] = set()
    queue = [file]
    while queue:
        file = queue.pop()
        files.add(file)
        if os.path.commonpath([file, root]) != root:
            continue
        for name in _imported(file):
            neighbours = _files_of(name, os.path.dirname(file)) | _files_of(name, root)
            queue += [other for other in neighbours - files if not _is_left_out(other)]
    return files


def relative_imports(file: str) -> tuple[str, set[str]]:
    """Return the folder and the files that the relative imports of a file need.

    Args:
        file: the real path of a file, with imports such as `from .layers import Layer`.

    Returns:
        The highest folder that must be a package, and the files that `file` imports relatively, directly or
        through each other. Without relative imports: "" and no file.
    """
    packages, files, queue = list[str](), set[str](), [file]
    while queue:
        for package, names in _relative_names(queue.pop()):
            packages.append(package)
            imported = set[str]().union(*(_files_of(name, package) for name in names))
            queue += imported - files
            files |= imported
    return min(packages, key=len, default=""), files


def _relative_names(file: str) -> Iterator[tuple[str, set[str]]]:
    """Yield, for each relative import in a file, the folder it starts from and the names it imports."""
    tree = _parsed(file)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.ImportFrom) and node.level:
            steps_up = [os.pardir] * (node.level - 1)
            yield os.path.normpath(os.path.join(os.path.dirname(file), *steps_up)), _names_from(node)


def _is_left_out(file: str) -> bool:
    return is_of_program(file) or os.path.dirname(file) == CHECKOUT


def _imported(file: str) -> set[str]:
    """Return the dotted names that a file imports or may import; relative names without leading dots."""
    names: set[str] = set()
    tree = _parsed(file)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= _names_from(node)
    return names


def _names_from(node: ast.ImportFrom) -> set[str]:
    return {f"{node.module}.{alias.name}" if node.module else alias.name for alias in node.names}


def _parsed(file: str) -> ast.Module | None:
    with open(file, "rb") as content:
        try:
            return ast.parse(content.read())
        except (SyntaxError, ValueError):
            return None


def _files_of(name: str, folder: str) -> set[str]:
    """Return the files in `folder` that run when a dotted name is imported."""
    parts = name.split(".")
    stems = [os.path.join(folder, *parts[:length]) for length in range(1, len(parts) + 1)]
    candidates = [file for stem in stems for file in (f"{stem}.py", os.path.join(stem, "__init__.py"))]
    return set(filter(os.path.isfile, candidates))
