"""Stage ``features``: the catalogue and the spectrograms of every clip, into a store made for them.

A unit is a partition of one representation. When the catalogue changed, a new store is made for it, and rows
of clips that are as they were, with all that is known of them, are taken over from the old one.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from toolkit.config import FeatureSettings, Representation, Settings, to_json
from toolkit.corpus import sources
from toolkit.corpus.catalogue import Catalogue, Clip
from toolkit.errors import CorpusError
from toolkit.features import spectrogram
from toolkit.pipeline import reading, rows
from toolkit.pipeline.events import CorpusChanged, Trouble
from toolkit.pipeline.files import FileDigests, digest_bytes, digest_of
from toolkit.pipeline.markers import Marker, Todo, Unit
from toolkit.pipeline.rows import RowsTodo, partition_names
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.store import carry, write
from toolkit.store.read import attributes, read_rows, read_whole
from toolkit.store.schema import BY_TARGET, CLIP_STATES, FORMAT_VERSION, LEFT_OUT, MAPS, OK, PENDING

NAME = "features"
VERSION = 2
"""Raised when the same sound and settings would give other spectrograms."""
CATALOGUE = "catalogue"
CHANGED = "changed"
UNREAD = "unread"
"""In place of the content of a clip that the system failed to read: it is tried again the next time."""
FILE_DIGESTS = "file-digests.json"
"""Where a run remembers what was in the files of its corpus."""
_WORDS = ("settings or code changed", CHANGED)
_STATES = [variable.name for variable in CLIP_STATES]


@dataclass(frozen=True)
class Partition:
    """A job: the clips of one partition and what to make of them. Picklable."""

    name: str
    store: Path
    root: Path
    rows: slice
    clips: tuple[Clip, ...]
    make: Mapping[Representation, np.ndarray]
    """Which clips to make the features of, booleans, shape (clip,)."""
    made_from: Mapping[Representation, np.ndarray]
    """What the features of each clip should be made from, shape (clip,)."""
    settings: Settings
    with_mask: bool


def prepare(run: Run, tools: Tools) -> None:
    """Make the synthetic corpus if it is the source, and a store for the catalogue as it is now."""
    catalogue = _catalogue(run)
    unit = _catalogue_unit(catalogue, run.settings)
    markers = run.markers(NAME)
    if run.store.exists() and not markers.outstanding(unit):
        return
    for name in run.settings.representations:
        spectrogram.check(name, reading.analysis(run.settings))
    source = carry.rows_before(run.store, [clip.name for clip in catalogue.clips])
    for change in _changes(run, catalogue, source):
        tools.emit(change)
    with write.new_store(run.store, _about(catalogue, run.settings)) as store:
        _fill_store(store, catalogue, run.settings)
        _carry_over(run.store, store, source)
        for stage in ("statistics", "evaluate", "report"):
            run.markers(stage).forget()
    markers.write(unit.name, Marker(unit.made_from))


def plan(run: Run, scope: Scope, force: bool) -> Plan:
    """Compare every clip with the files that its features were made from."""
    if not sources.exists(run.settings.source, run.folder, run.settings.seed):
        return Plan((), (), waits_for="the synthetic corpus, which is made first")
    catalogue = _catalogue(run)
    head = _catalogue_unit(catalogue, run.settings)
    reason = run.markers(NAME).outstanding(head) if run.store.exists() else rows.MISSING
    wanted = _made_from(run, catalogue)
    source = carry.rows_before(run.store, [clip.name for clip in catalogue.clips])
    units = [CATALOGUE]
    todo: list[Todo | RowsTodo] = [Todo(head, reason)] if reason else []
    for name in scope.representations_of(run.settings):
        reasons = _reasons(run, name, wanted[name], source)
        if force:
            reasons[:] = rows.FORCED
        for part_name, part in partition_names(len(reasons)):
            units.append(f"{name}/{part_name}")
            todo += rows.todo(units[-1], part, reasons)
    return Plan(units, todo)


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Read the clips of every partition to be made and write their spectrograms."""
    catalogue = _catalogue(run)
    for problem in catalogue.problems:
        tools.emit(Trouble(problem.subject, problem.reason, problem.severity))
    changed = {
        catalogue.clips[row].name
        for item in plan.partitions.values()
        for row, why in zip(item.make, item.why, strict=True)
        if why == CHANGED
    }
    if changed:
        tools.emit(CorpusChanged("changed", tuple(sorted(changed)), len(catalogue.clips)))
    for job, _ in tools.workers.run(compute, _jobs(run, catalogue, plan)):
        for name in job.make:
            done(f"{name}/{job.name}")
    _report_left_out(run, tools)


