"""What every engine does: classify network inputs and say where relevance for a class lies in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from toolkit.errors import ModelError

PREDICTED = -1
"""The target that stands for the class with the highest logit, the first of equals."""


@dataclass(frozen=True)
class Explanation:
    """What an engine says of some clips."""

    logits: np.ndarray
    """The network's output before softmax, shape (clip, class), float32."""
    relevance: Mapping[str, np.ndarray]
    """Maps by composite, shape (clip, bin, frame), float32: summed over channels, unnormalised."""


class Explainer(Protocol):
    """One network and a program that explains it."""

    def explain(self, inputs: np.ndarray, targets: np.ndarray, composites: Sequence[str]) -> Explanation:
        """Return logits, and a map for each clip and composite.

        Parameters
        ----------
        inputs
            Network inputs, shape (clip, bin, frame, channel), float32.
        targets
            Class number to explain, or ``PREDICTED``, shape (clip,).
        composites
            Which maps; none gives logits alone.

        Raises
        ------
        ModelError
            A target is no class of the network.
        """
        ...


def check_targets(targets: np.ndarray, n_classes: int) -> None:
    """Refuse targets that are no class.

    Raises
    ------
    ModelError
        There is one.
    """
    bad = targets[(targets < PREDICTED) | (targets >= n_classes)]
    if bad.size:
        raise ModelError(
            f"target {int(bad[0])} is no class of this network: 0 to {n_classes - 1}, or {PREDICTED} for the "
            "predicted one"
        )
