"""Folds for a corpus that names none: whole recordings together, every class spread evenly.

Recordings are dealt out one by one in the order in which they first appear, each by what was dealt before it
alone, so rows appended to a table never move a recording; and those that a run knows keep their folds whatever
comes, goes or moves. A shuffle, or a stratified split of the whole, would move nearly all.
It balances recordings, not clips: one recording may hold many.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from toolkit.errors import CorpusError

N_FOLDS = 5


def draw(
    recordings: Iterable[tuple[str, str]], seed: int, known: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Return the fold of every recording, from 1 to 5, or to the number of recordings if that is less.

    A recording goes to the fold that has fewest recordings of its class so far; among several, to that with
    fewest recordings at all; among these, to the one that a hash of seed, recording and fold picks.

    Parameters
    ----------
    recordings
        Recording and class of every clip, in the order of the table. The class of a recording is that of its
        first clip; it only serves to spread the classes.
    seed
        Another seed gives other folds.
    known
        Folds that recordings have from before; they stay.

    Raises
    ------
    CorpusError
        There are fewer than two recordings.
    """
    class_of: dict[str, str] = {}
    for recording, class_name in recordings:
        class_of.setdefault(recording, class_name)
    if len(class_of) < 2:
        raise CorpusError(
            f"no folds can be drawn from {len(class_of) or 'no'} recording: a network is tested on other "
            "recordings than it learns from, so two are needed at least, and five for five folds"
        )
    folds = range(1, min(N_FOLDS, len(class_of)) + 1)
    of_class: Counter[tuple[str, int]] = Counter()
    in_all: Counter[int] = Counter()
    fold_of: dict[str, int] = {}
    for recording in [name for name in class_of if (known or {}).get(name) in folds]:
        fold_of[recording] = (known or {})[recording]
        of_class[class_of[recording], fold_of[recording]] += 1
        in_all[fold_of[recording]] += 1
    for recording, class_name in class_of.items():
        if recording in fold_of:
            continue
        sizes = {fold: (of_class[class_name, fold], in_all[fold]) for fold in folds}
        smallest = [fold for fold in folds if sizes[fold] == min(sizes.values())]
        fold = min(smallest, key=lambda fold: _hash(seed, recording, fold))
        fold_of[recording] = fold
        of_class[class_name, fold] += 1
        in_all[fold] += 1
    return {recording: fold_of[recording] for recording in class_of}


def _hash(seed: int, recording: str, fold: int) -> bytes:
    """Return what breaks a tie: the same in every process, which Python's own hash of a text is not."""
    return hashlib.sha256(f"{seed}\0{recording}\0{fold}".encode()).digest()
