"""The door to every kind of source: its settings in, its catalogue out."""

from pathlib import Path

from toolkit.config import SourceSettings
from toolkit.corpus import synthetic, urbansound8k
from toolkit.corpus.catalogue import Catalogue

SYNTHETIC_FOLDER = "corpus"
"""Where a run keeps the synthetic corpus, inside its own folder."""


def exists(source: SourceSettings, run_folder: Path, seed: int) -> bool:
    """Tell whether the source is there to be read without making it first."""
    return source.path is not None or _synthetic_folder(run_folder, seed).exists()


def read(source: SourceSettings, run_folder: Path, seed: int) -> Catalogue:
    """Return the catalogue of the source, making the synthetic corpus if that is it.

    Raises
    ------
    CorpusError
        The source is absent or holds nothing that can be processed.
    """
    if source.path is not None:
        return urbansound8k.read_catalogue(source.path.absolute())
    folder = _synthetic_folder(run_folder, seed)
    synthetic.write_corpus(folder, seed=seed)
    return urbansound8k.read_catalogue(folder)


def _synthetic_folder(run_folder: Path, seed: int) -> Path:
    return run_folder.absolute() / SYNTHETIC_FOLDER / f"seed-{seed}"
