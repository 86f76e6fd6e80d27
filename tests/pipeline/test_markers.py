"""What counts as finished, and the reason given when it does not."""

import json
from pathlib import Path

import pytest

from toolkit.pipeline.files import digest_of
from toolkit.pipeline.markers import Ingredients, Marker, Markers, Unit


def ingredients(epochs: int = 25, *, clips: str = "some clips", **more: object) -> Ingredients:
    return {"code": 1, "settings": {"epochs": epochs, "shares": (0.1, 0.2)}, "clips": digest_of(clips), **more}


def unit(made_from: Ingredients | None = None) -> Unit:
    return Unit("mel/fold-01", ingredients() if made_from is None else made_from)


@pytest.fixture
def markers(tmp_path: Path) -> Markers:
    return Markers(tmp_path / "markers" / "train", tmp_path)


def reasons(markers: Markers, wanted: Unit) -> list[str]:
    return [todo.reason for todo in markers.todo([wanted])]


def test_todo__of_a_unit_never_made(markers: Markers):
    (todo,) = markers.todo([unit()])
    assert (todo.name, todo.unit, todo.reason) == ("mel/fold-01", unit(), "missing")


def test_todo__of_a_unit_made_from_the_same(markers: Markers):
    """Tuples come back as lists from JSON, which is no change."""
    markers.write("mel/fold-01", Marker(unit().made_from, {"weights": "abc"}))
    assert markers.todo([unit()]) == []
    assert not markers.outstanding(unit())
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
    markers.write("mel/fold-01", Marker(unit().made_from))
    assert reasons(markers, unit(now)) == [reason]


@pytest.mark.parametrize(
    "more", [{"path": None}, {"settings": {"epochs": 25, "shares": (0.1, 0.2), "fmax": None}}]
)
def test_todo__notices_an_ingredient_that_came_without_a_value(markers: Markers, more: Ingredients):
    markers.write("mel/fold-01", Marker(unit().made_from))
    assert len(markers.todo([unit({**ingredients(), **more})])) == 1


def test_todo__forced_makes_everything_again(markers: Markers):
    markers.write("mel/fold-01", Marker(unit().made_from))
    (todo,) = markers.todo([unit()], force=True)
    assert todo.reason == "forced"
    (todo,) = markers.todo([unit()], force="networks are new")
    assert todo.reason == "networks are new"


def test_todo__keeps_the_order_of_the_units(markers: Markers):
    units = [Unit(name, ingredients()) for name in ("mel/b", "cqt/c", "mel/a")]
    markers.write("cqt/c", Marker(units[1].made_from))
    assert [todo.unit.name for todo in markers.todo(units)] == ["mel/b", "mel/a"]


def test_todo__of_a_unit_whose_file_is_gone(markers: Markers):
    names = ("models/weights.npz", "models/training.json")
    for name in names:
        (markers.root / name).parent.mkdir(exist_ok=True)
        (markers.root / name).touch()
    markers.write("mel/fold-01", Marker(unit().made_from, files=names))
    assert not markers.outstanding(unit())
    (markers.root / names[1]).unlink()
    assert reasons(markers, unit()) == ["models/training.json is gone"]
    assert markers.outstanding(unit())


@pytest.mark.parametrize(
    "content", ["", "{", "\x00", '{"made_from": {}}', '{"made_from": {"a"', "[]", "null", '"made_from"', "3"]
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
    marker = Marker({"code": 1}, {"training": ["a", "b"]}, ("models/weights.npz",))
    markers.write("mel/lrp.epsilon/0007", marker)
    assert markers.read("mel/lrp.epsilon/0007") == marker
    path = markers.folder / "mel" / "lrp.epsilon" / "0007.json"
    assert set(json.loads(path.read_text(encoding="utf-8"))) == {"made_from", "result", "files"}


def test_remove__declares_a_unit_unfinished_and_leaves_the_others(markers: Markers):
    for name in ("mel/fold-01", "mel/fold-02"):
        markers.write(name, Marker(unit().made_from))
    markers.remove("mel/fold-01")
    assert not (markers.folder / "mel" / "fold-01.json").exists()
    assert markers.read("mel/fold-01") is None
    assert reasons(markers, unit()) == ["missing"]
    assert markers.read("mel/fold-02") == Marker(json.loads(json.dumps(unit().made_from)))


def test_remove__of_a_unit_never_made_does_nothing(markers: Markers):
    markers.remove("mel/fold-01")
    assert markers.read("mel/fold-01") is None


def test_forget__everything(markers: Markers):
    for name in ("mel/lrp.epsilon", "cqt/lrp.epsilon"):
        markers.write(name, Marker())
    markers.forget()
    assert list(markers.folder.rglob("*.json")) == []
    Markers(markers.root / "absent", markers.root).forget()
