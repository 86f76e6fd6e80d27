"""Every variable that may stand in a store: its dimensions, kind, unit and meaning, in one place.

A store is one Zarr (format 3) hierarchy. Groups are written only through ``toolkit.store.write``,
which refuses whatever this module does not describe. One clip is one row, for every clip of the
catalogue, in the order of the catalogue.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

FORMAT_VERSION = 2
ROWS_PER_PARTITION = 64
"""Clips in one partition: the unit of writing, equal to the chunk length along ``clip``."""
BINS_PER_CHUNK = 16
CHUNK_LENGTHS: Mapping[str, int] = {"clip": ROWS_PER_PARTITION, "frequency": BINS_PER_CHUNK}
"""Chunk length by dimension; dimensions that are not named here are never split."""

PENDING, OK, LEFT_OUT = "pending", "ok", "left out"
"""The states of a clip: not read yet, read, or unusable (then ``error`` says why)."""
CORRECT, MISCLASSIFIED = "correct", "misclassified"
OUTCOMES = (CORRECT, MISCLASSIFIED)

Kind = Literal["text", "bool", "int64", "float32", "float64"]
FILL: Mapping[Kind, object] = {
    "text": "",
    "bool": False,
    "int64": -1,
    "float32": np.float32("nan"),
    "float64": float("nan"),
}


@dataclass(frozen=True)
class Variable:
    """What one variable is. ``units`` follows UDUNITS where it can; '1' means a pure number."""

    name: str
    dims: tuple[str, ...]
    kind: Kind
    units: str
    long_name: str
    description: str


def _axis(name: str, kind: Kind, units: str, description: str) -> Variable:
    return Variable(name, (name,), kind, units, name.replace("_", " "), description)


FREQUENCY_AXIS = (
    _axis("frequency", "float64", "Hz", "Centre of the frequency bin; bin 0 is the lowest."),
    Variable("frequency_low", ("frequency",), "float64", "Hz", "lower edge", "Lower edge of the bin."),
    Variable("frequency_high", ("frequency",), "float64", "Hz", "upper edge", "Upper edge of the bin."),
)
TIME_AXIS = (_axis("time", "float64", "s", "Centre of the time bin, from the start of the clip."),)
CLASS_AXIS = (_axis("class_name", "text", "1", "Name of the true class."),)
OUTCOME_AXIS = (_axis("outcome", "text", "1", "Whether the network classified the clip correctly."),)
FOLD_AXIS = (_axis("fold", "int64", "1", "Fold whose clips were held out from the network's training."),)
BAND_AXIS = (
    _axis("band", "text", "1", "Name of the frequency band."),
    Variable("band_low", ("band",), "float64", "Hz", "lower edge", "Lower edge of the band."),
    Variable("band_high", ("band",), "float64", "Hz", "upper edge", "Upper edge of the band."),
)


def _clip(name: str, kind: Kind, units: str, long_name: str, description: str) -> Variable:
    return Variable(name, ("clip",), kind, units, long_name, description)


CLIPS = (
    _clip("clip", "text", "1", "clip", "Name of the clip, unique in the catalogue."),
    _clip("path", "text", "1", "path", "File of the clip, relative to the folder of the corpus."),
    _clip("class_name", "text", "1", "class", "Name of the true class."),
    _clip("label", "int64", "1", "label", "Number of the true class."),
    _clip("fold", "int64", "1", "fold", "Fold of the corpus."),
    _clip("recording", "text", "1", "recording", "Recording that the clip was cut from."),
    _clip("start_s", "float64", "s", "start", "Start of the clip within its recording; NaN where unknown."),
    _clip("end_s", "float64", "s", "end", "End of the clip within its recording; NaN where unknown."),
    _clip("salience", "int64", "1", "salience", "1 foreground, 2 background, 0 unknown."),
)
CLIP_STATES = (
    _clip("status", "text", "1", "status", "'ok', 'left out' or 'pending'."),
    _clip("error", "text", "1", "error", "Why the clip was left out; empty otherwise."),
    _clip("valid_duration_s", "float64", "s", "valid duration", "Recorded sound; what follows is padding."),
    _clip("native_rate_hz", "int64", "Hz", "sampling rate", "Sampling rate of the file; -1 where unknown."),
    _clip(
        "clipped_share",
        "float32",
        "1",
        "clipped share",
        "Share of the recorded samples at full scale.",
    ),
)
PROBLEMS = (
    Variable("subject", ("problem",), "text", "1", "subject", "File, or line of the catalogue."),
    Variable("reason", ("problem",), "text", "1", "reason", "What is wrong, and what was done about it."),
    Variable("severity", ("problem",), "text", "1", "severity", "'fault': to be mended; 'note': to be known."),
)
MADE_FROM = _clip(
    "made_from",
    "text",
    "1",
    "made from",
    "Digests of all that the row was made from; empty while it is not made. Written after everything else.",
)
FEATURES = (
    *FREQUENCY_AXIS,
    *TIME_AXIS,
    MADE_FROM,
    _clip("digest", "text", "1", "digest", "Digest of level and recorded duration; empty where left out."),
    Variable(
        "level_db",
        ("clip", "frequency", "time"),
        "float32",
        "dB",
        "level",
        "Power of the cell relative to the loudest cell of the clip, cut off at the dynamic range.",
    ),
)
OBJECT_MASK = Variable(
    "object_mask",
    ("clip", "frequency", "time"),
    "bool",
    "1",
    "object mask",
    "Whether the power of the labelled object exceeds that of the background; known for synthetic clips.",
)
RELEVANCE = (
    *FREQUENCY_AXIS,
    *TIME_AXIS,
    *CLASS_AXIS,
    MADE_FROM,
    Variable(
        "relevance",
        ("clip", "frequency", "time"),
        "float32",
        "1",
        "relevance",
        "Relevance of the cell for the target's logit, summed over the input channels, unnormalised.",
    ),
    _clip("label", "int64", "1", "label", "Number of the true class."),
    _clip("prediction", "int64", "1", "prediction", "Number of the class with the highest logit."),
    _clip("target", "int64", "1", "target", "Number of the class that the map explains."),
    Variable("logits", ("clip", "class_name"), "float32", "1", "logits", "Network output before softmax."),
    _clip("relevance_sum", "float32", "1", "sum of relevance", "Sum of the map over all its cells."),
    _clip(
        "relevance_in_padding",
        "float32",
        "1",
        "relevance in padding",
        "Share of absolute relevance in time bins that lie past the end of the recorded sound.",
    ),
)


def _per_epoch(name: str, long_name: str, description: str) -> Variable:
    return Variable(name, ("fold", "epoch"), "float64", "1", long_name, description)


TRAINING = (
    *FOLD_AXIS,
    _axis("epoch", "int64", "1", "Epoch of training, from 1."),
    _per_epoch("loss", "training loss", "Cross-entropy on the training clips; NaN after training ended."),
    _per_epoch("accuracy", "training accuracy", "Accuracy on the training clips, dropout active."),
    _per_epoch("validation_loss", "validation loss", "Cross-entropy on the validation clips."),
    _per_epoch("validation_accuracy", "validation accuracy", "Accuracy on the validation clips."),
    Variable("best_epoch", ("fold",), "int64", "1", "best epoch", "Epoch whose weights were kept."),
    Variable("n_training_clips", ("fold",), "int64", "1", "training clips", "Clips trained on."),
    Variable("n_validation_clips", ("fold",), "int64", "1", "validation clips", "Clips validated on."),
    Variable(
        "n_later_clips",
        ("fold",),
        "int64",
        "1",
        "later clips",
        "Clips that came after training and that a network trained today would learn from too.",
    ),
    Variable(
        "export_difference",
        ("fold",),
        "float64",
        "1",
        "export difference",
        "Largest difference between a probability from ONNX and from Keras on clips of the fold.",
    ),
)


def _with_interval(name: str, dims: tuple[str, ...], long_name: str, description: str) -> tuple[Variable, ...]:
    interval = "Bootstrap over recordings within folds."
    return (
        Variable(name, dims, "float64", "1", long_name, description),
        Variable(f"{name}_low", dims, "float64", "1", f"{long_name}, lower limit", interval),
        Variable(f"{name}_high", dims, "float64", "1", f"{long_name}, upper limit", interval),
    )


PERFORMANCE = (
    *FOLD_AXIS,
    *CLASS_AXIS,
    _axis("predicted_class", "text", "1", "Name of the class with the highest logit."),
    Variable(
        "confusion",
        ("fold", "class_name", "predicted_class"),
        "int64",
        "1",
        "confusion",
        "Clips of a fold by true and predicted class.",
    ),
    Variable(
        "n_recordings",
        ("fold", "class_name"),
        "int64",
        "1",
        "recordings",
        "Recordings whose clips the confusion counts.",
    ),
    *_with_interval("accuracy", (), "accuracy", "Share of clips classified correctly, all folds."),
    *_with_interval("recall", ("class_name",), "recall", "Share of a class's clips found, all folds."),
    *_with_interval(
        "precision", ("class_name",), "precision", "Share of clips called this class that are, all folds."
    ),
    Variable("fold_accuracy", ("fold",), "float64", "1", "accuracy", "Accuracy on the clips of one fold."),
    Variable("fold_recall", ("fold", "class_name"), "float64", "1", "recall", "Recall in one fold."),
    Variable("fold_precision", ("fold", "class_name"), "float64", "1", "precision", "Precision in one fold."),
)
_BY_OUTCOME = ("class_name", "outcome")
REGIONS = (
    *FREQUENCY_AXIS,
    *TIME_AXIS,
    *CLASS_AXIS,
    *OUTCOME_AXIS,
    *FOLD_AXIS,
    *BAND_AXIS,
    Variable("n_clips", _BY_OUTCOME, "int64", "1", "clips", "Clips behind the figures."),
    Variable("n_recordings", _BY_OUTCOME, "int64", "1", "recordings", "Recordings behind the figures."),
    Variable(
        "mean_level_db",
        (*_BY_OUTCOME, "frequency", "time"),
        "float64",
        "dB",
        "mean level",
        "Mean over recordings of the mean over their clips; padding left out.",
    ),
    Variable(
        "mean_relevance",
        (*_BY_OUTCOME, "frequency", "time"),
        "float64",
        "1",
        "mean relevance",
        "Relevance as a share of the clip's absolute relevance, averaged like the level.",
    ),
    *_with_interval(
        "band_share",
        (*_BY_OUTCOME, "band"),
        "share of relevance",
        "Share of a clip's positive relevance in the band, averaged like the level; padding left out.",
    ),
    *_with_interval(
        "frequency_share",
        (*_BY_OUTCOME, "frequency"),
        "share of relevance",
        "Share of a clip's positive relevance in the frequency bin, averaged like the level.",
    ),
    Variable(
        "band_energy_share",
        (*_BY_OUTCOME, "band"),
        "float64",
        "1",
        "share of energy",
        "Share of the power of a clip's spectrogram in the band, averaged like the level.",
    ),
    Variable(
        "fold_band_share",
        (*_BY_OUTCOME, "fold", "band"),
        "float64",
        "1",
        "share of relevance",
        "Share of positive relevance in the band, recordings of one fold.",
    ),
    Variable(
        "fold_n_recordings", (*_BY_OUTCOME, "fold"), "int64", "1", "recordings", "Recordings in the fold."
    ),
    Variable(
        "fold_agreement",
        (*_BY_OUTCOME, "fold"),
        "float64",
        "1",
        "agreement of the fold",
        "Correlation of the fold's mean map with the mean map of the recordings of all other folds.",
    ),
    Variable(
        "relevance_in_padding",
        _BY_OUTCOME,
        "float64",
        "1",
        "relevance in padding",
        "Share of absolute relevance past the end of the recorded sound, averaged like the level.",
    ),
    Variable(
        "relevance_sum_ratio",
        _BY_OUTCOME,
        "float64",
        "1",
        "conservation",
        "Median over clips of the sum of relevance divided by the target's logit; 1 is conservation.",
    ),
)


def _by_network(name: str, kind: Kind, long_name: str, description: str, *dims: str) -> Variable:
    return Variable(name, ("fold", "clip", *dims), kind, "1", long_name, description)


EXPLANATIONS = (
    *FREQUENCY_AXIS,
    *TIME_AXIS,
    *FOLD_AXIS,
    *BAND_AXIS,
    _axis("class_name", "text", "1", "Name of the class."),
    _by_network(
        "has_say",
        "bool",
        "say of the network",
        "Whether the network may judge the clip: not where it learned from the same sound.",
    ),
    _by_network(
        "relevance",
        "float32",
        "relevance",
        "Relevance of the cell for the target's logit of one network, summed over the input channels; NaN "
        "where the network has no say.",
        "frequency",
        "time",
    ),
    _by_network("logits", "float32", "logits", "Output of one network before softmax.", "class_name"),
    Variable(
        "probability",
        ("clip", "class_name"),
        "float64",
        "1",
        "probability",
        "Mean over the networks that have a say of their softmax.",
    ),
    _clip("prediction", "int64", "1", "prediction", "Number of the class with the highest probability."),
    _clip("target", "int64", "1", "target", "Number of the class that the maps of all networks explain."),
    _clip("n_networks", "int64", "1", "networks", "Networks that have a say."),
    _clip("votes", "int64", "1", "votes", "Networks whose highest logit is that of the prediction."),
    _clip("corpus_clip", "text", "1", "clip of the corpus", "Clips of the corpus that are this sound, if any."),
    Variable(
        "mean_relevance",
        ("clip", "frequency", "time"),
        "float64",
        "1",
        "mean relevance",
        "Relevance as a share of the map's absolute relevance, mean over networks; NaN in padding.",
    ),
    _clip(
        "agreement",
        "float64",
        "1",
        "agreement",
        "Correlation of one network's map with the mean map of the others, mean over networks.",
    ),
    _clip(
        "relevance_in_padding",
        "float64",
        "1",
        "relevance in padding",
        "Share of absolute relevance past the end of the recorded sound, mean over networks.",
    ),
    Variable(
        "band_share",
        ("clip", "band"),
        "float64",
        "1",
        "share of relevance",
        "Share of positive relevance in the band, mean over networks; padding left out.",
    ),
    Variable(
        "band_energy_share",
        ("clip", "band"),
        "float64",
        "1",
        "share of energy",
        "Share of the power of the clip's spectrogram in the band; padding left out.",
    ),
)

GROUPS: Mapping[str, tuple[Variable, ...]] = {
    "clips": (*CLIPS, *CLIP_STATES),
    "problems": PROBLEMS,
    "features": (*FEATURES, OBJECT_MASK),
    "relevance": RELEVANCE,
    "training": TRAINING,
    "statistics/performance": PERFORMANCE,
    "statistics/regions": REGIONS,
    "explanations": EXPLANATIONS,
}
"""Variables by kind of group; below each kind stand the representation and, for maps, the composite."""


def variables_of(group: str) -> dict[str, Variable]:
    """Return the variables that may stand in ``group``, such as 'relevance/mel/lrp.epsilon', by name.

    Raises
    ------
    KeyError
        The schema knows no such group.
    """
    for kind, variables in GROUPS.items():
        if group == kind or group.startswith(f"{kind}/"):
            return {variable.name: variable for variable in variables}
    raise KeyError(f"group {group!r} is not in the schema; kinds of groups: {', '.join(GROUPS)}")


def partitions(n_clips: int) -> list[slice]:
    """Return the rows of every partition of a store of ``n_clips`` rows."""
    starts = range(0, n_clips, ROWS_PER_PARTITION)
    return [slice(start, min(start + ROWS_PER_PARTITION, n_clips)) for start in starts]
