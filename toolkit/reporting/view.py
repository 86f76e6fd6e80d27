"""Every number and word on a page, taken from a store and nothing else. Templates only place them.

Shares and rates are in [0, 1]; NaN where there is no value. ``Page`` objects are plain data.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.errors import StoreError
from toolkit.reporting.wording import REPRESENTATION_NAMES, Estimate, maps_name, marked, plain
from toolkit.store.read import attributes, class_names, read_whole, section
from toolkit.store.schema import CORRECT, LEFT_OUT, MAPS, OK

SOURCE_NAMES = {
    "synthetic": "synthetic urban corpus",
    "urbansound8k": "UrbanSound8K",
    "pictures": "spectrogram pictures",
    "manifest": "own corpus",
}
NOTEWORTHY_CLIPPING = 1e-3
"""Share of samples at full scale from which a clip is called clipped."""


@dataclass(frozen=True)
class BandShare:
    """How much of the positive relevance lies in a band, and how much of what the network sees."""

    band: str
    share: Estimate
    input_share: float


@dataclass(frozen=True)
class FoldShare:
    """What the network of one fold finds."""

    fold: int
    n_recordings: int
    agreement: float
    top_band: str
    top_share: float
    shares: tuple[float, ...]
    """Share of positive relevance by band."""
    mean_relevance: np.ndarray
    """Shape (bin, frame)."""


@dataclass(frozen=True)
class Region:
    """Mean maps and shares of one class, outcome, representation and composite."""

    representation: str
    composite: str
    outcome: str
    n_clips: int
    n_recordings: int
    bands: tuple[BandShare, ...]
    folds: tuple[FoldShare, ...]
    in_padding: float
    conservation: float
    frequency: np.ndarray
    time: np.ndarray
    mean_level_db: np.ndarray
    mean_relevance: np.ndarray
    is_nominal: bool = False
    """Whether frequencies are supposed, not measured; then names of bands say so."""

    @property
    def top(self) -> BandShare:
        """The band with the largest share of positive relevance."""
        return max(self.bands, key=lambda band: -1.0 if np.isnan(band.share.value) else band.share.value)

    @property
    def name(self) -> str:
        """What made the map, in words."""
        return maps_name(self.representation, self.composite)


@dataclass(frozen=True)
class FoldScore:
    """How one network did on the clips of its held-out fold that are of one class."""

    fold: int
    n_clips: int
    n_recordings: int
    recall: float
    precision: float


@dataclass(frozen=True)
class ClassScore:
    """How the networks of one representation classify one class."""

    representation: str
    recall: Estimate
    precision: Estimate
    folds: tuple[FoldScore, ...]
    confused_with: tuple[tuple[str, int], ...]
    """Other classes that its clips were called, with clips, most first."""

    @property
    def n_clips(self) -> int:
        """Clips of the class that were classified."""
        return sum(fold.n_clips for fold in self.folds)


@dataclass(frozen=True)
class Training:
    """How the network of one fold was trained."""

    fold: int
    n_training_clips: int
    n_validation_clips: int
    n_later_clips: int
    n_epochs: int
    best_epoch: int
    validation_accuracy: float
    export_difference: float


@dataclass(frozen=True)
class FoldAccuracy:
    """How the network of one fold classifies the clips that were held out from it."""

    fold: int
    accuracy: Estimate
    chance: float
    is_chance: bool


@dataclass(frozen=True)
class Calibration:
    """Whether the probability of the named class is how often the network is right."""

    error: float
    """Expected calibration error."""
    error_by_chance: float
    """That of a perfectly calibrated network on as many clips, were they independent."""
    brier: Estimate
    """From 0 to 2."""
    bins: tuple[tuple[int, float, Estimate], ...]
    """Clips, mean confidence and accuracy, confidence rising."""


@dataclass(frozen=True)
class Score:
    """How the networks of one representation classify."""

    representation: str
    accuracy: Estimate
    mean_fold_accuracy: Estimate
    """Mean over folds with the interval of Nadeau and Bengio."""
    macro_f1: Estimate
    mcc: Estimate
    """Matthews correlation in [-1, 1]."""
    calibration: Calibration
    folds: tuple[FoldAccuracy, ...]
    class_names: tuple[str, ...]
    confusion: np.ndarray
    fold_confusion: np.ndarray
    n_clips: int
    n_recordings: int
    chance: float
    """Share of the largest class: what always naming it would reach."""
    is_chance: bool
    training: tuple[Training, ...]

    @property
    def worst_confusion(self) -> tuple[str, str, int] | None:
        """The true class, the class named instead and the clips of the most frequent confusion."""
        others = self.confusion * (1 - np.eye(len(self.confusion), dtype=int))
        true, called = np.unravel_index(int(others.argmax()), others.shape)
        n_clips = int(others[true, called])
        return (self.class_names[true], self.class_names[called], n_clips) if n_clips else None

    @property
    def chance_folds(self) -> tuple[int, ...]:
        """Folds whose network alone is not known to be better than chance."""
        return tuple(fold.fold for fold in self.folds if fold.is_chance)


@dataclass(frozen=True)
class Fault:
    """A clip that was left out, or a fault of the catalogue."""

    subject: str
    reason: str


@dataclass(frozen=True)
class Signal:
    """What to know of the sound as it was delivered."""

    n_clipped: int
    n_low_rate: int
    """Clips recorded at less than the rate of the analysis."""
    lowest_rate_hz: int
    rate_hz: int
    """Rate of the analysis."""


@dataclass(frozen=True)
class ClassView:
    """The page of one class."""

    name: str
    file: str
    n_clips: int
    n_recordings: int
    n_left_out: int
    n_foreground: int
    n_background: int
    scores: tuple[ClassScore, ...]
    regions: tuple[Region, ...]
    faults: tuple[Fault, ...]

    def region(self, representation: str, composite: str, outcome: str) -> Region | None:
        """Return one of the regions."""
        for region in self.regions:
            if (region.representation, region.composite, region.outcome) == (
                representation,
                composite,
                outcome,
            ):
                return region
        return None

    @property
    def is_classified(self) -> bool:
        """Whether any of its clips has been classified."""
        return any(score.n_clips for score in self.scores)

    @property
    def correct(self) -> tuple[Region, ...]:
        """Regions of the correctly classified clips that have any."""
        return tuple(region for region in self.regions if region.outcome == CORRECT and region.n_clips)


@dataclass(frozen=True)
class Overview:
    """What all pages share."""

    dataset: str
    source: str
    class_names: tuple[str, ...]
    files: Mapping[str, str]
    """Page of each class."""
    folds: tuple[int, ...]
    n_clips: int
    n_recordings: int
    n_left_out: int
    n_usable: int
    """Clips that were read."""
    scores: tuple[Score, ...]
    faults: tuple[Fault, ...]
    notes: tuple[Fault, ...]
    """Properties of the corpus that are no faults but should be known."""
    signal: Signal
    is_nominal: bool
    parameters: tuple[tuple[str, str], ...]
    confidence: float
    n_bootstrap: int
    alpha: float
    minimum_ratio: float
    minimum_recordings: int
    share_floor: float
    """Added to shares before ratios, in units of an even spread."""
    target: str


def read_overview(store: Path) -> Overview:
    """Return what every page of a store shares.

    Raises
    ------
    StoreError
        The store has no statistics yet.
    """
    about = attributes(store)
    clips = read_whole(store, "clips")
    names = class_names(store)
    groups = statistics_groups(store)
    if not groups:
        raise StoreError(f"{store}: holds no statistics to report; run `toolkit statistics` first")
    settings = section(attributes(store / "statistics" / groups[0]), "statistics")
    return Overview(
        dataset=SOURCE_NAMES.get(str(about["source"]), str(about["source"])),
        source=str(about["source"]),
        class_names=names,
        files=page_files(names),
        folds=tuple(sorted({int(fold) for fold in clips["fold"]})),
        n_clips=len(clips["clip"]),
        n_recordings=_n_recordings(clips),
        n_left_out=int((clips["status"] == LEFT_OUT).sum()),
        n_usable=int((clips["status"] == OK).sum()),
        scores=tuple(
            _score(store, group.split("/")[1]) for group in groups if group.startswith("performance/")
        ),
        faults=(*_problems(store, "fault"), *_clip_faults(clips, np.ones(len(clips["clip"]), bool))),
        notes=_problems(store, "note"),
        signal=_signal(clips, about),
        is_nominal=bool(about["nominal"]),
        parameters=_parameters(store, about),
        confidence=float(settings["confidence"]),
        n_bootstrap=int(settings["n_bootstrap"]),
        alpha=float(settings["alpha"]),
        minimum_ratio=float(settings["minimum_ratio"]),
        minimum_recordings=int(settings["minimum_recordings"]),
        share_floor=float(settings["share_floor"]),
        target=_target(store),
    )


def read_class(store: Path, name: str) -> ClassView:
    """Return the page of one class."""
    names = class_names(store)
    clips = read_whole(store, "clips")
    mine = clips["class_name"] == name
    groups = [group.split("/") for group in statistics_groups(store)]
    return ClassView(
        name=name,
        file=page_files(names)[name],
        n_clips=int(mine.sum()),
        n_recordings=_n_recordings({key: values[mine] for key, values in clips.items()}),
        n_left_out=int((clips["status"][mine] == LEFT_OUT).sum()),
        n_foreground=int((clips["salience"][mine] == 1).sum()),
        n_background=int((clips["salience"][mine] == 2).sum()),
        scores=tuple(
            _class_score(store, group[1], names.index(name)) for group in groups if group[0] == "performance"
        ),
        regions=tuple(
            region
            for group in groups
            if group[0] == "regions"
            for region in _regions(store, group[1], group[2], names.index(name))
        ),
        faults=_clip_faults(clips, mine),
    )


def statistics_groups(store: Path) -> list[str]:
    """Return the groups of figures in a store, such as 'regions/mel/lrp.epsilon'; mel before constant-Q."""
    base = store / "statistics"
    patterns = ("agreement/*/*", "agreement/*/*/*", "performance/*", "regions/*/*")
    found = [path for pattern in patterns for path in base.glob(f"{pattern}/class_name") if path.is_dir()]
    names = [path.parent.relative_to(base).as_posix() for path in found]
    order = _order(store)
    return sorted(names, key=lambda name: (name.split("/")[0], order(name.split("/")[1:])))


def groups_in(store: Path, kind: str) -> list[tuple[str, str]]:
    """Return the representations and composites that a store has groups of a kind of.

    Mel comes before constant-Q; composites come as the run's settings name them.
    """
    keys = [path.parent.parts[-2:] for path in store.glob(f"{kind}/*/*/zarr.json")]
    return sorted(((first, second) for first, second in keys), key=_order(store))


def _order(store: Path) -> Callable[[Sequence[str]], list[tuple[int, str]]]:
    """Return what sorts names of representations and composites: as the run does, others by name at the end."""
    explained = sorted((*store.glob(f"{MAPS}/*/*/zarr.json"), *store.glob("explanations/*/*/zarr.json")))
    named = [section(attributes(path.parent), "explanation").get("composites", ()) for path in explained[:1]]
    known = [*REPRESENTATION_NAMES, *(name for names in named for name in names)]
    return lambda names: [(known.index(name) if name in known else len(known), name) for name in names]


def page_files(class_names: Sequence[str]) -> dict[str, str]:
    """Return the file name of each class's page; names that would collide get a number."""
    stems = unique_names(class_names, r"[^A-Za-z0-9_-]", taken=("index",))
    return {name: f"{stem}.html" for name, stem in stems.items()}


