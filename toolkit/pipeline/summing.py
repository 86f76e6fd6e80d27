"""The figures of one representation and composite: its maps read class by class, summed up, tested, written."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.config import N_BINS, N_FRAMES, StatisticsSettings
from toolkit.errors import ConfigError
from toolkit.features.bands import Band, band_axis, bands_from_edges, bins_by_band, erb_rate
from toolkit.features.channels import network_input
from toolkit.features.spectrogram import valid_frames
from toolkit.pipeline import reading
from toolkit.pipeline.run import Run
from toolkit.statistics import alignment, contrasts, profiles, regions
from toolkit.statistics.bootstrap import Bootstrap
from toolkit.statistics.permutation import Recipe, holm
from toolkit.store import write
from toolkit.store.read import class_names as stored_class_names
from toolkit.store.read import read_rows, read_whole
from toolkit.store.schema import BY_TARGET, CONTRASTS, MAPS, OUTCOMES, ROWS_PER_PARTITION
from toolkit.store.variables import FREQUENCY_AXIS, TIME_AXIS

RECORDINGS, REGIONS = "recordings", "regions"
AXES = tuple(axis.name for axis in (*FREQUENCY_AXIS, *TIME_AXIS))
Figures = dict[str, np.ndarray]


@dataclass(frozen=True)
class SummingJob:
    """One representation and composite. Picklable."""

    run: Run
    representation: str
    composite: str
    made_with: Mapping[str, object]
    """What the figures say of how they were made."""

    @property
    def name(self) -> str:
        """Where its groups lie below their kind."""
        return f"{self.representation}/{self.composite}"

    @property
    def settings(self) -> StatisticsSettings:
        """How figures are made."""
        return self.run.settings.statistics


@dataclass(frozen=True)
class Explained:
    """What is known of every clip of one representation and composite, without the maps; shape (clip,) each."""

    label: np.ndarray
    fold: np.ndarray
    recording: np.ndarray
    """Number of the recording in the order of the store; one with clips of two classes or folds is two."""
    recording_name: np.ndarray
    salience: np.ndarray
    valid_duration_s: np.ndarray
    prediction: np.ndarray
    logits: np.ndarray
    """Shape (clip, class)."""
    target_logit: np.ndarray
    relevance_sum: np.ndarray

    @property
    def done(self) -> np.ndarray:
        """Which clips have a map."""
        return np.isfinite(self.relevance_sum)

    @property
    def correct(self) -> np.ndarray:
        """Which clips the network classified correctly."""
        return np.asarray(self.prediction == self.label)


@dataclass(frozen=True)
class _Class:
    """What the maps of one class came to."""

    label: int
    clips: regions.ClassClips
    names: np.ndarray
    """Of the recordings, shape (recording,)."""
    aligned: tuple[np.ndarray, np.ndarray]
    """Of correct clips, mean shares of relevance and input from the onset, shape (recording, band, frame)."""
    levels: profiles.MapMeans
    relevance: profiles.MapMeans
    """Mean maps by outcome and fold: group = outcome * number of folds + place of the fold."""
    conservation: np.ndarray
    """Sum of relevance divided by the target's logit, shape (clip,)."""


@dataclass(frozen=True)
class _ByTarget:
    """Every recording explained for every class; none where clips were explained for one output alone."""

    share: np.ndarray
    """Mean shares by bin, shape (recording, target, bin)."""
    label: np.ndarray
    """Shape (recording,), as below."""
    fold: np.ndarray


@dataclass(frozen=True)
class _Source:
    """What all classes of a job share."""

    job: SummingJob
    explained: Explained
    bands: regions.Bands
    folds: np.ndarray
    by_target: "_ByTarget"

    @property
    def groups(self) -> contrasts.Groups:
        """The bands, as contrasts take them."""
        return contrasts.Groups(self.bands.bins, self.job.settings.share_floor)

    def rng(self, *name: object) -> np.random.Generator:
        """Give every group of figures a random stream of its own."""
        return stream(self.job.run, self.job.name, *name)

    def bootstrap(self, *name: object) -> Bootstrap:
        """Return how intervals of a group of figures are made."""
        return bootstrap_of(self.job.run, self.job.name, *name)


