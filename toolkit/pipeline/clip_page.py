"""Pages of single clips of the corpus, asked for by name and made from the store alone.

They are no units of the stage ``report``, which neither makes nor removes nor counts them. Asked for again, a
page is written anew.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from toolkit.config import N_BINS, Channels, FeatureSettings, TrainingSettings
from toolkit.errors import ConfigError, StoreError, printable
from toolkit.features.bands import Band, bins_by_band
from toolkit.features.channels import network_input
from toolkit.features.spectrogram import valid_frames
from toolkit.pipeline import lock
from toolkit.pipeline.files import write_bytes
from toolkit.pipeline.run import Run
from toolkit.pipeline.stages import evaluate, train
from toolkit.pipeline.summing import AXES, RECORDINGS, REGIONS, bands_of
from toolkit.reporting import clip as pages
from toolkit.reporting.drawing import Drawing
from toolkit.reporting.listening import heard_groups
from toolkit.reporting.view import groups_in
from toolkit.statistics import profiles
from toolkit.statistics.ensemble import probabilities
from toolkit.store.read import attributes, holds, read_rows, read_whole, section
from toolkit.store.schema import BY_TARGET, LEFT_OUT, MAPS

FOLDER = "clips"
"""Where the pages lie, in the folder of the reports."""
_MOST_NAMED = 5
_PLAYER = re.compile(r'<audio [^>]*data-group="([^"]+)"')
"""A sound on a page, and by whose map it was cut."""
_OF_MAP = ("relevance", "logits", "prediction", "target", "relevance_sum", "relevance_in_padding")


@dataclass(frozen=True)
class _Heard:
    """One clip as the networks of a representation are shown it; cells of shape (1, bin, frame)."""

    axes: Mapping[str, np.ndarray]
    level_db: np.ndarray
    inputs: np.ndarray
    """Summed over channels, as relevance is."""
    valid: np.ndarray
    """Which frames hold recorded sound, shape (1, frame)."""


def find(run: Run, asked: Sequence[str]) -> dict[int, Path]:
    """Return the row of every clip asked for, each once, with the file that its page is to be.

    Parameters
    ----------
    run
        Whose clips they are.
    asked
        Names of clips or paths that end as in the catalogue; folders and extension may be left out.

    Raises
    ------
    ConfigError
        Some name no clip, or several, or one of which there is nothing to show; the message tells of each.
    """
    run.check_exists()
    clips = read_whole(run.store, "clips", ("clip", "path"))
    names, paths = clips["clip"].tolist(), clips["path"].tolist()
    rows = {each: rows_of(names, paths, each) for each in asked}
    faults = [
        f"--clip {printable(each)}: {fault}"
        for each, found in rows.items()
        if (fault := _which(names, each, found) if len(found) != 1 else _why_not(run, found[0]))
    ]
    if faults:
        raise ConfigError("\n".join(faults))
    return {row: run.reports / FOLDER / pages.file_of(names[row]) for (row,) in rows.values()}


def rows_of(names: Sequence[str], paths: Sequence[str], asked: str) -> list[int]:
    """Return the rows of the clips that ``asked`` fits most exactly: their names, paths, or parts of these.

    A path may leave out folders of the one in the catalogue, or hold more.
    """
    files = [PurePosixPath(name).name for name in names]
    ends = [asked if _ends_alike(path, asked) else None for path in paths]
    for forms in (names, paths, [*map(_stem, names)], files, [*map(_stem, files)], ends):
        rows = [row for row, form in enumerate(forms) if form == asked]
        if rows:
            return rows
    return []


def _ends_alike(path: str, asked: str) -> bool:
    """Tell whether one of two paths is the end of the other; a name without a folder is too little for that."""
    return f"/{path}".endswith(f"/{asked}") or ("/" in path and f"/{asked}".endswith(f"/{path}"))


def write_pages(run: Run, asked: Sequence[str], command: str) -> tuple[Path, ...]:
    """Write the page of every clip asked for, with the run's lock held; return the pages.

    Raises
    ------
    ToolkitError
        The lock is held, or a clip has no page; then none is written.
    """
    run.check_exists()
    with lock.hold(run.folder, run_id=lock.new_run_id(), command=command):
        found = find(run, asked)
        evaluate.remove_old(run)
        for row, path in found.items():
            write_bytes(path, pages.render(run.store, row, maps_of(run, row)).encode())
    return tuple(found.values())


def remove_silenced(run: Run) -> list[Path]:
    """Remove pages that hold sounds which the store no longer keeps, and return them: each hands them on."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted((run.reports / FOLDER).glob("*.html"))}
    held = {path: set(_PLAYER.findall(text)) for path, text in texts.items() if _PLAYER.search(text)}
    if not held:
        return []
    names = read_whole(run.store, "clips", ("clip",))["clip"].tolist()
    clip_of = {pages.file_of(name): name for name in names}
    silenced = [
        path
        for path, groups in held.items()
        if path.name not in clip_of or groups - heard_groups(run.store, clip_of[path.name])
    ]
    for path in silenced:
        path.unlink()
    return silenced


