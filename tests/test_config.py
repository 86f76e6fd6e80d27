"""Settings: how layers combine, what is refused and how it is said, and that nothing else is ever raised."""

import datetime as dt
import json
import math
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from toolkit.config import (
    COMPOSITES,
    ENVIRONMENT_PREFIX,
    REPRESENTATIONS,
    Settings,
    SourceSettings,
    TrainingSettings,
    from_environment,
    merge,
    read_toml,
    resolve,
    to_json,
)
from toolkit.errors import ConfigError, ExitCode

deterministic = partial(settings, derandomize=True, deadline=None)
SECTIONS = {
    name: type(getattr(Settings(), name)).model_fields
    for name in Settings.model_fields
    if isinstance(getattr(Settings(), name), BaseModel)
}


def test_no_layers__give_the_defaults():
    assert resolve({}) == resolve({"file": {}, "environment": {}}) == Settings()


def test_defaults__are_those_of_the_study():
    found = Settings()
    assert (found.representations, found.explanation.composites) == (REPRESENTATIONS, COMPOSITES)
    assert found.features.sample_rate_hz == 22_050
    assert found.features.duration_s == 4.0
    assert found.features.dynamic_range_db == 80.0
    assert found.source == SourceSettings(kind="synthetic", path=None)


def test_later_layer__wins_key_by_key():
    found = resolve({
        "the run": {"seed": 1, "training": {"epochs": 3, "patience": 2}, "features": {"hop_length": 64}},
        "toolkit.toml": {"seed": 2, "training": {"epochs": 4}},
        "environment": {"seed": 3},
    })
    assert found.seed == 3
    assert (found.training.epochs, found.training.patience) == (4, 2)
    assert found.features.hop_length == 64
    assert found.training.batch_size == TrainingSettings().batch_size


def test_lists__are_replaced_not_joined():
    found = resolve({"low": {"representations": ["mel", "cqt"]}, "high": {"representations": ["cqt"]}})
    assert found.representations == ("cqt",)


def test_source__merges_as_a_whole(tmp_path: Path):
    """A path that a weaker layer gave to another kind of source does not linger."""
    low = {"source": {"kind": "urbansound8k", "path": str(tmp_path)}}
    assert resolve({"low": low}).source.path == tmp_path
    assert resolve({"low": low, "high": {"source": {"kind": "synthetic"}}}).source == SourceSettings()
    with pytest.raises(ConfigError, match=r"source=.*\(in high\).*a urbansound8k source needs a path"):
        resolve({"low": low, "high": {"source": {"kind": "urbansound8k"}}})


def test_synthetic_source__takes_no_path():
    with pytest.raises(ConfigError, match=r"source=.*\(in file\).*a synthetic source takes no path"):
        resolve({"file": {"source": {"kind": "synthetic", "path": "/corpus"}}})


def test_merge__changes_neither_layer():
    low, high = {"training": {"epochs": 1}}, {"training": {"patience": 2}}
    assert merge(low, high) == {"training": {"epochs": 1, "patience": 2}}
    assert (low, high) == ({"training": {"epochs": 1}}, {"training": {"patience": 2}})


def test_unknown_key__is_named_with_its_layer_and_what_is_allowed():
    with pytest.raises(ConfigError) as caught:
        resolve({"the run": {"seed": 1}, "toolkit.toml": {"sede": 1}, "environment": {"seed": 2}})
    message = str(caught.value)
    assert message.startswith("sede (in toolkit.toml): no such setting; allowed here: ")
    allowed = message.partition("allowed here: ")[2].split(", ")
    assert allowed == sorted(Settings.model_fields)


@pytest.mark.parametrize("section", SECTIONS)
def test_unknown_key_in_a_section__lists_the_keys_of_that_section(section: str):
    with pytest.raises(ConfigError) as caught:
        resolve({"defaults of a friend": {section: {"colour": 1}}, "other": {"seed": 1}})
    message = str(caught.value)
    assert message.startswith(f"{section}.colour (in defaults of a friend): no such setting; allowed here: ")
    assert message.partition("allowed here: ")[2].split(", ") == sorted(SECTIONS[section])


