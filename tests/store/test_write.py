"""Writing a store: what the schema refuses, what a reader sees meanwhile, and what is left behind."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import zarr

from toolkit.errors import StoreError
from toolkit.store import write
from toolkit.store.read import attributes, read_rows, read_whole
from toolkit.store.schema import (
    BINS_PER_CHUNK,
    FORMAT_VERSION,
    GROUPS,
    ROWS_PER_PARTITION,
    partitions,
    variables_of,
)
from toolkit.store.variables import FILL, Variable
from toolkit.store.write import new_store, remove_group, sweep, write_group, write_rows

N_CLIPS = 150
MAPS = "relevance/mel/lrp.epsilon"
SIZES = {"clip": N_CLIPS, "frequency": 64, "time": 64, "class_name": 3}
EMPTY = ("relevance", "label", "logits", "relevance_sum")
ALL_VARIABLES = [(group, variable) for group, variables in GROUPS.items() for variable in variables]
every_variable = pytest.mark.parametrize(
    ("group", "variable"), ALL_VARIABLES, ids=[f"{group}/{variable.name}" for group, variable in ALL_VARIABLES]
)


def text(values: list[str]) -> np.ndarray:
    return np.array(values, dtype=object)


def maps(n_clips: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_clips, 64, 64)).astype(np.float32)


def values_for(variable: Variable, length: int = 3) -> np.ndarray:
    """Return values that the schema allows for a variable."""
    shape = (length,) * len(variable.dims)
    if variable.kind == "text":
        return np.full(shape, "é", dtype=object)
    return np.arange(length ** len(shape)).reshape(shape).astype(variable.kind)


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.zarr"
    with new_store(path, {"class_names": ["dog", "siren", "wind"]}):
        pass
    return path


@pytest.fixture
def store_with_maps(store: Path) -> Path:
    """A store with one group of maps of 150 clips, still to be filled."""
    axes = {
        "frequency": np.arange(64.0),
        "time": np.arange(64.0),
        "class_name": text(["dog", "siren", "wind"]),
    }
    write_group(store, MAPS, axes, empty=EMPTY, sizes=SIZES)
    return store


@every_variable
def test_schema__says_what_every_variable_is(group: str, variable: Variable):
    for field in fields(variable):
        if field.name != "dims":
            assert getattr(variable, field.name).strip(), field.name
    assert variable.description.endswith(".")
    assert variable.kind in FILL
    assert len(set(variable.dims)) == len(variable.dims)


@pytest.mark.parametrize("group", GROUPS)
def test_schema__names_every_variable_of_a_group_once(group: str):
    names = [variable.name for variable in GROUPS[group]]
    assert len(set(names)) == len(names)
    assert list(variables_of(group)) == names


def test_schema__knows_groups_below_a_kind_and_no_others():
    assert variables_of("relevance/cqt/lrp.epsilon") == variables_of("relevance")
    for group in ("clip", "clipsx", "relevances/mel", "statistics", ""):
        with pytest.raises(KeyError, match=r"is not in the schema; kinds of groups: clips, "):
            variables_of(group)


@pytest.mark.parametrize("n_clips", [0, 1, 63, 64, 65, 150, 640])
def test_partitions__cover_every_row_once_and_begin_on_chunks(n_clips: int):
    found = partitions(n_clips)
    assert [row for part in found for row in range(part.start, part.stop)] == list(range(n_clips))
    assert all(part.start % ROWS_PER_PARTITION == 0 for part in found)


def test_new_store__records_the_format_version_and_what_it_is_told(store: Path):
    assert attributes(store) == {"format_version": FORMAT_VERSION, "class_names": ["dog", "siren", "wind"]}


def test_new_store__takes_the_place_of_another(store: Path):
    write_group(store, "problems", {"subject": text(["a"]), "reason": text(["b"])})
    with new_store(store, {"class_names": ["owl"]}):
        pass
    assert attributes(store)["class_names"] == ["owl"]
    assert names_in(store) == {"zarr.json"}
    assert names_in(store.parent) == {"store.zarr", "store.zarr/zarr.json"}


@every_variable
def test_every_variable__is_written_with_its_dimensions_values_and_meaning(
    store: Path, group: str, variable: Variable
):
    values = values_for(variable)
    write_group(store, group, {variable.name: values})
    array = zarr.open_array(store / group / variable.name, mode="r")
    assert dict(array.attrs) == {
        "long_name": variable.long_name,
        "units": variable.units,
        "description": variable.description,
    }
    assert tuple(array.metadata.dimension_names or ()) == variable.dims
    found = read_whole(store, group)[variable.name]
    assert found.shape == values.shape
    assert found.tolist() == values.tolist()
    if variable.kind != "text":
        assert found.dtype == np.dtype(variable.kind)


def test_maps__lie_in_chunks_of_64_clips_16_bins_and_64_frames(store_with_maps: Path):
    array = zarr.open_array(store_with_maps / MAPS / "relevance", mode="r")
    assert array.shape == (N_CLIPS, 64, 64)
    assert array.chunks == (ROWS_PER_PARTITION, BINS_PER_CHUNK, 64) == (64, 16, 64)


def test_group_attributes__are_kept(store: Path):
    write_group(store, "training/mel", {"fold": np.array([1, 2])}, attributes={"network": "abc"})
    assert dict(zarr.open_group(store / "training" / "mel", mode="r").attrs) == {"network": "abc"}


def test_empty_variables__hold_the_fill_of_their_kind(store_with_maps: Path):
    found = read_whole(store_with_maps, MAPS, EMPTY)
    assert np.isnan(found["relevance"]).all()
    assert found["relevance"].shape == (N_CLIPS, 64, 64)
    assert (found["label"] == -1).all()


def test_unknown_variable__is_refused_with_those_that_are_known(store: Path):
    message = r"problems has no variable 'colour' in the schema; it may hold: subject, reason, severity$"
    with pytest.raises(StoreError, match=message):
        write_group(store, "problems", {"colour": text(["red"])})
    with pytest.raises(StoreError, match=message):
        write_group(store, "problems", {}, empty=["colour"], sizes={"problem": 1})


def test_unknown_group__is_refused(store: Path):
    with pytest.raises(KeyError, match="'colours' is not in the schema"):
        write_group(store, "colours", {})
    assert names_in(store) == {"zarr.json"}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("label", np.zeros(3, np.int32), "label is of kind int64, got an array of int32"),
        ("label", np.zeros(3, np.float64), "label is of kind int64, got an array of float64"),
        ("label", text(["a"]), "label is of kind int64, got an array of object"),
        ("start_s", np.zeros(3, np.float32), "start_s is of kind float64, got an array of float32"),
        ("start_s", np.zeros(3, np.int64), "start_s is of kind float64, got an array of int64"),
        ("clip", np.zeros(3), "clip is of kind text, got an array of float64"),
        ("clip", np.array([b"a"]), r"clip is of kind text, got an array of \|S1"),
    ],
)
def test_wrong_kind__is_refused_with_both_kinds(store: Path, name: str, values: np.ndarray, message: str):
    with pytest.raises(StoreError, match=f"^{message}"):
        write_group(store, "clips", {name: values})


@pytest.mark.parametrize("shape", [(), (3, 1), (2, 2, 2)])
def test_wrong_number_of_dimensions__is_refused_with_both(store: Path, shape: tuple[int, ...]):
    with pytest.raises(StoreError, match=r"^label has dimensions \('clip',\), got an array of shape \("):
        write_group(store, "clips", {"label": np.zeros(shape, np.int64)})


def test_variables_of_different_length__are_refused(store: Path):
    """Every variable of a group has the same number of rows."""
    with pytest.raises(StoreError, match="clip"):
        write_group(store, "clips", {"label": np.zeros(3, np.int64), "fold": np.ones(4, np.int64)})


def test_sizes_that_differ_from_the_data__are_refused(store: Path):
    with pytest.raises(StoreError, match="clip"):
        write_group(store, "clips", {"label": np.zeros(3, np.int64)}, empty=["status"], sizes={"clip": 4})


def test_group__is_replaced_as_a_whole(store: Path):
    first = {"subject": text(["a", "b"]), "reason": text(["x", "y"])}
    write_group(store, "problems", first, attributes={"made": "first"})
    write_group(store, "problems", {"subject": text(["c"])})
    found = read_whole(store, "problems")
    assert {name: values.tolist() for name, values in found.items()} == {"subject": ["c"]}
    assert dict(zarr.open_group(store / "problems", mode="r").attrs) == {}
    assert not [name for name in names_in(store) if name.endswith(".wip")]


def test_replacing_a_group__leaves_its_siblings_alone(store_with_maps: Path):
    other = "relevance/mel/lrp.sequential_preset_a_flat"
    write_group(store_with_maps, other, {"time": np.arange(3.0)})
    write_rows(store_with_maps, MAPS, slice(0, 64), {"relevance": maps(64)})
    write_group(store_with_maps, other, {"time": np.arange(5.0)})
    np.testing.assert_array_equal(read_whole(store_with_maps, MAPS)["relevance"][:64], maps(64))
    assert len(read_whole(store_with_maps, other)["time"]) == 5


def test_group_that_fails_half_way__leaves_the_old_one_whole(store: Path):
    write_group(store, "problems", {"subject": text(["a"]), "reason": text(["b"])})
    with pytest.raises(StoreError, match="reason is of kind text"):
        write_group(store, "problems", {"subject": text(["new"]), "reason": np.zeros(1)})
    found = read_whole(store, "problems")
    assert {name: values.tolist() for name, values in found.items()} == {"subject": ["a"], "reason": ["b"]}
    sweep(store)
    assert not [name for name in names_in(store) if ".wip" in name]


def test_group_being_written__is_not_seen_under_its_name(store: Path, monkeypatch: pytest.MonkeyPatch):
    """Until the one rename, its place is empty; a writer that dies before it changes nothing."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "_swap", die)
    with pytest.raises(KeyboardInterrupt):
        write_group(store, "problems", {"subject": text(["a"]), "reason": text(["b"])})
    assert not (store / "problems").exists()
    sweep(store)
    assert names_in(store) == {"zarr.json"}