def maps_of(run: Run, row: int) -> list[pages.Map]:
    """Return the maps of the clip in a row of the store, summed up; mel before constant-Q.

    Raises
    ------
    StoreError
        The store does not say what the networks were shown.
    """
    keys = _explained(run.store, row)
    heard = {name: _heard(run.store, row, name) for name in dict.fromkeys(name for name, _ in keys)}
    return [_map(run, row, key, heard[key[0]]) for key in keys]


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0]


def _which(names: Sequence[str], asked: str, rows: Sequence[int]) -> str:
    """Return what is wrong with a name that fits no clip, or several."""
    if rows:
        more = f" and {len(rows) - _MOST_NAMED} more" if len(rows) > _MOST_NAMED else ""
        listed = ", ".join(names[row] for row in rows[:_MOST_NAMED])
        return f"may be any of {len(rows)} clips: {listed}{more}; give the whole name of one"
    begin = [name for name in names if asked and name.startswith(asked)][:_MOST_NAMED]
    near = begin or difflib.get_close_matches(asked, names, _MOST_NAMED) or names[:_MOST_NAMED]
    return f"none of the {len(names):,} clips of this run; there are, for instance: {', '.join(near)}"


def _why_not(run: Run, row: int) -> str:
    """Return why nothing can be shown of a clip; nothing if there is something to show."""
    clip = read_rows(run.store, "clips", ("status", "error"), np.array([row]))
    if clip["status"][0] == LEFT_OUT:
        return f"was left out of this run: {clip['error'][0]}"
    if not _explained(run.store, row):
        return f"no network has explained it as it is now; `toolkit run-all --out {run.folder}` has them do it"
    return ""


def _explained(store: Path, row: int) -> list[tuple[str, str]]:
    """Return what a clip, as it is now, has maps of: representations and composites, mel before constant-Q."""
    at = np.array([row])
    class_name = read_rows(store, "clips", ("class_name",), at)["class_name"][0]
    found = []
    for representation, composite in groups_in(store, MAPS):
        digest = read_rows(store, f"features/{representation}", ("digest",), at)["digest"][0]
        group = f"{MAPS}/{representation}/{composite}"
        line = read_rows(store, group, ("made_from",), at)["made_from"][0]
        if line.endswith(train.clip_key(digest, class_name)):
            found.append((representation, composite))
    return found


def _heard(store: Path, row: int, representation: str) -> _Heard:
    at, group = np.array([row]), f"features/{representation}"
    settings = FeatureSettings.model_validate(attributes(store)["features"])
    level_db = read_rows(store, group, ("level_db",), at)["level_db"]
    recorded_s = read_rows(store, "clips", ("valid_duration_s",), at)["valid_duration_s"]
    inputs = network_input(level_db, _channels(store, representation), settings.dynamic_range_db)
    return _Heard(
        axes=read_whole(store, group, AXES),
        level_db=level_db,
        inputs=inputs.sum(axis=-1),
        valid=valid_frames(recorded_s, settings.duration_s),
    )


def _channels(store: Path, representation: str) -> Channels:
    """Return what the networks of a representation were shown.

    Raises
    ------
    StoreError
        The store does not say.
    """
    group = f"training/{representation}"
    if not holds(store, group):
        raise StoreError(
            f"{store}: does not say what the {representation} networks were trained on, so what they see of a "
            f"clip is not known; run `toolkit export --out {store.parent}`"
        )
    return TrainingSettings.model_validate(attributes(store / group)["training"]).channels


