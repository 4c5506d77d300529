"""Pictures in tests are of few points, which is enough for small ones."""

import pytest


@pytest.fixture
def renderer(monkeypatch):
    """Skip a test where VTK cannot render; else surfaces in pictures have few points."""
    pytest.importorskip("vtkmodules", reason="the vtk package is not installed")
    from losslandscape.core.errors import InputError
    from losslandscape.draw.vtk import stage, window

    try:
        window.usable_kind()
    except InputError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(stage, "MIN_POINTS", 100)
