"""Which program explains a trained network, made ready once per process."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.config import ExplanationSettings
from toolkit.errors import ConfigError
from toolkit.lrp.composites import Composite, from_choices, named
from toolkit.lrp.engines.innvestigate import ANALYZERS, VERSION, InnvestigateExplainer
from toolkit.lrp.engines.onnxruntime import OnnxruntimeExplainer, provider_name
from toolkit.lrp.explainer import Explainer
from toolkit.network import architecture, runtime
from toolkit.network.weights import read_weights
from toolkit.pipeline.stages import export, train

if TYPE_CHECKING:
    import keras

INNVESTIGATE, ONNXRUNTIME = "innvestigate", "onnxruntime"
"""The engines, as settings name them."""
_KEPT = 12
"""Networks that a process keeps ready, at 50 to 90 MB each: those of all folds of one representation."""


def engine_of(settings: ExplanationSettings) -> str:
    """Return what makes the maps, as a store names it."""
    return f"{settings.engine} {VERSION}" if settings.engine == INNVESTIGATE else settings.engine


def check(settings: ExplanationSettings) -> None:
    """Refuse settings by which nothing could be explained here.

    Raises
    ------
    ConfigError
        A composite is not known, or the engine does not know it.
    DependencyError
        What the engine needs is not installed here.
    """
    check_names(settings)
    if needs_tensorflow(settings):
        runtime.require()


def check_names(settings: ExplanationSettings) -> None:
    """Refuse composites and providers that there are not.

    Raises
    ------
    ConfigError
        A composite is not known, or the engine does not know it.
    DependencyError
        onnxruntime has no such provider here.
    """
    composites = composites_of(settings)
    if not needs_tensorflow(settings):
        provider_name(settings.provider)
        return
    unknown = [composite.name for composite in composites if composite.name not in ANALYZERS]
    if unknown:
        raise ConfigError(
            f"innvestigate has no composite {unknown[0]}, only {', '.join(ANALYZERS)}: set "
            "explanation.engine to 'onnxruntime'"
        )


def needs_tensorflow(settings: ExplanationSettings) -> bool:
    """Tell whether the engine runs on TensorFlow."""
    return settings.engine == INNVESTIGATE


def composites_of(settings: ExplanationSettings, names: Sequence[str] = ()) -> list[Composite]:
    """Return the composites that maps are made of, or those of the given names.

    Raises
    ------
    ConfigError
        One is not known, or what the settings say of an own one cannot be used.
    """
    own = {
        name: from_choices(name, [choice.model_dump() for choice in choices])
        for name, choices in settings.own.items()
    }
    return [named(name, own) for name in names or settings.composites]


def compiled(folder: Path, settings: ExplanationSettings) -> bytes:
    """Return the network in ``folder`` with relevance maps of all composites compiled in, as an ONNX model."""
    from toolkit.lrp.compiler import compile_relevance

    model = compile_relevance(folder / export.NETWORK_NAME, composites_of(settings))
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def explainer_of(folder: Path, digest: str, settings: ExplanationSettings) -> Explainer:
    """Return the explainer of the network in ``folder`` with weights of ``digest``, made once per process."""
    return _explainer(folder, digest, settings.model_dump_json())


@lru_cache(maxsize=_KEPT)
def _explainer(folder: Path, _digest: str, plain_settings: str) -> Explainer:
    settings = ExplanationSettings.model_validate_json(plain_settings)
    if needs_tensorflow(settings):
        return _by_innvestigate(folder / train.WEIGHTS_NAME, settings.n_threads)
    model = compiled(folder, settings)
    return OnnxruntimeExplainer(model, n_threads=settings.n_threads, provider=settings.provider)


def _by_innvestigate(weights: Path, n_threads: int) -> Explainer:
    runtime.prepare(n_threads=n_threads, eager=False)

    def network() -> "keras.Model":
        known = read_weights(weights)
        model = architecture.build(len(known["dense_out/bias"]))
        architecture.load_weights(model, known)
        return model

    return InnvestigateExplainer(network)
