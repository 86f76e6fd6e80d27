"""Every variable of ``statistics/`` about relevance: where it lies, what is certain of it, and what agrees."""

from toolkit.store.variables import (
    BAND_AXIS,
    CLASS_AXIS,
    FOLD_AXIS,
    FREQUENCY_AXIS,
    OUTCOME_AXIS,
    TIME_AXIS,
    Kind,
    Variable,
    axis,
    with_interval,
)

CONTRAST_AXIS = (
    axis(
        "contrast",
        "text",
        "1",
        "'input': relevance against the network's input; 'rest': the class against all others, same output.",
    ),
)
_BY_CLASS, _BY_OUTCOME, _BY_CONTRAST = (
    ("class_name",),
    ("class_name", "outcome"),
    ("class_name", "contrast"),
)


def _figure(
    name: str, dims: tuple[str, ...], long_name: str, description: str, kind: Kind = "float64"
) -> Variable:
    return Variable(name, dims, kind, "1", long_name, description)


RECORDINGS = (
    *FREQUENCY_AXIS,
    axis("recording", "text", "1", "Recording; one that holds clips of two classes stands here twice."),
    Variable("label", ("recording",), "int64", "1", "label", "Number of the true class."),
    Variable("fold", ("recording",), "int64", "1", "fold", "Fold of the recording."),
    Variable("n_clips", ("recording",), "int64", "1", "clips", "Clips that have a map."),
    Variable("n_correct", ("recording",), "int64", "1", "correct clips", "Of these, classified correctly."),
    _figure(
        "share",
        ("recording", "frequency"),
        "share of relevance",
        "Share of positive relevance in the bin, mean over correctly classified clips; padding left out.",
    ),
    _figure(
        "input_share",
        ("recording", "frequency"),
        "share of input",
        "Share of the network's input in the bin, mean over the same clips.",
    ),
)

