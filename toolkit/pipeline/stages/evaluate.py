"""Stage ``evaluate``: example clips cut in two by their relevance, to be heard, and scored by the network.

A unit is one group of examples, ``listening/<representation>/<composite>``. The sounds come from the corpus.
Where that is gone, or holds pictures, there are no sounds and no scores: the stage says so and finishes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolkit.config import Settings, to_json
from toolkit.corpus import sources, synthetic
from toolkit.corpus.catalogue import NOTE, Clip, is_file
from toolkit.errors import ConfigError, CorpusError
from toolkit.pipeline import sounding
from toolkit.pipeline.events import Trouble
from toolkit.pipeline.files import digest_of
from toolkit.pipeline.markers import Marker, Todo, Unit
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.pipeline.sounding import Chosen, SoundingJob
from toolkit.pipeline.stages import statistics
from toolkit.pipeline.summing import AXES, REGIONS
from toolkit.store import write
from toolkit.store.listening import VERSIONS
from toolkit.store.read import attributes, holds, read_rows, read_whole
from toolkit.store.schema import EXAMPLES_PER_CHUNK, LISTENING, MAPS

NAME = "evaluate"
VERSION = 1
_ROOT, _, _KIND = LISTENING.partition("/")
_OF_CLIPS = ("clip", "recording", "label", "fold", "valid_duration_s")
_OF_SOUNDS = (
    "mask",
    "kept_share_of_cells",
    "kept_share_of_relevance",
    "prediction",
    "probability",
    "gain_db",
    "error",
    "sound",
)
"""What is written clip by clip, as sounds are cut."""


@dataclass(frozen=True)
class _Corpus:
    """Where the sounds of a run are, as far as they are there."""

    root: Path = Path()
    clips: Mapping[str, Clip] = field(default_factory=dict)
    """By name."""
    error: str = ""
    """Why there are none."""

    def find(self, name: str) -> Clip | str:
        """Return how to read a clip, or why that cannot be."""
        return self.clips.get(name) or self.error or "is no longer in the corpus"

    @property
    def is_synthetic(self) -> bool:
        """Whether it was written by this toolkit, wherever it lies now."""
        return bool(self.clips) and is_file(self.root / synthetic.MARKER_NAME)

    def lacks(self, name: str) -> bool:
        """Tell whether the file of a clip is not there."""
        clip = self.clips.get(name)
        return clip is None or not is_file(self.root / clip.path)


def prepare(run: Run, _tools: Tools) -> None:
    """Remove examples that today's settings do not ask for."""
    if run.store.exists():
        _remove_but(run, {unit.name for unit in plan_units(run)})


def plan(run: Run, _scope: Scope, force: bool) -> Plan:
    """Compare every group of examples with the maps that it was made from.

    Whatever the scope of a command, as for statistics, which say what recordings examples stand for.
    """
    before = statistics.plan(run, Scope(), False)
    if before.waits_for or before.todo:
        return Plan((), (), waits_for=before.waits_for or statistics.NAME)
    units = plan_units(run)
    todo = {item.name: item for item in run.markers(NAME).todo(units, force=force)}
    back = [Todo(unit, "sounds are back") for unit in units if unit.name not in todo and _are_back(run, unit)]
    return Plan([unit.name for unit in units], [*todo.values(), *back])


