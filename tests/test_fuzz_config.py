"""Settings as a tired, mistaken or hostile hand may write them: Settings or a ConfigError that can be shown.

Beside tests/test_config.py, which feeds values of any kind under any key, these know the settings: every key is
tried with values on, near and far beyond its range, in TOML, as plain values and in the environment.
"""

import datetime as dt
import json
import math
from collections.abc import Callable
from functools import partial, reduce
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from toolkit.config import Settings, from_environment, read_toml, resolve, to_json
from toolkit.errors import ConfigError

Layer = dict[str, object]
Outcome = TypeVar("Outcome")
fuzzing = partial(
    settings, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def every_key() -> list[tuple[str, ...]]:
    """Return the way to every setting there is: (key,) or (section, key)."""
    ways: list[tuple[str, ...]] = []
    for name, value in Settings():
        ways += [(name, key) for key in type(value).model_fields] if isinstance(value, BaseModel) else [(name,)]
    return ways


KEYS = every_key()
WORDS = ["mel", "cqt", "pictures", "manifest", "urbansound8k", "level", "lrp.epsilon", "label", "keep", "none"]


def attempt(call: Callable[[], Outcome]) -> tuple[Outcome | None, str]:
    """Return what a call gives, or None and the message of its ConfigError, which any terminal must take."""
    try:
        return call(), ""
    except ConfigError as error:
        message = str(error)
    assert message.encode("utf-8")
    assert "object at 0x" not in message
    return None, message


def check(*layers: Layer) -> Settings | None:
    """Return what layers resolve to, None if refused; what is accepted is JSON and reads back the same."""
    found, _ = attempt(lambda: resolve(dict(zip(["weak", "strong"], layers, strict=False))))
    if found is not None:
        again = json.loads(json.dumps(to_json(found), allow_nan=False))
        assert resolve({"the run": again}) == found
    return found


def layer_of(pairs: list[tuple[tuple[str, ...], object]]) -> Layer:
    layer: Layer = {}
    for way, value in pairs:
        if len(way) == 1:
            layer[way[0]] = value
            continue
        section = layer.setdefault(way[0], {})
        if isinstance(section, dict):
            section[way[1]] = value
    return layer


def nested(value: object, depth: int, kind: str) -> object:
    for _ in range(depth):
        value = [value] if kind == "list" else {"seed": value}
    return value


numbers = (
    st.sampled_from([-1, 0, 1, 2, 5e-324, 0.5, 1e308, math.nan, math.inf, -math.inf, -0.0, True, 2**32, 2**63])
    | st.integers(-10, 100_000)
    | st.integers(-(10**60), 10**60)
    | st.floats()
)
texts = (
    st.sampled_from([
        *WORDS,
        "",
        " ",
        "\0",
        "\ud800",
        "\udcff",
        "1e3",
        "0x10",
        "nan",
        "١٢",
        "~",
        "\x1b[31m",
        "\u202e",
    ])
    | st.text(st.characters(), max_size=8)
    | numbers.map(str)
)
scalars = numbers | texts | st.none() | st.dates() | st.datetimes() | st.times() | st.binary(max_size=3)
values = (
    scalars
    | st.lists(scalars, max_size=4)
    | st.dictionaries(st.sampled_from([key for way in KEYS for key in way]) | texts, scalars, max_size=3)
    | st.builds(nested, scalars, st.integers(1, 200), st.sampled_from(["list", "dict"]))
)
ways = st.sampled_from(KEYS) | st.sampled_from(KEYS).map(lambda way: way[:1])


def likely(way: tuple[str, ...]) -> st.SearchStrategy[object]:
    """Draw what a careful hand may write: the default, somewhat more or less of it, or a word that exists."""
    value = reduce(lambda below, key: below[key], way, to_json(Settings()))
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int | float):
        return st.sampled_from([value, value + 1, 2 * value, value / 2, str(value), float(value)])
    return st.just(value) | st.sampled_from(WORDS) | st.lists(st.sampled_from(WORDS), max_size=2) | numbers


likely_settings = st.sampled_from(KEYS).flatmap(lambda way: st.tuples(st.just(way), likely(way)))
likely_layers = st.lists(likely_settings, max_size=3).map(layer_of)
any_layers = st.lists(st.tuples(ways, values), max_size=5).map(layer_of)
# Drawn one level up, for a union is flattened and would seldom take the likely ones.
layers = st.booleans().flatmap(lambda is_likely: likely_layers if is_likely else any_layers)


@fuzzing(max_examples=250)
@given(layers, layers)
@example({}, {"explanation": {"target": "\udcff"}})
@example({"source": {"kind": "manifest", "path": "/\udcff"}}, {"representations": []})
@example({"features": {"duration_s": 5e-324}}, {"seed": -0.0})
def test_any_value_of_any_setting__resolves_to_what_lasts_or_is_refused(weak: Layer, strong: Layer):
    check(weak, strong)


@fuzzing(max_examples=25)
@given(scalars)
def test_any_value__is_refused_under_the_name_of_its_setting_alone(value: object):
    for way in KEYS:
        layer = layer_of([(way, value)])
        found, message = attempt(lambda layer=layer: resolve({"layer": layer}))
        if found is None:
            # A rule that ties several settings together names their section.
            assert message.startswith((".".join(way), way[0])), way
            assert "(in layer): " in message


