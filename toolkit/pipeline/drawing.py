"""Spectrograms of a run as pictures that ``--images`` reads: ``UrbanSound8K.csv`` and ``train/<slice>.png``."""

import csv
import io
from pathlib import Path
from urllib.parse import quote

import numpy as np

from toolkit.corpus.pictures import picture_bytes
from toolkit.corpus.urbansound8k import PICTURES
from toolkit.errors import ConfigError
from toolkit.pipeline.files import digest_bytes, write_bytes
from toolkit.pipeline.run import Run
from toolkit.pipeline.stages.features import row_digests
from toolkit.store.read import read_rows, read_whole
from toolkit.store.schema import ROWS_PER_PARTITION

_FOLDER = "train"
_MARK = "written-by-toolkit.txt"
"""Only a folder with this file has pictures removed from it."""
_LONGEST_STEM = 200
_COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")


def draw(run: Run, folder: Path) -> int:
    """Write the mel spectrogram of every clip that could be read; return their number.

    Pictures of before are replaced, and removed where their clip is gone.

    Raises
    ------
    ConfigError
        The run has no mel spectrograms, or the folder holds something else.
    """
    if "mel" not in run.settings.representations:
        raise ConfigError("--pictures: pictures are of mel spectrograms, which this run does not make")
    if run.settings.features.mel_fmin_hz:
        raise ConfigError("--pictures: the axis of pictures begins at 0 Hz: set features.mel_fmin_hz = 0")
    _refuse_foreign(folder)
    clips = read_whole(run.store, "clips")
    rows = np.flatnonzero(row_digests(run, "mel") != "")
    names = [_slice_name(str(clips["clip"][row])) for row in rows]
    write_bytes(folder / _MARK, b"`toolkit features --pictures` writes and removes pictures in this folder.\n")
    (folder / PICTURES.table).unlink(missing_ok=True)
    for start in range(0, len(rows), ROWS_PER_PARTITION):
        some = rows[start : start + ROWS_PER_PARTITION]
        level_db = read_rows(run.store, "features/mel", ("level_db",), some)["level_db"]
        level = np.clip(1 + level_db / run.settings.features.dynamic_range_db, 0, 1)
        for name, cells in zip(names[start : start + ROWS_PER_PARTITION], level, strict=True):
            write_bytes(folder / _picture_of(name), picture_bytes(cells))
    for path in set((folder / _FOLDER).glob("*.png")) - {folder / _picture_of(name) for name in names}:
        path.unlink()
    write_bytes(folder / PICTURES.table, _table(clips, rows, names).encode())
    return len(rows)


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not (folder / _MARK).exists():
        raise ConfigError(f"--pictures {folder}: holds something else; choose a folder that is new or empty")


def _slice_name(clip: str) -> str:
    """Return the name of a clip as UrbanSound8K could have it: a plain file name that ends with .wav."""
    plain = quote(clip, safe=" ()[]{}@,;=+&!#$'~").removesuffix(".wav")
    if len(plain) > _LONGEST_STEM:
        plain = f"{plain[:_LONGEST_STEM]}-{digest_bytes(clip.encode())[:8]}"
    return f"{plain}.wav"


def _picture_of(slice_name: str) -> str:
    return f"{_FOLDER}/{Path(slice_name).stem}.png"


def _table(clips: dict[str, np.ndarray], rows: np.ndarray, names: list[str]) -> str:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for row, name in zip(rows, names, strict=True):
        start_s = np.nan_to_num(clips["start_s"][row])
        end_s = start_s + clips["valid_duration_s"][row]
        codes = [clips[column][row] for column in ("salience", "fold", "label", "class_name")]
        table.writerow([name, clips["recording"][row], f"{start_s:.6f}", f"{end_s:.6f}", *codes])
    return text.getvalue()
