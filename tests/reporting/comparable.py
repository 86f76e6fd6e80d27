"""A made-up store that can be compared with another: clips with predictions, recordings with shares by bin."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.reporting.stores import BANDS, CLASSES, MadeUp, text
from toolkit.config import FeatureSettings, StatisticsSettings, to_json
from toolkit.features.spectrogram import axes
from toolkit.store import write
from toolkit.store.schema import variables_of

N_RECORDINGS, N_CLIPS = 12, 2
"""Recordings of every class, and clips of every recording."""
GROUPS = tuple(
    f"statistics/{name}"
    for name in ("performance/mel", "performance/cqt", "regions/mel/lrp.epsilon", "regions/cqt/lrp.epsilon")
)
OF_CLASSES = ("class_name", "other_class", "predicted_class")


class Run(MadeUp):
    """One recording of a class after the other, in two folds; all clips classified correctly, until changed."""

    def __init__(self, folder: Path, settings: StatisticsSettings | None = None) -> None:
        super().__init__(folder)
        self.settings = settings or StatisticsSettings(n_bootstrap=200)
        self.seed = 1
        self.names = list(CLASSES)
        number = np.arange(len(CLASSES) * N_RECORDINGS)
        self.recordings = {
            "label": number // N_RECORDINGS,
            "recording": text(*(f"recording {each}" for each in number)),
            "fold": 1 + number % 2,
            "n_clips": np.full(len(number), N_CLIPS),
            "n_correct": np.full(len(number), N_CLIPS),
        }
        self.share = np.random.default_rng(0).dirichlet(np.ones(64), len(number))
        clip = np.repeat(number, N_CLIPS)
        self.clips = {
            "clip": text(*(f"clip {each}" for each in range(len(clip)))),
            "path": text(*(f"{each}.wav" for each in range(len(clip)))),
            "fold": self.recordings["fold"][clip],
            "recording": self.recordings["recording"][clip],
            "label": self.recordings["label"][clip],
            "salience": np.ones(len(clip), np.int64),
            "status": text(*["ok"] * len(clip)),
            "error": text(*[""] * len(clip)),
            "native_rate_hz": np.full(len(clip), 22_050),
            "clipped_share": np.zeros(len(clip), np.float32),
        }
        self.digest = text(*(f"sound {each}" for each in range(len(clip))))
        self.right = {kind: np.ones(len(clip), bool) for kind in ("mel", "cqt")}
        self.groups = {group: table for group, table in self.groups.items() if group in GROUPS}
        for group, table in self.groups.items():
            if "/regions/" in group:
                table["band_low"], table["band_high"] = np.array([1000.0, 2000.0]), np.array([2000.0, 4000.0])
                table["band_verdict"][:] = 0

    @property
    def of_band(self) -> dict[str, np.ndarray]:
        """Bins of each band."""
        frequency = axes("mel", FeatureSettings()).frequency
        return dict(
            zip(BANDS, [(frequency >= 1000 * low) & (frequency < 2000 * low) for low in (1, 2)], strict=True)
        )

    def with_classes(self, names: Sequence[str]) -> "Run":
        """Leave the classes that are named, in that order."""
        order = [self.names.index(name) for name in names]
        for group, table in self.groups.items():
            for variable in variables_of(group).values():
                for axis, dim in enumerate(variable.dims):
                    if dim in OF_CLASSES and variable.name in table:
                        table[variable.name] = table[variable.name].take(order, axis=axis)
        number = {old: new for new, old in enumerate(order)}
        for table, more in ((self.clips, self.right), (self.recordings, {})):
            kept = np.isin(table["label"], order)
            for held in (table, more):
                held.update({name: values[kept] for name, values in held.items()})
            if table is self.clips:
                self.digest = self.digest[kept]
            else:
                self.share = self.share[kept]
            table["label"] = np.array([number[label] for label in table["label"]])
        self.names = list(names)
        self.about["class_names"] = list(names)
        return self

    def without_rows(self, recording: str) -> "Run":
        """Take a recording out, with its clips."""
        kept = self.clips["recording"] != recording
        self.clips = {name: values[kept] for name, values in self.clips.items()}
        self.digest = self.digest[kept]
        self.right = {name: values[kept] for name, values in self.right.items()}
        kept = self.recordings["recording"] != recording
        self.recordings = {name: values[kept] for name, values in self.recordings.items()}
        self.share = self.share[kept]
        return self

    def write(self) -> Path:
        n = len(self.names)
        label = self.clips["label"]
        self.clips["class_name"] = np.array(self.names, dtype=object)[label]
        made = {"statistics": to_json(self.settings), "seed": self.seed, "key": "0"}
        for kind, right in self.right.items():
            scores = self.scores(kind)
            scores["accuracy"] = np.array(right.mean())
            scores["confusion"] = np.zeros((2, n, n), np.int64)
            scores["confusion"][0, 0, 0] = len(right)
        store = super().write()
        for group in [*self.groups]:
            if group.startswith(("statistics/regions/", "statistics/performance/")):
                write.set_attributes(store, group, made)
        for kind in self.right:
            self._write_maps(store, f"{kind}/lrp.epsilon")
            write.write_group(store, f"features/{kind}", {"digest": self.digest})
        return store

    def _write_maps(self, store: Path, name: str) -> None:
        kind, label = name.split("/")[0], self.clips["label"]
        prediction = np.where(self.right[kind], label, (label + 1) % len(self.names))
        explanation = {"explanation": {"target": self.target}}
        write.write_group(store, f"relevance/{name}", {"prediction": prediction}, attributes=explanation)
        known = axes(kind, FeatureSettings())
        edges = {axis: getattr(known, axis) for axis in ("frequency", "frequency_low", "frequency_high")}
        shares = {"share": self.share, "input_share": np.full(self.share.shape, 1 / 64)}
        write.write_group(store, f"statistics/recordings/{name}", {**self.recordings, **shares, **edges})
