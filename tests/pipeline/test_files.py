"""Files put in place whole, and digests that tell one content from another."""

import errno
import json
import os
import string
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.pipeline import files
from toolkit.pipeline.files import (
    FileDigests,
    digest_bytes,
    digest_file,
    digest_of,
    write_bytes,
    write_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Record which files are read for their digest."""
    read: list[Path] = []

    def digest(path: Path) -> str:
        read.append(path)
        return digest_file(path)

    monkeypatch.setattr(files, "digest_file", digest)
    return read


def change_in_secret(path: Path, content: bytes) -> None:
    """Overwrite a file by as many bytes, and give it its old date."""
    before = path.stat()
    assert len(content) == before.st_size
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of the file system ticks every few ms
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_ino, after.st_mtime_ns) == (
        before.st_size,
        before.st_ino,
        before.st_mtime_ns,
    )


def half_write(path: Path, content: bytes) -> NoReturn:
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError(errno.ENOSPC, "No space left on device")


def no_rename(_path: Path, _target: Path) -> NoReturn:
    raise OSError(errno.EIO, "Input/output error")


def test_write_bytes__makes_the_folder_and_leaves_nothing_else(tmp_path: Path):
    path = tmp_path / "deep" / "down" / "file.bin"
    write_bytes(path, b"one")
    write_bytes(path, b"two, longer")
    assert path.read_bytes() == b"two, longer"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("method", "failing", "message"),
    [("write_bytes", half_write, "No space left"), ("replace", no_rename, "Input/output error")],
)
def test_write_bytes__that_fails_leaves_the_old_content(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    failing: Callable[[Path, object], NoReturn],
    message: str,
):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old content")
    monkeypatch.setattr(Path, method, failing)
    with pytest.raises(OSError, match=message):
        write_bytes(path, b"new content that is longer")
    assert path.read_bytes() == b"old content"
    with pytest.raises(OSError, match=message):
        write_bytes(tmp_path / "new.bin", b"content")
    assert not (tmp_path / "new.bin").exists()


def test_write_bytes__is_not_seen_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    seen: list[tuple[bytes, bytes]] = []
    rename = Path.replace

    def watch(wip: Path, target: Path) -> Path:
        seen.append((target.read_bytes(), wip.read_bytes()))
        return rename(wip, target)

    monkeypatch.setattr(Path, "replace", watch)
    write_bytes(path, b"new")
    assert seen == [(b"old", b"new")]
    assert path.read_bytes() == b"new"


def test_write_json__is_the_same_for_equal_values(tmp_path: Path):
    write_json(tmp_path / "a.json", {"b": 1, "a": ["ä", None]})
    write_json(tmp_path / "b.json", {"a": ("ä", None), "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": ["ä", None], "b": 1}


@settings(deadline=None, derandomize=True, database=None)
@given(JSON)
def test_digest_of__is_32_hexadecimal_figures_and_survives_json(value: object):
    digest = digest_of(value)
    assert len(digest) == 32
    assert set(digest) <= set(string.hexdigits.lower())
    assert digest_of(json.loads(json.dumps(value))) == digest


@settings(deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=6), st.randoms(use_true_random=False))
def test_digest_of__does_not_depend_on_the_order_of_keys(value: dict[str, object], random):
    items = list(value.items())
    random.shuffle(items)
    assert digest_of(dict(items)) == digest_of(value)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(JSON, min_size=2, max_size=5))
def test_digest_of__depends_on_the_order_of_items(values: list[object]):
    as_text = [json.dumps(value, sort_keys=True) for value in values]
    same = as_text == as_text[::-1]
    assert (digest_of(values) == digest_of(values[::-1])) is same


def test_digest_of__tells_values_apart():
    values = [
        0,
        1,
        -1,
        0.5,
        "0",
        "1",
        "",
        None,
        True,
        False,
        [],
        {},
        [[]],
        [0],
        ["0"],
        {"0": 0},
        {"0": "0"},
        "None",
    ]
    assert len({digest_of(value) for value in values}) == len(values)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.binary(max_size=20), max_size=4))
def test_digest_bytes__of_parts_is_that_of_the_whole(parts: list[bytes]):
    assert digest_bytes(*parts) == digest_bytes(b"".join(parts))


def test_digest_bytes__notices_a_single_bit():
    content = bytes(1000)
    digests = {digest_bytes(content[:at] + b"\x01" + content[at + 1 :]) for at in range(0, 1000, 37)}
    assert len(digests) == 28
    assert digest_bytes(content) not in digests


@pytest.mark.parametrize("n_bytes", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (2 << 20) + 5])
def test_digest_file__is_that_of_its_bytes(tmp_path: Path, n_bytes: int):
    content = (bytes(range(251)) * (n_bytes // 251 + 1))[:n_bytes]
    (tmp_path / "file.bin").write_bytes(content)
    assert digest_file(tmp_path / "file.bin") == digest_bytes(content)


def test_file_digests__are_those_of_the_content(tmp_path: Path):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"sound")
    digests = FileDigests(tmp_path / "memory.json")
    assert digests(path) == digest_bytes(b"sound")
    assert digests(tmp_path / "other.wav") == "absent"


def test_file_digests__notice_new_content_under_an_old_date(tmp_path: Path):
    path, memory = tmp_path / "clip.wav", tmp_path / "memory.json"
    path.write_bytes(b"sound")
    first = FileDigests(memory)
    assert first(path) == digest_bytes(b"sound")
    first.remember()
    change_in_secret(path, b"noise")
    assert FileDigests(memory)(path) == digest_bytes(b"noise")


def test_file_digests__remember_across_instances(tmp_path: Path, hashed: list[Path]):
    paths = [tmp_path / f"clip{number}.wav" for number in range(3)]
    for path in paths:
        path.write_bytes(path.name.encode())
    first = FileDigests(tmp_path / "memory.json")
    expected = [first(path) for path in paths]
    first.remember()
    assert hashed == paths
    second = FileDigests(tmp_path / "memory.json")
    assert [second(path) for path in paths] == expected
    assert hashed == paths, "unchanged files are not read again"
    paths[1].write_bytes(b"something else")
    third = FileDigests(tmp_path / "memory.json")
    assert [third(path) for path in paths] == [expected[0], digest_bytes(b"something else"), expected[2]]
    assert hashed == [*paths, paths[1]]


def test_file_digests__read_again_what_was_not_remembered(tmp_path: Path, hashed: list[Path]):
    path = tmp_path / "clip.wav"
    path.write_bytes(b"sound")
    FileDigests(tmp_path / "memory.json")(path)
    FileDigests(tmp_path / "memory.json")(path)
    assert hashed == [path, path]


def test_file_digests__forget_files_that_were_not_asked_for(tmp_path: Path):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"sound")
        digests = FileDigests(tmp_path / "memory.json")
        digests(tmp_path / name)
        digests.remember()
    assert list(json.loads((tmp_path / "memory.json").read_text(encoding="utf-8"))) == [str(tmp_path / "b.wav")]


@pytest.mark.parametrize("content", ["", "{", "\x00"])
def test_file_digests__do_without_a_broken_memory(tmp_path: Path, content: str):
    (tmp_path / "memory.json").write_text(content, encoding="utf-8")
    (tmp_path / "clip.wav").write_bytes(b"sound")
    digests = FileDigests(tmp_path / "memory.json")
    assert digests(tmp_path / "clip.wav") == digest_bytes(b"sound")
    digests.remember()
    assert list(json.loads((tmp_path / "memory.json").read_text(encoding="utf-8"))) == [
        str(tmp_path / "clip.wav")
    ]


def test_file_digests__do_without_a_folder_to_remember_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "clip.wav").write_bytes(b"sound")
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    digests = FileDigests(tmp_path / "memory.json")
    digests(tmp_path / "clip.wav")
    digests.remember()
    assert not (tmp_path / "memory.json").exists()