def unique_names(names: Iterable[str], unfit: str, taken: Iterable[str]) -> dict[str, str]:
    """Return a name for files by each name: what is unfit becomes '_', and what would collide gets a number.

    Upper and lower case are one, as some file systems have it.

    Parameters
    ----------
    names
        Names.
    unfit
        Regular expression of what does not belong into the name of a file.
    taken
        Names that are not to be given.
    """
    found: dict[str, str] = {}
    gone = {name.lower() for name in taken}
    for name in names:
        stem = unique = re.sub(unfit, "_", name) or "_"
        number = 2
        while unique.lower() in gone:
            unique, number = f"{stem}_{number}", number + 1
        gone.add(unique.lower())
        found[name] = unique
    return found


_OF_REGION = (
    "outcome",
    "band",
    "fold",
    "frequency",
    "time",
    "n_clips",
    "n_recordings",
    "band_share",
    "band_share_low",
    "band_share_high",
    "band_input_share",
    "fold_band_share",
    "fold_n_recordings",
    "fold_agreement",
    "fold_mean_relevance",
    "relevance_in_padding",
    "relevance_sum_ratio",
    "mean_level_db",
    "mean_relevance",
)


def _regions(store: Path, representation: str, composite: str, label: int) -> list[Region]:
    data = read_whole(store, f"statistics/regions/{representation}/{composite}", _OF_REGION)
    is_nominal = bool(attributes(store)["nominal"])
    data["band"] = np.array(marked(data["band"], is_nominal=is_nominal), dtype=object)
    data["is_nominal"] = np.array(is_nominal)
    return [_region(data, (representation, composite), label, place) for place in range(len(data["outcome"]))]


