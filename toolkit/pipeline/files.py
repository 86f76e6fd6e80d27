"""Small files that are either there, whole, or not there; and digests of what is in files."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

_BLOCK_BYTES = 1 << 20


def write_bytes(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` by rename.

    Raises
    ------
    OSError
        It cannot be put there; nothing is left beside.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    wip = path.with_name(f".{path.name}.{os.getpid()}.wip")
    try:
        wip.write_bytes(content)
        wip.replace(path)
    except OSError:
        wip.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    """Put ``value`` at ``path`` as JSON with sorted keys, by rename."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


def digest_of(value: object) -> str:
    """Return a digest of any JSON value; equal values give equal digests."""
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode())


def digest_bytes(*parts: bytes) -> str:
    """Return a digest of bytes, one part after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:32]


def digest_file(path: Path) -> str:
    """Return a digest of the content of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()[:32]


def sweep(folders: Iterable[Path]) -> None:
    """Remove what writers that were killed left behind anywhere in these folders."""
    for folder in folders:
        for path in sorted(folder.rglob(".*.wip")):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


class FileDigests:
    """Digests of many files, remembered between runs while size, inode and both times stay the same.

    The time of the last status change (ctime) cannot be set back by a program, so a file that was
    changed and given its old date is still noticed.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, list[object]] = _read_json(memory)
        self._seen: dict[str, list[object]] = {}

    def __call__(self, path: Path) -> str:
        """Return the digest of a file's content, or 'absent'."""
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return "not a file"
            mark: list[object] = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
            known = self._seen.get(str(path)) or self._known.get(str(path))
            digest = str(known[-1]) if known and known[:-1] == mark else digest_file(path)
        except OSError:
            return "absent"
        self._seen[str(path)] = [*mark, digest]
        return digest

    def files_with(self, digest: str) -> list[str]:
        """Return the files that had this content when they were last looked at, ascending."""
        return sorted(path for path, (*_, known) in self._known.items() if known == digest)

    def remember(self) -> None:
        """Keep what was seen for the next run, if the run's folder can be written to."""
        if self._seen != self._known and os.access(self._memory.parent, os.W_OK):
            write_json(self._memory, self._seen)


def _read_json(path: Path) -> dict[str, list[object]]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