def test_error__names_the_strongest_layer_that_holds_the_key():
    with pytest.raises(ConfigError, match=r"^training\.epochs=0 \(in middle\): .*greater than or equal to 1$"):
        resolve({
            "weak": {"training": {"epochs": 5}},
            "middle": {"training": {"epochs": 0}},
            "strong": {"training": {"patience": 5}},
        })


def test_several_errors__are_all_told_a_line_each():
    with pytest.raises(ConfigError) as caught:
        resolve({"file": {"sede": 1, "training": {"epochs": "many"}}, "environment": {"seed": -1}})
    lines = str(caught.value).splitlines()
    assert sorted(line.split("=")[0].split(" ")[0] for line in lines) == ["sede", "seed", "training.epochs"]
    assert sum("(in file)" in line for line in lines) == 2
    assert sum("(in environment)" in line for line in lines) == 1


def test_configuration_error__ends_a_command_with_4():
    assert ConfigError.exit_code == ExitCode.BAD_INPUT == 4


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (None, "seed", -1),
        (None, "seed", 2**32),
        (None, "representations", ["stft"]),
        ("source", "kind", "tape"),
        ("features", "sample_rate_hz", 7999),
        ("features", "duration_s", 0),
        ("features", "duration_s", math.nan),
        ("features", "mel_fmin_hz", -1),
        ("features", "mel_fmax_hz", math.inf),
        ("features", "hop_length", 31),
        ("features", "hop_length", 256.5),
        ("features", "hop_length", "long"),
        ("features", "dynamic_range_db", 10),
        ("training", "channels", "rgb"),
        ("training", "epochs", 0),
        ("training", "learning_rate", 1.5),
        ("training", "validation_share", 1),
        ("training", "n_threads", 0),
        ("explanation", "composites", ["no spaces"]),
        ("explanation", "composites", []),
        ("explanation", "engine", "zennit"),
        ("explanation", "target", 3),
        ("statistics", "confidence", 0.5),
        ("statistics", "n_bootstrap", 99),
        ("quality", "export_tolerance", 0),
        ("quality", "minimum_accuracy", 1.01),
        (None, "training", 5),
        (None, "training", None),
        (None, "features", [1, 2]),
    ],
)
def test_value_of_the_wrong_kind_or_out_of_range__is_refused_by_name(
    section: str | None, key: str, value: object
):
    layer = {key: value} if section is None else {section: {key: value}}
    name = key if section is None else rf"{section}\.{key}"
    with pytest.raises(ConfigError, match=rf"^{name}(\.0)?=.* \(in file\): "):
        resolve({"file": layer})


@pytest.mark.parametrize(
    ("edges_hz", "message"),
    [
        ([100, 100], r"\[100\.0, 100\.0\] must rise"),
        ([100, 300, 200], "must rise"),
        ([100], "must rise and hold at least two"),
        ([], "must rise and hold at least two"),
        ([-1, 100], "must not be negative"),
        ([0, math.nan], "finite"),
        ([0, math.inf], "finite"),
        ([0, "high"], "number"),
    ],
)
def test_band_edges__must_rise_from_0_or_more(edges_hz: list[object], message: str):
    with pytest.raises(ConfigError, match=message):
        resolve({"file": {"statistics": {"band_edges_hz": edges_hz}}})


def test_band_edges__that_rise_are_kept():
    found = resolve({"file": {"statistics": {"band_edges_hz": [0, 50.5, 400]}}})
    assert found.statistics.band_edges_hz == (0, 50.5, 400)


def test_settings__cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings().seed = 1


def test_toml__gives_plain_settings(tmp_path: Path):
    path = tmp_path / "toolkit.toml"
    path.write_text('seed = 7\n[source]\nkind = "urbansound8k"\npath = "é"\n[training]\nepochs = 2\n', "utf-8")
    assert read_toml(path) == {
        "seed": 7,
        "source": {"kind": "urbansound8k", "path": "é"},
        "training": {"epochs": 2},
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed = ", "Invalid value"),
        (b"seed = 1\nseed = 2\n", "Cannot overwrite a value"),
        (b"[training\n", "Expected ']'"),
        (b"\xff\xfe", "can't decode byte 0xff"),
        (b"a = 2024-02-31\n", "Invalid date"),
    ],
)
def test_file_that_is_no_toml__is_refused_by_its_path(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "toolkit.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^configuration file .*toolkit\.toml: .*{message}"):
        read_toml(path)


