"""Opens a window in which VTK renders without a display.

`python -m losslandscape.draw.vtk.window KIND` tests one kind of window. Without a graphics system VTK may
crash the process, so each kind is tested in its own process.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from losslandscape.core.errors import InputError

if TYPE_CHECKING:
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

# Classes of windows that need no display, by platform; an empty name leaves the choice to VTK.
KINDS = {"linux": ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow")}
NEEDED = {"linux": "libegl1 and libgl1-mesa-dri, or libosmesa6 (Debian's names)"}


def open_window() -> vtkRenderWindow:
    """Return a window of the first kind that works on this machine.

    Raises:
        InputError: no kind works.
    """
    return _open(usable_kind())


@functools.cache
def usable_kind() -> str:
    """Return the first kind of window that works on this machine.

    Raises:
        InputError: no kind works.
    """
    for kind in KINDS.get(sys.platform, ("",)):
        command = [sys.executable, "-P", "-m", __name__, kind]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        if subprocess.run(command, capture_output=True, check=False, env=environment).returncode == 0:
            return kind
    needed = NEEDED.get(sys.platform, "a driver with OpenGL 3.2")
    raise InputError(
        "this machine cannot render pictures", f"install {needed}, or open the .vtp file in ParaView"
    )


def _open(kind: str) -> vtkRenderWindow:
    _load_triton()
    from vtkmodules import vtkRenderingOpenGL2
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

    window = getattr(vtkRenderingOpenGL2, kind)() if kind else vtkRenderWindow()
    window.SetOffScreenRendering(True)
    window.SetMultiSamples(0)  # jagged edges are averaged by `rendering`
    window.SetAlphaBitPlanes(True)
    return window


def _load_triton() -> None:
    """Load Triton, the compiler of torch.compile, if it is installed.

    It ends in a segmentation fault if it is loaded after a software renderer, which has another LLVM.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("triton")


def _try(kind: str) -> None:
    """Render an empty picture."""
    window = _open(kind)
    window.SetSize(16, 16)
    window.Render()
    window.Finalize()


if __name__ == "__main__":
    _try(sys.argv[1])
