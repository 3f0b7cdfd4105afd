"""The tutorial runs as a user runs it, and what its words say comes out."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "tutorial.ipynb"


def test_nothing_that_it_printed_is_kept():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.filterwarnings("ignore")  # of Jupyter's own
def test_it_runs_and_its_story_holds(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    said = "".join(output.get("text", "") for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    shares = [float(share) for share in re.findall(r"robust ([\d.]+) %", said)]
    plain, robust, plain_transfer, robust_transfer, masked, square = shares
    assert plain < robust
    assert plain < plain_transfer
    assert robust < robust_transfer
    assert square < masked
    assert re.search(r"gradients +fail", said)
    assert re.search(r"stand-ins +fail", said)
