"""What tests and estimates say of a class by one representation and composite, as plain data from a store.

Shares and rates are in [0, 1], ratios above 0, p in (0, 1]; NaN where there is no value. Nothing here is a
sentence: these are the numbers that ``toolkit.reporting.verdicts`` makes sentences from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolkit.reporting.view import groups_in
from toolkit.reporting.wording import Estimate, maps_name, marked
from toolkit.store.read import attributes, holds, read_whole
from toolkit.store.schema import CONTRASTS, CORRECT, INPUT, MAPS, OUTCOMES, REST

Table = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Limits:
    """What had to hold before a band was named."""

    alpha: float
    """Largest corrected p."""
    minimum_ratio: float
    minimum_recordings: int
    confidence: float
    """Of intervals."""


@dataclass(frozen=True)
class Networks:
    """How the networks classify whose maps these are."""

    n_networks: int
    accuracy: Estimate
    chance: float
    is_chance: bool
    chance_folds: tuple[int, ...]
    """Folds whose network alone is not known to be better than chance."""


@dataclass(frozen=True)
class BandTest:
    """One band in one contrast."""

    band: str
    ratio: Estimate
    p: float
    """Corrected for bands, classes and contrasts."""
    verdict: int
    """1 more, -1 less, 0 neither can be said."""
    effect_size: float
    n_folds: int
    n_folds_alike: int
    least_ratio: float
    """With one fold left out."""
    largest_ratio: float
    is_common: bool
    """Whether the ratio of every class lies on one side of 1, beyond the limit."""


@dataclass(frozen=True)
class Contrast:
    """One question asked of a class: 'input' or 'rest'."""

    name: str
    n_recordings: int
    is_kept: bool
    """Whether the run kept for any class what this is made from."""
    p: float
    """Corrected for classes and contrasts; NaN where no test was made."""
    bands: tuple[BandTest, ...]
    bin_ratio: np.ndarray
    """Of each frequency bin with its limits, shape (3, bin)."""
    bin_cluster_p: np.ndarray
    """Of the cluster that the bin is in, NaN outside, shape (bin,)."""
    bin_inclusion: np.ndarray
    """Shape (bin,)."""

    @property
    def is_tested(self) -> bool:
        """Whether a test was made."""
        return bool(np.isfinite(self.p))

    def is_certain(self, alpha: float) -> np.ndarray:
        """Return which bins lie in a cluster that is certain for all classes and contrasts, shape (bin,)."""
        return np.asarray((self.bin_cluster_p <= alpha) & (self.p <= alpha))

    def named(self, side: int) -> tuple[BandTest, ...]:
        """Return the bands whose verdict is 1 or -1."""
        return tuple(band for band in self.bands if band.verdict == side and np.isfinite(band.ratio.value))


@dataclass(frozen=True)
class BandShares:
    """What lies in a band, correctly classified clips."""

    band: str
    share: Estimate
    """Of positive relevance."""
    input_share: float
    power_share: float
    share_per_hz: float
    share_per_erb: float
    icc: float
    design_effect: float
    power_ratio: Estimate
    power_p: float
    object_density: float
    """Of the labelled object, in [0, 1]; NaN but for synthetic clips."""


@dataclass(frozen=True)
class InTime:
    """Where in time from the onset relevance exceeds input, as far as a test of bands and time tells."""

    p: float
    """Corrected for classes."""
    when_s: float
    """Middle of the cells in question; NaN where they are spread over most of the time that was tested."""
    bands: tuple[str, ...]
    """That hold most of them."""
    time_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Starts of time bins, from the onset."""
    ratio: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    """Of the share of a band's relevance at a time to that of its input, shape (band, time)."""
    is_tested: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    """Where recordings were enough, shape (band, time)."""
    is_certain: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    """Cells in a cluster that is certain for all classes, shape (band, time)."""


