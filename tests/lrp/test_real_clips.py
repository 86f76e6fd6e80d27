"""Maps of real clips by trained networks: both engines against each other, and against the rules in float64.

In float32 one near-tie of a ReLU or a pool moves a map by up to a hundredth of its maximum, in any program:
medians and quantiles are measured, and correlation is the floor. The folder of a run may stand in
TOOLKIT_TEST_RUN; otherwise two runs of the checkout are taken, where they are.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from tests.lrp.test_innvestigate_engine import correlation, distance, relevance
from toolkit.config import resolve
from toolkit.lrp.compiler import compile_relevance
from toolkit.lrp.engines.innvestigate import InnvestigateExplainer
from toolkit.lrp.engines.onnxruntime import OnnxruntimeExplainer
from toolkit.lrp.explainer import PREDICTED, Explainer, Explanation
from toolkit.network import architecture, runtime
from toolkit.network.weights import read_weights
from toolkit.pipeline.inputs import read_inputs
from toolkit.pipeline.run import SETTINGS_NAME
from toolkit.pipeline.stages.export import NETWORK_NAME
from toolkit.pipeline.stages.train import WEIGHTS_NAME
from toolkit.store.read import STORE_NAME, read_whole
from toolkit.store.schema import OK

VARIABLE = "TOOLKIT_TEST_RUN"
CHECKOUT = Path(__file__).parents[2]
RUNS = (os.environ[VARIABLE],) if VARIABLE in os.environ else ("runs/manifest", "runs/pictures")
NEEDS = "{} is not installed here: `pip install 'audio-lrp-toolkit[train]'` on Python 3.11"
EPSILON, FLAT = "lrp.epsilon", "lrp.sequential_preset_a_flat"
COMPOSITES = (EPSILON, FLAT)
N_CLIPS = 256
BATCH = 32
MOST_APART = {EPSILON: 0.2, FLAT: 0.06}
"""Share of clips whose maps may differ by more than 1e-4 of their maximum."""


@dataclass(frozen=True)
class Known:
    """A trained network, and clips of its own fold, which it never saw."""

    folder: Path
    rows: np.ndarray
    """Of the run's store."""
    inputs: np.ndarray


def networks_of(run: Path) -> list[Path]:
    return sorted(path.parent for path in run.glob(f"models/*/*/{NETWORK_NAME}"))


def read_clips(run: Path, networks: Sequence[Path], n_clips: int) -> list[Known]:
    """Return the networks, each with its share of ``n_clips`` clips, evenly spread over its fold."""
    settings = resolve({str(run): json.loads((run / SETTINGS_NAME).read_text(encoding="utf-8"))})
    clips = read_whole(run / STORE_NAME, "clips", ("fold", "status"))
    share = math.ceil(n_clips / len(networks))
    known = []
    for folder in networks:
        fold = int(folder.name.removeprefix("fold-"))
        usable = np.flatnonzero((clips["status"] == OK) & (clips["fold"] == fold))
        rows = usable[np.unique(np.linspace(0, len(usable) - 1, share).astype(int))]
        inputs = read_inputs(
            run / STORE_NAME,
            folder.parent.name,
            rows,
            channels=settings.training.channels,
            dynamic_range_db=settings.features.dynamic_range_db,
        )
        known.append(Known(folder, rows, inputs))
    return known


def explained(explainer: Explainer, inputs: np.ndarray) -> Explanation:
    """Return maps of the predicted classes, batch by batch."""
    batches = np.array_split(inputs, math.ceil(len(inputs) / BATCH))
    parts = [explainer.explain(each, np.full(len(each), PREDICTED), COMPOSITES) for each in batches]
    maps = {name: np.concatenate([part.relevance[name] for part in parts]) for name in COMPOSITES}
    return Explanation(np.concatenate([part.logits for part in parts]), maps)


def innvestigated(known: Sequence[Known]) -> list[Explanation]:
    """Explain clips by innvestigate, which needs a process of its own."""
    runtime.prepare(n_threads=1, eager=False)

    def network_of(weights: Mapping[str, np.ndarray]) -> Callable[[], object]:
        def network() -> object:
            model = architecture.build(len(weights["dense_out/bias"]))
            architecture.load_weights(model, weights)
            return model

        return network

    weights = [read_weights(each.folder / WEIGHTS_NAME) for each in known]
    return [
        explained(InnvestigateExplainer(network_of(values)), each.inputs)
        for values, each in zip(weights, known, strict=True)
    ]


def compiled(known: Sequence[Known]) -> list[Explanation]:
    models = [compile_relevance(each.folder / NETWORK_NAME, COMPOSITES) for each in known]
    return [
        explained(OnnxruntimeExplainer(model.SerializeToString(), n_threads=2), each.inputs)
        for model, each in zip(models, known, strict=True)
    ]


