"""What the statistics would say of corpora whose truth is known: false alarms, intervals, and what is found.

    python -m benchmarks.simulate [--quick] [--simulations N]      (or ``make simulate``)

Corpora have the recordings of UrbanSound8K, folds 1 to 7, as many clips in each as there, and small classes
beside. Values of clips are normal, skewed, or shares of relevance that are noisier than those of input; all are
smooth along 64 bins, and alike within a recording (intraclass correlation 0.1 or 0.3). Tests and intervals are
those of ``toolkit.statistics``. Prints tables in Markdown; docs/simulation.md has a full run.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import stats

from benchmarks.simulation import bands, coverage, error_rates, power
from benchmarks.simulation.error_rates import ALPHA, CLIPS
from benchmarks.simulation.recordings import Layout, read_layout, with_small

SEED = 8732
ICCS = (0.1, 0.3)
N_SIMULATIONS, N_QUICK = 240, 8
"""Corpora behind error rates; for coverage three and for uneven folds four times as many, for noises half, for
power a third."""
RATES = (
    error_rates.INPUT,
    error_rates.INPUT_SKEWED,
    error_rates.INPUT_NOISY,
    error_rates.FLIPS,
    error_rates.REST,
    error_rates.REST_TWICE,
    error_rates.REST_HALF,
    error_rates.REST_SKEWED,
)
TEN = "the ten"
"""The row of all classes of UrbanSound8K; small ones stand below."""


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=N_SIMULATIONS, metavar="N", help="corpora of a rate")
    parser.add_argument("--quick", action="store_true", help=f"{N_QUICK} corpora: a glance within a minute")
    arguments = parser.parse_args()
    n = N_QUICK if arguments.quick else max(3, arguments.simulations)
    layout = with_small(read_layout())
    for place, icc in enumerate(ICCS):
        for lines in (_error_rates, _coverage):
            _say("\n".join(lines(layout, icc, n, np.random.default_rng([SEED, place]))))
    for place, lines in enumerate((_power, _noises, _bands), start=len(ICCS)):
        _say("\n".join(lines(layout, ICCS[-1], n, np.random.default_rng([SEED, place]))))
    _say("\n".join(_uneven(4 * n, np.random.default_rng([SEED, len(ICCS) + 3]))))


def _error_rates(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> Iterator[str]:
    found = error_rates.simulate(layout, icc, n, rng)
    by_clip = (CLIPS + error_rates.INPUT, CLIPS + error_rates.REST)
    yield f"\n### False alarms in % ({n} corpora, intraclass correlation {icc})\n"
    yield from _head(["class", "recordings", "clips", "largest", *RATES, *by_clip])
    for name, classes in _rows(layout):
        size = layout.size[np.isin(layout.of_class, classes)]
        rates = [_rate(found[column][:, classes] <= ALPHA) for column in RATES]
        naive = [f"{100 * found[column][:, classes].mean():.0f}" for column in by_clip]
        yield _row([name, len(size), size.sum(), size.max(), *rates, *naive])
    any_class = _rate(error_rates.any_after_holm({name: p[:, ~layout.is_small] for name, p in found.items()}))
    both = f"`{error_rates.INPUT_NOISY}` and `{error_rates.REST}`"
    yield f"\nOf corpora, any false alarm after Holm over the ten classes, {both}: {any_class}."


def _coverage(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> Iterator[str]:
    held = coverage.simulate(layout, icc, 3 * n, rng)
    yield f"\n### Intervals of nominally 95 % that hold the truth, in % ({3 * n} corpora, {icc})\n"
    yield from _head(["class", "recordings", *held])
    for name, classes in _rows(layout):
        rates = [f"{100 * rate[classes].mean():.1f}" for rate in held.values()]
        yield _row([name, np.isin(layout.of_class, classes).sum(), *rates])


def _power(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> Iterator[str]:
    n_corpora = max(1, n // 3)
    found = power.simulate(layout, icc, n_corpora, rng)
    yield f"\n### Planted ratios that are found, in %: alone / among twenty ({n_corpora} corpora, {icc})\n"
    yield from _head(["class", "recordings", *found])
    for name, classes in _rows(layout):
        rates = [
            " / ".join(f"{100 * (p[:, classes] <= level).mean():.0f}" for level in power.LEVELS.values())
            for p in found.values()
        ]
        yield _row([name, np.isin(layout.of_class, classes).sum(), *rates])


def _noises(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> Iterator[str]:
    n_corpora = max(1, n // 2)
    found = error_rates.simulate_noises(layout, icc, n_corpora, rng)
    yield f"\n### False alarms in %: shares against the rest, the class noisier ({n_corpora} corpora, {icc})\n"
    yield from _false_alarms(found, layout)


def _bands(layout: Layout, icc: float, n: int, rng: np.random.Generator) -> Iterator[str]:
    found = bands.simulate(layout, icc, n, rng)
    yield f"\n### False alarms in %: bands of shares ({n} corpora, {icc})\n"
    yield from _false_alarms(found, layout)


def _false_alarms(found: Mapping[str, np.ndarray], layout: Layout) -> Iterator[str]:
    """Give the table of p by scenario, shape (corpus, class) each: how many are at most ``ALPHA``."""
    yield from _head(["class", "recordings", *found])
    for name, classes in _rows(layout):
        rates = [_rate(p[:, classes] <= ALPHA) for p in found.values()]
        yield _row([name, np.isin(layout.of_class, classes).sum(), *rates])


def _uneven(n: int, rng: np.random.Generator) -> Iterator[str]:
    yield f"\n### False alarms in %: bands against the rest, folds unlike one another ({n} corpora)\n"
    yield from _head(["recordings of the class and of others", "rate"])
    for name, p in bands.simulate_uneven(n, rng).items():
        tested = p[np.isfinite(p)]
        yield _row([name, _rate(tested <= ALPHA) if tested.size else "not tested"])


def _rows(layout: Layout) -> Iterator[tuple[str, np.ndarray]]:
    """Give the name of each row and its classes: those of UrbanSound8K, all of these, and small ones."""
    large, small = (np.flatnonzero(layout.is_small == is_small) for is_small in (False, True))
    for number in large:
        yield layout.names[number], np.array([number])
    yield TEN, large
    for number in small:
        yield layout.names[number], np.array([number])


def _rate(hits: np.ndarray) -> str:
    """Return a rate in % with what the number of corpora leaves open, after Clopper and Pearson."""
    n, k = hits.size, int(hits.sum())
    low, high = stats.beta.ppf(0.025, k, n - k + 1), stats.beta.ppf(0.975, k + 1, n - k)
    return f"{100 * k / n:.1f} ({100 * np.nan_to_num(low):.1f}-{100 * np.nan_to_num(high, nan=1):.1f})"


def _head(columns: Sequence[str]) -> Iterator[str]:
    yield _row(columns)
    yield "|" + "---|" * len(columns)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
