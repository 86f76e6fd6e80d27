"""Tests by permutation with recordings as the unit, and what they say of bins, bands and regions.

Two designs. ``OneSample``: values of recordings against zero; under the hypothesis their signs may be flipped
if they are as often above as below.
``AgainstRest``: recordings of a class against all others; under it, who belongs to the class may be
exchanged within each stratum (fold), so that what a fold's network does to all of its recordings cancels.

Welch's t is that of a fit with a constant for every stratum; its error, after HC2, is unbiased where spreads
are equal, whatever strata hold. Of one stratum it is Welch's own.

Flipping and exchange suppose symmetric values, or equal spreads. ``Resampled`` and ``ResampledAgainstRest`` do
not: they draw recordings with replacement from values less their mean, and are strict where recordings are few.
Asked together with the others (``test(design, ..., *also)``), they keep skewed values from looking like
effects. All use studentised statistics.

Neighbouring cells beyond a threshold form clusters of one sign. Their mass (sum of |t|) is compared with the
largest mass of every permutation: the p of a cluster says that something differs somewhere, not where it
begins or ends. The largest |t| of every permutation gives a corrected p for each cell.

References
----------
Maris & Oostenveld, J Neurosci Methods 164 (2007): cluster mass. Sassenhagen & Draschkow, Psychophysiology 56
(2019): what it does not say. Nichols & Holmes, Hum Brain Mapp 15 (2002): largest statistic. Smith & Nichols,
NeuroImage 44 (2009): threshold-free enhancement; MNE 1.12 weights all heights alike instead of by their square.
Chung & Romano, Ann Statist 41 (2013): studentised permutation.
MacKinnon & White, J Econometrics 29 (1985): HC2. Hall & Wilson, Biometrics 47 (1991): resampling
from what the hypothesis says.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from scipy import ndimage, stats

_CELLS_AT_ONCE = 1 << 19
_EXTENT_POWER, _HEIGHT_POWER, _HEIGHT_STEP = 0.5, 2.0, 0.2
_MOST_HEIGHT = 100.0
"""Beyond, t counts as this: draws that hold one recording only have no spread, and heights without end."""
_LEAST_VARIANCE = 1e-12
"""As a share of the mean square: below, differences of values are rounding."""
_ROUNDING = 1e-9
"""As a share of a value: what another order of sums may change. Draws that equal the data must count."""


class Design(Protocol):
    """What is compared, and how the data would be drawn anew if there were no difference."""

    @property
    def values(self) -> np.ndarray:
        """Of recordings, shape (recording, ...); NaN where a recording has none."""
        ...

    @property
    def freedom(self) -> int:
        """Degrees of freedom, at the least."""
        ...

    @property
    def observed(self) -> np.ndarray:
        """The data as they are, in the form of one draw, shape (recording,)."""
        ...

    def draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return ``n`` draws under the hypothesis, shape (draw, recording)."""
        ...

    def null(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return the statistic of ``n`` draws under the hypothesis, shape (draw, ...)."""
        ...

    def t(self, draws: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the statistic of every draw, shape (draw, ...); 0 where it has no value.

        Parameters
        ----------
        draws
            Shape (draw, recording).
        weights
            Of recordings in bootstrap replicates of the data as they are, shape (draw, recording).
        """
        ...


@dataclass(frozen=True)
class OneSample:
    """Values of recordings against zero."""

    values: np.ndarray

    @property
    def freedom(self) -> int:
        """Degrees of freedom."""
        return len(self.values) - 1

    @property
    def observed(self) -> np.ndarray:
        """No sign is flipped."""
        return np.ones(len(self.values))

    def draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return signs, shape (draw, recording)."""
        return 2.0 * rng.integers(0, 2, size=(n, len(self.values)), dtype=np.int8) - 1

    def null(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return t with signs flipped, shape (draw, ...)."""
        return self.t(self.draws(n, rng))

    def t(self, draws: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return Student's t, shape (draw, ...)."""
        present, values, squares = self._powers
        weights = np.ones((1, len(values))) if weights is None else weights
        n = weights @ present
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (draws * weights) @ values / n
            t = mean / np.sqrt(_squared_error(weights @ squares / n, mean, n))
        return _shaped(t, self.values)

    @cached_property
    def _powers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _powers(self.values)


@dataclass(frozen=True)
class Resampled(OneSample):
    """Values of recordings against zero, by the bootstrap of t."""

    def draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return how often each recording is drawn, shape (draw, recording)."""
        n_recordings = len(self.values)
        return rng.multinomial(n_recordings, np.full(n_recordings, 1 / n_recordings), size=n).astype(np.float64)

    def null(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return t of recordings drawn with replacement from values less their mean, shape (draw, ...)."""
        return self._less_mean.t(np.ones((1, len(self.values))), self.draws(n, rng))

    @cached_property
    def _less_mean(self) -> OneSample:
        return OneSample(centred(self.values, np.zeros(len(self.values))))


@dataclass(frozen=True)
class AgainstRest:
    """Recordings of a class against all others, whatever differs between strata taken away."""

    values: np.ndarray
    """Shape (recording, ...), none of them absent."""
    members: np.ndarray
    """Which recordings are of the class, booleans, shape (recording,)."""
    strata: np.ndarray
    """Stratum of each recording, shape (recording,)."""

    def __post_init__(self) -> None:
        """Check that no value is absent.

        Raises
        ------
        ValueError
            One is: whom a fit leaves out would differ from cell to cell.
        """
        if not np.isfinite(self.values).all():
            raise ValueError("values of recordings against the rest must all be known")

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the smaller group alone, which those of Welch are not below."""
        return int(min(self.members.sum(), (~self.members).sum())) - 1

    @property
    def observed(self) -> np.ndarray:
        """Who belongs to the class, 1 or 0."""
        return self.members.astype(np.float64)

    def draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return memberships exchanged within strata, shape (draw, recording)."""
        drawn = np.zeros((n, len(self.values)))
        for stratum in np.unique(self.strata):
            inside = np.flatnonzero(self.strata == stratum)
            drawn[:, inside] = rng.permuted(np.tile(self.members[inside], (n, 1)), axis=1)
        return drawn

    def null(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return t with memberships exchanged, shape (draw, ...)."""
        return self.t(self.draws(n, rng))

    def t(self, draws: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return Welch's t of the fit with a constant for every stratum, shape (draw, ...)."""
        _, values, squares = self._powers
        of_all = np.ones((1, len(values))) if weights is None else weights
        place, inside = self._strata
        n = np.maximum(of_all @ inside, _ROUNDING)
        apart = draws - ((draws * of_all) @ inside / n)[:, place]
        weighted = apart * of_all
        with np.errstate(divide="ignore", invalid="ignore"):
            total = (apart * weighted).sum(axis=1, keepdims=True)
            left = 1 - (1 / n)[:, place] - apart**2 / total
            # A recording that the fit must pass through has no residual, and none to be enlarged.
            share = np.where(left > _ROUNDING, apart * weighted / left, 0)
            difference = weighted @ values / total
            of_squares = share @ squares
            error = of_squares - 2 * difference * ((share * apart) @ values)
            error += difference**2 * (share * apart**2).sum(axis=1, keepdims=True)
            if weights is not None:
                error += self._error_of_means(weights, n, difference, share, apart)
            np.maximum(error, _LEAST_VARIANCE * of_squares, out=error)
            t = difference * total / np.sqrt(error)
        return _shaped(np.where(np.isfinite(t), t, np.nan), self.values)

    def _error_of_means(
        self, weights: np.ndarray, n: np.ndarray, difference: np.ndarray, share: np.ndarray, apart: np.ndarray
    ) -> np.ndarray:
        """Return what squared residuals lose to the means of strata, which are zero but for weights."""
        lost = np.zeros(difference.shape)
        _, values, _ = self._powers
        place, _ = self._strata
        for stratum in range(n.shape[1]):
            of = np.flatnonzero(place == stratum)
            mean = weights[:, of] @ values[of] / n[:, [stratum]]
            lost += mean**2 * share[:, of].sum(axis=1, keepdims=True) - 2 * mean * (share[:, of] @ values[of])
            lost += 2 * difference * mean * (share * apart)[:, of].sum(axis=1, keepdims=True)
        return lost

    @cached_property
    def _strata(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the place of each recording's stratum, (recording,), and members, (recording, stratum)."""
        names, place = np.unique(self.strata, return_inverse=True)
        return place, (place[:, None] == np.arange(len(names))).astype(np.float64)

    @cached_property
    def _powers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _powers(centred(self.values, self.strata))


@dataclass(frozen=True)
class ResampledAgainstRest(AgainstRest):
    """Recordings of a class against all others, by the bootstrap of t."""

    def draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return how often each recording is drawn, of the class and of the others, shape (draw, recording)."""
        drawn = np.zeros((n, len(self.values)))
        for part in (self.members, ~self.members):
            size = int(part.sum())
            drawn[:, part] = rng.multinomial(size, np.full(size, 1 / size), size=n)
        return drawn

    def null(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return t of recordings drawn with replacement, values less their side's mean, shape (draw, ...)."""
        alike = self._alike
        return alike.t(alike.observed[None], self.draws(n, rng))

    @cached_property
    def _alike(self) -> AgainstRest:
        values = centred(centred(self.values, self.strata), self.members)
        return AgainstRest(values, self.members, np.zeros(len(values)))


@dataclass(frozen=True)
class Recipe:
    """How tests are made."""

    n_permutations: int
    cluster_p: float
    """Two-sided p of one cell from which on it counts for a cluster."""
    alpha: float
    statistic: Literal["mass", "tfce"] = "mass"


@dataclass(frozen=True)
class Tested:
    """What a test says; cells have the shape of one recording's values."""

    t: np.ndarray
    cell_p: np.ndarray
    """Corrected over cells by the largest |t|."""
    cluster: np.ndarray
    """Number of the cluster that a cell is in, from 1; 0 for none."""
    cluster_t: np.ndarray
    """Sum of t over each cluster, signed, shape (cluster,)."""
    cluster_p: np.ndarray
    """Corrected over clusters, shape (cluster,)."""
    p: float
    """Of the hypothesis that nothing differs anywhere: the smallest of the clusters', 1 where there is none."""
    critical: float
    """Mass that a share ``alpha`` of permutations exceeds."""

    @property
    def p_by_cell(self) -> np.ndarray:
        """The p of the cluster that each cell is in; NaN outside clusters."""
        return np.concatenate([[np.nan], self.cluster_p])[self.cluster]


def threshold_of(design: Design, cluster_p: float) -> float:
    """Return the |t| from which on a cell counts for a cluster."""
    return float(stats.t.isf(cluster_p / 2, design.freedom))


def test(design: Design, recipe: Recipe, rng: np.random.Generator, *also: Design) -> Tested:
    """Test whether anything differs anywhere.

    Parameters
    ----------
    design
        What is compared, values of shape (recording, ...); cells that touch along an axis are neighbours.
    recipe
        How.
    rng
        Draws.
    also
        Designs with the same statistic and another way of drawing. Of every p, the largest counts.
    """
    threshold = threshold_of(design, recipe.cluster_p)
    observed = design.t(design.observed[None])
    enhance = recipe.statistic == "tfce"
    height = enhanced(observed) if enhance else observed
    null_t, null_mass = [], []
    for each in (design, *also):
        largest, masses = [], []
        for t in _blocks(each, recipe.n_permutations, rng):
            largest.append(_most(t))
            masses.append(_most(enhanced(t)) if enhance else largest_mass(t, threshold))
        null_t.append(np.concatenate(largest))
        null_mass.append(np.concatenate(masses))
    if not enhance:
        return _by_mass(observed, threshold, null_t, null_mass, recipe.alpha)
    # Without a threshold, what stands for clusters are neighbours that are each beyond what is critical.
    critical = _critical(null_mass, recipe.alpha)
    labels, sums, _ = clusters(height, critical)
    return Tested(
        t=observed[0],
        cell_p=_largest_p(np.abs(observed[0]), null_t),
        cluster=labels[0],
        cluster_t=_sums_of(observed, labels, len(sums)),
        cluster_p=_largest_p(_peaks(height, labels, len(sums)), null_mass),
        p=float(_largest_p(np.abs(height), null_mass).min(initial=1)),
        critical=critical,
    )


def largest_t(
    design: Design, n_permutations: int, rng: np.random.Generator, *also: Design
) -> tuple[np.ndarray, np.ndarray]:
    """Return t and its p corrected over cells that are no neighbours, such as bands; each of shape (...).

    Of designs that draw in other ways, ``also``, the largest p counts.
    """
    observed = design.t(design.observed[None])[0]
    null = [np.concatenate([_most(t) for t in _blocks(each, n_permutations, rng)]) for each in (design, *also)]
    return observed, _largest_p(np.abs(observed), null)


@dataclass(frozen=True)
class Together:
    """What tests say that share their draws."""

    touching: Tested
    """Of the cells that are neighbours, by cluster mass."""
    p_by_threshold: np.ndarray
    """Of the same with other thresholds, shape (threshold,)."""
    apart_t: np.ndarray
    apart_p: np.ndarray
    """Of the cells that are no neighbours, corrected over them by the largest |t|, shape (cell,) each."""


def tested_together(
    design: Design,
    n_touching: int,
    recipe: Recipe,
    others: Sequence[float],
    rng: np.random.Generator,
    *also: Design,
) -> Together:
    """Test neighbouring cells by cluster mass and other cells one by one, all from the same draws.

    Parameters
    ----------
    design, also
        As in ``test``; values of shape (recording, cell).
    n_touching
        How many cells, the first ones, are neighbours.
    recipe, rng
        As in ``test``; the statistic is the mass.
    others
        Cluster-forming p of the tests besides that of the recipe.
    """
    thresholds = [threshold_of(design, p) for p in (recipe.cluster_p, *others)]
    observed = design.t(design.observed[None])
    nulls: list[list[np.ndarray]] = []
    for each in (design, *also):
        parts = [
            [_most(t[:, :n_touching]), _most(t[:, n_touching:])]
            + [largest_mass(t[:, :n_touching], threshold) for threshold in thresholds]
            for t in _blocks(each, recipe.n_permutations, rng)
        ]
        nulls.append([np.concatenate(part) for part in zip(*parts, strict=True)])
    null_t, null_apart, null_mass, *null_others = ([*of] for of in zip(*nulls, strict=True))
    touching, apart = observed[:, :n_touching], observed[0, n_touching:]
    masses = [largest_mass(touching, threshold) for threshold in thresholds[1:]]
    return Together(
        touching=_by_mass(touching, thresholds[0], null_t, null_mass, recipe.alpha),
        p_by_threshold=np.array([
            _largest_p(mass, null)[0] for mass, null in zip(masses, null_others, strict=True)
        ]),
        apart_t=apart,
        apart_p=_largest_p(np.abs(apart), null_apart),
    )


def inclusion(design: Design, tested: Tested, threshold: float, replicates: Iterable[np.ndarray]) -> np.ndarray:
    """Return how often a cell lies in a cluster beyond the critical mass if recordings are drawn anew.

    Parameters
    ----------
    design, tested
        A design and what its test by cluster mass says.
    threshold
        The |t| from which on a cell counts for a cluster.
    replicates
        Weights of recordings in bootstrap replicates, some at a time, shape (replicate, recording).

    Returns
    -------
    In [0, 1], of the sign of t in the data; shape of a cell.
    """
    total, n_replicates = np.zeros(tested.t.shape), 0
    for block in replicates:
        n_replicates += len(block)
        for weights in (block[part] for part in _slices(len(block), design.values)):
            t = design.t(np.broadcast_to(design.observed, weights.shape), weights)
            labels, sums, _ = clusters(t, threshold)
            inside = np.concatenate([[False], np.abs(sums) >= tested.critical])[labels]
            total += (inside & (np.sign(t) == np.sign(tested.t))).sum(axis=0)
    return total / n_replicates


def clusters(t: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return clusters of neighbouring cells beyond a threshold, of one sign each, in every draw.

    Parameters
    ----------
    t
        Shape (draw, ...).
    threshold
        The |t| beyond which a cell counts.

    Returns
    -------
    Number of the cluster that each cell is in, from 1, shape (draw, ...), 0 for none; the sum of t over each
    cluster, shape (cluster,); the draw that each is in, shape (cluster,).
    """
    # Cells of different draws do not touch: one pass labels all draws.
    touching = ndimage.generate_binary_structure(t.ndim, 1)
    touching[0], touching[-1] = False, False
    labels, n_positive = ndimage.label(t > threshold, touching)
    negative, n_negative = ndimage.label(t < -threshold, touching)
    labels = np.where(negative > 0, negative + n_positive, labels)
    n_clusters = n_positive + n_negative
    places = np.flatnonzero(labels)
    of_place = labels.ravel()[places]
    sums = np.bincount(of_place, weights=t.ravel()[places], minlength=n_clusters + 1)[1:]
    draw = np.zeros(n_clusters, np.int64)
    draw[of_place - 1] = places // max(1, math.prod(t.shape[1:]))
    return labels, sums, draw


def largest_mass(t: np.ndarray, threshold: float) -> np.ndarray:
    """Return the mass of the heaviest cluster in every draw, shape (draw,); 0 where there is none."""
    _, sums, draw = clusters(t, threshold)
    largest = np.zeros(len(t))
    np.maximum.at(largest, draw, np.abs(sums))
    return largest


def enhanced(t: np.ndarray) -> np.ndarray:
    """Return threshold-free enhancement of every cell, signed: extent^0.5 * height^2 summed over heights."""
    t = np.clip(t, -_MOST_HEIGHT, _MOST_HEIGHT)
    total = np.zeros_like(t)
    for step in range(1, math.ceil(np.abs(t).max(initial=0) / _HEIGHT_STEP)):
        height = step * _HEIGHT_STEP
        labels, _, _ = clusters(t, height)
        if not labels.any():
            break
        extent = np.bincount(labels.ravel())
        extent[0] = 0
        total += extent[labels] ** _EXTENT_POWER * (height**_HEIGHT_POWER * _HEIGHT_STEP)
    return np.sign(t) * total


def p_values(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return the share of draws, the data among them, that reach what was observed; same shape, in (0, 1]."""
    least = observed - _ROUNDING * np.abs(observed)
    reached = len(null) - np.searchsorted(np.sort(null), least, side="left")
    return np.asarray((reached + 1) / (len(null) + 1))


def holm(p: np.ndarray) -> np.ndarray:
    """Return p corrected for their number after Holm, same shape; NaN, no test, counts for nothing."""
    known = np.flatnonzero(np.isfinite(p.ravel()))
    order = known[np.argsort(p.ravel()[known], kind="stable")]
    corrected = np.full(p.size, np.nan)
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p.ravel()[order] * factors))
    return corrected.reshape(p.shape)


def centred(values: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Return values less the mean of all recordings of their stratum, same shape."""
    moved = np.array(values, np.float64)
    for stratum in np.unique(strata):
        inside = strata == stratum
        present, known, _ = _powers(moved[inside])
        n = present.sum(axis=0)
        mean = known.sum(axis=0) / np.maximum(n, 1)
        moved[inside] -= mean.reshape(moved.shape[1:])
    moved[np.abs(moved) < _ROUNDING * np.abs(values)] = 0
    return moved


def _by_mass(
    observed: np.ndarray, threshold: float, null_t: list[np.ndarray], null_mass: list[np.ndarray], alpha: float
) -> Tested:
    labels, sums, _ = clusters(observed, threshold)
    cluster_p = _largest_p(np.abs(sums), null_mass)
    return Tested(
        t=observed[0],
        cell_p=_largest_p(np.abs(observed[0]), null_t),
        cluster=labels[0],
        cluster_t=sums,
        cluster_p=cluster_p,
        p=float(cluster_p.min(initial=1)),
        critical=_critical(null_mass, alpha),
    )


def _critical(null_mass: list[np.ndarray], alpha: float) -> float:
    return max(float(np.quantile(mass, 1 - alpha)) for mass in null_mass)


def _largest_p(observed: np.ndarray, nulls: list[np.ndarray]) -> np.ndarray:
    return np.asarray(np.max([p_values(observed, null) for null in nulls], axis=0))


def _peaks(height: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    peaks = np.zeros(n_clusters)
    np.maximum.at(peaks, labels[labels > 0] - 1, np.abs(height[labels > 0]))
    return peaks


def _sums_of(t: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    return np.bincount(labels.ravel(), weights=t.ravel(), minlength=n_clusters + 1)[1:]


def _blocks(design: Design, n_permutations: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Give the statistic of permutations, some at a time."""
    for part in _slices(n_permutations, design.values):
        yield design.null(part.stop - part.start, rng)


def _slices(n: int, values: np.ndarray) -> list[slice]:
    """Cut ``n`` draws so that neither they nor their statistics take much memory."""
    step = max(1, _CELLS_AT_ONCE // max(1, len(values), math.prod(values.shape[1:])))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _powers(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which values there are (1 or 0), the values and their squares, 0 where there is none.

    Cells are in a row: shape (recording, cell), and of the first (recording, 1) where no value is absent.
    """
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    present = np.isfinite(flat)
    known = np.where(present, flat, 0)
    counted = present[:, :1] if present.all() else present
    return counted.astype(np.float64), known, known**2


def _squared_error(mean_square: np.ndarray, mean: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the square of the standard error of a mean; NaN where there are fewer than two values."""
    spread = mean_square - mean**2
    np.maximum(spread, _LEAST_VARIANCE * mean_square, out=spread)
    spread /= np.where(n > 1 + _ROUNDING, n - 1, np.nan)
    return spread


def _shaped(t: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(t), 0, t).reshape(len(t), *values.shape[1:])


def _most(t: np.ndarray) -> np.ndarray:
    flat = t.reshape(len(t), -1)
    return np.maximum(flat.max(axis=1, initial=0), -flat.min(axis=1, initial=0))