def _region(data: Mapping[str, np.ndarray], made_by: tuple[str, str], label: int, outcome: int) -> Region:
    at = (label, outcome)
    bands = tuple(
        BandShare(
            str(band),
            Estimate(
                *(float(data[key][at][number]) for key in ("band_share", "band_share_low", "band_share_high"))
            ),
            float(data["band_input_share"][at][number]),
        )
        for number, band in enumerate(data["band"])
    )
    return Region(
        representation=made_by[0],
        composite=made_by[1],
        outcome=str(data["outcome"][outcome]),
        n_clips=int(data["n_clips"][at]),
        n_recordings=int(data["n_recordings"][at]),
        bands=bands,
        folds=tuple(_fold_share(data, at, number) for number in range(len(data["fold"]))),
        in_padding=float(data["relevance_in_padding"][at]),
        conservation=float(data["relevance_sum_ratio"][at]),
        frequency=data["frequency"],
        time=data["time"],
        mean_level_db=data["mean_level_db"][at],
        mean_relevance=data["mean_relevance"][at],
        is_nominal=bool(data["is_nominal"]),
    )


def _fold_share(data: Mapping[str, np.ndarray], at: tuple[int, int], number: int) -> FoldShare:
    shares = data["fold_band_share"][at][number]
    known = np.isfinite(shares).any()
    top = int(np.nanargmax(shares)) if known else 0
    return FoldShare(
        fold=int(data["fold"][number]),
        n_recordings=int(data["fold_n_recordings"][at][number]),
        agreement=float(data["fold_agreement"][at][number]),
        top_band=str(data["band"][top]) if known else "",
        top_share=float(shares[top]),
        shares=tuple(shares.tolist()),
        mean_relevance=data["fold_mean_relevance"][at][number],
    )