def sum_up(job: SummingJob) -> None:
    """Compute and write the figures of a job, one class in memory at a time."""
    clips = explained(job.run, job.representation, job.composite)
    axes = read_whole(job.run.store, f"{MAPS}/{job.name}", AXES)
    bands = bands_of(job.run, job.representation, axes)
    folds = np.unique(clips.fold[clips.done])
    source = _Source(job, clips, _measured(bands, axes), folds, _read_by_target(job, clips))
    names = class_names(job.run)
    by_class, of_recordings = [], []
    for label in range(len(names)):
        of_class = _read_class(source, label)
        by_class.append({**_described(source, of_class), **_contrasted(source, of_class)})
        of_recordings.append(_recordings(of_class))
    figures = {name: np.stack([each[name] for each in by_class]) for name in by_class[0]}
    frequency = {axis.name: axes[axis.name] for axis in FREQUENCY_AXIS}
    recordings = {**profiles.concatenated(of_recordings), **frequency}
    _write(job, RECORDINGS, recordings)
    known = {**axes, **band_axis(bands), "class_name": names, "fold": source.folds}
    _write(job, REGIONS, {**figures, **_corrected(figures, job.settings), **known, **_more_axes(job)})


def explained(run: Run, representation: str, composite: str) -> Explained:
    """Return what is known of every clip."""
    clips = read_whole(run.store, "clips")
    maps = read_whole(
        run.store,
        f"{MAPS}/{representation}/{composite}",
        ("prediction", "target", "logits", "relevance_sum"),
    )
    # The same recording may hold clips of two classes; as a sample it is then two.
    # So is one that lies in two folds: their networks differ.
    keys = list(zip(clips["label"].tolist(), clips["fold"].tolist(), clips["recording"].tolist(), strict=True))
    number = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return Explained(
        label=clips["label"],
        fold=clips["fold"],
        recording=np.array([number[key] for key in keys], np.int64),
        recording_name=clips["recording"],
        salience=clips["salience"],
        valid_duration_s=clips["valid_duration_s"],
        prediction=maps["prediction"],
        logits=maps["logits"],
        target_logit=np.take_along_axis(maps["logits"], np.maximum(maps["target"], 0)[:, None], axis=1)[:, 0],
        relevance_sum=maps["relevance_sum"],
    )


def bands_of(run: Run, representation: str, axes: Mapping[str, np.ndarray]) -> dict[Band, np.ndarray]:
    """Return which bins lie in each band that holds any.

    Raises
    ------
    ConfigError
        None does.
    """
    edges_hz = run.settings.statistics.band_edges_hz
    highest_hz = reading.analysis(run.settings).sample_rate_hz / 2
    bands = bins_by_band(bands_from_edges(edges_hz, highest_hz), axes["frequency"])
    if not bands:
        raise ConfigError(
            f"statistics.band_edges_hz={list(edges_hz)}: no {representation} bin lies in any band"
        )
    return bands


def class_names(run: Run) -> np.ndarray:
    """Return the names of the classes, in the order of their numbers, as text of a store."""
    return np.array(stored_class_names(run.store), dtype=object)


def stream(run: Run, *name: object) -> np.random.Generator:
    """Return the random stream of a group of figures: never of a worker, so that these do not matter."""
    return stream_from(run.settings.seed, *name)


def stream_from(seed: int, *name: object) -> np.random.Generator:
    """Return the random stream of whatever is called so, from a seed."""
    words = "/".join(str(word) for word in name)
    return np.random.default_rng([seed, zlib.crc32(words.encode())])


def bootstrap_of(run: Run, *name: object) -> Bootstrap:
    """Return how intervals of a group of figures are made."""
    settings = run.settings.statistics
    return Bootstrap(settings.n_bootstrap, settings.confidence, stream(run, *name))


def recipe_of(settings: StatisticsSettings) -> Recipe:
    """Return how tests are made."""
    return Recipe(settings.n_permutations, settings.cluster_p, settings.alpha, settings.cluster_statistic)


def _read_class(source: _Source, label: int) -> _Class:
    """Read the maps of a class, some at a time, and keep what figures are made of."""
    clips, n_folds = source.explained, len(source.folds)
    rows = np.flatnonzero(clips.done & (clips.label == label))
    # Clips of one recording and outcome follow one another, as mean maps need it.
    rows = rows[np.lexsort((clips.recording[rows], ~clips.correct[rows]))]
    recordings, first, number = np.unique(clips.recording[rows], return_index=True, return_inverse=True)
    place = np.searchsorted(source.folds, clips.fold[rows][first])
    group_of = np.concatenate([place, place + n_folds])
    levels, relevance = (profiles.MapMeans(group_of, 2 * n_folds, (N_BINS, N_FRAMES)) for _ in range(2))
    unit = number + len(recordings) * ~clips.correct[rows]
    aligned = [
        profiles.RecordingMeans(len(recordings), (len(source.bands.bins), alignment.BEFORE + alignment.AFTER))
        for _ in range(2)
    ]
    read = []
    for part, maps in _parts(source, rows):
        correct = clips.correct[rows[part]]
        for means, shares in zip(aligned, _in_time(source, maps), strict=True):
            means.add(shares[correct], number[part][correct])
        levels.add(unit[part], profiles.level_in_sound(maps))
        relevance.add(unit[part], profiles.signed_share(maps.relevance, maps.valid))
        read.append(profiles.clip_profiles(maps))
    levels.close()
    relevance.close()
    return _Class(
        label=label,
        clips=regions.ClassClips(
            number, source.folds[place], clips.correct[rows], clips.salience[rows], profiles.concatenated(read)
        ),
        names=clips.recording_name[rows][first],
        aligned=(aligned[0].means, aligned[1].means),
        levels=levels,
        relevance=relevance,
        conservation=clips.relevance_sum[rows] / clips.target_logit[rows],
    )


