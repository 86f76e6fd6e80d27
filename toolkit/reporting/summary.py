"""The verdicts of a store as a table of plain text, for the end of a command."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.reporting.evidence import BandShares, Evidence, read_evidence
from toolkit.reporting.verdicts import verdict
from toolkit.reporting.wording import p_number, words


@dataclass(frozen=True)
class Table:
    """Cells of text."""

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
    other classes), verdict, corrected p of both contrasts; of synthetic clips also the bands in which the
    labelled object is densest, which a verdict should name.
    """
    found = read_evidence(store)
    wanted = composite or next((evidence.composite for evidence in found), "")
    shown = [evidence for evidence in found if evidence.composite == wanted]
    has_object = any(_densest(evidence.bands) for evidence in shown)
    header = ("class", "representation", "recordings", "verdict", "p input", "p other classes")
    rows = tuple((*_row(evidence), *([_object(evidence)] if has_object else [])) for evidence in shown)
    return Table((*header, *(["object is densest in"] if has_object else [])), rows)


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
    return ", ".join(_densest(evidence.bands)) or "–"


def _densest(bands: Sequence[BandShares]) -> list[str]:
    """Return the bands that hold at least half as much of the object as the densest; none where not known."""
    density = np.nan_to_num([band.object_density for band in bands])
    most = density.max(initial=0)
    return [band.band for band, value in zip(bands, density, strict=True) if most > 0 and 2 * value >= most]
