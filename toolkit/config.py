"""Every setting of a run, its default, its unit and its range, and how the layers of configuration combine.

Later layers win, key by key: defaults, what the run recorded when it last ran, ``toolkit.toml``
in the working folder (or the file given with ``--config``), ``TOOLKIT__SECTION__KEY`` in the
environment, options of the command. Unknown keys are errors in every layer.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from toolkit.errors import ConfigError, printable

Plain = Mapping[str, object]
"""Settings in plain form, as JSON and TOML hold them: keys to values or to further mappings."""

Representation = Literal["mel", "cqt"]
CompositeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""Of one that the toolkit knows, or of one in ``explanation.own``; also a name in the store."""
Channels = Literal["level_contrast_change", "level", "colours"]

REPRESENTATIONS: tuple[Representation, ...] = ("mel", "cqt")
COMPOSITES: tuple[str, ...] = ("lrp.epsilon", "lrp.sequential_preset_a_flat")
ENVIRONMENT_PREFIX = "TOOLKIT__"
N_BINS = 64
N_FRAMES = 64
"""Frequency bins and time bins of every spectrogram: the network of the study takes 64 x 64."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SourceSettings(_Section):
    """Where the clips come from."""

    kind: Literal["synthetic", "urbansound8k", "manifest", "pictures"] = "synthetic"
    path: Path | None = None
    """Folder of the corpus, or its manifest; absent for the synthetic one, which is made inside the run."""
    windows: bool = False
    """Whether a file longer than a clip gives one clip after the other; if not, it gives its first seconds."""
    fmax_hz: Annotated[float, Field(ge=4000, le=96_000)] = 22_050.0
    """Highest frequency of spectrogram pictures, which do not tell it: their axis in Hz is nominal."""

    @model_validator(mode="after")
    def _needs_path(self) -> Self:
        if (self.path is None) != (self.kind == "synthetic"):
            message = f"a {self.kind} source {'needs a' if self.path is None else 'takes no'} path"
            raise ValueError(message)
        return self


class FeatureSettings(_Section):
    """How sound becomes a spectrogram of 64 frequency bins by 64 time bins."""

    sample_rate_hz: Annotated[int, Field(ge=8000, le=192_000)] = 22_050
    duration_s: Annotated[float, Field(gt=0, le=60)] = 4.0
    hop_length: Annotated[int, Field(ge=32, le=8192)] = 256
    """Samples between analysis frames; the power of several frames is averaged into one time bin."""
    n_fft: Annotated[int, Field(ge=256, le=16_384)] = 2048
    mel_fmin_hz: Annotated[float, Field(ge=0)] = 0.0
    mel_fmax_hz: Annotated[float, Field(gt=0)] | None = None
    """Upper edge of the highest mel band; None means half the sampling rate."""
    cqt_fmin_hz: Annotated[float, Field(gt=0)] = 31.25 * 2 ** (1 / 16)
    """Centre of the lowest constant-Q bin. The default puts bin edges exactly on octaves of 31.25 Hz."""
    cqt_bins_per_octave: Annotated[int, Field(ge=4, le=24)] = 8
    dynamic_range_db: Annotated[float, Field(ge=20, le=160)] = 80.0
    """Level is in dB below the loudest cell of the clip, cut off at this depth."""


class TrainingSettings(_Section):
    """How one network per representation and fold is trained."""

    channels: Channels = "level_contrast_change"
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 30
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """None: a 45th of the training clips, from 4 to 32, so that a small corpus gets enough steps too."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-4
    patience: Annotated[int, Field(ge=0)] = 8
    """Epochs without a better validation loss after which training ends; 0 never ends early."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the training recordings held back for validation where there are fewer than three folds."""
    strict_groups: bool = False
    """Whether clips of recordings that sit in two folds are kept out of training."""
    later_clips: Literal["keep", "retrain"] = "keep"
    """Whether networks stay as they are when clips are added to a corpus, or are trained anew."""
    n_threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of one training process. Part of the result: other numbers give other weights."""


class RuleSettings(_Section):
    """One rule of an own composite, and the layers it is for; every condition given must hold."""

    rule: str
    """Name of the rule, such as 'epsilon' or 'alpha_beta'."""
    parameters: dict[str, float | str] = {}
    """Of the rule, such as ``alpha = 2``."""
    kind: str | None = None
    """Kind of layer: 'convolution', 'dense', 'average_pool', 'relu', 'scaling'."""
    position: int | None = None
    """Among layers with weights: 0 is the first, -1 the last."""
    name: str | None = None
    """Name of the layer; * stands for any characters."""


class ExplanationSettings(_Section):
    """Which relevance maps are made, and by what."""

    composites: Annotated[tuple[CompositeName, ...], Field(min_length=1)] = COMPOSITES
    own: dict[CompositeName, tuple[RuleSettings, ...]] = {}
    """Composites of one's own: for every layer, the first rule whose conditions hold."""
    engine: Literal["onnxruntime", "innvestigate"] = "onnxruntime"
    """What computes them; innvestigate needs TensorFlow and knows no own composites."""
    provider: str = "cpu"
    """What onnxruntime computes on, such as 'cpu' or 'cuda'."""
    target: str = "all"
    """The explained output: 'predicted' (the highest logit), 'label' (the true class) or a class name. 'all':
    maps of the predicted class, and of every class how relevance is spread over frequencies."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 32
    n_threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of one explaining process. With innvestigate part of the result, in its last digits."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.composites)) < len(self.composites):
            raise ValueError(f"composites={list(self.composites)} names one twice")
        return self


class StatisticsSettings(_Section):
    """How clips are summed up per class, and what must hold before a region is named."""

    band_edges_hz: tuple[float, ...] = (0, 125, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000)
    """Octaves; the last band that holds anything ends at half the sampling rate."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    n_bootstrap: Annotated[int, Field(ge=100, le=1_000_000)] = 2000
    n_permutations: Annotated[int, Field(ge=100, le=1_000_000)] = 5000
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Largest corrected p of a verdict."""
    minimum_ratio: Annotated[float, Field(ge=1)] = 1.25
    """Smallest ratio of shares of a verdict: what is certain but small is not named."""
    minimum_recordings: Annotated[int, Field(ge=3)] = 10
    """Fewer are too few to say: no test is made."""
    cluster_p: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Two-sided p of one bin from which on neighbouring bins form a cluster."""
    cluster_statistic: Literal["mass", "tfce"] = "mass"
    """What clusters are judged by: their mass, or threshold-free cluster enhancement (takes longer)."""
    share_floor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Added to every share before ratios, in units of an even spread, so that zero has a logarithm."""
    other_seeds: tuple[Path, ...] = ()
    """Folders of runs on the same corpus with other seeds, whose maps are compared with these."""

    @model_validator(mode="after")
    def _edges_rise(self) -> Self:
        edges = self.band_edges_hz
        if len(edges) < 2 or any(high <= low for low, high in pairwise(edges)):
            raise ValueError(f"band_edges_hz={list(edges)} must rise and hold at least two frequencies")
        if edges[0] < 0:
            raise ValueError(f"band_edges_hz={list(edges)} must not be negative")
        return self


class EvaluationSettings(_Section):
    """What of the clips is to be heard, cut in two by their relevance."""

    audio: Literal["auto", "none", "examples", "all"] = "auto"
    """Which sounds are kept in the store and so come into pages: of no clip, of the examples, of all clips.
    'auto': the examples of the synthetic corpus, none of real recordings, which have a licence."""
    composite: CompositeName | None = None
    """Whose maps sounds are cut by; None: the first of ``explanation.composites`` that has maps."""
    n_examples: Annotated[int, Field(ge=1, le=20)] = 3
    """Examples of each class, at most."""
    kept_relevance: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of positive relevance in the cells that are kept whole."""


