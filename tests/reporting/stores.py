"""A store with figures of every kind, none of them computed: made from the schema, to be changed by tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from toolkit.config import FeatureSettings, StatisticsSettings, to_json
from toolkit.features.spectrogram import axes
from toolkit.reporting import drawing, figures
from toolkit.store import write
from toolkit.store.schema import CONTRASTS, OUTCOMES, variables_of

CLASSES = ("hum", "dog_bark", "<b>clicks</b>")
BANDS = ("1-2 kHz", "2-4 kHz")
COMPOSITES = ("lrp.epsilon", "lrp.z")
SIZES = {
    "fold": 2,
    "frequency": 64,
    "time": 64,
    "aligned_time": 8,
    "threshold": 3,
    "bin": 4,
    "pair": 1,
    "run": 1,
    "recording": 4,
}
TEXTS: Mapping[str, tuple[str, ...]] = {
    "class_name": CLASSES,
    "other_class": CLASSES,
    "predicted_class": CLASSES,
    "band": BANDS,
    "outcome": OUTCOMES,
    "contrast": CONTRASTS,
    "representation": ("mel", "cqt"),
    "comparison": ("correct against misclassified", "foreground against background"),
    "first": ("lrp.epsilon",),
    "second": ("lrp.z",),
}
SOUND_HZ = 8000
OPTIONAL = {"band_object_share", "band_object_density"}


class MadeUp:
    """Figures by group, to be changed and then written."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store.zarr"
        self.about = {
            "class_names": list(CLASSES),
            "source": "synthetic",
            "features": to_json(FeatureSettings()),
            "nominal": [],
        }
        self.target = "predicted"
        self.composites = list(COMPOSITES)
        self.seeds: dict[str, int] = {}
        self.clips = clips()
        self.problems = {name: text() for name in ("subject", "reason", "severity")}
        names = [f"{kind}/{composite}" for kind in ("mel", "cqt") for composite in COMPOSITES]
        self.groups = {
            f"statistics/{name}": figures_of(f"statistics/{name}", seed)
            for seed, name in enumerate([
                "performance/mel",
                "performance/cqt",
                *(f"regions/{name}" for name in names),
                *(f"agreement/representations/{composite}" for composite in COMPOSITES),
                "agreement/composites/mel",
                "agreement/composites/cqt",
                "agreement/seeds/mel/lrp.epsilon",
            ])
        }

    def regions(self, name: str = "mel/lrp.epsilon") -> dict[str, np.ndarray]:
        return self.groups[f"statistics/regions/{name}"]

    def scores(self, representation: str = "mel") -> dict[str, np.ndarray]:
        return self.groups[f"statistics/performance/{representation}"]

    def forget(self) -> None:
        """Leave nothing known: NaN wherever there may be one."""
        for table in self.groups.values():
            for name, values in table.items():
                if values.dtype.kind == "f" and name not in {"frequency", "time", "aligned_time"}:
                    table[name] = np.full_like(values, np.nan)

    def write(self) -> Path:
        made = {"statistics": to_json(StatisticsSettings()), "seed": 1, "key": "0"}
        with write.new_store(self.store, self.about) as store:
            write.write_group(store, "clips", self.clips)
            write.write_group(store, "problems", self.problems)
            for group, table in self.groups.items():
                seed = {"seed": self.seeds.get(group, made["seed"])}
                write.write_group(store, group, table, attributes=made | seed)
                if group.startswith("statistics/regions/"):
                    explained = group.replace("statistics/regions", "relevance")
                    explanation = {"explanation": {"target": self.target, "composites": self.composites}}
                    write.write_group(store, explained, {}, attributes=explanation)
        return self.store


def figures_of(group: str, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = {**SIZES, **{name: len(values) for name, values in TEXTS.items()}}
    known = axes("cqt" if "cqt" in group else "mel", FeatureSettings())
    made = {name: getattr(known, name) for name in ("frequency", "frequency_low", "frequency_high", "time")}
    made |= {"fold": np.array([1, 2]), "aligned_time": np.arange(-2, 6) / 16}
    found = {}
    for variable in variables_of(group).values():
        shape = tuple(sizes[dim] for dim in variable.dims)
        if variable.name in made:
            found[variable.name] = made[variable.name]
        elif variable.kind == "text":
            found[variable.name] = text(*TEXTS[variable.name])
        elif variable.name not in OPTIONAL:
            found[variable.name] = values_of(variable.kind, shape, rng)
    return found


def values_of(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if kind == "bool":
        return np.zeros(shape, bool)
    return rng.integers(10, 20, shape) if kind == "int64" else rng.uniform(0.3, 0.9, shape).astype(kind)


def clips() -> dict[str, np.ndarray]:
    n = len(CLASSES)
    return {
        "clip": text(*(f"{name} 1" for name in CLASSES)),
        "path": text(*(f"{name}.wav" for name in CLASSES)),
        "class_name": text(*CLASSES),
        "label": np.arange(n),
        "fold": np.array([1, 2, 1]),
        "recording": text(*(f"recording {number}" for number in range(n))),
        "salience": np.ones(n, np.int64),
        "status": text(*["ok"] * n),
        "error": text(*[""] * n),
        "native_rate_hz": np.full(n, 22_050),
        "clipped_share": np.zeros(n, np.float32),
    }


def cuts(names: Sequence[str], labels: Sequence[int], folds: Sequence[int]) -> dict[str, np.ndarray]:
    """Return clips cut in two by mel, each half a second long and 20, 40 and 60 thousandths loud."""
    n, versions = len(names), text("original", "kept", "removed")
    sound = np.zeros((n, len(versions), SOUND_HZ), np.int16)
    sound[:, :, : SOUND_HZ // 2] = 655 * np.array([1, 2, 3], np.int16)[:, None]
    known = axes("mel", FeatureSettings())
    return {
        **{name: getattr(known, name) for name in ("frequency", "frequency_low", "frequency_high", "time")},
        "version": versions,
        "clip": text(*names),
        "recording": text(*(f"recording of {name}" for name in names)),
        "label": np.array(labels),
        "target": np.array(labels),
        "fold": np.array(folds),
        "rank": np.arange(n),
        "n_recordings": np.full(n, 4),
        "valid_duration_s": np.full(n, 0.5),
        "attribution": text(*(f"Sound of {name}" for name in names)),
        "error": text(*[""] * n),
        "mask": np.zeros((n, 64, 64), np.float32),
        "kept_share_of_cells": np.full(n, 0.07),
        "kept_share_of_relevance": np.full(n, 0.53),
        "prediction": np.array([[label, label, (label + 1) % len(CLASSES)] for label in labels]),
        "probability": np.tile([0.9, 0.8, 0.25], (n, 1)),
        "gain_db": np.tile([0.0, 12.3, 4.5], (n, 1)),
        "sound": sound,
    }


CUTS_ABOUT = {"sample_rate_hz": SOUND_HZ, "evaluation": {"kept_relevance": 0.4}}


def text(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def leave_figures_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pages made without drawing: figures take seconds each, and have tests of their own."""
    for name in ("maps", "example"):
        monkeypatch.setattr(figures, name, lambda *_: figures.Maps(drawing.new_figure(0.2, 0.2), ()))
    for name in ("bands", "folds", "both", "confusion", "thumbnail", "in_time"):
        monkeypatch.setattr(figures, name, lambda *_: drawing.new_figure(0.2, 0.2))