@dataclass(frozen=True)
class Comparison:
    """Two kinds of clips of the class."""

    name: str
    n_first: int
    n_second: int
    correlation: float
    ratios: tuple[Estimate, ...]
    """By band."""


@dataclass(frozen=True)
class InBoth:
    """What the class's profile in one representation has in common with that in the other."""

    is_chance: bool
    """Whether the networks of one of them are not known to be better than chance."""
    n_recordings: int
    """With correctly classified clips in both."""
    correlation: Estimate
    overlap: float
    most_alike: str
    """Class whose constant-Q profile the mel profile of this class is most like; '' where not known."""
    named: Mapping[tuple[str, int], tuple[str, ...]]
    """Bands by contrast and side that both name."""
    representations: tuple[str, ...] = ()
    frequency: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Centres of third-octaves in Hz, ascending."""
    ratio: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    """Of relevance to input, shape (representation, frequency)."""


@dataclass(frozen=True)
class OtherComposite:
    """The same class by another composite."""

    composite: str
    is_same_method: bool
    correlation: Estimate
    map_correlation: float


@dataclass(frozen=True)
class OtherSeed:
    """The same class by networks trained from another seed."""

    seed: int
    correlation: Estimate
    map_correlation: float
    n_alike: int
    """Bands and contrasts of which both say the same."""
    n_verdicts: int
    """Bands and contrasts of which either says anything."""


@dataclass(frozen=True)
class Evidence:
    """All that is known of where the relevance of one class lies, by one representation and composite."""

    class_name: str
    representation: str
    composite: str
    target: str
    """What maps explain: 'predicted', 'label' or the name of a class."""
    is_nominal: bool
    limits: Limits
    networks: Networks
    frequency: np.ndarray
    """Centres of the bins in Hz, ascending."""
    bands: tuple[BandShares, ...]
    contrasts: Mapping[str, Contrast]
    in_time: InTime
    in_padding: float
    at_edge: float
    comparisons: tuple[Comparison, ...]
    in_both: InBoth | None
    composites: tuple[OtherComposite, ...]
    seeds: tuple[OtherSeed, ...]

    @property
    def has_ratios(self) -> bool:
        """Whether any bin has a ratio in any contrast."""
        return any(np.isfinite(contrast.bin_ratio[0]).any() for contrast in self.contrasts.values())

    @property
    def name(self) -> str:
        """What made the maps, in words."""
        return maps_name(self.representation, self.composite)

    @property
    def input(self) -> Contrast:
        """Relevance against the network's input."""
        return self.contrasts[INPUT]

    @property
    def rest(self) -> Contrast:
        """The class against all others."""
        return self.contrasts[REST]


def read_evidence(store: Path) -> tuple[Evidence, ...]:
    """Return the evidence of every class, then representation (mel first), then composite."""
    groups = [_read_group(store, *key) for key in groups_in(store, "statistics/regions")]
    n_classes = len(groups[0].table["class_name"]) if groups else 0
    return tuple(_evidence(group, label) for label in range(n_classes) for group in groups)


@dataclass(frozen=True)
class _Group:
    """The figures of all classes by one representation and composite."""

    representation: str
    composite: str
    target: str
    is_nominal: bool
    limits: Limits
    networks: Networks
    table: Table
    bands: Sequence[str]
    is_common: np.ndarray
    """As ``_is_common`` returns it."""
    in_both: Table | None
    is_chance_in_one: bool
    """Whether the networks of any representation are not known to be better than chance."""
    composites: Table | None
    seeds: Table | None