class QualitySettings(_Section):
    """Gates: a result beyond them ends the run with exit code 6."""

    export_tolerance: Annotated[float, Field(gt=0)] = 1e-4
    """Largest allowed difference between a probability from ONNX and from Keras."""
    minimum_accuracy: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Smallest allowed accuracy over all clips of a representation; 0 turns the gate off."""
    verify_tolerance: Annotated[float, Field(gt=0)] = 1e-5
    """Largest allowed median difference of maps by the two engines, as a share of a map's largest relevance."""
    verify_correlation: Annotated[float, Field(ge=-1, le=1)] = 0.999
    """Smallest allowed correlation of a clip's map by one engine with that by the other."""


SOURCE_DEFAULTS: Mapping[str, Plain] = {
    # A corpus of 300 clips that is there to be looked at within minutes.
    "synthetic": {"training": {"epochs": 5}},
    # They are pictures of mel spectrograms.
    "pictures": {"representations": ["mel"]},
}
"""Defaults that suit one kind of source; every layer of settings is stronger."""


class ReportSettings(_Section):
    """What is written beside the pages."""

    data: bool = True
    """Whether every table and figure is written as a file, too, below ``reports/data``."""


class Settings(_Section):
    """All settings of one run."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    representations: tuple[Representation, ...] = REPRESENTATIONS
    source: SourceSettings = SourceSettings()
    features: FeatureSettings = FeatureSettings()
    training: TrainingSettings = TrainingSettings()
    explanation: ExplanationSettings = ExplanationSettings()
    statistics: StatisticsSettings = StatisticsSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    report: ReportSettings = ReportSettings()
    quality: QualitySettings = QualitySettings()

    @model_validator(mode="after")
    def _pictures_are_mel(self) -> Self:
        if self.source.kind == "pictures" and self.representations != ("mel",):
            raise ValueError("pictures are mel spectrograms: representations can only be ['mel']")
        return self


def resolve(layers: Mapping[str, Plain]) -> Settings:
    """Return the settings that ``layers``, from weakest to strongest, add up to.

    Where they name a kind of source, its ``SOURCE_DEFAULTS`` lie below them.

    Raises
    ------
    ConfigError
        A key is unknown or its value is of the wrong kind or out of range; the message names
        the key, the value and the layer that it came from.
    """
    merged: dict[str, object] = {}
    try:
        for layer in layers.values():
            merged = merge(merged, layer)
        return Settings.model_validate(merge(_suited(merged), merged))
    except RecursionError as error:
        raise ConfigError(f"settings in {', '.join(layers)} are nested too deeply to be read") from error
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(error, layers))) from error


def _suited(settings: Plain) -> Plain:
    """Return the defaults that suit the kind of source that settings name."""
    source = settings.get("source")
    kind = source.get("kind") if isinstance(source, Mapping) else None
    return SOURCE_DEFAULTS.get(kind, {}) if isinstance(kind, str) else {}


_WHOLE = {"source", "own"}
"""Sections of which each layer says all."""


def merge(low: Plain, high: Plain) -> dict[str, object]:
    """Return ``low`` overlaid with ``high``; sections merge key by key, those in ``_WHOLE`` do not."""
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and key not in _WHOLE:
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def read_toml(path: Path) -> dict[str, object]:
    """Return the settings in a TOML file.

    Raises
    ------
    ConfigError
        The file is absent, not text, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"configuration file {printable(path)}: {printable(error)}") from error


