"""What made a run: command, settings, software, machine and times, in ``run.json``.

Nothing here is in the store or on a page, because two equal runs differ in it.
"""

import os
import platform
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from toolkit.config import Settings, to_json
from toolkit.pipeline.files import write_json

_PACKAGES = (
    "audio-lrp-toolkit",
    "innvestigate",
    "librosa",
    "numpy",
    "onnx",
    "onnxruntime",
    "scipy",
    "soundfile",
    "tensorflow",
    "tf2onnx",
    "xarray",
    "zarr",
)


def write_provenance(
    path: Path,
    settings: Settings,
    *,
    run_id: str,
    started: str,
    ended: str,
    stages: Sequence[Mapping[str, object]],
) -> None:
    """Write the provenance of a run that computed something."""
    write_json(
        path,
        {
            "run_id": run_id,
            "command": sys.argv,
            "started": started,
            "ended": ended,
            "settings": to_json(settings),
            "stages": list(stages),
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in _PACKAGES},
            "machine": {
                "host": socket.gethostname(),
                "system": platform.platform(),
                "processors": os.cpu_count(),
            },
        },
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