def test_rows__are_written_and_read(store_with_maps: Path):
    values = {"relevance": maps(64), "label": np.arange(64), "logits": np.ones((64, 3), np.float32)}
    write_rows(store_with_maps, MAPS, slice(64, 128), values)
    found = read_rows(store_with_maps, MAPS, values, slice(64, 128))
    for name, expected in values.items():
        np.testing.assert_array_equal(found[name], expected)
    some = read_rows(store_with_maps, MAPS, ["label"], np.array([127, 64, 70]))["label"]
    assert some.tolist() == [63, 0, 6]


def test_rows_of_text__are_written_and_read(store: Path):
    write_group(store, "clips", {}, empty=["status", "error"], sizes={"clip": 70})
    values = {"status": text(["left out"] * 6), "error": text(["größer", "", "c", "d", "e", "f"])}
    write_rows(store, "clips", slice(64, 70), values)
    found = read_whole(store, "clips")
    assert found["error"].tolist() == [""] * 64 + values["error"].tolist()


def test_rows_of_one_partition__leave_the_files_of_the_others_untouched(store_with_maps: Path):
    parts = partitions(N_CLIPS)
    for part in parts:
        rows = part.stop - part.start
        write_rows(store_with_maps, MAPS, part, {"relevance": maps(rows), "label": np.arange(rows)})
    names = ("relevance", "label")
    chunks = [
        path for name in names for path in (store_with_maps / MAPS / name / "c").rglob("*") if path.is_file()
    ]
    before = {path: (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns) for path in chunks}
    assert len(chunks) == len(parts) * (4 + 1)
    write_rows(
        store_with_maps, MAPS, parts[1], {"relevance": maps(64, seed=1), "label": np.full(64, 7, np.int64)}
    )
    after = {path: (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns) for path in chunks}
    changed = {
        tuple(path.relative_to(store_with_maps / MAPS).parts) for path in chunks if before[path] != after[path]
    }
    assert changed == {("label", "c", "1"), *(("relevance", "c", "1", str(bins), "0") for bins in range(4))}