def compute(job: Partition) -> None:
    """Make the features of some clips of one partition."""
    states = read_rows(job.store, "clips", _STATES, job.rows)
    cells = {name: read_rows(job.store, f"features/{name}", _cells(job), job.rows) for name in job.make}
    needed = np.flatnonzero(np.any([*job.make.values()], axis=0))
    passing = np.zeros(len(job.clips), bool)
    for name, make in job.make.items():
        write.forget_rows(job.store, f"features/{name}", np.flatnonzero(make) + job.rows.start)
    n_at_once = reading.clips_at_once(job.settings)
    for some in np.array_split(needed, math.ceil(len(needed) / n_at_once)):
        found = [reading.read(job.clips[place], job.root, job.settings) for place in some]
        rows.put(states, some, states_of(found))
        passing[some] = [each.is_passing for each in found]
        for name, make in job.make.items():
            chosen = [each for each, wanted in zip(found, make[some], strict=True) if wanted]
            rows.put(cells[name], some[make[some]], _features(chosen, name, job))
    write.write_rows(job.store, "clips", job.rows, states)
    for name, held in cells.items():
        held["made_from"] = np.where(job.make[name], job.made_from[name], held["made_from"])
        for place in np.flatnonzero(job.make[name] & passing):
            held["made_from"][place] = f"{job.made_from[name][place].split()[0]} {UNREAD}"
        write.write_rows(job.store, f"features/{name}", job.rows, held)


def row_digests(run: Run, representation: str) -> np.ndarray:
    """Return a digest of the features of every row; '' where there are none, made or left out."""
    status = read_whole(run.store, "clips", ("status",))["status"]
    if not (run.store / "features" / representation).exists():
        return np.full(len(status), "", dtype=object)
    found = read_whole(run.store, f"features/{representation}", ("made_from", "digest"))
    # A clip may have broken since, and only another representation have noticed.
    return np.where((status == OK) & (found["made_from"] != rows.NOT_MADE), found["digest"], "")


def is_complete(run: Run, representation: str) -> bool:
    """Tell whether every clip was read for a representation."""
    if not (run.store / "features" / representation).exists():
        return False
    made_from = read_whole(run.store, f"features/{representation}", ("made_from",))["made_from"]
    return bool((made_from != rows.NOT_MADE).all())


def are_made_as_today(run: Run, representation: Representation) -> bool:
    """Tell whether today's code and settings made the features of all clips, whatever became of the files."""
    if not (run.store / "features" / representation).exists():
        return False
    made = read_whole(run.store, f"features/{representation}", ("made_from",))["made_from"]
    return {line.split()[0] for line in made.tolist() if line} == {_recipe(run.settings, representation)}


def features_digest(level_db: np.ndarray, recorded_s: float) -> str:
    """Return what tells the features of a clip from those of any other sound.

    Parameters
    ----------
    level_db
        Shape (bin, frame), float32.
    recorded_s
        Seconds of sound; the rest of the clip is padding.
    """
    return digest_bytes(level_db.tobytes(), np.float64(recorded_s).tobytes())


def states_of(readings: Sequence[reading.Reading]) -> dict[str, list[object]]:
    """Return the variables that say how reading the clips went, by name."""
    return {
        "status": [LEFT_OUT if sound.error else OK for sound in readings],
        "error": [sound.error for sound in readings],
        "valid_duration_s": [sound.recorded_s for sound in readings],
        "native_rate_hz": [sound.native_rate_hz for sound in readings],
        "clipped_share": [sound.clipped_share for sound in readings],
    }