def test_absent_file_and_folder__are_refused_by_their_path(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"configuration file .*none\.toml: .*No such file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"configuration file .*: .*Is a directory"):
        read_toml(tmp_path)


def test_environment__gives_nested_settings_as_json_or_as_text():
    found = from_environment({
        "PATH": "/usr/bin",
        "TOOLKIT_SEED": "1",
        "toolkit__seed": "2",
        "TOOLKIT__SEED": "3",
        "TOOLKIT__TRAINING__EPOCHS": "4",
        "TOOLKIT__TRAINING__LEARNING_RATE": "1e-3",
        "TOOLKIT__EXPLANATION__TARGET": "label",
        "TOOLKIT__REPRESENTATIONS": '["mel"]',
        "TOOLKIT__FEATURES__MEL_FMAX_HZ": "null",
    })
    assert found == {
        "seed": 3,
        "training": {"epochs": 4, "learning_rate": 1e-3},
        "explanation": {"target": "label"},
        "representations": ["mel"],
        "features": {"mel_fmax_hz": None},
    }
    assert resolve({"environment": found}).representations == ("mel",)


def test_environment__keeps_the_folder_of_the_run_out():
    assert from_environment({"TOOLKIT__OUT": "/run", "TOOLKIT__SEED": "1"}) == {"seed": 1}


def test_environment__may_hold_no_setting():
    assert from_environment({"HOME": "/root"}) == {}


@pytest.mark.parametrize("order", [1, -1])
def test_environment__can_name_kind_and_path_of_a_source(tmp_path: Path, order: int):
    """A source merges as a whole between layers; the environment is one layer."""
    names = {"TOOLKIT__SOURCE__KIND": "urbansound8k", "TOOLKIT__SOURCE__PATH": str(tmp_path)}
    found = from_environment(dict(list(names.items())[::order]))
    assert found == {"source": {"kind": "urbansound8k", "path": str(tmp_path)}}
    assert resolve({"environment": found}).source.path == tmp_path


def test_unknown_name_in_the_environment__is_refused_by_name():
    with pytest.raises(ConfigError, match=r"training\.epoch \(in environment\): no such setting.*epochs"):
        resolve({"environment": from_environment({"TOOLKIT__TRAINING__EPOCH": "3"})})


@pytest.mark.parametrize(
    "name", ["TOOLKIT__", "TOOLKIT____", "TOOLKIT__SEED__", "TOOLKIT__TRAINING__EPOCHS__X"]
)
def test_odd_name_in_the_environment__is_refused_like_any_unknown_one(name: str):
    with pytest.raises(ConfigError, match=r"\(in environment\)"):
        resolve({"environment": from_environment({name: "3"})})


@pytest.mark.parametrize(
    "text", ["1" * 5000, "[" * 100_000, "NaN", "-Infinity", '"\\ud800"', "{", ""], ids=range(7)
)
def test_odd_value_in_the_environment__is_a_value_or_a_configuration_error(text: str):
    with pytest.raises(ConfigError, match="seed"):
        resolve({"environment": from_environment({"TOOLKIT__SEED": text})})


def test_settings__survive_a_round_trip_through_json(tmp_path: Path):
    layer = {
        "seed": 5,
        "representations": ["cqt"],
        "source": {"kind": "urbansound8k", "path": str(tmp_path)},
        "features": {"mel_fmax_hz": 9000, "duration_s": 2.5},
        "training": {"channels": "colours"},
        "explanation": {"composites": ["lrp.epsilon"], "target": "label"},
        "statistics": {"band_edges_hz": [0, 100, 1000.5]},
        "quality": {"minimum_accuracy": 0.5},
    }
    first = resolve({"file": layer})
    assert first != Settings()
    assert resolve({"the run": json.loads(json.dumps(to_json(first)))}) == first


def some_of(**strategies: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries({}, optional=strategies)


valid_layers = some_of(
    seed=st.integers(0, 2**32 - 1),
    representations=st.lists(st.sampled_from(REPRESENTATIONS), min_size=1, unique=True),
    source=st.just({"kind": "urbansound8k", "path": "corpus"}) | st.just({"kind": "synthetic"}),
    features=some_of(
        duration_s=st.floats(0.01, 60),
        mel_fmax_hz=st.none() | st.floats(1, 1e5),
        hop_length=st.integers(32, 8192),
    ),
    training=some_of(epochs=st.integers(1, 10_000), learning_rate=st.floats(1e-9, 1)),
    statistics=some_of(
        confidence=st.floats(0.51, 0.99),
        band_edges_hz=st.lists(st.integers(0, 10**6), min_size=2, unique=True).map(sorted),
    ),
)


@deterministic(max_examples=60)
@given(valid_layers, valid_layers)
def test_any_valid_layers__resolve_and_survive_a_round_trip(low: dict[str, object], high: dict[str, object]):
    found = resolve({"low": low, "high": high})
    assert resolve({"again": json.loads(json.dumps(to_json(found)))}) == found
    for key in high.keys() - {"source", "features", "training", "statistics"}:
        value = getattr(found, key)
        assert (list(value) if isinstance(value, tuple) else value) == high[key]


@pytest.mark.parametrize(
    "content",
    ["seed = " + "1" * 5000, "seed = 0x" + "f" * 5000, "seed = " + "[" * 5000, "a." * 3000 + "b = 1"],
    ids=["decimal digits", "hexadecimal digits", "brackets", "dots"],
)
def test_toml_beyond_what_python_takes__is_a_configuration_error(tmp_path: Path, content: str):
    path = tmp_path / "toolkit.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"toolkit\.toml|seed|no such setting"):
        resolve({"file": read_toml(path), "environment": {"training": {"epochs": 1}}})


any_text = st.text(st.characters(), max_size=8)
known_keys = st.sampled_from(
    sorted({*SECTIONS, *Settings.model_fields, *chain.from_iterable(SECTIONS.values())})
)
any_scalar = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**400, max_value=10**401)
    | st.floats()
    | any_text
    | st.dates()
    | st.sampled_from(["mel", "cqt", "synthetic", "urbansound8k", "label"])
)
any_value = st.recursive(
    any_scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(known_keys | any_text, inner, max_size=4),
    max_leaves=12,
)
any_layer = st.dictionaries(known_keys | any_text, any_value, max_size=5)


