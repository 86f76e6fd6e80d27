"""Networks that torch exported, by both of its exporters: logits and gradients are torch's own.

`torch_exports/make.py` wrote the files; torch is not needed here.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.lrp.nodes import explain
from toolkit.lrp.graph import OPSETS

FOLDER = Path(__file__).parent / "torch_exports"
EXPORTS = sorted(FOLDER.glob("*.onnx"))
NETWORKS = sorted(path.stem for path in FOLDER.glob("*.npz"))
TOLERANCE = 1e-5
OF_A_MACHINE = (b"/home", b"/tmp", b"/work", b"/root", b"/usr", b"site-packages", b".py")


def judged(path: Path) -> dict[str, np.ndarray]:
    """What torch says of the network."""
    with np.load(path.with_name(path.stem.split("-")[0] + ".npz")) as file:
        return dict(file)


def assert_close(found: np.ndarray, expected: np.ndarray):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_torch_export__logits_and_gradients_are_torchs(path: Path):
    torch = judged(path)
    inputs, targets = torch["inputs"], torch["targets"]
    found = explain(onnx.load(path), inputs, targets, ["gradient", "input_t_gradient"])
    assert_close(found["logits"], torch["logits"])
    assert_close(found["relevance.gradient"], torch["gradients"])
    assert_close(found["relevance.input_t_gradient"], torch["gradients"] * inputs)


@pytest.mark.parametrize("network", NETWORKS)
def test_torch_export__both_exporters_wrote_every_network(network: str):
    exporters = {path.stem.split("-")[1] for path in EXPORTS if path.stem.startswith(f"{network}-")}
    assert exporters == {"torchscript", "dynamo"}


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_torch_export__is_small_and_tells_nothing_of_a_machine(path: Path):
    content, model = path.read_bytes(), onnx.load(path)
    assert len(content) < 20_000
    assert not [each for each in OF_A_MACHINE if each in content]
    assert not any(each.doc_string or each.metadata_props for each in (model, model.graph, *model.graph.node))
    assert model.opset_import[0].version in OPSETS