def plan_units(run: Run) -> list[Unit]:
    """Return every group of examples that there should be, and what it should be made from."""
    units = []
    for representation in run.settings.representations:
        composite = _composite(run, representation)
        if composite:
            units.append(_unit(run, representation, composite))
    return units


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Make the groups of the plan, some of their clips side by side."""
    corpus = _corpus(run, tools)
    jobs = {name: _begin(run, item.unit, corpus) for name, item in plan.whole.items()}
    found: dict[str, dict[int, tuple[str, ...]]] = {name: {} for name in jobs}
    all_jobs = [job for of_unit in jobs.values() for job in of_unit]
    for name in (name for name, of_unit in jobs.items() if not of_unit):
        _finish(run, plan.whole[name].unit, (), corpus, tools)
        done(name)
    for job, errors in tools.workers.run(sounding.sound, all_jobs):
        name = f"{_KIND}/{job.name}"
        found[name][job.rows.start] = errors
        if len(found[name]) == len(jobs[name]):
            in_order = tuple(error for _, part in sorted(found[name].items()) for error in part)
            _finish(run, plan.whole[name].unit, in_order, corpus, tools)
            done(name)


def remove_old(run: Run) -> None:
    """Remove examples that were cut by other maps or settings than today's: no page is to tell of them.

    A store that came without markers cannot say what is old.
    """
    markers = run.markers(NAME)
    if run.store.exists() and markers.folder.exists():
        units = plan_units(run)
        _remove_but(run, {unit.name for unit in units} - {item.name for item in markers.todo(units)})


def check_composite(settings: Settings) -> None:
    """Refuse to cut sounds by maps that are not made.

    Raises
    ------
    ConfigError
        The composite is not among those that are explained.
    """
    chosen, composites = settings.evaluation.composite, settings.explanation.composites
    if chosen is not None and chosen not in composites:
        raise ConfigError(
            f"evaluation.composite={chosen!r} is not among explanation.composites={list(composites)}: choose "
            "one of them, or add it to them"
        )


def audio_of(settings: Settings) -> str:
    """Return which sounds are kept: 'none', 'examples' or 'all'."""
    chosen = settings.evaluation.audio
    if chosen != "auto":
        return chosen
    return "examples" if settings.source.kind == "synthetic" else "none"


def _composite(run: Run, representation: str) -> str:
    """Return the composite by whose maps sounds are cut; '' where there are no maps, or no figures of them."""
    wanted = run.settings.evaluation.composite
    names = (wanted,) if wanted else run.settings.explanation.composites
    kinds = (MAPS, f"statistics/{REGIONS}")
    has_all = (
        name for name in names if all(holds(run.store, f"{kind}/{representation}/{name}") for kind in kinds)
    )
    return next(has_all, "")


def _unit(run: Run, representation: str, composite: str) -> Unit:
    table = read_whole(run.store, "clips", _OF_CLIPS)
    maps = read_whole(run.store, f"{MAPS}/{representation}/{composite}", ("made_from",))
    settings = run.settings.evaluation
    ingredients = {
        "code": [VERSION, statistics.VERSION],
        "settings": {"n_examples": settings.n_examples, "kept_relevance": settings.kept_relevance},
        "audio": audio_of(run.settings),
        "maps and clips": digest_of([maps["made_from"].tolist(), [table[name].tolist() for name in _OF_CLIPS]]),
    }
    return Unit(f"{_KIND}/{representation}/{composite}", ingredients)


def _remove_but(run: Run, kept: set[str]) -> None:
    for path in sorted((run.store / LISTENING).glob("*/*/zarr.json")):
        name = path.parent.relative_to(run.store / _ROOT).as_posix()
        if name not in kept:
            run.markers(NAME).remove(name)
            write.remove_group(run.store, f"{_ROOT}/{name}")


def _corpus(run: Run, tools: Tools | None = None) -> _Corpus:
    """Return where the sounds of a run are; tell why they cannot be found, if there are tools for it."""
    settings = run.settings
    if settings.source.kind == "pictures":
        return _Corpus(error="pictures hold no sound")
    try:
        found = sources.read(
            settings.source, run.folder, settings.seed, duration_s=settings.features.duration_s
        )
    except CorpusError as error:
        if tools:
            tools.emit(Trouble("corpus", str(error), NOTE))
        return _Corpus(error="the corpus is gone, or cannot be read any more")
    return _Corpus(found.root, {clip.name: clip for clip in found.clips})


def _begin(run: Run, unit: Unit, corpus: _Corpus) -> list[SoundingJob]:
    """Write all of a group but what takes the sounds; return what is left to do."""
    _, representation, composite = unit.name.split("/")
    audio = audio_of(run.settings)
    chosen = sounding.choose(run, f"{representation}/{composite}", every_clip=audio == "all")
    run.markers(NAME).remove(unit.name)
    clips = _write_known(run, unit, chosen, corpus)
    parts = [
        slice(start, min(start + EXAMPLES_PER_CHUNK, len(chosen.row)))
        for start in range(0, len(chosen.row), EXAMPLES_PER_CHUNK)
    ]
    return [
        SoundingJob(
            run=run,
            representation=next(name for name in run.settings.representations if name == representation),
            composite=composite,
            rows=part,
            clip_rows=chosen.row[part],
            clips=tuple(corpus.find(str(name)) for name in clips[part]),
            root=corpus.root,
            keeps_sound=audio != "none",
        )
        for part in parts
    ]


def _write_known(run: Run, unit: Unit, chosen: Chosen, corpus: _Corpus) -> np.ndarray:
    """Write what is known of the examples before they are heard; return their names, shape (example,)."""
    _, representation, composite = unit.name.split("/")
    maps, audio = f"{MAPS}/{representation}/{composite}", audio_of(run.settings)
    clips = read_rows(run.store, "clips", _OF_CLIPS, chosen.row)
    data = {
        **clips,
        **read_rows(run.store, maps, ("target",), chosen.row),
        **read_whole(run.store, maps, AXES),
        "version": np.array(VERSIONS, dtype=object),
        "rank": chosen.rank,
        "n_recordings": chosen.n_recordings,
        "attribution": np.array([_credit(run, corpus, each) for each in clips["recording"]], dtype=object),
    }
    sizes = {
        "example": len(chosen.row),
        "version": len(VERSIONS),
        "sample": sounding.n_samples(run),
        "frequency": len(data["frequency"]),
        "time": len(data["time"]),
    }
    about = {
        "evaluation": {**to_json(run.settings.evaluation), "audio": audio, "composite": composite},
        "sample_rate_hz": run.settings.features.sample_rate_hz,
        "nominal": attributes(run.store)["nominal"],
    }
    empty = [name for name in _OF_SOUNDS if name != "sound" or audio != "none"]
    write.write_group(run.store, f"{_ROOT}/{unit.name}", data, attributes=about, empty=empty, sizes=sizes)
    return clips["clip"]


def _credit(run: Run, corpus: _Corpus, recording: str) -> str:
    """Return whose sound a recording is, and its licence."""
    kind = run.settings.source.kind
    if kind == "synthetic" or corpus.is_synthetic:
        return "Synthetic, made by this toolkit; CC0 1.0"
    if kind == "manifest":
        return f"Recording {recording} of a corpus of your own, whose licence this toolkit does not know"
    return f"Freesound {recording}, from UrbanSound8K (J. Salamon, C. Jacoby, J. P. Bello), CC BY-NC 3.0"


def _finish(run: Run, unit: Unit, errors: tuple[str, ...], corpus: _Corpus, tools: Tools) -> None:
    """Say what could not be heard, and declare a group finished."""
    group = f"{_ROOT}/{unit.name}"
    names = read_whole(run.store, group, ("clip",))["clip"].tolist()
    failed = {name: error for name, error in zip(names, errors, strict=True) if error}
    if failed:
        name, error = next(iter(failed.items()))
        reason = f"{len(failed)} of {len(names)} clips have no sound and no scores, such as {name}: {error}"
        tools.emit(Trouble(group, reason, NOTE))
    write.set_attributes(run.store, group, {"key": digest_of([unit.made_from, errors])})
    marker = Marker(
        unit.made_from,
        result={"absent": [name for name in failed if corpus.lacks(name)]},
        files=(f"{run.store.name}/{group}/zarr.json",),
    )
    run.markers(NAME).write(unit.name, marker)


def _are_back(run: Run, unit: Unit) -> bool:
    """Tell whether the file of a clip is there that was not when its group was made."""
    marker = run.markers(NAME).read(unit.name)
    absent = marker.result.get("absent") if marker else None
    if not absent or not sources.exists(run.settings.source, run.folder, run.settings.seed):
        return False
    corpus = _corpus(run)
    return not all(corpus.lacks(name) for name in absent)


STAGE = Stage(NAME, plan, execute, prepare)