def _score(store: Path, representation: str) -> Score:
    data = read_whole(store, f"statistics/performance/{representation}")
    confusion = data["confusion"].sum(axis=0)
    return Score(
        representation=representation,
        accuracy=Estimate.of(data, "accuracy"),
        mean_fold_accuracy=Estimate.of(data, "mean_fold_accuracy"),
        macro_f1=Estimate.of(data, "macro_f1"),
        mcc=Estimate.of(data, "mcc"),
        calibration=_calibration(data),
        folds=tuple(
            FoldAccuracy(
                fold=int(fold),
                accuracy=Estimate.of(data, "fold_accuracy", place),
                chance=float(data["fold_chance"][place]),
                is_chance=bool(data["fold_is_chance"][place]),
            )
            for place, fold in enumerate(data["fold"])
        ),
        class_names=tuple(str(name) for name in data["class_name"]),
        confusion=confusion,
        fold_confusion=data["confusion"],
        n_clips=int(confusion.sum()),
        n_recordings=int(data["n_recordings"].sum()),
        chance=float(data["chance"]),
        is_chance=bool(data["is_chance"]),
        training=_training(store, representation),
    )


def _calibration(data: Mapping[str, np.ndarray]) -> Calibration:
    return Calibration(
        error=float(data["ece"]),
        error_by_chance=float(data["ece_expected"]),
        brier=Estimate.of(data, "brier"),
        bins=tuple(
            (
                int(n_clips),
                float(data["reliability_confidence"][place]),
                Estimate.of(data, "reliability_accuracy", place),
            )
            for place, n_clips in enumerate(data["reliability_n_clips"])
            if n_clips
        ),
    )


_OF_CLASS_SCORE = (
    "fold",
    "predicted_class",
    "confusion",
    "n_recordings",
    "fold_recall",
    "fold_precision",
    "recall",
    "recall_low",
    "recall_high",
    "precision",
    "precision_low",
    "precision_high",
)


