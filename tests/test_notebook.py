"""docs/notebook.py runs as in Jupyter, cell by cell."""

import os
from pathlib import Path

import pytest

from tests.helpers import REPO

jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed (requirements-dev.txt)")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (requirements-dev.txt)")
pytest.importorskip("ipykernel", reason="ipykernel is not installed (requirements-dev.txt)")


@pytest.mark.slow
def test_every_cell_runs_and_draws(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))
    notebook = jupytext.read(REPO / "docs" / "notebook.py")
    resources = {"metadata": {"path": str(inside)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "['train_loss', 'train_acc', 'test_loss', 'test_acc'] (21, 21)" in printed
    images = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(images) >= 4
    assert (inside / "digits.h5").exists()