def _parts(source: _Source, rows: np.ndarray) -> Iterator[tuple[slice, profiles.ClipMaps]]:
    """Read the maps of ``rows`` some at a time; at least one part, which may be empty."""
    job, settings = source.job, source.job.run.settings
    features = f"features/{job.representation}"
    names = ["level_db", *(["object_mask"] if (job.run.store / features / "object_mask").exists() else [])]
    for start in range(0, max(1, len(rows)), ROWS_PER_PARTITION):
        chosen = slice(start, start + ROWS_PER_PARTITION)
        part = rows[chosen]
        maps = read_rows(job.run.store, f"{MAPS}/{job.name}", ("relevance", "relevance_in_padding"), part)
        cells = read_rows(job.run.store, features, names, part)
        inputs = network_input(
            cells["level_db"], settings.training.channels, settings.features.dynamic_range_db
        )
        yield (
            chosen,
            profiles.ClipMaps(
                level_db=cells["level_db"],
                inputs=inputs.sum(axis=-1),
                relevance=maps["relevance"],
                valid=valid_frames(source.explained.valid_duration_s[part], settings.features.duration_s),
                in_padding=maps["relevance_in_padding"],
                is_object=cells.get("object_mask"),
            ),
        )


def _read_by_target(job: SummingJob, clips: Explained) -> _ByTarget:
    """Read the shares of all recordings, some at a time."""
    group = f"{BY_TARGET}/{job.name}"
    rows = np.flatnonzero(clips.done) if (job.run.store / group).exists() else np.array([], np.int64)
    _, first, number = np.unique(clips.recording[rows], return_index=True, return_inverse=True)
    means = profiles.RecordingMeans(len(first), (len(class_names(job.run)), N_BINS))
    at_once = 16 * ROWS_PER_PARTITION
    for start in range(0, len(rows), at_once):
        part = slice(start, start + at_once)
        means.add(read_rows(job.run.store, group, ("share",), rows[part])["share"], number[part])
    return _ByTarget(means.means, clips.label[rows][first], clips.fold[rows][first])


def _in_time(source: _Source, maps: profiles.ClipMaps) -> Iterator[np.ndarray]:
    """Yield shares by band and time from the onset, of relevance and of input, shape (clip, band, frame)."""
    onset = alignment.onsets(maps.level_db, maps.valid)
    for cells in (np.maximum(maps.relevance, 0), maps.inputs):
        by_band = source.bands.bins.astype(np.float32) @ cells
        moved = alignment.aligned(by_band, maps.valid, onset).astype(np.float64)
        yield profiles.divided(moved, np.nansum(moved, axis=(1, 2)))


def _described(source: _Source, of_class: _Class) -> Figures:
    """Return the figures of one class that no test is behind."""
    clips, bands, label = of_class.clips, source.bands, of_class.label
    outcomes = []
    for place, outcome in enumerate(OUTCOMES):
        chosen = clips.correct ^ bool(place)
        groups = np.arange(len(source.folds)) + place * len(source.folds)
        sums, counts = of_class.levels.sums[groups].sum(axis=0), of_class.levels.counts[groups].sum(axis=0)
        ratios = of_class.conservation[chosen]
        outcomes.append({
            **regions.describe(clips, chosen, bands, source.bootstrap(label, outcome)),
            **regions.by_fold(clips, chosen, bands, of_class.relevance, groups, source.folds),
            "mean_level_db": profiles.divided_cells(sums, counts),
            "relevance_sum_ratio": np.array(np.median(ratios) if len(ratios) else np.nan, np.float64),
        })
    by_outcome = {name: np.stack([each[name] for each in outcomes]) for name in outcomes[0]}
    compared = regions.compare(clips, source.groups, source.bootstrap(label, "kinds of clips"))
    return {
        **by_outcome,
        **regions.dependence(clips, bands),
        **regions.object_in_bands(clips, bands),
        **compared,
        **_aligned(source, of_class),
    }


