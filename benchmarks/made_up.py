"""A store as large as UrbanSound8K, of which nothing is true: what stages are timed on.

It has 8,732 clips in recordings of the sizes of UrbanSound8K (folds 8 to 10 repeat those of 1 to 3), with maps
of smooth noise.
"""

from pathlib import Path

import numpy as np
from scipy import ndimage

from benchmarks.simulation.recordings import Layout, read_layout
from toolkit.config import N_BINS, N_FRAMES, to_json
from toolkit.features.spectrogram import axes
from toolkit.pipeline.run import Run
from toolkit.store import write
from toolkit.store.schema import BY_TARGET, MAPS, OK, partitions
from toolkit.store.variables import FREQUENCY_AXIS, TIME_AXIS

N_CLIPS = 8732
N_REPEATED = 8
"""Partitions of noise that are made; the store repeats them."""
FOLDS_REPEATED = {8: 1, 9: 2, 10: 3}
"""Folds of which no sizes are known, and whose they take."""


def whole_corpus(times: int = 1) -> Layout:
    """Return recordings of ten folds and ``N_CLIPS`` clips, each so many times; sorted by class and fold."""
    known = read_layout()
    parts = [(known.of_class, known.fold, known.size)]
    for fold, source in FOLDS_REPEATED.items():
        inside = known.fold == source
        parts.append((known.of_class[inside], np.full(inside.sum(), fold), known.size[inside]))
    of_class, fold, size = (np.concatenate(each) for each in zip(*parts, strict=True))
    # What is too much is taken from the largest recordings of the folds that repeat others.
    order = np.lexsort((-size, fold <= max(FOLDS_REPEATED.values()) + 4))
    for place in order:
        surplus = size.sum() - N_CLIPS
        size[place] -= min(max(0, surplus), size[place] - 1)
    order = np.tile(np.lexsort((fold, of_class)), times)
    order = order[np.argsort(of_class[order], kind="stable")]
    return Layout(known.names, of_class[order], fold[order], size[order])


def make_store(run: Run, layout: Layout) -> None:
    """Write the clips of a layout, their features and their maps."""
    clips = _clips(layout)
    about = {
        "class_names": list(layout.names),
        "source": "urbansound8k",
        "features": to_json(run.settings.features),
        "nominal": [],
    }
    with write.new_store(run.store, about) as store:
        write.write_group(store, "clips", clips)
        nothing = np.array([], dtype=object)
        write.write_group(store, "problems", dict.fromkeys(("subject", "reason", "severity"), nothing))
        rng = np.random.default_rng(0)
        for representation in run.settings.representations:
            networks = _networks(layout)
            write.write_group(store, f"training/{representation}", networks)
            known = {
                axis.name: getattr(axes(representation, run.settings.features), axis.name)
                for axis in (*FREQUENCY_AXIS, *TIME_AXIS)
            }
            _fill(store, f"features/{representation}", known, _levels(rng), clips)
            for composite in run.settings.explanation.composites:
                named = {**known, "class_name": np.array(layout.names, dtype=object)}
                _fill(store, f"{MAPS}/{representation}/{composite}", named, _maps(rng, layout), clips)
                without_time = {name: values for name, values in named.items() if name != "time"}
                where = f"{BY_TARGET}/{representation}/{composite}"
                _fill(store, where, without_time, _shares(rng, layout), clips)


def _networks(layout: Layout) -> dict[str, np.ndarray]:
    folds = np.unique(layout.fold).astype(np.int64)
    n = len(folds)
    return {
        "fold": folds,
        "epoch": np.array([1]),
        **{
            name: np.full((n, 1), 0.5)
            for name in ("loss", "accuracy", "validation_loss", "validation_accuracy")
        },
        "n_training_clips": np.full(n, int(layout.size.sum() * 0.8), np.int64),
        "n_validation_clips": np.full(n, int(layout.size.sum() * 0.1), np.int64),
        "n_later_clips": np.zeros(n, np.int64),
        "best_epoch": np.ones(n, np.int64),
        "export_difference": np.zeros(n),
    }


def _clips(layout: Layout) -> dict[str, np.ndarray]:
    recording = np.repeat(np.arange(len(layout.size)), layout.size)
    n = len(recording)
    label = np.repeat(layout.of_class, layout.size)
    return {
        "clip": np.array([f"{number:06d}" for number in range(n)], dtype=object),
        "label": label.astype(np.int64),
        "class_name": np.array(layout.names, dtype=object)[label],
        "fold": np.repeat(layout.fold, layout.size).astype(np.int64),
        "recording": np.array([f"{number:06d}" for number in recording], dtype=object),
        "salience": 1 + np.arange(n, dtype=np.int64) % 2,
        "status": np.full(n, OK, dtype=object),
        "error": np.full(n, "", dtype=object),
        "path": np.array([f"{number:06d}.wav" for number in range(n)], dtype=object),
        "native_rate_hz": np.full(n, 44_100, np.int64),
        "clipped_share": np.zeros(n, np.float32),
        "valid_duration_s": np.where(np.arange(n) % 5 == 0, 2.0, 4.0),
    }


Rows = dict[str, np.ndarray]


def _levels(rng: np.random.Generator) -> list[Rows]:
    return [{"level_db": -80 + 80 * _noise(rng)} for _ in range(N_REPEATED)]


def _maps(rng: np.random.Generator, layout: Layout) -> list[Rows]:
    """Return rows of maps; two thirds of the clips are classified correctly once labels are put in."""
    found = []
    for _ in range(N_REPEATED):
        logits = rng.standard_normal((64, len(layout.names))).astype(np.float32)
        relevance = (_noise(rng) - np.float32(0.4)) ** 3
        found.append({
            "relevance": relevance,
            "logits": logits,
            "relevance_sum": relevance.sum(axis=(1, 2)),
            "relevance_in_padding": rng.random(64).astype(np.float32),
        })
    return found


def _shares(rng: np.random.Generator, layout: Layout) -> list[Rows]:
    drawn = rng.gamma(0.5, size=(N_REPEATED, 64, len(layout.names), N_BINS)).astype(np.float32)
    return [{"share": share / share.sum(axis=-1, keepdims=True)} for share in drawn]


def _noise(rng: np.random.Generator) -> np.ndarray:
    smooth = ndimage.gaussian_filter(rng.standard_normal((64, N_BINS, N_FRAMES)), (0, 2, 2))
    ranks = smooth.argsort(axis=None).argsort().reshape(smooth.shape)
    return (ranks / ranks.size).astype(np.float32)


def _fill(store: Path, group: str, known: Rows, blocks: list[Rows], clips: Rows) -> None:
    """Write a group of which every partition repeats one of a few; its clips are two thirds right."""
    n = len(clips["clip"])
    sizes = {"clip": n, "frequency": N_BINS, "time": N_FRAMES, "class_name": len(known.get("class_name", ()))}
    is_maps = group.startswith(f"{MAPS}/")
    names = [*blocks[0], "made_from", *(("label", "prediction", "target") if is_maps else ())]
    write.write_group(store, group, known, empty=names, sizes=sizes)
    for number, part in enumerate(partitions(n)):
        block = {
            name: values[: part.stop - part.start] for name, values in blocks[number % len(blocks)].items()
        }
        block["made_from"] = np.full(part.stop - part.start, "noise", dtype=object)
        if is_maps:
            label = clips["label"][part]
            right = np.arange(part.start, part.stop) % 3 > 0
            prediction = np.where(right, label, (label + 1) % sizes["class_name"])
            block |= {"label": label, "prediction": prediction, "target": prediction}
        write.write_rows(store, group, part, block)