def calculated(known: Sequence[Known], targets: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Return maps by the rules, written again in float64, for the given classes."""
    maps = []
    for each, chosen in zip(known, targets, strict=True):
        weights = read_weights(each.folder / WEIGHTS_NAME)
        pairs = list(zip(each.inputs, chosen, strict=True))
        maps.append({
            name: np.stack([relevance(weights, *pair, name) for pair in pairs]) for name in COMPOSITES
        })
    return maps


@dataclass(frozen=True)
class Measured:
    """Distances of maps in units of their maximum, and correlations, shape (clip,), by composite and pair."""

    clips: list[str]
    same_classes: bool
    distances: dict[tuple[str, str], np.ndarray]
    correlations: dict[tuple[str, str], np.ndarray]

    def worst(self, composite: str, pair: str) -> str:
        """Name the clips whose maps are furthest apart."""
        values = self.distances[composite, pair]
        order = np.argsort(-values)[:8]
        return ", ".join(f"{self.clips[place]}: {values[place]:.1e}" for place in order)

    def __str__(self) -> str:
        lines = [f"{len(self.clips)} clips{'':26}median     p90     p99     max  >1e-4  correlation"]
        for (composite, pair), values in self.distances.items():
            figures = " ".join(f"{each:7.1e}" for each in np.quantile(values, [0.5, 0.9, 0.99, 1]))
            least = self.correlations[composite, pair].min()
            lines.append(f"{composite:30} {pair:12} {figures} {np.mean(values > 1e-4):6.1%}  {least:.6f}")
        return "\n".join(lines)


ENGINES, OURS, THEIRS = "engines", "ours", "innvestigate"
"""What is compared: both engines, or one of them with float64."""


@pytest.fixture(scope="module", params=RUNS)
def measured(request: pytest.FixtureRequest) -> Measured:
    """Explain the clips of a run three times, and compare."""
    run = CHECKOUT / request.param
    networks = networks_of(run)
    if not networks or not (run / STORE_NAME).exists():
        pytest.skip(f"{run} holds no trained networks: name the folder of a finished run in {VARIABLE}")
    for package in ("tensorflow", "innvestigate"):
        pytest.importorskip(package, reason=NEEDS.format(package))
    known = read_clips(run, networks, N_CLIPS)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        job = pool.submit(innvestigated, known)
        ours = compiled(known)
        classes = [each.logits.argmax(axis=1) for each in ours]
        exact = calculated(known, classes)
        theirs = job.result()
    distances, correlations = {}, {}
    for composite in COMPOSITES:
        kinds = {
            OURS: np.concatenate([each.relevance[composite] for each in ours]),
            THEIRS: np.concatenate([each.relevance[composite] for each in theirs]),
            "float64": np.concatenate([each[composite] for each in exact]),
        }
        for pair, (found, expected) in {
            ENGINES: (OURS, THEIRS),
            OURS: (OURS, "float64"),
            THEIRS: (THEIRS, "float64"),
        }.items():
            maps = list(zip(kinds[found], kinds[expected], strict=True))
            distances[composite, pair] = np.array([distance(*each) for each in maps])
            correlations[composite, pair] = np.array([correlation(*each) for each in maps])
    same = all(
        np.array_equal(chosen, each.logits.argmax(axis=1)) for chosen, each in zip(classes, theirs, strict=True)
    )
    clips = [f"{'/'.join(each.folder.parts[-2:])} row {row}" for each in known for row in each.rows]
    return Measured(clips, same, distances, correlations)


pytestmark = pytest.mark.slow


def test_engines__are_compared_on_enough_clips(measured: Measured, capsys):
    with capsys.disabled():
        sys.stdout.write(f"\n{measured}\n")
    assert len(measured.clips) >= N_CLIPS
    assert measured.same_classes


@pytest.mark.parametrize("composite", COMPOSITES)
def test_engines__agree(measured: Measured, composite: str):
    values, worst = measured.distances[composite, ENGINES], measured.worst(composite, ENGINES)
    assert np.median(values) <= 1e-5, worst
    assert np.mean(values > 1e-4) <= MOST_APART[composite], worst
    assert measured.correlations[composite, ENGINES].min() >= 0.999, worst


@pytest.mark.parametrize("composite", COMPOSITES)
def test_compiled_graph__is_as_near_to_float64_as_innvestigate(measured: Measured, composite: str):
    ours, theirs = (np.quantile(measured.distances[composite, pair], [0.5, 0.9]) for pair in (OURS, THEIRS))
    assert (ours <= 2 * theirs).all(), measured.worst(composite, OURS)
    assert measured.correlations[composite, OURS].min() >= 0.999, measured.worst(composite, OURS)
