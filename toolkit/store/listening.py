"""Every variable of ``evaluation/listening``: what is heard of example clips, and what networks make of it."""

from toolkit.store.variables import FREQUENCY_AXIS, TIME_AXIS, Kind, Variable, axis

ORIGINAL, KEPT, REMOVED = "original", "kept", "removed"
VERSIONS = (ORIGINAL, KEPT, REMOVED)
"""Of each sound: as it is, where relevance lies, and all the rest; the last two add up to the first."""


def _of_example(
    name: str, kind: Kind, long_name: str, description: str, *dims: str, units: str = "1"
) -> Variable:
    return Variable(name, ("example", *dims), kind, units, long_name, description)


EXAMPLES = (
    *FREQUENCY_AXIS,
    *TIME_AXIS,
    axis("version", "text", "1", "'original', 'kept' or 'removed'; kept and removed add up to the original."),
    _of_example("clip", "text", "clip", "Name of the clip."),
    _of_example("recording", "text", "recording", "Recording that the clip was cut from."),
    _of_example("label", "int64", "label", "Number of the true class."),
    _of_example("fold", "int64", "fold", "Fold of the clip, and of the network that explains and scores it."),
    _of_example("target", "int64", "target", "Number of the explained class."),
    _of_example(
        "rank",
        "int64",
        "rank",
        "0 for the example of a class that stands for most recordings, then 1 and on; -1 for other clips.",
    ),
    _of_example(
        "n_recordings",
        "int64",
        "recordings",
        "Recordings of the class that have this example for the nearest; -1 for other clips.",
    ),
    _of_example(
        "valid_duration_s",
        "float64",
        "valid duration",
        "Recorded sound; what follows is padding.",
        units="s",
    ),
    _of_example(
        "attribution", "text", "attribution", "Whose sound it is, and its licence: to stand beside it."
    ),
    _of_example(
        "error",
        "text",
        "error",
        "Why the sound could not be cut and scored; empty otherwise.",
    ),
    _of_example(
        "mask",
        "float32",
        "mask",
        "How much of the cell is in the version 'kept', from 0 to 1; the rest is in 'removed'.",
        "frequency",
        "time",
    ),
    _of_example(
        "kept_share_of_cells",
        "float64",
        "share of cells",
        "Share of the cells of recorded frames that the mask keeps.",
    ),
    _of_example(
        "kept_share_of_relevance",
        "float64",
        "share of relevance",
        "Share of positive relevance that the mask keeps; NaN where nothing is positive.",
    ),
    _of_example(
        "prediction",
        "int64",
        "prediction",
        "Number of the class with the highest probability, before loudness was evened out.",
        "version",
    ),
    _of_example(
        "probability",
        "float64",
        "probability",
        "Probability of the explained class, before loudness was evened out.",
        "version",
    ),
    _of_example(
        "gain_db",
        "float64",
        "gain",
        "By how much the sound was raised to make all versions equally loud; NaN where it is silent.",
        "version",
        units="dB",
    ),
    _of_example(
        "sound",
        "int16",
        "sound",
        "Samples at the rate that the attribute sample_rate_hz gives, of full scale 32767, equally loud over "
        "versions.",
        "version",
        "sample",
    ),
)