def _class_score(store: Path, representation: str, label: int) -> ClassScore:
    data = read_whole(store, f"statistics/performance/{representation}", _OF_CLASS_SCORE)
    called = data["confusion"].sum(axis=0)[label]
    others = [place for place in np.argsort(-called, kind="stable") if place != label and called[place]]
    folds = [
        FoldScore(
            fold=int(fold),
            n_clips=int(data["confusion"][number, label].sum()),
            n_recordings=int(data["n_recordings"][number, label]),
            recall=float(data["fold_recall"][number, label]),
            precision=float(data["fold_precision"][number, label]),
        )
        for number, fold in enumerate(data["fold"])
    ]
    return ClassScore(
        representation=representation,
        recall=Estimate.of(data, "recall", label),
        precision=Estimate.of(data, "precision", label),
        folds=tuple(folds),
        confused_with=tuple((str(data["predicted_class"][place]), int(called[place])) for place in others),
    )


def _training(store: Path, representation: str) -> tuple[Training, ...]:
    group = f"training/{representation}"
    if not (store / group).exists():
        return ()
    data = read_whole(store, group)
    return tuple(
        Training(
            fold=int(fold),
            n_training_clips=int(data["n_training_clips"][number]),
            n_validation_clips=int(data["n_validation_clips"][number]),
            n_later_clips=int(data["n_later_clips"][number]),
            n_epochs=int(np.isfinite(data["loss"][number]).sum()),
            best_epoch=int(data["best_epoch"][number]),
            validation_accuracy=float(data["validation_accuracy"][number, data["best_epoch"][number] - 1]),
            export_difference=float(data["export_difference"][number]),
        )
        for number, fold in enumerate(data["fold"])
    )


def _problems(store: Path, severity: str) -> tuple[Fault, ...]:
    data = read_whole(store, "problems")
    rows = np.flatnonzero(data["severity"] == severity)
    return tuple(Fault(str(data["subject"][row]), str(data["reason"][row])) for row in rows)


def _signal(clips: Mapping[str, np.ndarray], about: Mapping[str, object]) -> Signal:
    rate_hz = int(section(about, "features")["sample_rate_hz"])
    rates_hz = clips["native_rate_hz"]
    low = (rates_hz > 0) & (rates_hz < rate_hz)
    return Signal(
        n_clipped=int((clips["clipped_share"] > NOTEWORTHY_CLIPPING).sum()),
        n_low_rate=int(low.sum()),
        lowest_rate_hz=int(rates_hz[low].min(initial=rate_hz)),
        rate_hz=rate_hz,
    )


def _clip_faults(clips: Mapping[str, np.ndarray], mine: np.ndarray) -> tuple[Fault, ...]:
    rows = np.flatnonzero(mine & (clips["status"] == LEFT_OUT))
    return tuple(
        Fault(str(clips["path"][row]), str(clips["error"][row]).removeprefix(f"{clips['path'][row]}: "))
        for row in rows
    )


def _n_recordings(clips: Mapping[str, np.ndarray]) -> int:
    return len(set(zip(clips["label"].tolist(), clips["recording"].tolist(), strict=True)))


def _parameters(store: Path, about: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return what the results depend on, as names and values; of groups that differ, the value of each."""
    found: dict[str, dict[str, str]] = {}
    for name, value in section(about, "features").items():
        found[f"features.{name}"] = {"": plain(value)}
    for kind, pattern in (
        ("training", "training/*"),
        ("explanation", "relevance/*/*"),
        ("statistics", "statistics/performance/*"),
        ("statistics", "statistics/regions/*/*"),
    ):
        for path in sorted(store.glob(f"{pattern}/zarr.json")):
            known, group = attributes(path.parent), path.parent.relative_to(store).as_posix()
            for name, value in section(known, kind).items():
                found.setdefault(f"{kind}.{name}", {})[group] = plain(value)
            if "seed" in known:
                found.setdefault("seed", {})[group] = plain(known["seed"])
    rows: list[tuple[str, str]] = []
    for name, by_group in sorted(found.items()):
        is_one = len(set(by_group.values())) == 1
        named = {"": next(iter(by_group.values()))} if is_one else by_group
        rows += [(f"{name} {group}".rstrip(), value) for group, value in named.items()]
    return tuple(rows)


def _target(store: Path) -> str:
    for path in sorted(store.glob("relevance/*/*/zarr.json")):
        explanation = attributes(path.parent).get("explanation")
        if isinstance(explanation, Mapping):
            return str(explanation.get("target"))
    return ""
