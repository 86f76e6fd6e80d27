"""What each row of a group of the store is made from, so that one clip more or less costs one clip's work.

A row's ``made_from`` is a line of digests: first the recipe (code version and settings), then the inputs. It
is written after everything else of the row, so it is the row's marker; and it moves with the row into
the store of a corpus that grew.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.store.schema import partitions

NOT_MADE = ""
MISSING = "not made yet"
FORCED = "forced"
LOST = "cannot be used any more"
DROPPED = "out of date, dropped"


@dataclass(frozen=True)
class RowsTodo:
    """Rows of one partition that must be made or emptied, and why."""

    name: str
    make: np.ndarray
    """Rows to be made, ascending."""
    why: tuple[str, ...]
    """Why each of them must be made."""
    empty: np.ndarray
    """Rows whose content is out of date and not to be made now."""

    @property
    def reason(self) -> str:
        """All reasons in one line."""
        return summary([self])


def line(recipe: str, *inputs: Sequence[str]) -> np.ndarray:
    """Return what rows are made from, as text, shape (row,); a row with an empty input is not to be made."""
    rows = zip(*inputs, strict=True)
    return np.array([" ".join((recipe, *row)) if all(row) else NOT_MADE for row in rows], dtype=object)


def partition_names(n_clips: int) -> list[tuple[str, slice]]:
    """Return the name and the rows of every partition."""
    return [(f"part-{number:04d}", rows) for number, rows in enumerate(partitions(n_clips))]


def why(made: np.ndarray, wanted: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """Return why each row must be made ('' if it is what it should be), shape (row,).

    Parameters
    ----------
    made, wanted
        What rows were and should be made from, shape (row,).
    words
        What to say where the recipe and each of the inputs differ.
    """
    reasons = np.full(len(wanted), "", dtype=object)
    for row in np.flatnonzero(made != wanted):
        if NOT_MADE in {made[row], wanted[row]}:
            reasons[row] = MISSING if wanted[row] else LOST
        else:
            pairs = zip(words, made[row].split(), wanted[row].split(), strict=True)
            reasons[row] = next(word for word, old, new in pairs if old != new)
    return reasons


def todo(name: str, part: slice, reasons: np.ndarray, out_of_date: np.ndarray | None = None) -> list[RowsTodo]:
    """Return what must be done with a partition: one entry, or none.

    Parameters
    ----------
    name, part
        Name and rows of the partition.
    reasons
        Why each row of the store must be made ('' if it need not), shape (row,).
    out_of_date
        Which rows of the store must be emptied, shape (row,); none if left out.
    """
    make = np.flatnonzero(reasons[part] != "") + part.start
    empty = make[:0] if out_of_date is None else np.flatnonzero(out_of_date[part]) + part.start
    if not len(make) and not len(empty):
        return []
    return [RowsTodo(name, make, tuple(reasons[make].tolist()), empty)]


def summary(items: Iterable[RowsTodo]) -> str:
    """Return why rows must be made, most frequent reason first, with the number of clips behind each."""
    counts: Counter[str] = Counter()
    for item in items:
        counts.update([*item.why, *[DROPPED] * len(item.empty)])
    return "; ".join(f"{reason}: {n_rows}" for reason, n_rows in counts.most_common())


def put(held: Mapping[str, np.ndarray], places: np.ndarray, values: Mapping[str, object]) -> None:
    """Set some rows of variables held in memory, in place."""
    for name, value in values.items():
        held[name][places] = value
