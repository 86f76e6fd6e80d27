"""Training of one network on batches that are read from a store as they are needed.

Needs a process that ``toolkit.network.runtime.prepare`` has set up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.config import TrainingSettings
from toolkit.errors import QualityError
from toolkit.network.architecture import build, weights_of

ReadInputs = Callable[[np.ndarray], np.ndarray]
"""Rows of a store to network inputs, shape (row, 64, 64, 3)."""
VALIDATION_BATCH = 32
READ_AHEAD_CLIPS = 2048
"""Clips read at once: shuffled first, then read in the order of the store, so that a chunk is read once."""
HISTORY = {
    "loss": "loss",
    "accuracy": "accuracy",
    "val_loss": "validation_loss",
    "val_accuracy": "validation_accuracy",
}
"""Names of what is recorded per epoch: Keras's and ours."""


@dataclass(frozen=True)
class TrainedNetwork:
    """Weights of the best epoch, and how training went: one value per epoch and measure."""

    weights: dict[str, np.ndarray]
    history: dict[str, list[float]]
    best_epoch: int


def train(
    read: ReadInputs,
    labels: np.ndarray,
    *,
    training_rows: np.ndarray,
    validation_rows: np.ndarray,
    settings: TrainingSettings,
    seed: int,
) -> TrainedNetwork:
    """Train a network from scratch and return it as of the epoch with the lowest validation loss.

    Parameters
    ----------
    read
        Gives the network inputs of rows.
    labels
        Class number of every row of the store, shape (row,); the largest number sets the classes.
    training_rows, validation_rows
        Disjoint rows to learn from and to choose the epoch by.
    settings
        Epochs, batch size, learning rate, patience.
    seed
        Of the order of the clips; weights and dropout follow ``runtime.prepare``.

    Raises
    ------
    QualityError
        No epoch has a finite validation loss.
    """
    import keras

    model = build(int(labels.max()) + 1)
    model.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    rng = np.random.default_rng(seed)
    batches = _batches(read, labels, training_rows, batch_size_of(settings, len(training_rows)), rng)
    validation = _batches(read, labels, validation_rows, VALIDATION_BATCH, None)
    best = _keep_best(settings.patience)
    record = model.fit(
        batches, validation_data=validation, epochs=settings.epochs, callbacks=[best], shuffle=False, verbose=0
    )
    if not np.isfinite(best.loss):
        raise QualityError(
            f"training diverged: no epoch has a finite validation loss; lower training.learning_rate "
            f"({settings.learning_rate:g})"
        )
    model.set_weights(best.weights)
    history = {ours: [float(value) for value in record.history[name]] for name, ours in HISTORY.items()}
    return TrainedNetwork(weights_of(model), history, best.epoch + 1)


def batch_size_of(settings: TrainingSettings, n_training_clips: int) -> int:
    """Return the clips per step: as set, or a 45th of the training clips, from 4 to 32."""
    return settings.batch_size or int(np.clip(n_training_clips // 45, 4, 32))


def split_validation(recordings: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return which rows to hold back: whole recordings, drawn until about ``share`` of the rows.

    Parameters
    ----------
    recordings
        Name of each row's recording, shape (row,).
    share
        Share of the rows to hold back, in (0, 1).
    rng
        Draws the recordings.

    Returns
    -------
    Booleans, shape (row,); at least one recording is held back and at least one is not.
    """
    names, sizes = np.unique(recordings, return_counts=True)
    order = rng.permutation(len(names))
    taken = np.cumsum(sizes[order]) <= share * len(recordings)
    taken[0], taken[-1] = True, False
    return np.isin(recordings, names[order[taken]])


def _batches(
    read: ReadInputs, labels: np.ndarray, rows: np.ndarray, batch_size: int, rng: np.random.Generator | None
) -> Any:  # noqa: ANN401 (Keras is imported late, so its classes have no name here)
    import keras

    class Batches(keras.utils.Sequence):  # type: ignore[misc]
        """Batches in an order drawn anew for every epoch, or in the order of the store."""

        def __init__(self) -> None:
            self.block = (-1, np.empty(0))
            self.on_epoch_end()

        def on_epoch_end(self) -> None:
            self.order = rows if rng is None else rng.permutation(rows)
            self.block = (-1, np.empty(0))

        def __len__(self) -> int:
            return -(-len(rows) // batch_size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            per_block = max(1, READ_AHEAD_CLIPS // batch_size)
            number, place = divmod(index, per_block)
            if self.block[0] != number:
                start = number * per_block * batch_size
                chosen = self.order[start : start + per_block * batch_size]
                self.block = (number, _read_shuffled(read, chosen))
            start = place * batch_size
            at = index * batch_size
            return self.block[1][start : start + batch_size], labels[self.order[at : at + batch_size]]

    return Batches()


def _read_shuffled(read: ReadInputs, rows: np.ndarray) -> np.ndarray:
    """Read rows in ascending order and return them in the order asked for."""
    order = np.argsort(rows, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(rows))
    return read(rows[order])[back]


def _keep_best(patience: int) -> Any:  # noqa: ANN401 (as above)
    import keras

    class KeepBest(keras.callbacks.Callback):  # type: ignore[misc]
        """Keep the weights of the lowest validation loss; end training when it has not fallen for long."""

        def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
            self.loss, self.epoch, self.weights = float("inf"), 0, self.model.get_weights()

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            if logs["val_loss"] < self.loss:
                self.loss, self.epoch, self.weights = logs["val_loss"], epoch, self.model.get_weights()
            self.model.stop_training = 0 < patience <= epoch - self.epoch

    return KeepBest()