@fuzzing(max_examples=200)
@given(likely_layers)
def test_accepted_settings__lie_in_their_ranges(layer: Layer):
    """The ranges that the rest of the toolkit relies on, said a second time."""
    found = check(layer)
    if found is None:
        return
    assert 0 <= found.seed < 2**32
    assert 8000 <= found.features.sample_rate_hz <= 192_000
    assert 0 < found.features.duration_s <= 60
    assert 20 <= found.features.dynamic_range_db <= 160
    assert found.training.epochs >= 1
    assert 0 < found.training.learning_rate <= 1
    assert 0.5 < found.statistics.confidence < 1
    assert all(0 <= low < high < math.inf for low, high in pairwise(found.statistics.band_edges_hz))
    assert (found.source.path is None) == (found.source.kind == "synthetic")


def toml_of(value: object) -> str:
    """Return a value as TOML where TOML has it, and as something broken where not."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {toml_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bool | str | None):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


toml_lines = st.one_of(
    st.builds(lambda way, value: f"{'.'.join(way)} = {toml_of(value)}", ways, values),
    st.builds(lambda pair: f"{'.'.join(pair[0])} = {toml_of(pair[1])}", likely_settings),
    st.builds(lambda way: f"[{way[0]}]", ways),
    st.builds(lambda way: f"[[{way[0]}]]", ways),
    st.builds(lambda way, value: f"{way[-1]} = {toml_of(value)}", ways, values),
    st.builds(lambda way, n_dots: ".".join([way[0]] + [way[-1]] * n_dots) + " = 1", ways, st.integers(1, 100)),
    st.text(st.sampled_from("a=[]{}\"'.,#\r\t\\u0-:TZ+_einfx "), max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


def check_toml(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    layer, message = attempt(lambda: read_toml(path))
    if layer is None:
        assert message.startswith(f"configuration file {path}: ")
    else:
        check(layer)


@fuzzing(max_examples=200)
@given(st.lists(toml_lines, max_size=6))
def test_any_toml__is_settings_or_refused(tmp_path: Path, lines: list[str]):
    check_toml(tmp_path / "toolkit.toml", "\n".join(lines).encode("utf-8", "surrogatepass"))


@fuzzing(max_examples=200)
@given(st.integers(0, 10**6), st.binary(max_size=6), st.integers(0, 30))
def test_example_file_with_a_piece_replaced__is_settings_or_refused(
    tmp_path: Path, start: int, piece: bytes, n_bytes: int
):
    """A slip in an editor, or a bad disk, in the one file that every user begins with."""
    content = (Path(__file__).parents[1] / "toolkit.toml.example").read_bytes()
    start %= len(content) + 1
    check_toml(tmp_path / "toolkit.toml", content[:start] + piece + content[start + n_bytes :])


def as_text(value: object) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return str(value)


def name_of(way: tuple[str, ...], end: str = "") -> str:
    return "__".join(["TOOLKIT", *way]).upper() + end


names = st.builds(name_of, ways, st.sampled_from(["", "", "__", "_S", "__X"]))
odd_names = st.text(st.characters(exclude_characters="\0="), max_size=10).map("TOOLKIT__".__add__)
odd_environments = st.dictionaries(names | odd_names, values.map(as_text) | texts, max_size=5)
likely_environments = st.lists(likely_settings, max_size=3).map(
    lambda pairs: {name_of(way): as_text(value) for way, value in pairs}
)


@fuzzing(max_examples=250)
@given(odd_environments, likely_environments)
@example({"TOOLKIT__TRAINING": "5"}, {"TOOLKIT__TRAINING__EPOCHS": "3"})
@example({"TOOLKIT__TRAINING__EPOCHS": "3"}, {"TOOLKIT__TRAINING": "5"})
@example({"TOOLKIT__\udcff": "1"}, {"TOOLKIT__SEED": "\udcff"})
@example({"TOOLKIT__SEED": "9" * 5000}, {})
def test_any_environment__resolves_to_what_lasts_or_is_refused(odd: dict[str, str], likely: dict[str, str]):
    check(from_environment(likely))
    check(from_environment({**odd, **likely}))


@fuzzing(max_examples=150)
@given(st.sampled_from(KEYS), texts)
def test_text_in_the_environment__is_never_run_or_looked_up(way: tuple[str, ...], text: str):
    """It is JSON or itself, whatever it looks like."""
    found = from_environment({name_of(way): text})
    for key in way:
        assert isinstance(found, dict)
        found = found[key]
    try:
        wanted = json.loads(text)
    except ValueError:
        wanted = text
    assert repr(found) == repr(wanted)


DEPTH = 3000
DEEP = {
    "a name in the environment": lambda _: resolve({
        "e": from_environment({"TOOLKIT__SEED" + "__A" * DEPTH: "1"})
    }),
    "dots in TOML": lambda path: resolve({"toolkit.toml": read_toml(path)}),
    "two layers": lambda _: resolve({
        "weak": {"seed": nested(1, DEPTH, "dict")},
        "strong": {"seed": nested(1, DEPTH, "dict")},
    }),
}


@pytest.mark.parametrize("name", DEEP)
def test_nesting_beyond_what_python_takes__is_a_configuration_error(tmp_path: Path, name: str):
    path = tmp_path / "toolkit.toml"
    path.write_text("seed" + ".a" * DEPTH + " = 1", encoding="utf-8")
    with pytest.raises(ConfigError, match="deep"):
        DEEP[name](path)


@pytest.mark.parametrize("name", ["\udcff.toml", "two\nlines.toml", "\x1b[31m.toml"])
def test_odd_name_of_a_configuration_file__can_be_shown(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match=r"^configuration file .*toml") as caught:
        read_toml(tmp_path / name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", ["\x1b[31mred", "seed=1 (in file): fine\nother", "\u202e"])
def test_odd_name_of_a_setting__can_be_shown_in_one_line(key: str):
    with pytest.raises(ConfigError, match="no such setting") as caught:
        resolve({"file": {key: 1}})
    assert str(caught.value).isprintable()