def from_environment(environment: Mapping[str, str] = os.environ) -> dict[str, object]:
    """Return the settings named ``TOOLKIT__SECTION__KEY``; values are JSON where they parse as JSON.

    ``TOOLKIT__OUT`` is no setting of a run: it tells the command line where the run is.
    """
    settings: dict[str, object] = {}
    for name, text in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX) and name != f"{ENVIRONMENT_PREFIX}OUT":
            keys = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            _put(settings, keys, _parsed(text))
    return settings


def to_json(settings: BaseModel) -> dict[str, object]:
    """Return settings as plain JSON values."""
    plain: dict[str, object] = settings.model_dump(mode="json")
    return plain


def _put(settings: dict[str, object], keys: list[str], value: object) -> None:
    """Set the value that ``keys`` lead to, making the sections on the way."""
    *sections, last = keys
    for section in sections:
        below = settings.get(section)
        if not isinstance(below, dict):
            below = settings[section] = {}
        settings = below
    settings[last] = value


def _parsed(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _explain(error: ValidationError, layers: Mapping[str, Plain]) -> list[str]:
    lines = []
    for item in error.errors(include_url=False):
        keys = [str(key) for key in item["loc"]]
        name = printable(".".join(keys)) if keys else "settings"
        origin = next((name for name in reversed([*layers]) if _holds(layers[name], keys)), "the defaults")
        if item["type"] == "extra_forbidden":
            lines.append(f"{name} (in {origin}): no such setting; allowed here: {_siblings(keys)}")
        else:
            lines.append(f"{name}={_shown(item['input'])} (in {origin}): {item['msg']}")
    return lines


def _shown(value: object) -> str:
    """Return a value as it was written, cut where it is long, unless Python refuses to write it out."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return "(a value too long or too deep to show)"
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def _holds(layer: Plain, keys: list[str]) -> bool:
    if not keys or keys[0] not in layer:
        return not keys
    below = layer[keys[0]]
    return _holds(below, keys[1:]) if isinstance(below, Mapping) else True


def _siblings(keys: list[str]) -> str:
    model: type[BaseModel] = Settings
    for key in keys[:-1]:
        field = model.model_fields.get(key)
        if field is None or not isinstance(field.annotation, type):
            break
        model = field.annotation
    return ", ".join(sorted(model.model_fields))
