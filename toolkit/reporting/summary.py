"""The verdicts of a store as a table of plain text, for the end of a command."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.reporting.evidence import Evidence, read_evidence
from toolkit.reporting.verdicts import verdict
from toolkit.reporting.wording import composite_name, p_number, percent, words


@dataclass(frozen=True)
class Table:
    """Cells of text."""

    legend: tuple[str, ...]
    """What to know to read it, a line each."""
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def verdict_table(store: Path, composite: str | None = None) -> Table:
    """Return the verdict on every class and representation.

    Parameters
    ----------
    store
        A store that has statistics.
    composite
        By which maps; the first if not given.

    Returns
    -------
    Class, representation, recordings (with correctly classified clips, and all if these were compared with
    other classes), verdict, corrected p of both contrasts; of synthetic clips also the share of cells, in the
    bands with more relevance, in which the labelled object is louder than the background.
    """
    found = read_evidence(store)
    wanted = composite or next((evidence.composite for evidence in found), "")
    shown = [evidence for evidence in found if evidence.composite == wanted]
    has_object = any(_is_known(evidence) for evidence in shown)
    header = ("class", "representation", "recordings", "verdict", "p input", "p other classes")
    rows = tuple((*_row(evidence), *([_object(evidence)] if has_object else [])) for evidence in shown)
    return Table(_legend(shown), (*header, *(["cells of the object there"] if has_object else [])), rows)


def _legend(shown: Sequence[Evidence]) -> tuple[str, ...]:
    if not shown:
        return ()
    first = shown[0]
    of = {"predicted": "the class that is named", "all": "the class that is named", "label": "the true class"}
    limits = first.limits
    return (
        f"maps by {composite_name(first.composite)} for {of.get(first.target, words(first.target))}; named are "
        f"bands with corrected p <= {limits.alpha:g} and a ratio beyond {limits.minimum_ratio:g}; more first",
        "recordings: with correct clips, for p input; of all, for p other classes; –: fewer than "
        f"{limits.minimum_recordings}, not tested",
    )


def _row(evidence: Evidence) -> tuple[str, ...]:
    correct, every = evidence.input.n_recordings, evidence.rest.n_recordings
    return (
        words(evidence.class_name),
        evidence.representation,
        f"{correct} of {every}" if evidence.rest.is_kept else str(correct),
        verdict(evidence).headline,
        p_number(evidence.input.p),
        p_number(evidence.rest.p),
    )


def _object(evidence: Evidence) -> str:
    """Return how much of the bands with more relevance is the object's, and of all bands on average."""
    density = {band.band: band.object_density for band in evidence.bands}
    named = dict.fromkeys(test.band for each in (evidence.input, evidence.rest) for test in each.named(1))
    if not named:
        return "–"
    of_bands = ", ".join(f"{band}: {percent(density[band])}" for band in named)
    return f"{of_bands} (mean of bands {percent(float(np.mean([*density.values()])))})"


def _is_known(evidence: Evidence) -> bool:
    return all(np.isfinite(band.object_density) for band in evidence.bands)