def columns_of(clips: Sequence[Clip]) -> dict[str, np.ndarray]:
    """Return the variables that a catalogue knows of its clips, by name, each of shape (clip,)."""
    return {
        "clip": _text(clip.name for clip in clips),
        "path": _text(clip.path for clip in clips),
        "class_name": _text(clip.class_name for clip in clips),
        "label": np.array([clip.label for clip in clips], np.int64),
        "fold": np.array([clip.fold for clip in clips], np.int64),
        "recording": _text(clip.recording for clip in clips),
        "start_s": np.array([clip.start_s for clip in clips], np.float64),
        "end_s": np.array([clip.end_s for clip in clips], np.float64),
        "salience": np.array([clip.salience for clip in clips], np.int64),
    }


def _catalogue(run: Run) -> Catalogue:
    settings = run.settings
    return sources.read(
        settings.source,
        run.folder,
        settings.seed,
        duration_s=settings.features.duration_s,
        known_folds=_known_folds(run),
    )


def _known_folds(run: Run) -> dict[str, int]:
    """Return the folds of recordings in the store, if this seed drew them."""
    if not run.store.exists() or attributes(run.store).get("fold_seed") != run.settings.seed:
        return {}
    known = read_whole(run.store, "clips", ("recording", "fold"))
    return dict(zip(known["recording"].tolist(), known["fold"].tolist(), strict=True))