def _read_group(store: Path, representation: str, composite: str) -> _Group:
    group = f"{representation}/{composite}"
    table = read_whole(store, f"statistics/regions/{group}", _names(store, group))
    scores = read_whole(store, f"statistics/performance/{representation}", _OF_NETWORKS)
    is_nominal = bool(attributes(store)["nominal"])
    limits = _limits(attributes(store / f"statistics/regions/{group}"))
    return _Group(
        representation=representation,
        composite=composite,
        target=_target(attributes(store / MAPS / group)),
        is_nominal=is_nominal,
        limits=limits,
        networks=_networks(scores, table),
        table=table,
        bands=marked(table["band"], is_nominal=is_nominal),
        is_common=_is_common(table["band_ratio"], limits.minimum_ratio),
        in_both=_agreement(store, f"representations/{composite}"),
        is_chance_in_one=any(
            _is_chance(path.parent) for path in store.glob("statistics/performance/*/zarr.json")
        ),
        composites=_agreement(store, f"composites/{representation}"),
        seeds=_agreement(store, f"seeds/{group}"),
    )


def _evidence(group: _Group, label: int) -> Evidence:
    table = group.table
    mine = {key: values[label] for key, values in table.items() if key not in _AXES}
    return Evidence(
        class_name=str(table["class_name"][label]),
        representation=group.representation,
        composite=group.composite,
        target=group.target,
        is_nominal=group.is_nominal,
        limits=group.limits,
        networks=group.networks,
        frequency=table["frequency"],
        bands=_band_shares(mine, group.bands),
        contrasts={kind: _contrast(group, mine, place) for place, kind in enumerate(CONTRASTS)},
        in_time=_in_time(mine, group.bands, table["aligned_time"], group.limits.alpha),
        in_padding=float(mine["relevance_in_padding"][_CORRECT]),
        at_edge=float(mine["relevance_at_edge"][_CORRECT]),
        comparisons=_comparisons(mine, table["comparison"]),
        in_both=_in_both(group, label),
        composites=_other_composites(group, label),
        seeds=_other_seeds(group, label),
    )


_CORRECT = OUTCOMES.index(CORRECT)
_AXES = frozenset({"class_name", "contrast", "fold", "band", "frequency", "comparison", "aligned_time"})
_OF_CONTRAST = (
    "contrast_n_recordings",
    "p_holm",
    "bin_ratio",
    "bin_ratio_low",
    "bin_ratio_high",
    "bin_cluster_p",
    "bin_inclusion",
    "band_ratio",
    "band_ratio_low",
    "band_ratio_high",
    "band_p_corrected",
    "band_verdict",
    "band_effect_size",
    "n_folds",
    "n_folds_alike",
    "ratio_left_out_low",
    "ratio_left_out_high",
)
_OF_OUTCOME = (
    "band_share",
    "band_share_low",
    "band_share_high",
    "band_input_share",
    "band_power_share",
    "band_share_per_hz",
    "band_share_per_erb",
    "relevance_in_padding",
    "relevance_at_edge",
)
_OF_CLASS = (
    "icc",
    "design_effect",
    "power_ratio",
    "power_ratio_low",
    "power_ratio_high",
    "power_p",
    "aligned_ratio",
    "aligned_t",
    "aligned_cluster_p",
    "aligned_p_holm",
    "comparison_n_first",
    "comparison_n_second",
    "comparison_ratio",
    "comparison_ratio_low",
    "comparison_ratio_high",
    "comparison_correlation",
)
_OBJECT = "band_object_density"
_OF_NETWORKS = (
    "fold",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "chance",
    "is_chance",
    "fold_is_chance",
)


def _names(store: Path, group: str) -> tuple[str, ...]:
    known = (*sorted(_AXES), *_OF_CONTRAST, *_OF_OUTCOME, *_OF_CLASS)
    has_object = (store / f"statistics/regions/{group}/{_OBJECT}").exists()
    return (*known, _OBJECT) if has_object else known


def _limits(about: Mapping[str, object]) -> Limits:
    settings = about["statistics"]
    if not isinstance(settings, Mapping):
        raise TypeError(f"statistics={settings!r} is no table of settings")
    return Limits(
        alpha=float(settings["alpha"]),
        minimum_ratio=float(settings["minimum_ratio"]),
        minimum_recordings=int(settings["minimum_recordings"]),
        confidence=float(settings["confidence"]),
    )


