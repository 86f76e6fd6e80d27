"""Compare the results of two runs byte by byte."""

import hashlib
from pathlib import Path

RESULTS = ("store.zarr", "models", "reports", "markers")
"""What two equal runs have in common; logs, times and remembered file dates differ."""


def contents(run: Path) -> dict[str, str]:
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in RESULTS
        for path in sorted((run / part).rglob("*"))
        if path.is_file()
    }


def assert_same_bytes(run: Path, other: Path) -> None:
    ours, theirs = contents(run), contents(other)
    assert ours, f"{run} holds no results"
    different = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    assert different == []