@deterministic(max_examples=120)
@given(any_layer, any_layer)
@example({"source": {"path": "\0"}}, {})
@example({"\ud800": 1}, {"features": {"\ud800": "\udfff"}})
@example({"features": {"duration_s": 10**400}}, {"seed": dt.date(2024, 1, 1)})
def test_any_mapping__resolves_or_is_a_configuration_error(low: dict[str, object], high: dict[str, object]):
    with suppress(ConfigError):
        assert isinstance(resolve({"low": low, "high": high}), Settings)


@deterministic(max_examples=100)
@given(st.dictionaries(st.text(max_size=12).map(ENVIRONMENT_PREFIX.__add__), any_text, max_size=4))
def test_any_environment__resolves_or_is_a_configuration_error(environment: dict[str, str]):
    with suppress(ConfigError):
        assert isinstance(resolve({"environment": from_environment(environment)}), Settings)


@deterministic(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60)
    | st.text(st.sampled_from("a=[]{}\"'.,#\n\\u0-:TZ+_einfx "), max_size=60).map(str.encode)
)
@example(b"\xef\xbb\xbfseed = 1")
@example(b"a = 2024-01-01T00:00:00+23:59")
@example(b"\0")
def test_any_bytes__are_settings_or_a_configuration_error(tmp_path: Path, content: bytes):
    path = tmp_path / "toolkit.toml"
    path.write_bytes(content)
    with suppress(ConfigError):
        assert isinstance(resolve({"file": read_toml(path)}), Settings)
