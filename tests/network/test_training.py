"""Training of one network: what it reads, what it holds back, what it keeps, and that it repeats."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.config import TrainingSettings
from toolkit.network import architecture, runtime, training
from toolkit.network.training import TrainedNetwork, split_validation
from toolkit.pipeline.stages.train import split_of

NEEDS_TENSORFLOW = "TensorFlow is not installed here: `pip install 'audio-lrp-toolkit[train]'` on Python 3.11"
N_CLIPS = 36
FOLD = np.repeat([1, 2, 3], 12)
TRAINING, VALIDATION, HELD_OUT = (np.flatnonzero(fold == FOLD) for fold in (1, 2, 3))
TRAIN = """
import sys
from pathlib import Path

import numpy as np

from toolkit.config import TrainingSettings
from toolkit.network import runtime, training
from toolkit.network.weights import weights_to_bytes


def train(seed, path, epochs):
    runtime.prepare(n_threads=1, seed=seed)
    inputs = np.random.default_rng(seed).random((24, 64, 64, 3), dtype=np.float32)
    network = training.train(
        lambda rows: inputs[rows],
        np.arange(24) % 3,
        training_rows=np.arange(16),
        validation_rows=np.arange(16, 24),
        settings=TrainingSettings(epochs=epochs, batch_size=8),
        seed=seed,
    )
    Path(path).write_bytes(weights_to_bytes(network.weights))


for argument in sys.argv[2:]:
    seed, path = argument.split(":", 1)
    train(int(seed), path, epochs=int(sys.argv[1]))