def test_rows_written_twice__give_the_same_bytes(store_with_maps: Path):
    def write_and_read() -> dict[str, bytes]:
        write_rows(store_with_maps, MAPS, slice(0, 64), {"relevance": maps(64)})
        files = (store_with_maps / MAPS).rglob("*")
        return {str(path): path.read_bytes() for path in files if path.is_file()}

    assert write_and_read() == write_and_read()


def test_rows__leave_nothing_but_chunks_behind(store_with_maps: Path):
    write_rows(store_with_maps, MAPS, slice(0, 64), {"relevance": maps(64)})
    assert not [name for name in names_in(store_with_maps) if name.endswith((".partial", ".wip"))]


@pytest.mark.parametrize(
    ("rows", "shape"),
    [
        (slice(0, 64), (63, 64, 64)),
        (slice(0, 64), (65, 64, 64)),
        (slice(0, 64), (64, 63, 64)),
        (slice(0, 64), (1, 64, 64)),
        (slice(128, 150), (64, 64, 64)),
    ],
)
def test_rows_of_another_shape__are_refused_with_both_shapes(
    store_with_maps: Path, rows: slice, shape: tuple[int, ...]
):
    with pytest.raises(StoreError, match=r"relevance: rows have shape \(.*the store expects \("):
        write_rows(store_with_maps, MAPS, rows, {"relevance": np.zeros(shape, np.float32)})
    assert np.isnan(read_whole(store_with_maps, MAPS, ["relevance"])["relevance"]).all()


