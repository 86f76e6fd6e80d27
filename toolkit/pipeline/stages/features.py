"""Stage ``features``: the catalogue and the spectrograms of every clip, into a store made for them.

A unit is a partition of rows; its blocks are the representations.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from toolkit.config import N_BINS, N_FRAMES, FeatureSettings, Representation, Settings, to_json
from toolkit.corpus import sources
from toolkit.corpus.audio import read_clip
from toolkit.corpus.catalogue import Catalogue, Clip
from toolkit.errors import ClipError, CorpusError
from toolkit.features import spectrogram
from toolkit.pipeline.events import Trouble
from toolkit.pipeline.files import FileDigests, digest_bytes, digest_of
from toolkit.pipeline.markers import Ingredients, Marker, Markers, Unit
from toolkit.pipeline.run import Plan, Run, Scope, Stage, Tools
from toolkit.store import write
from toolkit.store.read import read_whole
from toolkit.store.schema import FORMAT_VERSION, LEFT_OUT, OK, PENDING, partitions

NAME = "features"
VERSION = 1
"""Raised when the same sound and settings would give other spectrograms."""
CATALOGUE = "catalogue"


@dataclass(frozen=True)
class Partition:
    """A job: the clips of one partition and what to make of them. Picklable."""

    name: str
    markers: Markers
    store: Path
    root: Path
    rows: slice
    clips: tuple[Clip, ...]
    representations: tuple[Representation, ...]
    settings: FeatureSettings
    with_mask: bool


def prepare(run: Run, _tools: Tools) -> None:
    """Make the synthetic corpus if it is the source, and an empty store for the catalogue as it is now."""
    catalogue = sources.read(run.settings.source, run.folder, run.settings.seed)
    unit = _catalogue_unit(catalogue, run.settings)
    markers = run.markers(NAME)
    if run.store.exists() and not markers.outstanding(unit):
        return
    for name in run.settings.representations:
        spectrogram.check(name, run.settings.features)
    with write.new_store(run.store, _about(catalogue, run.settings)) as store:
        _fill_store(store, catalogue, run.settings)
        for stage in (NAME, "explain", "statistics", "report"):
            run.markers(stage).forget()
    markers.write(unit.name, Marker(unit.blocks))


def plan(run: Run, scope: Scope, force: bool) -> Plan:
    """Compare every partition with the files that it is made from."""
    if not sources.exists(run.settings.source, run.folder, run.settings.seed):
        return Plan((), (), waits_for="the synthetic corpus, which is made first")
    catalogue = sources.read(run.settings.source, run.folder, run.settings.seed)
    markers = run.markers(NAME)
    head = _catalogue_unit(catalogue, run.settings)
    units = [head, *_partition_units(run, catalogue, scope)]
    anew = not run.store.exists() or bool(markers.outstanding(head))
    why = "the catalogue is new" if anew else "forced" if force else ""
    todo = [*markers.todo(units[:1]), *markers.todo(units[1:], force=why)]
    return Plan(units, todo)


def execute(run: Run, plan: Plan, tools: Tools, done: Callable[[str], None]) -> None:
    """Read the clips of every partition to be made and write their spectrograms."""
    catalogue = sources.read(run.settings.source, run.folder, run.settings.seed)
    markers = run.markers(NAME)
    for problem in catalogue.problems:
        tools.emit(Trouble(problem.subject, problem.reason))
    todo = {item.unit.name: item for item in plan.todo if item.unit.name != CATALOGUE}
    jobs = [_job(run, catalogue, name, item.blocks) for name, item in todo.items()]
    before = {name: markers.read(name) or Marker() for name in todo}
    for job, digests in tools.workers.run(compute, jobs):
        item, old = todo[job.name], before[job.name]
        rows = {**old.rows, **digests}
        markers.write(job.name, Marker({**old.blocks, **item.wanted}, {"rows": rows}))
        done(job.name)
    _report_left_out(run, tools)


def compute(job: Partition) -> dict[str, list[str]]:
    """Write one partition; return, per representation, a digest of every row ('' where left out)."""
    made = [_clip_features(clip, job) for clip in job.clips]
    states = {
        "status": np.array([LEFT_OUT if error else OK for error, *_ in made], dtype=object),
        "error": np.array([error for error, *_ in made], dtype=object),
        "valid_duration_s": np.array([duration for _, duration, _ in made], dtype=np.float64),
    }
    job.markers.remove(job.name)
    write.write_rows(job.store, "clips", job.rows, states)
    digests: dict[str, list[str]] = {}
    for name in job.representations:
        data = {key: np.stack([cells[name][key] for *_, cells in made]) for key in made[0][-1][name]}
        write.write_rows(job.store, f"features/{name}", job.rows, data)
        digests[name] = [
            _row_digest(error, duration, cells[name]["level_db"]) for error, duration, cells in made
        ]
    return digests


def row_digests(run: Run, representation: str) -> np.ndarray | None:
    """Return a digest of the features of every row, or nothing while some are missing."""
    status = read_whole(run.store, "clips", ("status",))["status"]
    found: list[str] = []
    for name, _ in partition_names(len(status)):
        marker = run.markers(NAME).read(name)
        if marker is None or representation not in marker.rows:
            return None
        found += marker.rows[representation]
    # A clip may have broken since, and only another representation have noticed.
    return np.where(status == OK, np.array(found, dtype=object), "")


def partition_names(n_clips: int) -> list[tuple[str, slice]]:
    """Return the name and the rows of every partition."""
    return [(f"part-{number:04d}", rows) for number, rows in enumerate(partitions(n_clips))]


def _clip_features(
    clip: Clip, job: Partition
) -> tuple[str, float, dict[Representation, dict[str, np.ndarray]]]:
    """Return why a clip is left out ('' if it is not), its recorded seconds and its cells."""
    try:
        return "", *_cells(clip, job)
    except ClipError as error:
        # The message names the file as it was opened; a store names it within its corpus.
        reason = str(error).replace(f"{job.root}/", "")
        return reason, math.nan, {name: _empty(job) for name in job.representations}


def _cells(clip: Clip, job: Partition) -> tuple[float, dict[Representation, dict[str, np.ndarray]]]:
    samples, recorded_s = _read(clip, clip.path, job)
    cells: dict[Representation, dict[str, np.ndarray]] = {}
    for name in job.representations:
        power = spectrogram.power(samples, name, job.settings)
        cells[name] = {"level_db": spectrogram.level_db(power, job.settings.dynamic_range_db)}
        if job.with_mask:
            cells[name]["object_mask"] = _mask(clip, name, job)
    return recorded_s, cells


def _mask(clip: Clip, representation: Representation, job: Partition) -> np.ndarray:
    if clip.object_path is None or clip.background_path is None:
        return np.zeros((N_BINS, N_FRAMES), bool)
    of_object, of_background = (
        spectrogram.power(_read(clip, path, job)[0], representation, job.settings)
        for path in (clip.object_path, clip.background_path)
    )
    louder: np.ndarray = of_object > of_background
    return louder


def _read(clip: Clip, path: str, job: Partition) -> tuple[np.ndarray, float]:
    settings = job.settings
    announced_s = clip.end_s - clip.start_s
    return read_clip(
        job.root / path,
        sample_rate_hz=settings.sample_rate_hz,
        duration_s=settings.duration_s,
        announced_s=math.inf if math.isnan(announced_s) else announced_s,
    )


def _empty(job: Partition) -> dict[str, np.ndarray]:
    cells: dict[str, np.ndarray] = {"level_db": np.full((N_BINS, N_FRAMES), np.nan, np.float32)}
    return {**cells, "object_mask": np.zeros((N_BINS, N_FRAMES), bool)} if job.with_mask else cells


def _row_digest(error: str, valid_duration_s: float, level_db: np.ndarray) -> str:
    return "" if error else digest_bytes(level_db.tobytes(), np.float64(valid_duration_s).tobytes())


def _catalogue_unit(catalogue: Catalogue, settings: Settings) -> Unit:
    ingredients: Ingredients = {
        "format": FORMAT_VERSION,
        "source": settings.source.kind,
        "clips": digest_of([asdict(clip) for clip in catalogue.clips]),
        "problems": digest_of([asdict(problem) for problem in catalogue.problems]),
        "features": to_json(settings.features),
        "representations": list(settings.representations),
    }
    return Unit(CATALOGUE, {"all": ingredients})


def _partition_units(run: Run, catalogue: Catalogue, scope: Scope) -> list[Unit]:
    digests = FileDigests(run.folder / "file-digests.json")
    content = [_content(clip, catalogue.root, digests) for clip in catalogue.clips]
    digests.remember()
    made_from = {
        name: {"code": VERSION, "settings": to_json(run.settings.features)}
        for name in scope.representations_of(run.settings)
    }
    return [
        Unit(name, {key: {**value, "clips": digest_of(content[rows])} for key, value in made_from.items()})
        for name, rows in partition_names(len(catalogue.clips))
    ]


def _content(clip: Clip, root: Path, digests: FileDigests) -> list[object]:
    paths = [path for path in (clip.path, clip.object_path, clip.background_path) if path]
    return [clip.name, clip.start_s, clip.end_s, *(digests(root / path) for path in paths)]


def _job(run: Run, catalogue: Catalogue, name: str, blocks: Sequence[str]) -> Partition:
    rows = dict(partition_names(len(catalogue.clips)))[name]
    return Partition(
        name=name,
        markers=run.markers(NAME),
        store=run.store,
        root=catalogue.root,
        rows=rows,
        clips=catalogue.clips[rows],
        representations=tuple(rep for rep in run.settings.representations if rep in blocks),
        settings=run.settings.features,
        with_mask=catalogue.has_stems,
    )


def _about(catalogue: Catalogue, settings: Settings) -> dict[str, object]:
    """Return what a store says of itself: nothing that depends on where the corpus lies."""
    return {
        "class_names": list(catalogue.class_names),
        "source": settings.source.kind,
        "features": to_json(settings.features),
    }


def _fill_store(store: Path, catalogue: Catalogue, settings: Settings) -> None:
    clips = catalogue.clips
    table: dict[str, np.ndarray] = {
        "clip": _text(clip.name for clip in clips),
        "path": _text(clip.path for clip in clips),
        "class_name": _text(clip.class_name for clip in clips),
        "label": np.array([clip.label for clip in clips], np.int64),
        "fold": np.array([clip.fold for clip in clips], np.int64),
        "recording": _text(clip.recording for clip in clips),
        "start_s": np.array([clip.start_s for clip in clips], np.float64),
        "end_s": np.array([clip.end_s for clip in clips], np.float64),
        "salience": np.array([clip.salience for clip in clips], np.int64),
        "status": _text(PENDING for _ in clips),
    }
    empty = ("error", "valid_duration_s")
    write.write_group(store, "clips", table, empty=empty, sizes={"clip": len(clips)})
    problems = catalogue.problems
    write.write_group(
        store,
        "problems",
        {
            "subject": _text(problem.subject for problem in problems),
            "reason": _text(problem.reason for problem in problems),
        },
    )
    for name in settings.representations:
        _create_features(store, name, catalogue, settings.features)


def _create_features(
    store: Path, representation: Representation, catalogue: Catalogue, settings: FeatureSettings
) -> None:
    axes = asdict(spectrogram.axes(representation, settings))
    sizes = {"clip": len(catalogue.clips), "frequency": N_BINS, "time": N_FRAMES}
    empty = ("level_db", "object_mask") if catalogue.has_stems else ("level_db",)
    write.write_group(store, f"features/{representation}", axes, empty=empty, sizes=sizes)


def _text(values: Iterable[str]) -> np.ndarray:
    return np.array(list(values), dtype=object)


def _report_left_out(run: Run, tools: Tools) -> None:
    clips = read_whole(run.store, "clips")
    for path, error in zip(clips["path"], clips["error"], strict=True):
        if error:
            tools.emit(Trouble(str(path), str(error)))
    if not (clips["status"] == OK).any():
        raise CorpusError("no clip of the corpus could be read, so there is nothing to process")


STAGE = Stage(NAME, plan, execute, prepare)
