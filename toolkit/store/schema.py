"""Every variable that may stand in a store: its dimensions, kind, unit and meaning, in one place.

A store is one Zarr (format 3) hierarchy. Groups are written only through ``toolkit.store.write``,
which refuses whatever this module does not describe. One clip is one row, for every clip of the
catalogue, in the order of the catalogue.
"""

from collections.abc import Mapping

from toolkit.store.figures import COMPOSITES_AGREE, RECORDINGS, REGIONS, REPRESENTATIONS_AGREE, SEEDS_AGREE
from toolkit.store.listening import EXAMPLES
from toolkit.store.scores import PERFORMANCE
from toolkit.store.variables import (
    BAND_AXIS,
    CLASS_AXIS,
    FOLD_AXIS,
    FREQUENCY_AXIS,
    TIME_AXIS,
    Kind,
    Variable,
    axis,
    per_clip,
)

FORMAT_VERSION = 2
ROWS_PER_PARTITION = 64
"""Clips in one partition: the unit of writing, equal to the chunk length along ``clip``."""
BINS_PER_CHUNK = 16
EXAMPLES_PER_CHUNK = 16
CHUNK_LENGTHS: Mapping[str, int] = {
    "clip": ROWS_PER_PARTITION,
    "frequency": BINS_PER_CHUNK,
    "example": EXAMPLES_PER_CHUNK,
    "sample": 1 << 17,
}
"""Chunk length by dimension; dimensions that are not named here are never split."""

PENDING, OK, LEFT_OUT = "pending", "ok", "left out"
"""The states of a clip: not read yet, read, or unusable (then ``error`` says why)."""
CORRECT, MISCLASSIFIED = "correct", "misclassified"
OUTCOMES = (CORRECT, MISCLASSIFIED)
INPUT, REST = "input", "rest"
CONTRASTS = (INPUT, REST)
"""What relevance is compared with: the network's own input, or the relevance of all other classes."""

CLIPS = (
    per_clip("clip", "text", "1", "clip", "Name of the clip, unique in the catalogue."),
    per_clip("path", "text", "1", "path", "File of the clip, relative to the folder of the corpus."),
    per_clip("class_name", "text", "1", "class", "Name of the true class."),
    per_clip("label", "int64", "1", "label", "Number of the true class."),
    per_clip("fold", "int64", "1", "fold", "Fold of the corpus."),
    per_clip("recording", "text", "1", "recording", "Recording that the clip was cut from."),
    per_clip("start_s", "float64", "s", "start", "Start of the clip within its recording; NaN where unknown."),
    per_clip("end_s", "float64", "s", "end", "End of the clip within its recording; NaN where unknown."),
    per_clip("salience", "int64", "1", "salience", "1 foreground, 2 background, 0 unknown."),
)
CLIP_STATES = (
    per_clip("status", "text", "1", "status", "'ok', 'left out' or 'pending'."),
    per_clip("error", "text", "1", "error", "Why the clip was left out; empty otherwise."),
    per_clip("valid_duration_s", "float64", "s", "valid duration", "Recorded sound; what follows is padding."),
    per_clip("native_rate_hz", "int64", "Hz", "sampling rate", "Sampling rate of the file; -1 where unknown."),
    per_clip(
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
MADE_FROM = per_clip(
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
    per_clip("digest", "text", "1", "digest", "Digest of level and recorded duration; empty where left out."),
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
    per_clip("label", "int64", "1", "label", "Number of the true class."),
    per_clip("prediction", "int64", "1", "prediction", "Number of the class with the highest logit."),
    per_clip("target", "int64", "1", "target", "Number of the class that the map explains."),
    Variable("logits", ("clip", "class_name"), "float32", "1", "logits", "Network output before softmax."),
    per_clip("relevance_sum", "float32", "1", "sum of relevance", "Sum of the map over all its cells."),
    per_clip(
        "relevance_in_padding",
        "float32",
        "1",
        "relevance in padding",
        "Share of absolute relevance in time bins that lie past the end of the recorded sound.",
    ),
)

RELEVANCE_BY_TARGET = (
    *FREQUENCY_AXIS,
    axis("class_name", "text", "1", "Name of the explained class."),
    MADE_FROM,
    Variable(
        "share",
        ("clip", "class_name", "frequency"),
        "float32",
        "1",
        "share of relevance",
        "Share of the clip's positive relevance for the class's logit in the frequency bin; padding left out, "
        "NaN where nothing is positive.",
    ),
)


def _per_epoch(name: str, long_name: str, description: str) -> Variable:
    return Variable(name, ("fold", "epoch"), "float64", "1", long_name, description)


TRAINING = (
    *FOLD_AXIS,
    axis("epoch", "int64", "1", "Epoch of training, from 1."),
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


def _by_network(name: str, kind: Kind, long_name: str, description: str, *dims: str) -> Variable:
    return Variable(name, ("fold", "clip", *dims), kind, "1", long_name, description)


EXPLANATIONS = (
    *FREQUENCY_AXIS,
    *TIME_AXIS,
    *FOLD_AXIS,
    *BAND_AXIS,
    axis("class_name", "text", "1", "Name of the class."),
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
    per_clip("prediction", "int64", "1", "prediction", "Number of the class with the highest probability."),
    per_clip("target", "int64", "1", "target", "Number of the class that the maps of all networks explain."),
    per_clip("n_networks", "int64", "1", "networks", "Networks that have a say."),
    per_clip("votes", "int64", "1", "votes", "Networks whose highest logit is that of the prediction."),
    per_clip("corpus_clip", "text", "1", "clip of the corpus", "Clips of the corpus that are this sound."),
    Variable(
        "mean_relevance",
        ("clip", "frequency", "time"),
        "float64",
        "1",
        "mean relevance",
        "Relevance as a share of the map's absolute relevance, mean over networks; NaN in padding.",
    ),
    per_clip(
        "agreement",
        "float64",
        "1",
        "agreement",
        "Correlation of one network's map with the mean map of the others, mean over networks.",
    ),
    per_clip(
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
        "band_input_share",
        ("clip", "band"),
        "float64",
        "1",
        "share of input",
        "Share of what the networks see of the clip, summed over channels, in the band; padding left out.",
    ),
)

LISTENING = "evaluation/listening"
MAPS, BY_TARGET = "relevance", "relevance_by_target"
"""Kinds of groups with one row per clip and network that explains it: maps, and shares for every class."""
GROUPS: Mapping[str, tuple[Variable, ...]] = {
    "clips": (*CLIPS, *CLIP_STATES),
    "problems": PROBLEMS,
    "features": (*FEATURES, OBJECT_MASK),
    MAPS: RELEVANCE,
    BY_TARGET: RELEVANCE_BY_TARGET,
    "training": TRAINING,
    "statistics/performance": PERFORMANCE,
    "statistics/recordings": RECORDINGS,
    "statistics/regions": REGIONS,
    "statistics/agreement/representations": REPRESENTATIONS_AGREE,
    "statistics/agreement/composites": COMPOSITES_AGREE,
    "statistics/agreement/seeds": SEEDS_AGREE,
    LISTENING: EXAMPLES,
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
