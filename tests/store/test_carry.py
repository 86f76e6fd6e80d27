"""A corpus that grew: what the old store knows of a clip moves with the clip."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from toolkit.store import carry, write
from toolkit.store.read import attributes, read_rows, read_whole
from toolkit.store.write import new_store, write_group

MAPS = "relevance/mel/lrp.epsilon"
PER_CLIP = ("relevance", "logits", "prediction", "made_from")


def text(values) -> np.ndarray:
    return np.array(list(values), dtype=object)


def make_store(path: Path, clips: list[str], *, with_maps: bool = True) -> Path:
    with new_store(path, {"class_names": ["dog", "siren"]}) as store:
        n_clips = len(clips)
        write_group(store, "clips", {"clip": text(clips), "error": text(f"of {name}" for name in clips)})
        if with_maps:
            rng = np.random.default_rng(0)
            axes = {"frequency": np.arange(64.0), "class_name": text(["dog", "siren"])}
            maps = {
                "relevance": rng.standard_normal((n_clips, 64, 64)).astype(np.float32),
                "logits": rng.standard_normal((n_clips, 2)).astype(np.float32),
                "prediction": np.arange(n_clips),
                "made_from": text(f"r n {name}" for name in clips),
            }
            write_group(store, MAPS, {**axes, **maps}, attributes={"engine": "e"})
    return path


def test_rows_before__finds_clips_by_name(tmp_path: Path):
    old = make_store(tmp_path / "old.zarr", ["a", "b", "c"])
    assert carry.rows_before(old, ["c", "new", "a"]).tolist() == [2, carry.NEW, 0]


def test_rows_before__of_no_store_or_of_another_format_knows_none(tmp_path: Path):
    assert carry.rows_before(tmp_path / "absent.zarr", ["a"]).tolist() == [carry.NEW]
    old = make_store(tmp_path / "old.zarr", ["a"])
    zarr.open_group(old, mode="r+").attrs["format_version"] = 1
    assert carry.rows_before(old, ["a"]).tolist() == [carry.NEW]


def test_groups_below__are_those_with_rows_that_say_what_they_were_made_from(tmp_path: Path):
    old = make_store(tmp_path / "old.zarr", ["a"])
    assert carry.groups_below(old, "relevance") == [MAPS]
    assert carry.groups_below(old, "features") == []


@pytest.mark.parametrize("seed", range(3))
def test_carry_group__moves_every_row_to_where_its_clip_is_now(tmp_path: Path, seed: int):
    """Over partition limits, in any order, with clips that are new and clips that are gone."""
    rng = np.random.default_rng(seed)
    before = [f"clip {number}" for number in range(150)]
    now = [str(name) for name in rng.permutation([*rng.choice(before, 120, replace=False), *"abcdefgh"])]
    old, new = (
        make_store(tmp_path / "old.zarr", before),
        make_store(tmp_path / "new.zarr", now, with_maps=False),
    )
    source = carry.rows_before(old, now)
    carry.carry_group(old, new, MAPS, source)
    was, found = read_whole(old, MAPS), read_whole(new, MAPS)
    known = source != carry.NEW
    for name in PER_CLIP:
        np.testing.assert_array_equal(found[name][known], was[name][source[known]])
    assert np.isnan(found["relevance"][~known]).all()
    assert set(found["made_from"][~known].tolist()) == {""}
    assert found["class_name"].tolist() == ["dog", "siren"]
    assert attributes(new / MAPS) == {"engine": "e"}


def test_carry_rows__copies_only_what_is_named(tmp_path: Path):
    old, new = make_store(tmp_path / "old.zarr", ["a", "b"]), make_store(tmp_path / "new.zarr", ["b", "x"])
    carry.carry_rows(old, new, "clips", carry.rows_before(old, ["b", "x"]), ["error"])
    assert read_whole(new, "clips")["error"].tolist() == ["of b", "of x"]
    carry.carry_rows(old, new, MAPS, np.array([1, carry.NEW]), ["prediction"])
    assert read_whole(new, MAPS, ("prediction",))["prediction"].tolist() == [1, 1]


def test_write_rows__killed_half_way_leaves_rows_that_say_they_are_not_made(tmp_path: Path, monkeypatch):
    """Rows that stay as they are keep their word; the one that is written has lost it."""
    store = make_store(tmp_path / "store.zarr", ["a", "b"])
    data = read_rows(store, MAPS, PER_CLIP, slice(0, 2))
    changed = {**data, "relevance": data["relevance"] + 1}
    write_to = zarr.Array.__setitem__

    def full(array: zarr.Array, *args):
        if array.name.endswith("logits"):
            raise OSError("no space left on device")
        write_to(array, *args)

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    write.forget_rows(store, MAPS, np.array([1]))
    with pytest.raises(OSError, match="no space"):
        write.write_rows(store, MAPS, slice(0, 2), changed)
    assert read_whole(store, MAPS, ("made_from",))["made_from"].tolist() == ["r n a", ""]


def test_forget_rows__leaves_the_others(tmp_path: Path):
    store = make_store(tmp_path / "store.zarr", [str(number) for number in range(150)])
    write.forget_rows(store, MAPS, np.array([], np.int64))
    write.forget_rows(store, MAPS, np.array([3, 70]))
    made_from = read_whole(store, MAPS, ("made_from",))["made_from"]
    assert np.flatnonzero(made_from == "").tolist() == [3, 70]


def test_store_that_was_on_its_way_out__comes_back_where_its_successor_had_not_come(
    tmp_path: Path, monkeypatch
):
    store = make_store(tmp_path / "store.zarr", ["a", "b"])
    rename = Path.rename

    def killed(path: Path, target: Path) -> Path:
        if target == store:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        make_store(store, ["c"])
    monkeypatch.undo()
    assert not store.exists()
    write.sweep(store)
    assert read_whole(store, "clips", ("clip",))["clip"].tolist() == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["store.zarr"]


def test_store_that_was_replaced__is_swept(tmp_path: Path, monkeypatch):
    store = make_store(tmp_path / "store.zarr", ["a"])
    monkeypatch.setattr(write.shutil, "rmtree", lambda *_, **__: None)
    make_store(store, ["b"])
    monkeypatch.undo()
    assert (tmp_path / "store.zarr.old").exists()
    write.sweep(store)
    assert [path.name for path in tmp_path.iterdir()] == ["store.zarr"]
    assert read_whole(store, "clips", ("clip",))["clip"].tolist() == ["b"]


def test_nominal_axes__are_marked(tmp_path: Path):
    with new_store(tmp_path / "store.zarr", {}) as store:
        axes = {"frequency": np.arange(64.0), "time": np.arange(64.0)}
        write_group(store, "features/mel", axes, attributes={"nominal": ["frequency"]})
        group = zarr.open_group(store / "features/mel", mode="r")
        assert group["frequency"].attrs["nominal"] is True
        assert "nominal" not in group["time"].attrs