def test_rows_past_the_end__are_refused(store_with_maps: Path):
    with pytest.raises(StoreError, match="relevance"):
        write_rows(store_with_maps, MAPS, slice(128, 192), {"relevance": maps(64)})


def test_rows_of_the_wrong_kind_or_unknown__are_refused(store_with_maps: Path):
    with pytest.raises(StoreError, match="relevance is of kind float32, got an array of float64"):
        write_rows(store_with_maps, MAPS, slice(0, 64), {"relevance": np.zeros((64, 64, 64))})
    with pytest.raises(StoreError, match="has no variable 'heat' in the schema"):
        write_rows(store_with_maps, MAPS, slice(0, 64), {"heat": maps(64)})
    with pytest.raises(StoreError, match=r"relevance has dimensions \('clip', 'frequency', 'time'\)"):
        write_rows(store_with_maps, MAPS, slice(0, 64), {"relevance": np.zeros(64, np.float32)})


def test_new_store__leaves_the_old_one_where_filling_it_fails(store: Path):
    write_group(store, "problems", {"subject": text(["a"]), "reason": text(["b"])})
    with (
        pytest.raises(StoreError, match="is of kind text"),
        new_store(store, {"class_names": ["owl"]}) as other,
    ):
        write_group(other, "problems", {"subject": text(["new"]), "reason": np.zeros(1)})
    assert read_whole(store, "problems")["subject"].tolist() == ["a"]
    sweep(store)
    assert [path.name for path in store.parent.iterdir()] == [store.name]


def test_remove_group__leaves_the_others(store: Path):
    for group in ("problems", "clips"):
        name = "subject" if group == "problems" else "clip"
        write_group(store, group, {name: text(["a"])})
    remove_group(store, "problems")
    assert sorted(path.name for path in store.iterdir() if path.is_dir()) == ["clips"]


def test_sweep__removes_what_killed_writers_left_and_nothing_else(store_with_maps: Path):
    before = names_in(store_with_maps)
    chunks = store_with_maps / MAPS / "relevance" / "c"
    chunks.mkdir()
    (chunks / "0.abc.partial").write_bytes(b"x")
    unfinished = store_with_maps.with_name(f"{store_with_maps.name}.123.wip")
    (unfinished / "inner").mkdir(parents=True)
    own = store_with_maps.parent / "somebody's archive.partial"
    own.write_bytes(b"not ours")
    other = store_with_maps.parent / "other.wip"
    other.mkdir()
    sweep(store_with_maps)
    assert names_in(store_with_maps) == before | {f"{MAPS}/relevance/c"}
    assert not unfinished.exists()
    assert own.exists()
    assert other.exists()


def test_sweep__of_no_store_does_nothing(tmp_path: Path):
    sweep(tmp_path / "none")
    assert names_in(tmp_path) == set()