_DESCRIBED = (
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
    _figure(
        "mean_relevance",
        (*_BY_OUTCOME, "frequency", "time"),
        "mean relevance",
        "Relevance as a share of the clip's absolute relevance, averaged like the level.",
    ),
    *with_interval(
        "band_share",
        (*_BY_OUTCOME, "band"),
        "share of relevance",
        "Share of a clip's positive relevance in the band, averaged like the level; padding left out.",
    ),
    *with_interval(
        "frequency_share",
        (*_BY_OUTCOME, "frequency"),
        "share of relevance",
        "Share of a clip's positive relevance in the frequency bin, averaged like the level.",
    ),
    _figure(
        "band_share_against",
        (*_BY_OUTCOME, "band"),
        "share of negative relevance",
        "Share of a clip's negative relevance (what speaks against the target) in the band, averaged alike.",
    ),
    _figure(
        "band_input_share",
        (*_BY_OUTCOME, "band"),
        "share of input",
        "Share of what the network sees (its input, summed over channels) in the band, averaged alike.",
    ),
    _figure(
        "band_power_share",
        (*_BY_OUTCOME, "band"),
        "share of power",
        "Share of the power of a clip's spectrogram in the band, averaged alike.",
    ),
    Variable(
        "band_share_per_hz",
        (*_BY_OUTCOME, "band"),
        "float64",
        "Hz-1",
        "share of relevance per Hz",
        "Share of positive relevance divided by the width of the band's bins.",
    ),
    _figure(
        "band_share_per_erb",
        (*_BY_OUTCOME, "band"),
        "share of relevance per ERB",
        "Share of positive relevance divided by the band's width in equivalent rectangular bandwidths.",
    ),
    _figure(
        "fold_band_share",
        (*_BY_OUTCOME, "fold", "band"),
        "share of relevance",
        "Share of positive relevance in the band, recordings of one fold.",
    ),
    Variable(
        "fold_n_recordings", (*_BY_OUTCOME, "fold"), "int64", "1", "recordings", "Recordings in the fold."
    ),
    _figure(
        "fold_agreement",
        (*_BY_OUTCOME, "fold"),
        "agreement of the fold",
        "Correlation of the fold's mean map with the mean map of the recordings of all other folds.",
    ),
    _figure(
        "fold_mean_relevance",
        (*_BY_OUTCOME, "fold", "frequency", "time"),
        "mean relevance of the fold",
        "The mean relevance of the recordings of one fold.",
        "float32",
    ),
    _figure(
        "relevance_in_padding",
        _BY_OUTCOME,
        "relevance in padding",
        "Share of absolute relevance past the end of the recorded sound, averaged like the level.",
    ),
    _figure(
        "relevance_at_edge",
        _BY_OUTCOME,
        "relevance at the edge of padding",
        "Of padded clips: share of absolute relevance in the last two recorded time bins, divided by the share "
        "of input there; above 1 the network looks at the edge that padding makes.",
    ),
    _figure(
        "relevance_sum_ratio",
        _BY_OUTCOME,
        "conservation",
        "Median over clips of the sum of relevance divided by the target's logit; 1 is conservation.",
    ),
    _figure(
        "icc",
        (*_BY_CLASS, "band"),
        "intraclass correlation",
        "How alike clips of one recording are in their share of relevance in the band (correct clips).",
    ),
    _figure(
        "design_effect",
        (*_BY_CLASS, "band"),
        "design effect",
        "By how much this inflates the variance of a mean over clips that were taken for independent.",
    ),
    _figure(
        "band_object_share",
        (*_BY_CLASS, "band"),
        "share of the object",
        "Share of the cells in which the labelled object is louder than the background; synthetic clips only.",
    ),
    _figure(
        "band_object_density",
        (*_BY_CLASS, "band"),
        "density of the object",
        "Share of the band's cells in which the labelled object is louder than the background; likewise.",
    ),
)
_RATIO = (
    "Mean share of positive relevance divided by that of what it is contrasted with, after a part "
    "(statistics.share_floor) of an even spread was added to both."
)
_TESTED = (
    Variable(
        "contrast_n_recordings", _BY_CONTRAST, "int64", "1", "recordings", "Recordings of the class compared."
    ),
    Variable(
        "contrast_n_others", _BY_CONTRAST, "int64", "1", "others", "Recordings of other classes compared with."
    ),
    _figure("p", _BY_CONTRAST, "p", "That nothing differs anywhere; NaN where recordings are too few to test."),
    _figure("p_holm", _BY_CONTRAST, "corrected p", "Corrected for all classes and contrasts after Holm."),
    axis("threshold", "float64", "1", "Two-sided p of one bin from which on it counts for a cluster."),
    _figure(
        "p_by_threshold",
        (*_BY_CONTRAST, "threshold"),
        "p by threshold",
        "The uncorrected p by cluster mass if clusters are formed from another threshold.",
    ),
    *with_interval("bin_ratio", (*_BY_CONTRAST, "frequency"), "ratio of shares", _RATIO),
    _figure(
        "bin_t", (*_BY_CONTRAST, "frequency"), "t", "Student's t ('input') or Welch's ('rest') of the bin."
    ),
    _figure("bin_p", (*_BY_CONTRAST, "frequency"), "p of the bin", "Corrected over bins by the largest |t|."),
    Variable(
        "bin_cluster",
        (*_BY_CONTRAST, "frequency"),
        "int64",
        "1",
        "cluster",
        "Number of the cluster that the bin is in; 0 for none.",
    ),
    _figure(
        "bin_cluster_p",
        (*_BY_CONTRAST, "frequency"),
        "p of the cluster",
        "Of the cluster that the bin is in: that something differs, not that it ends there.",
    ),
    _figure(
        "bin_inclusion",
        (*_BY_CONTRAST, "frequency"),
        "inclusion",
        "How often the bin lies in a significant cluster if recordings are drawn anew.",
    ),
    *with_interval("band_ratio", (*_BY_CONTRAST, "band"), "ratio of shares", _RATIO),
    _figure("band_t", (*_BY_CONTRAST, "band"), "t", "Student's t ('input') or Welch's ('rest') of the band."),
    _figure("band_p", (*_BY_CONTRAST, "band"), "p of the band", "Corrected over bands by the largest |t|."),
    _figure(
        "band_p_corrected",
        (*_BY_CONTRAST, "band"),
        "corrected p of the band",
        "Corrected for bands and for all classes and contrasts.",
    ),
    _figure(
        "band_effect_size",
        (*_BY_CONTRAST, "band"),
        "effect size",
        "Hedges' g of the difference of shares: in standard deviations of recordings.",
    ),
    Variable(
        "band_verdict",
        (*_BY_CONTRAST, "band"),
        "int64",
        "1",
        "verdict",
        "1: more relevance than what it is contrasted with; -1: less; 0: neither can be said.",
    ),
    _figure("fold_ratio", (*_BY_CONTRAST, "fold", "band"), "ratio of shares", "The same in one fold."),
    Variable("n_folds", (*_BY_CONTRAST, "band"), "int64", "1", "folds", "Folds that have a ratio."),
    Variable(
        "n_folds_alike",
        (*_BY_CONTRAST, "band"),
        "int64",
        "1",
        "folds alike",
        "Folds whose ratio lies on the same side of 1 as that of all.",
    ),
    _figure(
        "ratio_left_out_low", (*_BY_CONTRAST, "band"), "least ratio", "Least ratio with one fold left out."
    ),
    _figure(
        "ratio_left_out_high", (*_BY_CONTRAST, "band"), "largest ratio", "Largest ratio with one fold left out."
    ),
    *with_interval(
        "power_ratio",
        (*_BY_CLASS, "band"),
        "ratio to power",
        "As the contrast 'input', with the power of the spectrogram in the place of the input.",
    ),
    _figure("power_p", (*_BY_CLASS, "band"), "p of the band", "Of this ratio, corrected over bands."),
)
_BY_TIME = (*_BY_CLASS, "band", "aligned_time")
_ALIGNED = (
    axis("aligned_time", "float64", "s", "Start of the time bin, from the onset of the clip's loudest event."),
    Variable("aligned_n_recordings", _BY_TIME, "int64", "1", "recordings", "Recordings that reach there."),
    _figure(
        "aligned_share", _BY_TIME, "share of relevance", "Share of positive relevance; correct clips, aligned."
    ),
    _figure("aligned_input_share", _BY_TIME, "share of input", "Share of the network's input, likewise."),
    _figure(
        "aligned_ratio",
        _BY_TIME,
        "ratio of shares",
        "Share of the band's relevance at that time, divided by the same share of its input.",
    ),
    _figure(
        "aligned_t", _BY_TIME, "t", "Student's t of the difference of both; NaN where recordings are too few."
    ),
    _figure("aligned_cluster_p", _BY_TIME, "p of the cluster", "Of the cluster that the cell is in."),
    _figure("aligned_p", _BY_CLASS, "p", "That relevance is spread over time as input is, in every band."),
    _figure("aligned_p_holm", _BY_CLASS, "corrected p", "Corrected for all classes after Holm."),
)
_BY_COMPARISON = ("class_name", "comparison")
_COMPARED = (
    axis("comparison", "text", "1", "Which kinds of clips of a class are compared."),
    Variable("comparison_n_first", _BY_COMPARISON, "int64", "1", "recordings", "With clips of the first kind."),
    Variable("comparison_n_second", _BY_COMPARISON, "int64", "1", "recordings", "With clips of the second."),
    *with_interval(
        "comparison_ratio",
        (*_BY_COMPARISON, "band"),
        "ratio of shares",
        "Mean share of positive relevance in clips of the first kind, divided by that in clips of the second.",
    ),
    _figure(
        "comparison_correlation",
        _BY_COMPARISON,
        "correlation",
        "Of the logarithms of mean shares by bin of the two kinds.",
    ),
)
REGIONS = (
    *FREQUENCY_AXIS,
    *TIME_AXIS,
    *CLASS_AXIS,
    *OUTCOME_AXIS,
    *FOLD_AXIS,
    *BAND_AXIS,
    *CONTRAST_AXIS,
    *_DESCRIBED,
    *_TESTED,
    *_ALIGNED,
    *_COMPARED,
)