def _map(run: Run, row: int, key: tuple[str, str], heard: _Heard) -> pages.Map:
    name = "/".join(key)
    found = read_rows(run.store, f"{MAPS}/{name}", _OF_MAP, np.array([row]))
    bands = _bands(run, key, heard.axes)
    bins = np.array([*bands.values()], np.float64)
    return pages.Map(
        drawing=Drawing(
            representation=key[0],
            frequency=heard.axes["frequency"],
            time=heard.axes["time"],
            mean_level_db=np.where(heard.valid, heard.level_db[0], np.nan),
            mean_relevance=profiles.signed_share(found["relevance"], heard.valid)[0],
            is_nominal=bool(attributes(run.store)["nominal"]),
        ),
        composite=key[1],
        logits=found["logits"][0],
        probability=probabilities(found["logits"])[0],
        prediction=int(found["prediction"][0]),
        target=int(found["target"][0]),
        relevance_sum=float(found["relevance_sum"][0]),
        in_padding=float(found["relevance_in_padding"][0]),
        at_edge=float(profiles.share_at_edge(np.abs(found["relevance"]), heard.valid)[0]),
        input_at_edge=float(profiles.share_at_edge(heard.inputs, heard.valid)[0]),
        bands=tuple(band.name for band in bands),
        share=profiles.share_by_bin(np.maximum(found["relevance"], 0), heard.valid)[0] @ bins.T,
        input_share=profiles.share_by_bin(heard.inputs, heard.valid)[0] @ bins.T,
        floor=_share_floor(run, name) * bins.mean(axis=1),
        by_target=_by_target(run.store, name, row) @ bins.T,
        others=_others(run.store, name, row, int(found["target"][0])) @ bins.T,
    )


def _bands(run: Run, key: tuple[str, str], axes: Mapping[str, np.ndarray]) -> dict[Band, np.ndarray]:
    """Return which bins lie in each band that holds any; bands as in the statistics, where there are any."""
    group = f"statistics/{REGIONS}/{'/'.join(key)}"
    if not holds(run.store, group):
        return bands_of(run, key[0], axes)
    known = read_whole(run.store, group, ("band", "band_low", "band_high"))
    return bins_by_band([Band(*each) for each in zip(*known.values(), strict=True)], axes["frequency"])


def _share_floor(run: Run, name: str) -> float:
    """Return what is added to shares before ratios, in units of an even spread; as in the statistics."""
    group = f"statistics/{REGIONS}/{name}"
    known = section(attributes(run.store / group), "statistics") if holds(run.store, group) else {}
    return float(known.get("share_floor", run.settings.statistics.share_floor))


def _by_target(store: Path, name: str, row: int) -> np.ndarray:
    """Return the share of positive relevance for every class by bin, shape (class, bin); no row if not made."""
    at, nothing = np.array([row]), np.empty((0, N_BINS))
    if not holds(store, f"{BY_TARGET}/{name}"):
        return nothing
    made, share = read_rows(store, f"{BY_TARGET}/{name}", ("made_from", "share"), at).values()
    of_map = read_rows(store, f"{MAPS}/{name}", ("made_from",), at)["made_from"]
    # The recipes of both differ; network and clip must not.
    is_alike = made[0].split()[1:] == of_map[0].split()[1:]
    return share[0].astype(np.float64) if is_alike else nothing


def _others(store: Path, name: str, row: int, target: int) -> np.ndarray:
    """Return the mean shares of correct clips of the explained class by bin, shape (recording, bin).

    The clip's own recording is not among them; without statistics, none is.
    """
    group = f"statistics/{RECORDINGS}/{name}"
    if not holds(store, group):
        return np.empty((0, N_BINS))
    recording = read_rows(store, "clips", ("recording",), np.array([row]))["recording"][0]
    known = read_whole(store, group, ("recording", "label", "n_correct", "share"))
    chosen = (known["label"] == target) & (known["n_correct"] > 0) & (known["recording"] != recording)
    return known["share"][chosen]