def _aligned(source: _Source, of_class: _Class) -> Figures:
    """Return what can be said of time, which is told from the onset."""
    settings, rng = source.job.settings, source.rng(of_class.label, "time")
    recipe = recipe_of(settings)
    return regions.in_time(of_class.aligned, settings.share_floor, settings.minimum_recordings, recipe, rng)


def _contrasted(source: _Source, of_class: _Class) -> Figures:
    """Return the figures of both contrasts of one class, shape (contrast, ...), and those against power."""
    settings, clips, bands = source.job.settings, of_class.clips, source.groups
    share, input_share, power_share = (
        clips.means(name, clips.paired) for name in ("share", "input_share", "power_share")
    )
    both = (
        contrasts.against_input(share, input_share, clips.fold, bands),
        _against_rest(source, of_class.label),
    )
    found = []
    for name, contrast in zip(CONTRASTS, both, strict=True):
        bootstrap = source.bootstrap(of_class.label, name, "tests")
        testable = contrasts.can_be_tested(contrast, settings.minimum_recordings)
        figures = contrasts.tests(contrast, recipe_of(settings), bootstrap) if testable else None
        found.append({
            "contrast_n_recordings": np.array(contrast.n_recordings, np.int64),
            "contrast_n_others": np.array(contrast.n_others, np.int64),
            **(figures or contrasts.untested(contrast)),
            **contrasts.estimates(contrast, source.bootstrap(of_class.label, name, "intervals")),
            **contrasts.by_fold(contrast, source.folds.tolist()),
        })
    power = contrasts.against_input(share, power_share, clips.fold, bands)
    return {
        **{name: np.stack([each[name] for each in found]) for name in found[0]},
        **_against_power(source, power, of_class.label),
    }


def _against_power(source: _Source, contrast: contrasts.Contrast, label: int) -> Figures:
    """Return the sensitivity table: the contrast with the power of the spectrogram instead of the input."""
    settings = source.job.settings
    figures = contrasts.estimates(contrast, source.bootstrap(label, "power", "intervals"))
    p = np.full(len(source.bands.bins), np.nan)
    if contrasts.can_be_tested(contrast, settings.minimum_recordings):
        p = contrasts.band_test(contrast, settings.n_permutations, source.rng(label, "power", "tests"))[1]
    named = {f"power_ratio{end}": figures[f"band_ratio{end}"] for end in ("", "_low", "_high")}
    return {**named, "power_p": p}


def _against_rest(source: _Source, label: int) -> contrasts.Contrast:
    """Return the contrast of a class with all others, explained for its output; empty without such maps."""
    every = source.by_target
    return contrasts.against_rest(every.share[:, label], every.label == label, every.fold, source.groups)


def _recordings(of_class: _Class) -> Figures:
    """Return the figures of every recording of a class."""
    clips, n = of_class.clips, len(of_class.names)
    count = np.bincount(clips.recording, minlength=n)
    return {
        "recording": of_class.names.astype(object),
        "label": np.full(n, of_class.label, np.int64),
        "fold": clips.fold.astype(np.int64),
        "n_clips": count.astype(np.int64),
        "n_correct": np.bincount(clips.recording[clips.correct], minlength=n).astype(np.int64),
        "share": clips.means("share", clips.paired),
        "input_share": clips.means("input_share", clips.paired),
    }


def _corrected(figures: Mapping[str, np.ndarray], settings: StatisticsSettings) -> Figures:
    """Return what needs the p of all classes."""
    p_holm, band_p = contrasts.corrected(figures["p"], figures["band_p"])
    limits = settings.alpha, settings.minimum_ratio
    return {
        "p_holm": p_holm,
        "band_p_corrected": band_p,
        "band_verdict": contrasts.verdicts(figures["band_ratio"], p_holm, band_p, limits),
        "aligned_p_holm": holm(figures["aligned_p"]),
    }


def _more_axes(job: SummingJob) -> Figures:
    frame_s = job.run.settings.features.duration_s / N_FRAMES
    return {
        "outcome": np.array(OUTCOMES, dtype=object),
        "contrast": np.array(CONTRASTS, dtype=object),
        "threshold": np.array(contrasts.THRESHOLDS),
        "comparison": np.array(regions.COMPARISONS, dtype=object),
        "aligned_time": alignment.frame_times(frame_s),
    }


def _measured(bands: Mapping[Band, np.ndarray], axes: Mapping[str, np.ndarray]) -> regions.Bands:
    bins = np.stack([*bands.values()])
    low, high = axes["frequency_low"], axes["frequency_high"]
    erb = erb_rate(high) - erb_rate(low)
    return regions.Bands(bins, bins @ (high - low), bins @ erb)


def _write(job: SummingJob, kind: str, data: Mapping[str, np.ndarray]) -> None:
    write.write_group(job.run.store, f"statistics/{kind}/{job.name}", data, attributes=job.made_with)