def _target(made: Mapping[str, object]) -> str:
    explanation = made.get("explanation")
    return str(explanation["target"]) if isinstance(explanation, Mapping) else "predicted"


def _networks(scores: Table, table: Table) -> Networks:
    return Networks(
        n_networks=len(table["fold"]),
        accuracy=Estimate.of(scores, "accuracy"),
        chance=float(scores["chance"]),
        is_chance=bool(scores["is_chance"]),
        chance_folds=tuple(scores["fold"][scores["fold_is_chance"]].tolist()),
    )


def _is_common(ratio: np.ndarray, minimum_ratio: float) -> np.ndarray:
    """Return where every class is beyond the limit on one side of input, booleans, shape (contrast, band).

    Parameters
    ----------
    ratio
        Shape (class, contrast, band).
    minimum_ratio
        The limit.
    """
    known = np.isfinite(ratio)
    # Classes cannot all have more than the others: their contrast is free of what networks do to every class.
    known[:, CONTRASTS.index(REST)] = False
    more = (ratio >= minimum_ratio) | ~known
    less = (ratio <= 1 / minimum_ratio) | ~known
    return np.asarray((known.sum(axis=0) > 1) & (more.all(axis=0) | less.all(axis=0)))


def _band_shares(mine: Table, bands: Sequence[str]) -> tuple[BandShares, ...]:
    density = mine.get(_OBJECT, np.full(len(bands), np.nan))
    return tuple(
        BandShares(
            band=band,
            share=Estimate.of(mine, "band_share", _CORRECT, number),
            input_share=float(mine["band_input_share"][_CORRECT, number]),
            power_share=float(mine["band_power_share"][_CORRECT, number]),
            share_per_hz=float(mine["band_share_per_hz"][_CORRECT, number]),
            share_per_erb=float(mine["band_share_per_erb"][_CORRECT, number]),
            icc=float(mine["icc"][number]),
            design_effect=float(mine["design_effect"][number]),
            power_ratio=Estimate.of(mine, "power_ratio", number),
            power_p=float(mine["power_p"][number]),
            object_density=float(density[number]),
        )
        for number, band in enumerate(bands)
    )


def _contrast(group: _Group, mine: Table, place: int) -> Contrast:
    return Contrast(
        name=CONTRASTS[place],
        n_recordings=int(mine["contrast_n_recordings"][place]),
        is_kept=bool((group.table["contrast_n_recordings"][:, place] > 0).any()),
        p=float(mine["p_holm"][place]),
        bands=tuple(
            BandTest(
                band=band,
                ratio=Estimate.of(mine, "band_ratio", place, number),
                p=float(mine["band_p_corrected"][place, number]),
                verdict=int(mine["band_verdict"][place, number]),
                effect_size=float(mine["band_effect_size"][place, number]),
                n_folds=int(mine["n_folds"][place, number]),
                n_folds_alike=int(mine["n_folds_alike"][place, number]),
                least_ratio=float(mine["ratio_left_out_low"][place, number]),
                largest_ratio=float(mine["ratio_left_out_high"][place, number]),
                is_common=bool(group.is_common[place, number]),
            )
            for number, band in enumerate(group.bands)
        ),
        bin_ratio=np.stack([mine[f"bin_ratio{end}"][place] for end in ("", "_low", "_high")]),
        bin_cluster_p=mine["bin_cluster_p"][place],
        bin_inclusion=mine["bin_inclusion"][place],
    )