"""


@dataclass
class Reader:
    """Inputs that tell which row they are, and a record of what was asked for."""

    inputs: np.ndarray
    asked: list[np.ndarray] = field(default_factory=list)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.asked.append(rows)
        return self.inputs[rows]


class FakeNetwork:
    """Weights that tell the epoch."""

    def __init__(self) -> None:
        self.epoch = 0
        self.stop_training = False

    def get_weights(self) -> list[int]:
        return [self.epoch]


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    before = dict(os.environ)
    pytest.importorskip("tensorflow", reason=NEEDS_TENSORFLOW)
    runtime.prepare(n_threads=1, seed=1)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.arange(N_CLIPS) % 3


@pytest.fixture(scope="module")
def reader(labels: np.ndarray) -> Reader:
    """Return noise with a bright stripe whose place tells the class, except that validation clips mislead."""
    inputs = 0.1 * np.random.default_rng(0).random((N_CLIPS, 64, 64, 3), np.float32)
    for row, label in enumerate(labels):
        place = (label + 1) % 3 if row in VALIDATION else label
        inputs[row, 20 * place : 20 * (place + 1)] += 0.9
    return Reader(inputs)


@pytest.fixture(scope="module")
def trained(environment: None, reader: Reader, labels: np.ndarray) -> TrainedNetwork:
    """Train on clips that mislead about the validation clips, so that the last epoch is not the best."""
    runtime.prepare(n_threads=1, seed=1)
    return training.train(
        reader,
        labels,
        training_rows=TRAINING,
        validation_rows=VALIDATION,
        settings=TrainingSettings(epochs=5, batch_size=4, learning_rate=1e-3, patience=0),
        seed=2,
    )


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=30),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32 - 1),
)
def test_split_validation__holds_back_whole_recordings(sizes: list[int], share: float, seed: int):
    rng = np.random.default_rng(seed)
    recordings = rng.permutation(np.repeat([f"recording {number}" for number in range(len(sizes))], sizes))
    held_back = split_validation(recordings, share, np.random.default_rng(seed))
    assert held_back.shape == recordings.shape
    held, kept = set(recordings[held_back]), set(recordings[~held_back])
    assert held.isdisjoint(kept)
    assert held
    assert kept
    wanted = share * len(recordings)
    assert held_back.sum() <= wanted or len(held) == 1
    largest_kept = max((recordings == name).sum() for name in kept)
    assert held_back.sum() + largest_kept > wanted or len(kept) == 1, "another recording would have fitted"


def test_split_validation__holds_back_about_the_share_and_others_every_time():
    recordings = np.repeat(np.arange(200), 3)
    splits = [split_validation(recordings, 0.2, np.random.default_rng(seed)) for seed in range(20)]
    for held_back in splits:
        assert 0.19 <= held_back.mean() <= 0.2
    assert len({held_back.tobytes() for held_back in splits}) == 20
    again = split_validation(recordings, 0.2, np.random.default_rng(0))
    np.testing.assert_array_equal(again, splits[0])
    assert np.mean(splits, axis=0).max() < 0.8, "no recording is held back whatever the seed"


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_split_of__never_shows_a_network_its_held_out_fold(fold: int):
    key = np.array([f"clip {number}" for number in range(N_CLIPS)], dtype=object)
    key[[0, 13, 30]] = ""
    clips = {"fold": FOLD, "key": key, "recording": np.arange(N_CLIPS).astype(str)}
    split = split_of(clips, fold, TrainingSettings(), seed=0)
    next_fold = fold % 3 + 1
    assert set(FOLD[split.validation]) == {next_fold}
    assert set(FOLD[split.training]) == {1, 2, 3} - {fold, next_fold}
    together = np.concatenate([split.training, split.validation])
    np.testing.assert_array_equal(np.sort(together), np.flatnonzero((fold != FOLD) & (key != "")))


def test_read_shuffled__reads_upwards_and_returns_the_order_asked_for():
    reader = Reader(np.arange(50) * 10.0)
    rows = np.random.default_rng(0).permutation(50)[:20]
    np.testing.assert_array_equal(training._read_shuffled(reader, rows), rows * 10.0)
    (asked,) = reader.asked
    np.testing.assert_array_equal(asked, np.sort(rows))


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("read_ahead", [1, 8, 12, 1000])
def test_batches__pair_every_input_with_its_label(monkeypatch: pytest.MonkeyPatch, read_ahead: int):
    """Whatever is read at once; rows come once an epoch, in an order drawn anew."""
    monkeypatch.setattr(training, "READ_AHEAD_CLIPS", read_ahead)
    rows = np.arange(5, 34)
    labels = np.arange(40) * 7
    batches = training._batches(Reader(np.arange(40.0)), labels, rows, 4, np.random.default_rng(0))
    assert len(batches) == 8
    orders = []
    for _ in range(3):
        inputs, of_inputs = zip(*(batches[index] for index in range(len(batches))), strict=True)
        assert [len(part) for part in inputs] == [4] * 7 + [1]
        order = np.concatenate(inputs).astype(int)
        np.testing.assert_array_equal(np.concatenate(of_inputs), labels[order])
        np.testing.assert_array_equal(np.sort(order), rows)
        orders.append(tuple(order))
        batches.on_epoch_end()
    assert len({*orders, tuple(rows)}) == 4


@pytest.mark.usefixtures("environment")
def test_batches__of_validation_keep_the_order_of_the_store():
    rows = np.array([3, 4, 9, 11, 12])
    batches = training._batches(Reader(np.arange(40.0)), np.arange(40), rows, 2, None)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([batches[index][0] for index in range(3)]), rows)
        batches.on_epoch_end()


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("losses", "patience", "best", "n_epochs"),
    [
        ([3.0, 1.0, 2.0, 1.5], 0, 1, 4),
        ([3.0, 2.0, 1.0], 0, 2, 3),
        ([1.0, 1.0, 1.0], 0, 0, 3),
        ([3.0, 2.0, 2.5, 2.4, 1.0], 2, 1, 4),
        ([3.0, 2.0, 2.5, 1.0, 1.1, 1.2, 0.5], 2, 3, 6),
        ([1.0, 2.0, 3.0], 1, 0, 2),
    ],
)
def test_keep_best__keeps_the_lowest_loss_and_ends_in_time(
    losses: list[float], patience: int, best: int, n_epochs: int
):
    network, keeper = FakeNetwork(), training._keep_best(patience)
    keeper.set_model(network)
    keeper.on_train_begin()
    for epoch, loss in enumerate(losses):
        network.epoch = epoch
        keeper.on_epoch_end(epoch, {"val_loss": loss})
        if network.stop_training:
            break
    assert epoch + 1 == n_epochs
    assert (keeper.epoch, keeper.weights, keeper.loss) == (best, [best], losses[best])


def test_train__never_reads_rows_it_was_not_given(trained: TrainedNetwork, reader: Reader):
    assert len(trained.history["loss"]) == 5
    asked = np.concatenate(reader.asked)
    assert set(asked.tolist()) == {*TRAINING.tolist(), *VALIDATION.tolist()}
    assert not np.isin(HELD_OUT, asked).any()


def test_train__reads_training_and_validation_rows_apart(trained: TrainedNetwork, reader: Reader):
    assert trained.best_epoch >= 1
    for rows in reader.asked:
        assert np.isin(rows, TRAINING).all() or np.isin(rows, VALIDATION).all()
        assert (np.diff(rows) > 0).all()


def test_train__returns_the_epoch_of_the_lowest_validation_loss(
    trained: TrainedNetwork, reader: Reader, labels: np.ndarray
):
    losses = trained.history["validation_loss"]
    assert trained.best_epoch == np.argmin(losses) + 1
    assert trained.best_epoch < len(losses), "the last epoch must not be the best, or nothing is shown"
    network = architecture.build(3)
    architecture.load_weights(network, trained.weights)
    found = network(reader.inputs[VALIDATION]).numpy()
    of_label = found[np.arange(len(VALIDATION)), labels[VALIDATION]]
    assert -np.log(of_label).mean() == pytest.approx(min(losses), rel=1e-4)
    assert (found.argmax(axis=1) == labels[VALIDATION]).mean() == pytest.approx(
        trained.history["validation_accuracy"][trained.best_epoch - 1]
    )


def test_train__records_every_epoch(trained: TrainedNetwork):
    assert set(trained.history) == {"loss", "accuracy", "validation_loss", "validation_accuracy"}
    assert {len(values) for values in trained.history.values()} == {5}
    assert np.isfinite([*trained.history.values()]).all()


@pytest.mark.parametrize(
    ("n_epochs", "again"), [(1, ()), pytest.param(2, ("one again",), marks=pytest.mark.slow)]
)
def test_train__gives_the_same_bytes_again_and_after_another_network(
    tmp_path: Path, n_epochs: int, again: tuple[str, ...]
):
    """In processes of their own, and once in a process that has trained another network before."""
    pytest.importorskip("tensorflow", reason=NEEDS_TENSORFLOW)
    script = tmp_path / "train.py"
    script.write_text(TRAIN, encoding="utf-8")
    plans = [["7:one"], ["8:other", "7:after other"], *([f"7:{name}"] for name in again)]
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(n_epochs), *plan], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        for plan in plans
    ]
    errors = [process.communicate(timeout=150)[1] for process in started]
    assert [process.returncode for process in started] == [0] * len(plans), errors
    one = (tmp_path / "one").read_bytes()
    for name in ("after other", *again):
        assert (tmp_path / name).read_bytes() == one, name
    assert (tmp_path / "other").read_bytes() != one
