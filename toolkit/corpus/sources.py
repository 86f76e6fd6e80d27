"""The door to every kind of source: its settings in, its catalogue out."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from toolkit.config import SourceSettings
from toolkit.corpus import manifest, synthetic, urbansound8k, windows
from toolkit.corpus.audio import length_s
from toolkit.corpus.catalogue import NOTE, Catalogue, Clip, Problem, shared_recordings, sort_clips
from toolkit.errors import CorpusError

SYNTHETIC_FOLDER = "corpus"
"""Where a run keeps the synthetic corpus, inside its own folder."""


def exists(source: SourceSettings, run_folder: Path, seed: int) -> bool:
    """Tell whether the source is there to be read without making it first."""
    return source.path is not None or _synthetic_folder(run_folder, seed).exists()


def read(
    source: SourceSettings,
    run_folder: Path,
    seed: int,
    *,
    duration_s: float,
    known_folds: Mapping[str, int] | None = None,
) -> Catalogue:
    """Return the catalogue of the source, making the synthetic corpus if that is it.

    Parameters
    ----------
    source
        What to read.
    run_folder
        Where the synthetic corpus is kept.
    seed
        Draws the synthetic corpus, and folds where none are named.
    duration_s
        Length of a clip: longer files are cut into windows of it where the source asks for that.
    known_folds
        Folds that were drawn for recordings before, so that they stay when the corpus changes.

    Raises
    ------
    CorpusError
        The source is absent, holds nothing that can be processed, or cannot be cut.
    """
    catalogue = _read_kind(source, run_folder, seed, known_folds)
    if source.windows:
        catalogue = _in_windows(source, catalogue, duration_s)
    problems = (*catalogue.problems, *_notes_on_sharing(catalogue.clips))
    return replace(catalogue, clips=sort_clips(catalogue.clips), problems=problems)


def _read_kind(
    source: SourceSettings, run_folder: Path, seed: int, known_folds: Mapping[str, int] | None
) -> Catalogue:
    if source.path is None:
        folder = _synthetic_folder(run_folder, seed)
        synthetic.write_corpus(folder, seed=seed)
        return urbansound8k.read_catalogue(folder)
    path = source.path.absolute()
    if source.kind == "manifest":
        return manifest.read_catalogue(path, seed, known_folds)
    layout = urbansound8k.PICTURES if source.kind == "pictures" else urbansound8k.SOUNDS
    return urbansound8k.read_catalogue(path, layout)


def _in_windows(source: SourceSettings, catalogue: Catalogue, duration_s: float) -> Catalogue:
    if source.kind == "pictures":
        raise CorpusError("spectrogram pictures hold one clip each and cannot be cut: leave out --windows")
    cut, problems = windows.in_windows(
        catalogue.clips, duration_s, lambda clip: length_s(catalogue.root / clip.path)
    )
    clips, namesakes = _without_namesakes(cut)
    return replace(catalogue, clips=clips, problems=(*catalogue.problems, *problems, *namesakes))


def _without_namesakes(clips: Iterable[Clip]) -> tuple[tuple[Clip, ...], list[Problem]]:
    """Leave out clips whose name a window has taken: a file may be called like the window of another."""
    kept: dict[str, Clip] = {}
    problems = []
    for clip in clips:
        if kept.setdefault(clip.name, clip) is not clip:
            reason = (
                f"is the name of clips of {kept[clip.name].path} and of {clip.path}; the second is left out"
            )
            problems.append(Problem(clip.name, reason))
    return tuple(kept.values()), problems


def _notes_on_sharing(clips: Iterable[Clip]) -> list[Problem]:
    """Name every recording of which a network hears one part and is tested on another."""
    notes = []
    for recording, counts in shared_recordings(clips).items():
        folds = sorted({fold for fold, _ in counts})
        parts: list[str] = []
        for fold in folds:
            n_clips = sum(number for (where, _), number in counts.items() if where == fold)
            names = sorted(name for where, name in counts if where == fold)
            noun = "" if parts else "clip " if n_clips == 1 else "clips "
            parts.append(f"{n_clips} {noun}in fold {fold} ({', '.join(names)})")
        reason = (
            f"has {', '.join(parts[:-1])} and {parts[-1]}: networks learn from sounds that they are tested on; "
            "--strict-groups keeps these clips out of training"
        )
        notes.append(Problem(f"recording {recording}", reason, NOTE))
    return notes


def _synthetic_folder(run_folder: Path, seed: int) -> Path:
    return run_folder.absolute() / SYNTHETIC_FOLDER / f"seed-{seed}"
