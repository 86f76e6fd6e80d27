"""What the networks of one representation say of one recording, written into the recording's own store."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.config import Representation, Settings, to_json
from toolkit.features.bands import band_axis, bands_from_edges, bins_by_band
from toolkit.features.channels import network_input
from toolkit.features.spectrogram import valid_frames
from toolkit.lrp import maps
from toolkit.lrp.explainer import PREDICTED, Explainer
from toolkit.pipeline import explainers, reading
from toolkit.statistics import ensemble, profiles
from toolkit.store import write
from toolkit.store.read import read_whole
from toolkit.store.schema import ROWS_PER_PARTITION
from toolkit.store.variables import FREQUENCY_AXIS, TIME_AXIS

_AXES = tuple(axis.name for axis in (*FREQUENCY_AXIS, *TIME_AXIS))


@dataclass(frozen=True)
class Network:
    """The network of one fold."""

    fold: int
    folder: Path
    digest: str
    """Digest of the weights."""


@dataclass(frozen=True)
class JudgingJob:
    """A recording, and the networks of one representation that judge it. Picklable."""

    name: str
    store: Path
    """Store of the recording: holds its features, and takes the explanations."""
    representation: Representation
    networks: tuple[Network, ...]
    has_say: np.ndarray
    """Which networks may judge which windows, booleans, shape (fold, clip)."""
    corpus_clip: np.ndarray
    """Clips of the corpus that each window is, as text, shape (clip,)."""
    settings: Settings
    composites: tuple[str, ...]
    class_names: tuple[str, ...]
    target: int | str
    """'predicted', or the number of a class."""


@dataclass(frozen=True)
class _Heard:
    """Windows as networks are shown them; arrays of shape (clip, ...)."""

    axes: Mapping[str, np.ndarray]
    level_db: np.ndarray
    valid: np.ndarray
    inputs: np.ndarray
    bands: Mapping[str, np.ndarray]
    bins_of_bands: np.ndarray
    """Which bins lie in each band, booleans, shape (band, bin)."""


def judge(job: JudgingJob) -> None:
    """Classify and explain every window of a recording, and write what came out."""
    heard = _heard(job)
    logits = np.full((*job.has_say.shape, len(job.class_names)), np.nan, np.float32)
    for place, rows, explainer in _turns(job):
        nothing_asked = np.full(len(rows), PREDICTED, np.int64)
        logits[place, rows] = explainer.explain(heard.inputs[rows], nothing_asked, ()).logits
    probability = ensemble.mean_probability(logits)
    prediction = ensemble.named(probability)
    known = prediction != ensemble.NONE
    target = prediction if job.target == "predicted" else np.where(known, int(job.target), ensemble.NONE)
    shared = {
        **heard.axes,
        **heard.bands,
        "class_name": np.array(job.class_names, dtype=object),
        "fold": np.array([network.fold for network in job.networks], np.int64),
        "has_say": job.has_say,
        "corpus_clip": job.corpus_clip,
        "logits": logits,
        "probability": probability,
        "prediction": prediction,
        "target": target,
        "n_networks": job.has_say.sum(axis=0),
        "votes": ensemble.votes(logits, prediction),
        "band_input_share": _input_share(heard),
    }
    for composite, relevance in _relevance(job, heard.inputs, target).items():
        data = {**shared, "relevance": relevance, **_summed_up(relevance, heard)}
        group = f"explanations/{job.representation}/{composite}"
        write.write_group(job.store, group, data, attributes=_about(job, composite))


def _turns(job: JudgingJob) -> Iterator[tuple[int, np.ndarray, Explainer]]:
    """Give each network's place, some rows that it may judge, and its explainer."""
    for place, network in enumerate(job.networks):
        rows = np.flatnonzero(job.has_say[place])
        n_batches = math.ceil(len(rows) / job.settings.explanation.batch_size)
        for some in np.array_split(rows, n_batches) if n_batches else ():
            yield place, some, explainers.explainer_of(network.folder, network.digest, job.settings.explanation)


def _heard(job: JudgingJob) -> _Heard:
    settings = job.settings
    found = read_whole(job.store, f"features/{job.representation}", ("level_db", *_AXES))
    recorded_s = read_whole(job.store, "clips", ("valid_duration_s",))["valid_duration_s"]
    level_db = found.pop("level_db")
    highest_hz = reading.analysis(settings).sample_rate_hz / 2
    bands = bands_from_edges(settings.statistics.band_edges_hz, highest_hz)
    bins = bins_by_band(bands, found["frequency"])
    return _Heard(
        axes=found,
        level_db=level_db,
        valid=valid_frames(recorded_s, settings.features.duration_s),
        inputs=network_input(level_db, settings.training.channels, settings.features.dynamic_range_db),
        bands=band_axis(bins),
        bins_of_bands=np.array([*bins.values()], bool).reshape(-1, len(found["frequency"])),
    )


def _relevance(job: JudgingJob, inputs: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Return maps by composite, shape (fold, clip, bin, frame), float32; NaN where a network has no say."""
    shape = *job.has_say.shape, *inputs.shape[1:3]
    relevance = {composite: np.full(shape, np.nan, np.float32) for composite in job.composites}
    for place, rows, explainer in _turns(job):
        found = explainer.explain(inputs[rows], target[rows], job.composites)
        for composite, maps_of_rows in found.relevance.items():
            relevance[composite][place, rows] = maps_of_rows
    return relevance


def _summed_up(relevance: np.ndarray, heard: _Heard) -> dict[str, np.ndarray]:
    """Return what all networks together found, each of shape (clip, ...); some clips at a time."""
    n_clips = relevance.shape[1]
    blocks = [slice(first, first + ROWS_PER_PARTITION) for first in range(0, n_clips, ROWS_PER_PARTITION)]
    parts = [_block_summed_up(relevance[:, rows], heard.valid[rows], heard.bins_of_bands) for rows in blocks]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _block_summed_up(
    relevance: np.ndarray, valid: np.ndarray, bins_of_bands: np.ndarray
) -> dict[str, np.ndarray]:
    shares = np.stack([profiles.signed_share(each, valid) for each in relevance])
    by_bin = np.stack([profiles.share_by_bin(np.maximum(each, 0), valid) for each in relevance])
    in_padding = np.stack([maps.share_in_padding(each, valid) for each in relevance])
    return {
        "mean_relevance": profiles.mean(shares),
        "agreement": ensemble.agreement(shares),
        "band_share": profiles.mean(by_bin @ bins_of_bands.T),
        "relevance_in_padding": profiles.mean(in_padding.astype(np.float64)),
    }


def _input_share(heard: _Heard) -> np.ndarray:
    return np.asarray(profiles.share_by_bin(heard.inputs.sum(axis=-1), heard.valid) @ heard.bins_of_bands.T)


def _about(job: JudgingJob, composite: str) -> dict[str, object]:
    """Return what the explanations say of how they were made."""
    return {
        "engine": explainers.engine_of(job.settings.explanation),
        "nominal": list(reading.nominal(job.settings)),
        "explanation": {**to_json(job.settings.explanation), "composites": list(job.composites)},
        "networks": {str(network.fold): network.digest for network in job.networks},
    }
