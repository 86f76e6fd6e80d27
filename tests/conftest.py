"""What several tests share: a tiny corpus of tones and noises, one finished run on it, and the command line."""

import csv
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

SAMPLE_RATE_HZ = 22_050
HEADER = ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
CLASSES = {0: "hum", 1: "whistle", 2: "clicks"}
FOLDS = (1, 2, 3)
QUICK = {
    "TOOLKIT__TRAINING__EPOCHS": "2",
    "TOOLKIT__TRAINING__LEARNING_RATE": "0.001",
    "TOOLKIT__STATISTICS__N_BOOTSTRAP": "100",
}

Toolkit = Callable[..., subprocess.CompletedProcess[str]]


def sound_of(label: int, rng: np.random.Generator, duration_s: float) -> np.ndarray:
    time_s = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    noise = 0.01 * rng.standard_normal(len(time_s))
    if label == 0:
        return noise + 0.3 * np.sin(2 * np.pi * rng.uniform(80, 110) * time_s)
    if label == 1:
        return noise + 0.3 * np.sin(2 * np.pi * rng.uniform(2500, 3500) * time_s)
    return noise + 0.5 * (rng.random(len(time_s)) < 0.002)


def write_corpus(root: Path) -> list[dict[str, object]]:
    """Write 3 classes x 3 folds x 2 recordings x 2 clips; return the rows of the table."""
    rows = []
    for label, name in CLASSES.items():
        for fold in FOLDS:
            for recording in range(2):
                fs_id = 1000 * (label + 1) + 10 * fold + recording
                for number in range(2):
                    duration_s = 1.5 if label == 2 else 4.0
                    slice_name = f"{fs_id}-{label}-0-{number}.wav"
                    path = root / "audio" / f"fold{fold}" / slice_name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    rng = np.random.default_rng([fs_id, number])
                    soundfile.write(path, sound_of(label, rng, duration_s), SAMPLE_RATE_HZ, subtype="PCM_16")
                    values = (slice_name, fs_id, 0.0, duration_s, 1 + number, fold, label, name)
                    rows.append(dict(zip(HEADER, values, strict=True)))
    write_table(root, rows)
    return rows


def write_table(root: Path, rows: list[dict[str, object]], header: list[str] | None = None) -> None:
    path = root / "metadata" / "UrbanSound8K.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header or HEADER, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that one of the test processes makes and all of them use; it may not be changed."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.with_suffix(".done")
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory) -> Path:
    return made_once(tmp_path_factory, "corpus", lambda folder: write_corpus(folder / "tiny")) / "tiny"


@pytest.fixture(scope="session")
def toolkit(tmp_path_factory) -> Toolkit:
    """Run a command as a user would: in a process of its own and an empty folder; training is short."""
    folder = tmp_path_factory.mktemp("cwd")
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("TOOLKIT__")}

    def run(*words: object, cwd: Path = folder, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "toolkit", *map(str, words)],
            cwd=cwd,
            env={**quiet, **QUICK, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def finished(tiny_corpus, toolkit, tmp_path_factory) -> Path:
    """One complete run on the tiny corpus. Tests copy it before they change anything."""
    pytest.importorskip("tensorflow", reason="needs TensorFlow 2.14 (Python 3.11, extra 'train')")

    def make(folder: Path) -> None:
        done = toolkit("run-all", "--dataset", tiny_corpus, "--out", folder / "finished")
        assert done.returncode == 0, done.stderr

    # Every process has its own: commands on a run hold its lock.
    made = made_once(tmp_path_factory, "runs", make) / "finished"
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("runs") / "finished"))