REPRESENTATIONS_AGREE = (
    *CLASS_AXIS,
    axis(
        "other_class", "text", "1", "Name of the class whose profile is taken from the second representation."
    ),
    axis("representation", "text", "1", "Name of the representation."),
    *FREQUENCY_AXIS,
    *BAND_AXIS,
    *CONTRAST_AXIS,
    Variable("n_recordings", _BY_CLASS, "int64", "1", "recordings", "With correct clips in both."),
    _figure(
        "share",
        ("class_name", "representation", "frequency"),
        "share of relevance",
        "Share of positive relevance in the third-octave, within the range of both representations.",
    ),
    _figure(
        "ratio",
        ("class_name", "representation", "frequency"),
        "ratio of shares",
        "Mean share of positive relevance divided by that of input.",
    ),
    *with_interval("correlation", _BY_CLASS, "correlation", "Of the log ratios of the two by third-octave."),
    _figure(
        "class_correlation",
        ("class_name", "other_class"),
        "correlation with another class",
        "The same with the profile of every class in the second representation: a class should agree best with "
        "itself.",
    ),
    _figure("overlap", _BY_CLASS, "overlap", "Sum over third-octaves of the smaller of the two shares."),
    _figure(
        "band_p_corrected",
        (*_BY_CONTRAST, "band"),
        "corrected p of the band",
        "The larger of the two: that the band differs in both representations.",
    ),
    Variable(
        "band_verdict",
        (*_BY_CONTRAST, "band"),
        "int64",
        "1",
        "verdict",
        "1 or -1 where both representations give that verdict; 0 otherwise.",
    ),
)
_BY_PAIR = ("class_name", "pair")
COMPOSITES_AGREE = (
    *CLASS_AXIS,
    axis("pair", "int64", "1", "Number of the pair of composites."),
    Variable("first", ("pair",), "text", "1", "first composite", "Name of the composite."),
    Variable("second", ("pair",), "text", "1", "second composite", "Name of the composite."),
    Variable(
        "is_same_method",
        ("pair",),
        "bool",
        "1",
        "same method",
        "Whether the two are one method on networks of convolutions, ReLU and max pools, but for a stabiliser.",
    ),
    *with_interval(
        "correlation", _BY_PAIR, "correlation of profiles", "Of the log ratios to input, by frequency bin."
    ),
    _figure("map_correlation", _BY_PAIR, "correlation of maps", "Of the mean maps, cell by cell."),
)
SEEDS_AGREE = (
    *CLASS_AXIS,
    axis("run", "int64", "1", "Number of the other run."),
    Variable("seed", ("run",), "int64", "1", "seed", "Seed of the other run."),
    *with_interval(
        "correlation", ("class_name", "run"), "correlation of profiles", "Of the log ratios to input, by bin."
    ),
    _figure("map_correlation", ("class_name", "run"), "correlation of maps", "Of the mean maps, cell by cell."),
    Variable(
        "n_verdicts",
        ("class_name", "run"),
        "int64",
        "1",
        "verdicts",
        "Bands and contrasts of which either run has a verdict.",
    ),
    Variable(
        "n_verdicts_alike",
        ("class_name", "run"),
        "int64",
        "1",
        "verdicts alike",
        "Of these, those with the same verdict in both.",
    ),
)
