"""Find the Python files that a file imports from its own folder, without running the file."""

import ast
import os

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


def _is_left_out(file: str) -> bool:
    return is_of_program(file) or os.path.dirname(file) == CHECKOUT


def _imported(file: str) -> set[str]:
    """Return the dotted names that a file imports or may import; relative names without leading dots."""
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
    """Return the files in `folder` that run when a dotted name is imported."""
    parts = name.split(".")
    stems = [os.path.join(folder, *parts[:length]) for length in range(1, len(parts) + 1)]
    candidates = [file for stem in stems for file in (f"{stem}.py", os.path.join(stem, "__init__.py"))]
    return set(filter(os.path.isfile, candidates))
