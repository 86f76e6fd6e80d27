"""The clips that stand for a class, cut in two by their relevance: made into sound, and scored by the network.

The network hears all versions of a clip as it heard the clip: each goes through the spectrogram of the run,
with its level relative to its own loudest cell, before loudness is evened out for the ear.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toolkit.config import Representation
from toolkit.corpus.catalogue import Clip
from toolkit.evaluation import masks, medoids, resynthesis
from toolkit.features.channels import network_input
from toolkit.features.spectrogram import valid_frames
from toolkit.network.export import probabilities
from toolkit.pipeline import reading
from toolkit.pipeline.run import Run
from toolkit.pipeline.stages import export
from toolkit.pipeline.summing import AXES, RECORDINGS, class_names
from toolkit.statistics import ensemble, profiles
from toolkit.store import write
from toolkit.store.listening import VERSIONS
from toolkit.store.read import read_rows, read_whole
from toolkit.store.schema import LISTENING, MAPS

NO_EXAMPLE = -1
"""The rank of a clip that is kept beside the examples."""
SAME_SOUND = 1e-3
"""Probabilities of the sound that was explained and of the one read now may differ by this much."""

_RECORDING = ("label", "fold", "recording")
"""What tells recordings apart: clips of two classes or folds are two samples."""


@dataclass(frozen=True)
class Chosen:
    """Clips to be cut, in the order of the catalogue; shape (example,) each."""

    row: np.ndarray
    rank: np.ndarray
    """0 for the example of its class that stands for most recordings; ``NO_EXAMPLE`` for other clips."""
    n_recordings: np.ndarray
    """Recordings that it stands for; ``NO_EXAMPLE`` for other clips."""


@dataclass(frozen=True)
class SoundingJob:
    """Neighbouring rows of a group of examples. Picklable."""

    run: Run
    representation: Representation
    composite: str
    rows: slice
    """In the group of examples."""
    clip_rows: np.ndarray
    """The same clips in the catalogue."""
    clips: tuple[Clip | str, ...]
    """How to read each, or why that cannot be."""
    root: Path
    keeps_sound: bool

    @property
    def name(self) -> str:
        """Where its groups lie below their kind."""
        return f"{self.representation}/{self.composite}"


@dataclass(frozen=True)
class _Medoid:
    """A recording that stands for others of its class."""

    recording: Mapping[str, object]
    """What tells it from all others: values of ``_RECORDING``."""
    share: np.ndarray
    """Where its relevance lies, shape (bin,)."""
    rank: int
    n_recordings: int


@dataclass(frozen=True)
class _Known:
    """What the store knows of the clips of a job; arrays of shape (example, ...)."""

    axes: masks.Axes
    relevance: np.ndarray
    valid: np.ndarray
    fold: np.ndarray
    target: np.ndarray
    probability: np.ndarray
    """Of the explained class, when it was explained."""


@dataclass(frozen=True)
class _Heard:
    """One clip cut in two; arrays of shape (version, ...)."""

    inputs: np.ndarray
    """What the network sees."""
    gain_db: np.ndarray
    pcm: np.ndarray
    """Sounds, equally loud."""


def choose(run: Run, name: str, *, every_clip: bool) -> Chosen:
    """Return the examples of every class, and with ``every_clip`` all other clips that have a map.

    Recordings are the unit: of those with a correctly classified clip, the medoids by where in frequency their
    positive relevance lies; of each, the correctly classified clip that lies nearest to the recording's mean.

    Parameters
    ----------
    run
        With figures that are up to date.
    name
        Representation and composite, such as 'mel/lrp.epsilon'.
    every_clip
        Whether to take the others, too.
    """
    clips = read_whole(run.store, "clips", (*_RECORDING, "valid_duration_s"))
    maps = read_whole(run.store, f"{MAPS}/{name}", ("prediction", "relevance_sum"))
    done = np.isfinite(maps["relevance_sum"])
    correct = done & (maps["prediction"] == clips["label"])
    rank, n_recordings = (np.full(len(done), NO_EXAMPLE, np.int64) for _ in range(2))
    for medoid in _medoids(run, name):
        of_recording = np.all([clips[key] == value for key, value in medoid.recording.items()], axis=0)
        rows = np.flatnonzero(correct & of_recording)
        row = rows[_nearest(run, name, rows, clips["valid_duration_s"][rows], medoid.share)]
        rank[row], n_recordings[row] = medoid.rank, medoid.n_recordings
    row = np.flatnonzero(done if every_clip else rank != NO_EXAMPLE)
    return Chosen(row, rank[row], n_recordings[row])


def sound(job: SoundingJob) -> tuple[str, ...]:
    """Cut, score and write the clips of a job; return why each could not be, '' where it could."""
    known = _read(job)
    kept_relevance = job.run.settings.evaluation.kept_relevance
    pairs = zip(known.relevance, known.valid, strict=True)
    mask = np.stack([masks.soft_mask(*pair, kept_relevance) for pair in pairs])
    heard = [_hear(job, known.axes, place, each) for place, each in enumerate(mask)]
    probability = _probabilities(job, known, heard)
    of_target = np.take_along_axis(probability, known.target[:, None, None], axis=2)[..., 0]
    errors = tuple(map(_fault, heard, of_target[:, 0], known.probability))
    passed = np.array([not error for error in errors])[:, None]
    data = {
        **_kept(known, mask),
        "error": np.array(errors, dtype=object),
        "probability": np.where(passed, of_target, np.nan),
        "prediction": np.where(passed, ensemble.named(probability), ensemble.NONE),
        **_sounds(job, heard, errors),
    }
    write.write_rows(job.run.store, f"{LISTENING}/{job.name}", job.rows, data)
    return errors


def n_samples(run: Run) -> int:
    """Return the samples of a sound."""
    settings = run.settings.features
    return round(settings.duration_s * settings.sample_rate_hz)


def _medoids(run: Run, name: str) -> Iterator[_Medoid]:
    """Give the recordings that stand for each class."""
    found = read_whole(run.store, f"statistics/{RECORDINGS}/{name}", (*_RECORDING, "share"))
    usable = np.isfinite(found["share"]).all(axis=1)
    for label in np.unique(found["label"][usable]):
        members = np.flatnonzero(usable & (found["label"] == label))
        chosen = medoids.find(found["share"][members], run.settings.evaluation.n_examples)
        for rank, (member, n_nearest) in enumerate(zip(chosen.member, chosen.n_nearest, strict=True)):
            row = members[member]
            recording = {key: found[key][row] for key in _RECORDING}
            yield _Medoid(recording, found["share"][row], rank, int(n_nearest))


def _nearest(run: Run, name: str, rows: np.ndarray, recorded_s: np.ndarray, share: np.ndarray) -> int:
    """Return which of some clips spreads its relevance most like ``share``, the first of equals."""
    relevance = read_rows(run.store, f"{MAPS}/{name}", ("relevance",), rows)["relevance"]
    valid = valid_frames(recorded_s, run.settings.features.duration_s)
    shares = profiles.share_by_bin(np.maximum(relevance, 0), valid)
    known = np.flatnonzero(np.isfinite(shares).all(axis=1))
    return int(known[medoids.distances(shares[known], share[None]).argmin()])


def _read(job: SoundingJob) -> _Known:
    store, group = job.run.store, f"{MAPS}/{job.name}"
    maps = read_rows(store, group, ("relevance", "target", "logits"), job.clip_rows)
    clips = read_rows(store, "clips", ("fold", "valid_duration_s"), job.clip_rows)
    probability = ensemble.probabilities(maps["logits"])
    return _Known(
        axes=masks.Axes(**read_whole(store, group, AXES)),
        relevance=maps["relevance"],
        valid=valid_frames(clips["valid_duration_s"], job.run.settings.features.duration_s),
        fold=clips["fold"],
        target=maps["target"],
        probability=np.take_along_axis(probability, maps["target"][:, None], axis=1)[:, 0],
    )


def _kept(known: _Known, kept: np.ndarray) -> Mapping[str, np.ndarray]:
    """Return what the masks keep, by the names of the schema."""
    cells = np.broadcast_to(known.valid[:, None, :], kept.shape)
    relevance = [masks.positive(*each) for each in zip(known.relevance, known.valid, strict=True)]
    return {
        "mask": kept.astype(np.float32),
        "kept_share_of_cells": np.array([*map(masks.kept_share, kept, cells)]),
        "kept_share_of_relevance": np.array([*map(masks.kept_share, kept, relevance)]),
    }


def _hear(job: SoundingJob, axes: masks.Axes, place: int, mask: np.ndarray) -> _Heard | str:
    """Read a clip, cut it in two and look at all versions as the network does; or return why it cannot be."""
    clip, settings = job.clips[place], job.run.settings
    if isinstance(clip, str):
        return clip
    # The stems of a mix are not needed.
    found = reading.read(replace(clip, object_path=None, background_path=None), job.root, settings)
    if found.samples is None:
        return found.error
    rate_hz, n_fft = settings.features.sample_rate_hz, settings.features.n_fft
    parts = resynthesis.split(found.samples, mask, axes, sample_rate_hz=rate_hz, n_fft=n_fft)
    n_recorded = max(1, round(found.recorded_s * rate_hz))
    versions = resynthesis.without_traces(np.stack([found.samples, *parts]), n_recorded)
    loud, gain_db = resynthesis.equally_loud(versions, n_recorded)
    shown = [reading.Reading(recorded_s=found.recorded_s, samples=each) for each in versions.astype(np.float32)]
    level_db = reading.levels(shown, job.representation, settings)
    inputs = network_input(level_db, settings.training.channels, settings.features.dynamic_range_db)
    return _Heard(inputs, gain_db, resynthesis.to_pcm(loud))


def _probabilities(job: SoundingJob, known: _Known, heard: Sequence[_Heard | str]) -> np.ndarray:
    """Return what the network of each clip's fold says, shape (example, version, class); else NaN."""
    found = np.full((len(heard), len(VERSIONS), len(class_names(job.run))), np.nan)
    for fold in np.unique(known.fold).tolist():
        inputs = {
            place: each.inputs
            for place, each in enumerate(heard)
            if isinstance(each, _Heard) and known.fold[place] == fold
        }
        if inputs:
            network = job.run.model(job.representation, fold) / export.NETWORK_NAME
            said = probabilities(network, np.concatenate([*inputs.values()]))
            found[[*inputs]] = said.reshape(-1, *found.shape[1:])
    return found


def _fault(heard: _Heard | str, now: float, then: float) -> str:
    """Return why a clip could not be heard, or is not the sound that was explained; '' where it is."""
    if isinstance(heard, str):
        return heard
    if abs(now - then) <= SAME_SOUND:
        return ""
    return (
        f"is not the sound that was explained (the explained class had probability {then:.3f} and has "
        f"{now:.3f} now): run `toolkit run-all`, which notices files that changed"
    )


def _sounds(job: SoundingJob, heard: Sequence[_Heard | str], errors: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Return the sounds that may be kept, and by how much they were raised, by the names of the schema."""
    gain_db = np.full((len(heard), len(VERSIONS)), np.nan)
    pcm = np.zeros((len(heard), len(VERSIONS), n_samples(job.run) * job.keeps_sound), np.int16)
    for place, (each, error) in enumerate(zip(heard, errors, strict=True)):
        if isinstance(each, _Heard) and not error:
            gain_db[place] = each.gain_db
            pcm[place] = each.pcm[:, : pcm.shape[2]]
    return {"gain_db": gain_db, "sound": pcm} if job.keeps_sound else {"gain_db": gain_db}