def _reasons(run: Run, representation: str, wanted: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return why each clip's features must be made ('' if they need not), shape (clip,)."""
    held = np.full(len(wanted), rows.NOT_MADE, dtype=object)
    known = source != carry.NEW
    if known.any() and (run.store / "features" / representation).exists():
        before = read_whole(run.store, f"features/{representation}", ("made_from",))["made_from"]
        held[known] = before[source[known]]
    return rows.why(held, wanted, _WORDS)


def _made_from(run: Run, catalogue: Catalogue) -> dict[Representation, np.ndarray]:
    """Return what the features of every clip should be made from, by representation."""
    digests = FileDigests(run.folder / FILE_DIGESTS)
    content = [digest_of(_content(clip, catalogue.root, digests)) for clip in catalogue.clips]
    digests.remember()
    return {name: rows.line(_recipe(run.settings, name), content) for name in run.settings.representations}


def _recipe(settings: Settings, representation: Representation) -> str:
    """Return a digest of all that features are made from, but for the files."""
    recipe = {"code": VERSION, "settings": to_json(settings.features), "source": _reading_of(settings)}
    return digest_of({**recipe, "representation": representation})


def _content(clip: Clip, root: Path, digests: FileDigests) -> list[object]:
    paths = [path for path in (clip.path, clip.object_path, clip.background_path) if path]
    files = [[path, digests(root / path)] for path in paths]
    return [clip.start_s, clip.end_s, clip.is_excerpt, files]


def _reading_of(settings: Settings) -> list[object]:
    """Return what decides how files are read, beside the settings of features."""
    return ["pictures", settings.source.fmax_hz] if settings.source.kind == "pictures" else ["sound"]


def _jobs(run: Run, catalogue: Catalogue, plan: Plan) -> Iterator[Partition]:
    """Yield the partitions to be made: representations share the reading of sound."""
    wanted = _made_from(run, catalogue)
    for part_name, part in partition_names(len(catalogue.clips)):
        make = {}
        for name in run.settings.representations:
            item = plan.partitions.get(f"{name}/{part_name}")
            if item:
                make[name] = np.isin(np.arange(part.start, part.stop), item.make)
        if make:
            yield Partition(
                name=part_name,
                store=run.store,
                root=catalogue.root,
                rows=part,
                clips=catalogue.clips[part],
                make=make,
                made_from={name: wanted[name][part] for name in make},
                settings=run.settings,
                with_mask=catalogue.has_stems,
            )


def _cells(job: Partition) -> tuple[str, ...]:
    return ("level_db", "digest", "made_from", *(("object_mask",) if job.with_mask else ()))


def _features(
    sounds: list[reading.Reading], representation: Representation, job: Partition
) -> dict[str, np.ndarray]:
    level_db = reading.levels(sounds, representation, job.settings)
    digests = [
        "" if sound.error else features_digest(level, sound.recorded_s)
        for sound, level in zip(sounds, level_db, strict=True)
    ]
    cells = {"level_db": level_db, "digest": np.array(digests, dtype=object)}
    if job.with_mask:
        cells["object_mask"] = reading.object_masks(sounds, representation, job.settings)
    return cells


def _changes(run: Run, catalogue: Catalogue, source: np.ndarray) -> list[CorpusChanged]:
    """Say which clips are new in the catalogue and which are gone from it; nothing of a first run."""
    if not (source != carry.NEW).any():
        return []
    now = [clip.name for clip in catalogue.clips]
    new = [name for name, row in zip(now, source, strict=True) if row == carry.NEW]
    before = read_whole(run.store, "clips", ("clip",))["clip"].tolist()
    gone = sorted(set(before) - set(now))
    changes = (("new", new, len(now)), ("gone", gone, len(before)))
    return [CorpusChanged(what, tuple(names), n_clips) for what, names, n_clips in changes if names]


def _carry_over(old: Path, new: Path, source: np.ndarray) -> None:
    """Take over what the old store knows of clips: states, features, maps.

    What is out of date in it shows by what it was made from.
    """
    if not (source != carry.NEW).any():
        return
    carry.carry_rows(old, new, "clips", source, _STATES)
    was, now = attributes(old), attributes(new)
    if any(was[name] != now[name] for name in ("features", "nominal")):
        return
    for group in set(carry.groups_below(old, "features")) & set(carry.groups_below(new, "features")):
        carry.carry_rows(old, new, group, source)
    if was["class_names"] == now["class_names"]:
        for group in (*carry.groups_below(old, MAPS), *carry.groups_below(old, BY_TARGET)):
            carry.carry_group(old, new, group, source)


def _catalogue_unit(catalogue: Catalogue, settings: Settings) -> Unit:
    return Unit(
        CATALOGUE,
        {
            "format": FORMAT_VERSION,
            "source": _reading_of(settings),
            "clips": digest_of([_facts(clip) for clip in catalogue.clips]),
            "problems": digest_of([_facts(problem) for problem in catalogue.problems]),
            "features": to_json(settings.features),
            "representations": list(settings.representations),
        },
    )


def _facts(item: object) -> list[object]:
    return [getattr(item, field.name) for field in fields(item)]  # type: ignore[arg-type]


def _about(catalogue: Catalogue, settings: Settings) -> dict[str, object]:
    """Return what a store says of itself: nothing that depends on where the corpus lies."""
    return {
        "class_names": list(catalogue.class_names),
        "source": settings.source.kind,
        "features": to_json(reading.analysis(settings)),
        "nominal": list(reading.nominal(settings)),
        "fold_seed": settings.seed,
    }


def _fill_store(store: Path, catalogue: Catalogue, settings: Settings) -> None:
    clips = catalogue.clips
    table = {**columns_of(clips), "status": _text(PENDING for _ in clips)}
    empty = tuple(name for name in _STATES if name != "status")
    write.write_group(store, "clips", table, empty=empty, sizes={"clip": len(clips)})
    problems = catalogue.problems
    columns = {name: _text(getattr(problem, name) for problem in problems) for name in _PROBLEM}
    write.write_group(store, "problems", columns)
    for name in settings.representations:
        _create_features(store, name, catalogue, settings)


_PROBLEM = ("subject", "reason", "severity")


def _create_features(
    store: Path, representation: Representation, catalogue: Catalogue, settings: Settings
) -> None:
    analysis: FeatureSettings = reading.analysis(settings)
    axes = asdict(spectrogram.axes(representation, analysis))
    sizes = {"clip": len(catalogue.clips), "frequency": axes["frequency"].size, "time": axes["time"].size}
    cells = ("level_db", "digest", "made_from", *(("object_mask",) if catalogue.has_stems else ()))
    marks = {"nominal": list(reading.nominal(settings))}
    write.write_group(store, f"features/{representation}", axes, attributes=marks, empty=cells, sizes=sizes)


def _text(values: Iterable[str]) -> np.ndarray:
    return np.array(list(values), dtype=object)


def _report_left_out(run: Run, tools: Tools) -> None:
    clips = read_whole(run.store, "clips", ("path", "error", "status"))
    for path, error in zip(clips["path"], clips["error"], strict=True):
        if error:
            tools.emit(Trouble(str(path), str(error)))
    if not (clips["status"] == OK).any():
        raise CorpusError("no clip of the corpus could be read, so there is nothing to process")


STAGE = Stage(NAME, plan, execute, prepare)
