"""What counts as finished, and the reason given when it does not."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from toolkit.pipeline.files import digest_of
from toolkit.pipeline.markers import Blocks, Marker, Markers, Unit

Ingredients = Mapping[str, object]


def ingredients(epochs: int = 25, *, clips: str = "some clips", **more: object) -> Ingredients:
    return {"code": 1, "settings": {"epochs": epochs, "shares": (0.1, 0.2)}, "clips": digest_of(clips), **more}


def unit(blocks: Blocks | None = None, others: Blocks | None = None) -> Unit:
    return Unit("mel/fold-01", {"all": ingredients()} if blocks is None else blocks, others)


@pytest.fixture
def markers(tmp_path: Path) -> Markers:
    return Markers(tmp_path / "markers" / "train", tmp_path)


def reasons(markers: Markers, wanted: Unit) -> list[str]:
    return [todo.reason for todo in markers.todo([wanted])]


def test_todo__of_a_unit_never_made(markers: Markers):
    (todo,) = markers.todo([unit({"a": ingredients(), "b": ingredients()})])
    assert todo.blocks == ("a", "b")
    assert todo.dropped == ()
    assert todo.reason == "missing"
    assert todo.wanted == {"a": ingredients(), "b": ingredients()}
    assert not markers.is_current(unit())


def test_todo__of_a_unit_made_from_the_same(markers: Markers):
    """Tuples come back as lists from JSON, which is no change."""
    markers.write("mel/fold-01", Marker(unit().blocks, {"weights": "abc"}))
    assert markers.todo([unit()]) == []
    assert markers.is_current(unit())
    assert Markers(markers.folder, markers.root).todo([unit()]) == [], "what counts is the file"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (ingredients(5), "settings.epochs 25 -> 5"),
        (ingredients(clips="other clips"), "clips changed"),
        ({**ingredients(), "code": 2}, "code 1 -> 2"),
        (ingredients(seed=3), "seed None -> 3"),
        ({**ingredients(5), "code": 2}, "code 1 -> 2; settings.epochs 25 -> 5"),
        (
            {**ingredients(), "settings": {"epochs": 25, "shares": [0.1, 0.3]}},
            "settings.shares [0.1, 0.2] -> [0.1, 0.3]",
        ),
        ({name: value for name, value in ingredients().items() if name != "code"}, "code 1 -> None"),
    ],
)
def test_todo__says_what_changed(markers: Markers, now: Ingredients, reason: str):
    markers.write("mel/fold-01", Marker(unit().blocks))
    assert reasons(markers, unit({"all": now})) == [reason]
    assert not markers.is_current(unit({"all": now}))


@pytest.mark.parametrize(
    "more", [{"path": None}, {"settings": {"epochs": 25, "shares": (0.1, 0.2), "fmax": None}}]
)
def test_todo__notices_an_ingredient_that_came_without_a_value(markers: Markers, more: Ingredients):
    markers.write("mel/fold-01", Marker(unit().blocks))
    assert len(markers.todo([unit({"all": {**ingredients(), **more}})])) == 1


def test_todo__makes_only_the_blocks_that_changed(markers: Markers):
    made = {"fold 1": ingredients(), "fold 2": ingredients(), "fold 3": ingredients()}
    markers.write("mel/fold-01", Marker(made))
    (todo,) = markers.todo([unit({**made, "fold 2": ingredients(5), "fold 4": ingredients()})])
    assert todo.blocks == ("fold 2", "fold 4")
    assert todo.reason == "settings.epochs 25 -> 5 / missing"


def test_todo__gives_every_reason_once(markers: Markers):
    markers.write("mel/fold-01", Marker({"a": ingredients(), "b": ingredients()}))
    assert reasons(markers, unit({"a": ingredients(5), "b": ingredients(5)})) == ["settings.epochs 25 -> 5"]


def test_todo__forced_makes_everything_again(markers: Markers):
    markers.write("mel/fold-01", Marker(unit().blocks))
    (todo,) = markers.todo([unit()], force=True)
    assert (todo.blocks, todo.reason) == (("all",), "forced")


def test_todo__keeps_the_order_of_the_units(markers: Markers):
    units = [Unit(name, {"all": ingredients()}) for name in ("mel/b", "cqt/c", "mel/a")]
    markers.write("cqt/c", Marker(units[1].blocks))
    assert [todo.unit.name for todo in markers.todo(units)] == ["mel/b", "mel/a"]


def test_todo__of_a_unit_whose_file_is_gone(markers: Markers):
    names = ("models/weights.npz", "models/training.json")
    for name in names:
        (markers.root / name).parent.mkdir(exist_ok=True)
        (markers.root / name).touch()
    markers.write("mel/fold-01", Marker(unit().blocks, files=names))
    assert markers.is_current(unit())
    (markers.root / names[1]).unlink()
    assert reasons(markers, unit()) == ["models/training.json is gone"]
    assert not markers.is_current(unit())


def test_todo__drops_blocks_outside_the_scope_that_are_out_of_date(markers: Markers):
    made = {name: ingredients() for name in ("in scope", "current", "changed", "no longer known")}
    markers.write("mel/fold-01", Marker(made))
    others = {"current": ingredients(), "changed": ingredients(5), "never made": ingredients()}
    (todo,) = markers.todo([unit({"in scope": ingredients()}, others)])
    assert todo.blocks == ()
    assert todo.dropped == ("changed", "no longer known")
    assert todo.reason == "out of date, dropped"


def test_todo__leaves_blocks_alone_where_nothing_is_said_of_them(markers: Markers):
    markers.write("mel/fold-01", Marker({"in scope": ingredients(), "unknown": ingredients()}))
    assert markers.todo([unit({"in scope": ingredients()}, None)]) == []


def test_todo__drops_and_makes_at_once(markers: Markers):
    markers.write("mel/fold-01", Marker({"in scope": ingredients(), "gone": ingredients()}))
    (todo,) = markers.todo([unit({"in scope": ingredients(5)}, {})])
    assert (todo.blocks, todo.dropped) == (("in scope",), ("gone",))
    assert todo.reason == "out of date, dropped / settings.epochs 25 -> 5"


@pytest.mark.parametrize(
    "content", ["", "{", "\x00", '{"blocks": {}}', '{"blocks": {"all"', "[]", "null", '"blocks"', "3"]
)
def test_read__of_broken_json_is_as_if_there_were_none(markers: Markers, content: str):
    path = markers.folder / "mel" / "fold-01.json"
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    assert markers.read("mel/fold-01") is None
    assert reasons(markers, unit()) == ["missing"]


def test_read__of_bytes_that_are_not_text_is_as_if_there_were_none(markers: Markers):
    path = markers.folder / "mel" / "fold-01.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe{}")
    assert markers.read("mel/fold-01") is None


def test_write__then_read_returns_the_same(markers: Markers):
    marker = Marker({"all": {"code": 1}}, {"rows": {"mel": ["a", "b"]}}, ("models/weights.npz",))
    markers.write("mel/lrp.epsilon/0007", marker)
    assert markers.read("mel/lrp.epsilon/0007") == marker
    assert marker.rows == {"mel": ["a", "b"]}
    assert Marker().rows == {}
    path = markers.folder / "mel" / "lrp.epsilon" / "0007.json"
    assert set(json.loads(path.read_text(encoding="utf-8"))) == {"blocks", "result", "files"}


def test_remove__declares_a_unit_unfinished_and_leaves_the_others(markers: Markers):
    for name in ("mel/fold-01", "mel/fold-02"):
        markers.write(name, Marker(unit().blocks))
    markers.remove("mel/fold-01")
    assert not (markers.folder / "mel" / "fold-01.json").exists()
    assert markers.read("mel/fold-01") is None
    assert reasons(markers, unit()) == ["missing"]
    assert markers.read("mel/fold-02") == Marker(json.loads(json.dumps(unit().blocks)))


def test_remove__of_a_unit_never_made_does_nothing(markers: Markers):
    markers.remove("mel/fold-01")
    assert markers.read("mel/fold-01") is None


def test_forget__below_a_folder_or_everything(markers: Markers):
    for name in ("mel/lrp.epsilon/0000", "mel/lrp.epsilon/0001", "mel/other/0000", "cqt/lrp.epsilon/0000"):
        markers.write(name, Marker())
    markers.forget("mel/lrp.epsilon")
    assert markers.read("mel/lrp.epsilon/0000") is None
    assert markers.read("mel/lrp.epsilon/0001") is None
    assert markers.read("mel/other/0000") == Marker()
    markers.forget()
    assert list(markers.folder.rglob("*.json")) == []
    Markers(markers.root / "absent", markers.root).forget()
