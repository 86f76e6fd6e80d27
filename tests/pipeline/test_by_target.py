"""How relevance for every class is spread over frequencies, beside the maps of the predicted class."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.comparison import contents
from toolkit.config import resolve
from toolkit.features.spectrogram import valid_frames
from toolkit.pipeline import explainers
from toolkit.pipeline.executors import Serial
from toolkit.pipeline.inputs import read_inputs
from toolkit.pipeline.recordings import Request
from toolkit.pipeline.run import SETTINGS_NAME, Plan, Run, Scope, Tools
from toolkit.pipeline.stages import explain, features, train
from toolkit.reporting.view import groups_in
from toolkit.statistics.profiles import share_by_bin
from toolkit.store import write
from toolkit.store.read import attributes, read_rows, read_whole
from toolkit.store.schema import BY_TARGET, LEFT_OUT, MAPS, ROWS_PER_PARTITION

EPSILON, FLAT = "lrp.epsilon", "lrp.sequential_preset_a_flat"
N_CLIPS, N_CLASSES = 36, 3
ONE = Scope(representations=("mel",), composites=(EPSILON,))
GROUP, MAP_GROUP = f"{BY_TARGET}/mel/{EPSILON}", f"{MAPS}/mel/{EPSILON}"
UNIT, MAP_UNIT = f"{GROUP}/part-0000", f"{MAP_GROUP}/part-0000"
QUIET = Tools(lambda _event: None, Serial())


def run_of(folder: Path, **explanation: object) -> Run:
    settings = json.loads((folder / SETTINGS_NAME).read_text(encoding="utf-8"))
    return Run(folder, resolve({"remembered": settings, "test": {"explanation": explanation}}))


@pytest.fixture(scope="module")
def known(finished) -> Run:
    return run_of(finished)


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2))


def explained(run: Run, scope: Scope | None = None, *, force: bool = False) -> Plan:
    """Carry the stage out in this process, and return what was planned."""
    explain.prepare(run, QUIET)
    plan = explain.plan(run, scope or Scope(), force)
    if plan.todo:
        explain.execute(run, plan, QUIET, lambda _step: None)
    return plan


def made(run: Run, group: str) -> np.ndarray:
    return read_whole(run.store, group, ("made_from",))["made_from"]


def shares(run: Run, group: str = GROUP) -> np.ndarray:
    return read_whole(run.store, group, ("share",))["share"]


def relevance_by(run: Run, rows: np.ndarray, number: int, composites: Sequence[str]):
    """Return maps of clips of one fold that explain one class, by the explainer itself."""
    fold = int(read_rows(run.store, "clips", ("fold",), rows)["fold"][0])
    digest = train.current(run)["mel", fold]
    explainer = explainers.explainer_of(run.model("mel", fold), digest, run.settings.explanation)
    inputs = read_inputs(run.store, "mel", rows, channels="level_contrast_change", dynamic_range_db=80.0)
    return explainer.explain(inputs, np.full(len(rows), number), composites).relevance


def test_order_of_composites__is_told_by_every_group_and_changes_no_map(copy):
    run = run_of(copy, composites=[FLAT, EPSILON])
    assert not explained(run).todo
    for composite in (EPSILON, FLAT):
        group = run.store / MAPS / "mel" / composite
        assert attributes(group)["explanation"]["composites"] == [FLAT, EPSILON]
    assert groups_in(run.store, MAPS)[:2] == [("mel", FLAT), ("mel", EPSILON)]


def test_shares__are_those_of_maps_that_explain_the_class(known):
    clips = read_whole(known.store, "clips", ("fold", "label", "valid_duration_s"))
    rows = np.flatnonzero((clips["fold"] == 2) & (clips["label"] != 1))
    time_s = read_whole(known.store, MAP_GROUP, ("time",))["time"]
    for number in range(N_CLASSES):
        for composite, maps in relevance_by(known, rows, number, (EPSILON, FLAT)).items():
            found = shares(known, f"{BY_TARGET}/mel/{composite}")[rows, number]
            for share, each, recorded_s in zip(found, maps, clips["valid_duration_s"][rows], strict=True):
                by_bin = np.maximum(each[:, time_s < recorded_s].astype(float), 0).sum(axis=1)
                expected = by_bin / by_bin.sum() if by_bin.any() else np.full(64, np.nan)
                np.testing.assert_allclose(share, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("composite", [EPSILON, FLAT])
@pytest.mark.parametrize("representation", ["mel", "cqt"])
def test_shares__of_the_predicted_class_are_those_of_the_map(known, representation, composite):
    maps = read_whole(known.store, f"{MAPS}/{representation}/{composite}", ("relevance", "prediction"))
    valid = valid_frames(read_whole(known.store, "clips", ("valid_duration_s",))["valid_duration_s"], 4.0)
    expected = share_by_bin(np.maximum(maps["relevance"], 0), valid).astype(np.float32)
    found = shares(known, f"{BY_TARGET}/{representation}/{composite}")
    np.testing.assert_array_equal(found[np.arange(N_CLIPS), maps["prediction"]], expected)


def test_shares__of_a_clip_and_class_add_up_to_one(known):
    for representation in ("mel", "cqt"):
        for composite in (EPSILON, FLAT):
            found = shares(known, f"{BY_TARGET}/{representation}/{composite}")
            assert found.shape == (N_CLIPS, N_CLASSES, 64)
            # Of networks trained for a moment, some classes have nothing that speaks for them.
            there = np.isfinite(found).all(axis=2)
            assert there.mean() > 0.5
            assert (np.isnan(found[~there])).all()
            np.testing.assert_allclose(found[there].sum(axis=1, dtype=float), 1, rtol=1e-6)
            assert (found[there] >= 0).all()


def test_shares__say_of_which_class_and_frequency(known):
    found, maps = read_whole(known.store, GROUP), read_whole(known.store, MAP_GROUP)
    assert found["class_name"].tolist() == ["hum", "whistle", "clicks"]
    for name in ("frequency", "frequency_low", "frequency_high"):
        np.testing.assert_array_equal(found[name], maps[name])
    assert attributes(known.store / GROUP)["explanation"]["target"] == "all"


def test_shares__are_not_there_where_nothing_is_positive():
    class Nothing:
        def explain(self, inputs, _targets, composites):
            logits = np.tile(np.float32([0, 2, 1]), (len(inputs), 1))
            maps = {name: np.full(inputs.shape[:3], -1, np.float32) for name in composites}
            return explain.Explanation(logits, maps)

    inputs = np.zeros((2, 64, 64, 3), np.float32)
    batch = explain._Batch(Nothing(), inputs, np.zeros(2, int), np.ones((2, 64), bool))
    variables, predicted = explain._every_class(batch, N_CLASSES, (EPSILON,))
    assert np.isnan(variables[EPSILON]["share"]).all()
    assert (predicted.relevance[EPSILON] == -1).all()


def test_maps__beside_shares_explain_the_predicted_class_and_say_so(known):
    found = read_whole(known.store, MAP_GROUP, ("prediction", "target"))
    np.testing.assert_array_equal(found["target"], found["prediction"])
    assert attributes(known.store / MAP_GROUP)["explanation"]["target"] == "predicted"
    assert explain.check_target(known) == "predicted"


def test_files__are_explained_for_the_predicted_class(known):
    for target in (None, "all"):
        assert Request(known, (), target=target).settings.explanation.target == "predicted"
    assert Request(known, (), target="hum").settings.explanation.target == "hum"


def test_predicted__takes_shares_away_and_all_brings_them_back_as_they_were(copy, finished):
    """Maps and graphs stay as they are, as do what maps were made from and what they say of it."""
    before = contents(finished)
    others = {name: digest for name, digest in before.items() if f"/{BY_TARGET}/" not in name}
    assert not explained(run_of(copy, target="predicted")).todo
    assert contents(copy) == others
    run = run_of(copy)
    assert not explain.out_of_date(run), "what is not there is not out of date"
    assert {name.split("/")[0] for name in explain.plan(run, Scope(), False).partitions} == {BY_TARGET}
    assert explained(run, ONE).partitions.keys() == {UNIT}
    after = contents(copy)
    assert {name: digest for name, digest in after.items() if f"/{BY_TARGET}/" not in name} == others
    for name in before:
        assert f"/{GROUP}/" not in name or after[name] == before[name]


def test_all__makes_the_same_maps_as_predicted(copy, known):
    run = run_of(copy, target="predicted")
    assert explained(run, ONE, force=True).partitions.keys() == {MAP_UNIT}
    for name, values in read_whole(run.store, MAP_GROUP).items():
        np.testing.assert_array_equal(values, read_whole(known.store, MAP_GROUP, (name,))[name])


def test_force__makes_both_again_to_the_same_bytes(copy, finished):
    plan = explained(run_of(copy), ONE, force=True)
    assert plan.partitions.keys() == {MAP_UNIT, UNIT}
    assert plan.reasons == (f"forced: {2 * N_CLIPS}",)
    assert contents(copy) == contents(finished)


def test_lost_row__is_made_again_alone(copy, known):
    run, row = run_of(copy), 5
    before = contents(copy)
    write.forget_rows(run.store, GROUP, np.array([row]))
    plan = explained(run)
    assert {name: item.make.tolist() for name, item in plan.partitions.items()} == {UNIT: [row]}
    others = np.arange(N_CLIPS) != row
    np.testing.assert_array_equal(shares(run)[others], shares(known)[others])
    np.testing.assert_allclose(shares(run)[row], shares(known)[row], rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(made(run, GROUP), made(known, GROUP))
    changed = {name for name, digest in contents(copy).items() if digest != before[name]}
    assert not [name for name in changed if f"/{BY_TARGET}/" not in name]


def test_lost_map__leaves_the_shares(copy):
    run = run_of(copy)
    write.forget_rows(run.store, MAP_GROUP, np.array([5]))
    assert explain.plan(run, Scope(), False).partitions.keys() == {MAP_UNIT}


@pytest.mark.parametrize("kind", [MAPS, BY_TARGET])
def test_newer_code__of_one_does_not_make_the_other_again(known, monkeypatch, kind):
    monkeypatch.setitem(explain.VERSIONS, kind, 99)
    plan = explain.plan(known, Scope(), False)
    assert {name.split("/")[0] for name in plan.partitions} == {kind}
    assert plan.reasons == (f"settings or code changed: {4 * N_CLIPS}",)


def test_out_of_date_shares__outside_the_scope_are_emptied(copy, known, monkeypatch):
    monkeypatch.setitem(explain.VERSIONS, BY_TARGET, 99)
    run = run_of(copy)
    assert explain.out_of_date(run)
    explained(run, Scope(representations=("mel",), composites=(EPSILON,), classes=("hum",)))
    hum = read_whole(run.store, "clips", ("class_name",))["class_name"] == "hum"
    np.testing.assert_array_equal(shares(run)[hum], shares(known)[hum])
    assert np.isnan(shares(run)[~hum]).all()
    assert (made(run, GROUP) != "").tolist() == hum.tolist()
    assert np.isnan(shares(run, f"{BY_TARGET}/cqt/{FLAT}")).all()
    assert not explain.out_of_date(run)


def test_scope__limits_both(known):
    plan = explain.plan(known, Scope(classes=("hum",), folds=(1,), composites=(FLAT,)), True)
    assert plan.units == [
        f"{kind}/{representation}/{FLAT}/part-0000"
        for representation in ("mel", "cqt")
        for kind in (MAPS, BY_TARGET)
    ]
    assert {len(item.make) for item in plan.partitions.values()} == {4}


def test_composite_of_no_setting__goes_with_its_shares(copy):
    run = run_of(copy, composites=[EPSILON])
    assert not explained(run).todo
    assert [path.name for path in (run.store / BY_TARGET / "mel").iterdir() if path.is_dir()] == [EPSILON]


def test_clip_left_out__has_no_shares(copy, monkeypatch):
    """Networks that knew it would be trained anew; here they are taken to stand."""
    run, row = run_of(copy), 5
    clips = read_whole(run.store, "clips", ("status",))
    clips["status"][row] = LEFT_OUT
    networks = explain.export.digests(run)
    monkeypatch.setattr(explain.export, "digests", lambda _run: networks)
    write.write_rows(run.store, "clips", slice(0, N_CLIPS), clips)
    items = {item.name: item for item in explain._todo(run, Scope(), False)}
    assert items[UNIT].reason == "cannot be used any more: 1"
    explain.explain_partition(explain._jobs(run, {UNIT: items[UNIT]})[0])
    assert np.isnan(shares(run)[row]).all()
    assert np.isfinite(np.delete(shares(run), row, axis=0)).all()
    assert made(run, GROUP)[row] == ""
    assert not [item for item in explain._todo(run, Scope(), False) if item.name == UNIT]


def test_grown_corpus__takes_shares_over(copy, known):
    """A store is made for the new catalogue: here one with clips gone, a new one, and another order."""
    run = run_of(copy)
    before = read_whole(run.store, "clips", ("clip",))["clip"]
    source = np.array([7, -1, *range(6)])
    with write.new_store(copy / "new.zarr", attributes(run.store)) as store:
        names = np.array([*before[[7]], "new", *before[:6]], dtype=object)
        write.write_group(store, "clips", {"clip": names}, empty=features._STATES, sizes={"clip": len(names)})
        features._carry_over(run.store, store, source)
        found = read_whole(store, GROUP, ("share", "made_from"))
    assert source.size < ROWS_PER_PARTITION
    old = source != -1
    np.testing.assert_array_equal(found["share"][old], shares(known)[source[old]])
    np.testing.assert_array_equal(found["made_from"][old], made(known, GROUP)[source[old]])
    assert np.isnan(found["share"][~old]).all()
    assert found["made_from"][~old].tolist() == [""]