def _in_time(mine: Table, bands: Sequence[str], time_s: np.ndarray, alpha: float) -> InTime:
    """Return where in time relevance exceeds input, as loosely as the test tells.

    A cluster of bands and times is found wherever a band as such has more relevance. Only where cells lie in
    less than half of the time that was tested is there something to say of time.
    """
    tested = np.isfinite(mine["aligned_t"])
    clustered = tested & (mine["aligned_cluster_p"] <= alpha)
    inside = clustered & (mine["aligned_t"] > 0)
    p = float(mine["aligned_p_holm"])
    cells = {
        "time_s": time_s,
        "ratio": mine["aligned_ratio"],
        "is_tested": tested,
        "is_certain": clustered & (p <= alpha),
    }
    if not inside.any() or 2 * inside.any(axis=0).sum() > tested.any(axis=0).sum():
        return InTime(p, float("nan"), (), **cells)
    of_band = inside.sum(axis=1)
    middle = np.median(np.broadcast_to(time_s, inside.shape)[inside])
    held = tuple(band for band, n in zip(bands, of_band, strict=True) if 4 * n >= of_band.sum())
    return InTime(p, float(middle), held or (bands[int(of_band.argmax())],), **cells)


def _comparisons(mine: Table, names: np.ndarray) -> tuple[Comparison, ...]:
    return tuple(
        Comparison(
            name=str(name),
            n_first=int(mine["comparison_n_first"][place]),
            n_second=int(mine["comparison_n_second"][place]),
            correlation=float(mine["comparison_correlation"][place]),
            ratios=tuple(
                Estimate.of(mine, "comparison_ratio", place, number)
                for number in range(mine["comparison_ratio"].shape[1])
            ),
        )
        for place, name in enumerate(names)
    )


def _in_both(group: _Group, label: int) -> InBoth | None:
    table = group.in_both
    if table is None:
        return None
    bands, verdict = marked(table["band"], is_nominal=group.is_nominal), table["band_verdict"][label]
    alike = table["class_correlation"][label]
    return InBoth(
        is_chance=group.is_chance_in_one,
        n_recordings=int(table["n_recordings"][label]),
        correlation=Estimate.of(table, "correlation", label),
        overlap=float(table["overlap"][label]),
        most_alike=str(table["other_class"][np.nanargmax(alike)]) if np.isfinite(alike).any() else "",
        named={
            (kind, side): tuple(band for band, said in zip(bands, verdict[place], strict=True) if said == side)
            for place, kind in enumerate(CONTRASTS)
            for side in (1, -1)
        },
        representations=tuple(str(name) for name in table["representation"]),
        frequency=table["frequency"],
        ratio=table["ratio"][label],
    )


def _other_composites(group: _Group, label: int) -> tuple[OtherComposite, ...]:
    table = group.composites
    if table is None:
        return ()
    pairs = list(zip(table["first"].tolist(), table["second"].tolist(), strict=True))
    return tuple(
        OtherComposite(
            composite=str(pair[1 - pair.index(group.composite)]),
            is_same_method=bool(table["is_same_method"][number]),
            correlation=Estimate.of(table, "correlation", label, number),
            map_correlation=float(table["map_correlation"][label, number]),
        )
        for number, pair in enumerate(pairs)
        if group.composite in pair
    )


def _other_seeds(group: _Group, label: int) -> tuple[OtherSeed, ...]:
    table = group.seeds
    if table is None:
        return ()
    return tuple(
        OtherSeed(
            seed=int(seed),
            correlation=Estimate.of(table, "correlation", label, run),
            map_correlation=float(table["map_correlation"][label, run]),
            n_alike=int(table["n_verdicts_alike"][label, run]),
            n_verdicts=int(table["n_verdicts"][label, run]),
        )
        for run, seed in enumerate(table["seed"])
    )


def _is_chance(performance: Path) -> bool:
    return bool(read_whole(performance.parent, performance.name, ("is_chance",))["is_chance"])


def _agreement(store: Path, name: str) -> Table | None:
    """Return a group of agreement; none where there is nothing to compare."""
    group = f"statistics/agreement/{name}"
    return read_whole(store, group) if holds(store, group) else None
