"""Is a sound one that the run's networks may know: a clip of its corpus.

A clip is told by its features, which do not care for the file's name or format, or by the content of its file,
which does not care for how much of it the catalogue says was recorded. Another part of a recording of the
corpus, or a clip that was encoded anew with losses, is not told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.config import Representation
from toolkit.pipeline.files import FileDigests
from toolkit.pipeline.run import Run
from toolkit.pipeline.stages.features import FILE_DIGESTS
from toolkit.store.read import read_whole

_NAMED = 3


@dataclass(frozen=True)
class Corpus:
    """The clips of a run, by what tells them."""

    names: np.ndarray
    rows_of_path: Mapping[str, tuple[int, ...]]
    """Rows of clips by the path of their file within the corpus."""
    folds: np.ndarray
    rows: Mapping[str, tuple[int, ...]]
    """Rows of clips by the digest of their features, in any representation."""
    files: FileDigests


@dataclass(frozen=True)
class Recognised:
    """Clips of the corpus that a sound is; none for a sound that is new."""

    names: tuple[str, ...] = ()
    folds: frozenset[int] = frozenset()

    def may_speak(self, fold: int) -> bool:
        """Tell whether the network of a fold held out all of the clips."""
        return self.folds <= {fold}

    def __str__(self) -> str:
        more = f" and {len(self.names) - _NAMED} more" if len(self.names) > _NAMED else ""
        return f"{', '.join(self.names[:_NAMED])}{more}"


def corpus_of(run: Run, representations: Iterable[Representation]) -> Corpus:
    """Return what the clips of a run are told by."""
    clips = read_whole(run.store, "clips", ("clip", "path", "fold"))
    rows: dict[str, tuple[int, ...]] = {}
    for name in representations:
        digests = read_whole(run.store, f"features/{name}", ("digest",))["digest"].tolist()
        for row, digest in enumerate(digests):
            if digest:
                rows[digest] = (*rows.get(digest, ()), row)
    of_path: dict[str, tuple[int, ...]] = {}
    for row, path in enumerate(clips["path"].tolist()):
        of_path[path] = (*of_path.get(path, ()), row)
    return Corpus(clips["clip"], of_path, clips["fold"], rows, FileDigests(run.folder / FILE_DIGESTS))


def _ends(file: str) -> list[str]:
    """Return a path and all that it ends with, from folder to folder: one of them is its path in the corpus."""
    parts = file.split("/")
    return ["/".join(parts[first:]) for first in range(len(parts))]


def recognise(corpus: Corpus, features: Iterable[str], content: str) -> Recognised:
    """Return the clips of a corpus that a sound is.

    Parameters
    ----------
    corpus
        As ``corpus_of`` returns it.
    features
        Digests of its features, one for each representation.
    content
        Digest of its file.
    """
    ends = {end for file in corpus.files.files_with(content) for end in _ends(file)}
    of_file = [row for end in ends for row in corpus.rows_of_path.get(end, ())]
    exact = [row for digest in features for row in corpus.rows.get(digest, ())]
    rows = sorted({*exact, *of_file})
    # Where the features tell the clip, other clips that were cut out of the same file need no name.
    named = sorted(set(exact)) or rows
    names = tuple(str(name) for name in corpus.names[named])
    return Recognised(names, frozenset(int(fold) for fold in corpus.folds[rows]))
