"""Stage ``statistics`` on a tiny run: what it writes, when it does so anew, and figures again from raw maps."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import zarr
from scipy import stats

from tests.comparison import assert_same_bytes, contents
from toolkit.config import Settings
from toolkit.errors import ConfigError, QualityError
from toolkit.features.channels import network_input
from toolkit.features.spectrogram import valid_frames
from toolkit.pipeline import agreeing, summing
from toolkit.pipeline.executors import Executor, Processes, Serial
from toolkit.pipeline.run import Plan, Run, Scope, Tools
from toolkit.pipeline.stages import explain, statistics
from toolkit.statistics import alignment
from toolkit.store import write
from toolkit.store.read import attributes, read_whole
from toolkit.store.schema import variables_of

EPSILON, FLAT = "lrp.epsilon", "lrp.sequential_preset_a_flat"
OF_MAPS = (f"mel/{EPSILON}", f"mel/{FLAT}", f"cqt/{EPSILON}")
"""What the runs here hold maps of: two composites in one representation, one in the other."""
AGREEMENTS = (f"agreement/representations/{EPSILON}", "agreement/composites/mel")
QUICK = {"n_bootstrap": 100, "n_permutations": 120, "minimum_recordings": 3}
SIZES = {
    "class_name": 3,
    "other_class": 3,
    "predicted_class": 3,
    "outcome": 2,
    "contrast": 2,
    "comparison": 2,
    "threshold": 3,
    "fold": 3,
    "frequency": 64,
    "time": 64,
    "aligned_time": 64,
    "representation": 2,
    "pair": 1,
    "run": 1,
}


def run_in(folder: Path, **of_statistics: object) -> Run:
    """Return the run in a folder, with other settings of this stage."""
    known = json.loads((folder / "settings.json").read_text())
    known["statistics"] |= QUICK | of_statistics
    return Run(folder, Settings.model_validate(known))


def plan_of(run: Run, *, force: bool = False) -> Plan:
    return statistics.STAGE.plan(run, Scope(), force)


def carry_out(run: Run, workers: Executor | None = None, only: str = "") -> list[str]:
    """Do what the stage would do, or the part of it whose names begin so; return what was done."""
    tools = Tools(lambda _event: None, workers or Serial())
    statistics.STAGE.prepare(run, tools)
    plan = plan_of(run)
    assert not plan.waits_for
    done: list[str] = []
    chosen = [item for item in plan.todo if item.name.startswith(only)]
    statistics.STAGE.execute(run, Plan(plan.units, chosen), tools, done.append)
    return done


@pytest.fixture(scope="module")
def base(finished, tmp_path_factory) -> Path:
    """One run with figures of a few permutations, and one group of maps less than it was made with."""
    folder = tmp_path_factory.mktemp("statistics") / "base"
    shutil.copytree(finished, folder, copy_function=shutil.copy2, ignore=shutil.ignore_patterns("models.wip"))
    for kind in ("relevance", "relevance_by_target"):
        write.remove_group(folder / "store.zarr", f"{kind}/cqt/{FLAT}")
    carry_out(run_in(folder))
    return folder


@pytest.fixture
def copy(base, tmp_path) -> Callable[[str], Path]:
    def make(name: str = "copy") -> Path:
        return Path(shutil.copytree(base, tmp_path / name, copy_function=shutil.copy2))

    return make


def groups_in(run: Run) -> set[str]:
    """Return the groups of figures in a store, without the stage's folder."""
    top = run.store / "statistics"
    return {
        path.parent.parent.relative_to(top).as_posix()
        for axis in ("class_name", "recording")
        for path in top.glob(f"**/{axis}/zarr.json")
    }


@pytest.fixture(scope="module")
def raw(base) -> dict[str, np.ndarray]:
    """Return what the store holds of every clip for mel and epsilon, padding cut off by loops below."""
    run = run_in(base)
    clips = read_whole(run.store, "clips", ("label", "fold", "recording", "valid_duration_s"))
    maps = read_whole(run.store, f"relevance/{OF_MAPS[0]}")
    features = read_whole(run.store, "features/mel", ("level_db", "frequency_low", "frequency_high"))
    settings = run.settings
    inputs = network_input(
        features["level_db"], settings.training.channels, settings.features.dynamic_range_db
    ).sum(axis=-1)
    by_target = read_whole(run.store, f"relevance_by_target/{OF_MAPS[0]}", ("share",))["share"]
    valid = valid_frames(clips["valid_duration_s"], settings.features.duration_s)
    return {**features, **maps, **clips, "inputs": inputs, "by_target": by_target, "valid": valid}


def recordings_of(raw: Mapping[str, np.ndarray], chosen: np.ndarray) -> list[np.ndarray]:
    """Return the rows of every recording of one class, in the order of their names."""
    pairs = list(zip(raw["label"].tolist(), raw["recording"].tolist(), strict=True))
    return [
        np.array([row for row, other in enumerate(pairs) if other == pair and chosen[row]])
        for pair in sorted({pair for row, pair in enumerate(pairs) if chosen[row]})
    ]


def slow_share(cells: np.ndarray, valid: np.ndarray) -> np.ndarray:
    by_bin = cells[:, valid].astype(np.float64).sum(axis=1)
    return by_bin / by_bin.sum()


def bands_in(figures: Mapping[str, np.ndarray]) -> np.ndarray:
    middle = figures["frequency"]
    return np.array([
        (middle >= low) & (middle < high)
        for low, high in zip(figures["band_low"], figures["band_high"], strict=True)
    ])


def in_bands(by_bin: np.ndarray, bands: np.ndarray, floor: float = 0.0) -> np.ndarray:
    return np.array([by_bin[..., band].sum(axis=-1) + floor * band.sum() / 64 for band in bands]).T


def figures_of(folder: Path, kind: str = "regions", name: str = OF_MAPS[0]) -> dict[str, np.ndarray]:
    return read_whole(folder / "store.zarr", f"statistics/{kind}/{name}")


def test_stage__makes_every_group_and_no_other(base):
    expected = {f"{kind}/{name}" for kind in ("regions", "recordings") for name in OF_MAPS}
    assert groups_in(run_in(base)) == expected | {*AGREEMENTS} | {"performance/mel", "performance/cqt"}


@pytest.mark.parametrize("group", [f"regions/{OF_MAPS[0]}", f"recordings/{OF_MAPS[2]}", *AGREEMENTS])
def test_groups__hold_every_variable_of_the_schema_with_its_dimensions(base, group):
    root = zarr.open_group(base / "store.zarr" / "statistics" / group, mode="r")
    known = variables_of(f"statistics/{group}")
    sizes = SIZES | ({"frequency": 24} if "representations" in group else {})
    of_objects = {name for name in known if "object" in name}
    assert set(root.array_keys()) == known.keys() - of_objects
    for name, array in root.arrays():
        assert array.metadata.dimension_names == known[name].dims, name
        for dim, length in zip(known[name].dims, array.shape, strict=True):
            assert length == sizes.get(dim, length), (name, dim)
    assert {"statistics", "seed", "key"} <= dict(root.attrs).keys()


def test_stage__second_time_has_nothing_to_do(base):
    run = run_in(base)
    before = contents(base)
    assert plan_of(run).todo == []
    assert len(plan_of(run).units) == len(OF_MAPS) + len(AGREEMENTS) + 2
    assert carry_out(run) == []
    assert contents(base) == before


def test_figures__count_clips_and_recordings(base, raw):
    found = figures_of(base)
    correct = raw["prediction"] == raw["label"]
    for label in range(3):
        for place, chosen in enumerate((correct, ~correct)):
            rows = recordings_of(raw, chosen & (raw["label"] == label))
            assert found["n_clips"][label, place] == sum(len(each) for each in rows)
            assert found["n_recordings"][label, place] == len(rows)
    recordings = figures_of(base, "recordings")
    everyone = recordings_of(raw, np.ones(36, bool))
    assert recordings["recording"].tolist() == [raw["recording"][rows[0]] for rows in everyone]
    assert recordings["fold"].tolist() == [raw["fold"][rows[0]] for rows in everyone]
    assert recordings["n_correct"].tolist() == [correct[rows].sum() for rows in everyone]


def test_band_share__equals_a_loop_over_raw_maps(base, raw):
    found, settings = figures_of(base), run_in(base).settings.statistics
    bands, correct = bands_in(found), raw["prediction"] == raw["label"]
    assert correct.any()
    for label in range(3):
        rows = recordings_of(raw, correct & (raw["label"] == label))
        shares, inputs = [], []
        for each in rows:
            positive = [slow_share(np.maximum(raw["relevance"][clip], 0), raw["valid"][clip]) for clip in each]
            shares.append(np.mean(positive, axis=0))
            inputs.append(
                np.mean([slow_share(raw["inputs"][clip], raw["valid"][clip]) for clip in each], axis=0)
            )
        if not rows:
            assert np.isnan(found["band_share"][label, 0]).all()
            assert np.isnan(found["band_ratio"][label, 0]).all()
            continue
        np.testing.assert_allclose(
            found["band_share"][label, 0], in_bands(np.mean(shares, axis=0), bands), rtol=1e-5
        )
        means = [in_bands(np.mean(each, axis=0), bands, settings.share_floor) for each in (shares, inputs)]
        assert found["contrast_n_recordings"][label, 0] == len(rows)
        if len(rows) > 1:
            np.testing.assert_allclose(found["band_ratio"][label, 0], means[0] / means[1], rtol=1e-5)


def test_ratio_to_input__is_that_of_the_shares_written_beside_it(base):
    found, floor = figures_of(base), run_in(base).settings.statistics.share_floor
    even = floor * bands_in(found).sum(axis=1) / 64
    known = found["contrast_n_recordings"][:, 0] > 1
    assert known.any()
    expected = (found["band_share"][:, 0] + even) / (found["band_input_share"][:, 0] + even)
    np.testing.assert_allclose(found["band_ratio"][known, 0], expected[known], rtol=1e-9)
    of_power = (found["band_share"][:, 0] + even) / (found["band_power_share"][:, 0] + even)
    np.testing.assert_allclose(found["power_ratio"][known], of_power[known], rtol=1e-9)


def test_ratio_to_the_rest__equals_a_least_squares_fit_on_shares_for_the_same_output(base, raw):
    found, floor = figures_of(base), run_in(base).settings.statistics.share_floor
    rows = recordings_of(raw, np.ones(36, bool))
    label, fold = (np.array([raw[name][each[0]] for each in rows]) for name in ("label", "fold"))
    constants = [(fold == each).astype(float) for each in np.unique(fold)]
    for number in range(3):
        shares = [np.nanmean(raw["by_target"][each, number].astype(np.float64), axis=0) for each in rows]
        by_band = in_bands(np.array(shares), bands_in(found))
        columns = np.stack([(label == number).astype(float), *constants], axis=1)
        difference = np.linalg.lstsq(columns, by_band, rcond=None)[0][0]
        mine, even = by_band[label == number].mean(axis=0), floor * bands_in(found).sum(axis=1) / 64
        expected = (mine + even) / (np.maximum(mine - difference, 0) + even)
        np.testing.assert_allclose(found["band_ratio"][number, 1], expected, rtol=1e-5)
    assert found["contrast_n_recordings"][:, 1].tolist() == [6, 6, 6]


def test_tests__are_of_the_differences_of_shares_by_recording(base):
    found, recordings = figures_of(base), figures_of(base, "recordings")
    bands = bands_in(found)
    for label in range(3):
        of = recordings["label"] == label
        known = of & np.isfinite(recordings["share"]).all(axis=1)
        if known.sum() < 3:
            assert np.isnan(found["band_t"][label, 0]).all()
            continue
        share, inputs = (recordings[name][known] for name in ("share", "input_share"))
        expected = stats.ttest_rel(in_bands(share, bands), in_bands(inputs, bands)).statistic
        np.testing.assert_allclose(found["band_t"][label, 0], expected, rtol=1e-6)
        np.testing.assert_allclose(
            found["bin_t"][label, 0], stats.ttest_rel(share, inputs).statistic, rtol=1e-6
        )


def slowly_aligned(raw: Mapping[str, np.ndarray], name: str, label: int, bands: np.ndarray) -> list[np.ndarray]:
    """Return shares of every recording of a class by band and time from the onset, clip by clip."""
    correct = raw["prediction"] == raw["label"]
    onset = alignment.onsets(raw["level_db"], raw["valid"])
    means = []
    for rows in recordings_of(raw, correct & (raw["label"] == label)):
        of_clips = []
        for clip in rows:
            frames = onset[clip] + np.arange(-16, 48)
            there = [0 <= frame < 64 and raw["valid"][clip, frame] for frame in frames]
            cells = np.maximum(raw[name][clip], 0)
            by_band = in_bands(cells.T.astype(np.float64), bands).T
            moved = np.where(there, by_band[:, np.clip(frames, 0, 63)], np.nan)
            of_clips.append(moved / np.nansum(moved))
        known = np.isfinite(of_clips)
        sums = np.where(known, of_clips, 0).sum(axis=0)
        means.append(np.where(known.any(axis=0), sums / np.maximum(known.sum(axis=0), 1), np.nan))
    return means


def test_shares_in_time__equal_loops_from_the_onset(base, raw):
    found, bands = figures_of(base), bands_in(figures_of(base))
    for label in range(3):
        means = slowly_aligned(raw, "relevance", label, bands)
        n = np.isfinite(means).sum(axis=0) if means else np.zeros((len(bands), 64))
        np.testing.assert_array_equal(found["aligned_n_recordings"][label], n)
        if means:
            total = np.where(np.isfinite(means), means, 0).sum(axis=0)
            expected = np.where(n > 0, total / np.maximum(n, 1), np.nan)
            np.testing.assert_allclose(found["aligned_share"][label], expected, rtol=1e-4, atol=1e-9)


def test_ratio_in_time__is_of_shares_of_what_each_band_holds(base, raw):
    found, bands, settings = figures_of(base), bands_in(figures_of(base)), run_in(base).settings.statistics
    assert np.isfinite(found["aligned_ratio"]).any()
    for label in range(3):
        both = [np.array(slowly_aligned(raw, name, label, bands)) for name in ("relevance", "inputs")]
        for band, frame in np.ndindex(len(bands), 64):
            shares = [
                [each[band, frame] / np.nansum(each[band]) for each in of if np.isfinite(each[band, frame])]
                for of in both
            ]
            ratio, t = (found[name][label, band, frame] for name in ("aligned_ratio", "aligned_t"))
            if len(shares[0]) < settings.minimum_recordings:
                assert np.isnan([ratio, t]).all()
                continue
            even = settings.share_floor / 64
            assert ratio == pytest.approx((np.mean(shares[0]) + even) / (np.mean(shares[1]) + even), rel=1e-4)
            assert t == pytest.approx(stats.ttest_rel(*shares).statistic, rel=1e-3)


def test_tests__are_made_where_recordings_suffice_and_charged_for_all(base):
    found = figures_of(base)
    n_recordings = np.stack([found["contrast_n_recordings"][:, 0], [6, 6, 6]], axis=1)
    tested = n_recordings >= 3
    np.testing.assert_array_equal(np.isfinite(found["p"]), tested)
    np.testing.assert_array_equal(np.isfinite(found["band_p"]).all(axis=-1), tested)
    n_tests = tested.sum()
    np.testing.assert_allclose(found["band_p_corrected"], np.minimum(1, n_tests * found["band_p"]))
    least = np.nanmin(found["p"])
    assert np.nanmin(found["p_holm"]) == pytest.approx(min(1, n_tests * least))
    assert set(found["band_verdict"].ravel().tolist()) <= {-1, 0, 1}


def test_plan__a_changed_setting_of_tests_leaves_performance_alone(base):
    regions_and_agreement = [*(f"regions/{name}" for name in sorted(OF_MAPS)), *AGREEMENTS]
    for setting, value in (("n_permutations", 101), ("alpha", 0.01), ("share_floor", 0.2)):
        plan = plan_of(run_in(base, **{setting: value}))
        assert sorted(item.name for item in plan.todo) == sorted(regions_and_agreement)
        assert setting in plan.reasons[0]
    assert len(plan_of(run_in(base, confidence=0.9)).todo) == len(regions_and_agreement) + 2
    assert len(plan_of(run_in(base), force=True).todo) == len(regions_and_agreement) + 2


def test_execute__refuses_permutations_that_could_make_nothing_certain(copy):
    """Three classes and two contrasts are six tests: of 119, the least corrected p is 6 / 120 = 0.05."""
    run = run_in(copy(), n_permutations=118)
    before = contents(run.folder)
    with pytest.raises(ConfigError, match=r"n_permutations=118.* 6 tests .*alpha=0\.05; give at least 119"):
        carry_out(run)
    assert contents(run.folder) == before
    assert carry_out(run_in(run.folder, n_permutations=119), only=f"regions/cqt/{EPSILON}")


def test_changed_setting__computes_regions_anew_and_performance_not(copy):
    folder = copy()
    before = contents(folder)
    done = carry_out(run_in(folder, alpha=0.1), only=f"regions/cqt/{EPSILON}")
    assert done == [f"regions/cqt/{EPSILON}"]
    after = contents(folder)
    changed = {name for name in after if after[name] != before.get(name)}
    allowed = tuple(f"store.zarr/statistics/{kind}/{OF_MAPS[2]}/" for kind in ("regions", "recordings"))
    assert changed
    assert all(name.startswith((*allowed, "markers/statistics/regions/cqt/")) for name in changed)
    ours, theirs = (figures_of(each, name=OF_MAPS[2])["p"] for each in (folder, copy("unchanged")))
    assert ours.tobytes() == theirs.tobytes()
    about = attributes(folder / "store.zarr" / "statistics" / "regions" / OF_MAPS[2])
    assert about["statistics"]["alpha"] == 0.1


def test_plan__waits_for_maps_that_are_out_of_date(base):
    run = run_in(base)
    explanation = run.settings.explanation.model_copy(update={"batch_size": 7})
    changed = Run(base, run.settings.model_copy(update={"explanation": explanation}))
    assert plan_of(changed).waits_for == explain.NAME


def test_stage__of_a_run_without_a_store_waits(tmp_path, base):
    run = Run(tmp_path / "nothing", run_in(base).settings)
    statistics.STAGE.prepare(run, Tools(lambda _event: None, Serial()))
    assert plan_of(run).waits_for == explain.NAME
    assert not run.folder.exists()


def test_composite_that_goes__takes_its_figures_with_it(copy):
    run = run_in(copy())
    explanation = run.settings.explanation.model_copy(update={"composites": (EPSILON,)})
    run = Run(run.folder, run.settings.model_copy(update={"explanation": explanation}))
    tools = Tools(lambda _event: None, Serial())
    explain.STAGE.prepare(run, tools)
    statistics.STAGE.prepare(run, tools)
    left = {f"{kind}/{name}/{EPSILON}" for kind in ("regions", "recordings") for name in ("mel", "cqt")}
    assert groups_in(run) == left | {AGREEMENTS[0]} | {"performance/mel", "performance/cqt"}
    assert not (run.folder / "markers" / "statistics" / f"regions/mel/{FLAT}.json").exists()
    # Predictions of mel could have been of either composite; what is left agrees with what is left.
    assert [item.name for item in plan_of(run).todo] == ["performance/mel"]


def test_figures_without_maps__are_removed(copy):
    run = run_in(copy())
    write.remove_group(run.store, f"relevance/cqt/{EPSILON}")
    statistics.STAGE.prepare(run, Tools(lambda _event: None, Serial()))
    assert not any("cqt" in name or "representations" in name for name in groups_in(run))
    assert plan_of(run).todo == []


def test_jobs__do_not_change_a_byte(copy):
    one, two = copy("one"), copy("two")
    names = [f"regions/{name}" for name in OF_MAPS[:2]]
    assert sorted(carry_out(run_in(one, n_permutations=150), Serial(), "regions/mel")) == sorted(names)
    assert sorted(carry_out(run_in(two, n_permutations=150), Processes(2), "regions/mel")) == sorted(names)
    assert_same_bytes(one, two)


def other_seed(folder: Path, seed: int = 7) -> Path:
    for name in OF_MAPS:
        write.set_attributes(folder / "store.zarr", f"statistics/regions/{name}", {"seed": seed})
    return folder


def test_other_seed__agrees_with_a_copy_in_everything(copy):
    folder = copy("ours")
    run = run_in(folder, other_seeds=(other_seed(copy("theirs")),))
    wanted = [f"agreement/seeds/{name}" for name in OF_MAPS]
    assert sorted(item.name for item in plan_of(run).todo) == sorted(wanted)
    assert carry_out(run, only=wanted[0]) == wanted[:1]
    found = figures_of(folder, "agreement/seeds")
    assert set(found) == variables_of(wanted[0].replace("agreement", "statistics/agreement", 1)).keys()
    assert found["seed"].tolist() == [7]
    n_verdicts = (figures_of(folder)["band_verdict"] != 0).sum(axis=(1, 2))
    np.testing.assert_array_equal(found["n_verdicts"][:, 0], n_verdicts)
    np.testing.assert_array_equal(found["n_verdicts_alike"][:, 0], n_verdicts)
    known = figures_of(folder)["n_recordings"][:, 0] > 0
    np.testing.assert_allclose(found["correlation"][known], 1)
    np.testing.assert_allclose(found["map_correlation"][known], 1)
    assert np.isnan(found["correlation"][~known]).all()
    # Where the other run lies is no part of the figures; what it holds is.
    elsewhere = folder.parent / "elsewhere"
    (folder.parent / "theirs").rename(elsewhere)
    moved = run_in(folder, other_seeds=(elsewhere,))
    assert wanted[0] not in [item.name for item in plan_of(moved).todo]
    write.set_attributes(elsewhere / "store.zarr", f"statistics/regions/{OF_MAPS[0]}", {"key": "another"})
    assert wanted[0] in [item.name for item in plan_of(moved).todo]


def give_verdicts(folder: Path, verdicts: np.ndarray) -> None:
    group = zarr.open_group(folder / "store.zarr" / "statistics" / "regions" / OF_MAPS[0], mode="r+")
    group["band_verdict"][...] = verdicts


def test_other_seed__is_judged_by_bands_of_which_either_run_says_anything(copy):
    """That both say nothing of a band is no agreement: most bands are such, whatever the networks do."""
    folder, theirs = copy("ours"), other_seed(copy("theirs"))
    shape = figures_of(folder)["band_verdict"].shape
    ours, others = np.zeros((2, *shape), np.int64)
    ours[0, 0, :4], others[0, 0, :4] = [1, 1, -1, 0], [1, -1, 0, 1]
    ours[0, 1, 0], others[0, 1, 0] = -1, -1
    others[1, 1, 2] = 1
    give_verdicts(folder, ours)
    give_verdicts(theirs, others)
    found = agreeing.figures(run_in(folder, other_seeds=(theirs,)), f"agreement/seeds/{OF_MAPS[0]}")
    assert found["n_verdicts"].tolist() == [[5], [1], [0]]
    assert found["n_verdicts_alike"].tolist() == [[2], [0], [0]]


def test_other_seeds__are_each_counted_on_their_own(copy):
    folder = copy("ours")
    same, opposite = (other_seed(copy(f"seed {seed}"), seed) for seed in (7, 8))
    verdicts = np.zeros(figures_of(folder)["band_verdict"].shape, np.int64)
    verdicts[:, 0, 0] = 1
    for each, sign in ((folder, 1), (same, 1), (opposite, -1)):
        give_verdicts(each, sign * verdicts)
    run = run_in(folder, other_seeds=(same, opposite))
    found = agreeing.figures(run, f"agreement/seeds/{OF_MAPS[0]}")
    assert found["seed"].tolist() == [7, 8]
    assert found["n_verdicts"].tolist() == [[1, 1]] * 3
    assert found["n_verdicts_alike"].tolist() == [[1, 0]] * 3


def refused(base: Path, other: Path, message: str) -> None:
    run = run_in(base, other_seeds=(other,))
    # A plan must stand without the other run: pages of a finished run may not hang on where another one lies.
    assert f"agreement/seeds/{OF_MAPS[0]}" in plan_of(run).units
    with pytest.raises(ConfigError, match=message):
        agreeing.figures(run, f"agreement/seeds/{OF_MAPS[0]}")


def test_other_seed__without_figures_is_refused_by_name(base, tmp_path):
    refused(base, tmp_path / "elsewhere", r"other_seeds: .*elsewhere holds no figures of .*/lrp")


def test_other_seed__of_another_corpus_is_refused_by_name(base, copy):
    other = copy("elsewhere")
    clips = zarr.open_group(other / "store.zarr" / "clips", mode="r+")
    clips["clip"][0:1] = np.array(["another.wav"], dtype=object)
    refused(base, other, r"other_seeds: .*elsewhere is not a run on the same clips")


def test_other_seed__that_is_the_same_is_refused(base, copy):
    refused(base, copy("elsewhere"), r"other_seeds: .*elsewhere has seed 0, as this run")


def test_other_seed__with_other_bins_or_bands_is_refused_by_name(base, copy):
    other = other_seed(copy("elsewhere"))
    for name in OF_MAPS:
        group = zarr.open_group(other / "store.zarr" / "statistics" / "regions" / name, mode="r+")
        group["band"][0:1] = np.array(["0-100 Hz"], dtype=object)
    refused(base, other, r"other_seeds: .*elsewhere has other frequency bins or bands")


def test_representations__that_are_one_and_the_same_agree_in_everything(copy):
    folder = copy()
    top = folder / "store.zarr" / "statistics"
    for kind in ("recordings", "regions"):
        shutil.rmtree(top / kind / "cqt" / EPSILON)
        shutil.copytree(top / kind / "mel" / EPSILON, top / kind / "cqt" / EPSILON)
    found = agreeing.figures(run_in(folder), AGREEMENTS[0])
    known = found["n_recordings"] > 0
    assert known.any()
    np.testing.assert_allclose(found["correlation"][known], 1)
    np.testing.assert_allclose(found["overlap"][known], 1)
    np.testing.assert_allclose(np.diag(found["class_correlation"])[known], 1)
    np.testing.assert_allclose(found["share"][known].sum(axis=-1), 1)
    np.testing.assert_array_equal(found["share"][:, 0], found["share"][:, 1])
    np.testing.assert_array_equal(found["band_verdict"], figures_of(folder)["band_verdict"])
    assert np.isnan(found["overlap"][~known]).all()


def test_representations__are_compared_over_recordings_that_both_know(copy):
    """The correlation of a class with itself is the same figure twice; a common band needs both verdicts."""
    folder = copy()
    group = zarr.open_group(folder / "store.zarr" / "statistics" / "recordings" / "mel" / EPSILON, mode="r+")
    share, label = np.asarray(group["share"][...]), np.asarray(group["label"][...])
    known = np.isfinite(share).all(axis=1)
    lost = np.flatnonzero(known & (label == label[known][0]))[0]
    group["share"][lost] = np.nan
    regions = zarr.open_group(folder / "store.zarr" / "statistics" / "regions" / "mel" / EPSILON, mode="r+")
    regions["band_verdict"][...] = np.ones(regions["band_verdict"].shape, np.int64)
    theirs = figures_of(folder, name=OF_MAPS[2])
    found = agreeing.figures(run_in(folder), AGREEMENTS[0])
    np.testing.assert_allclose(np.diag(found["class_correlation"]), found["correlation"])
    expected = np.minimum(found["share"][:, 0], found["share"][:, 1]).sum(axis=-1)
    np.testing.assert_allclose(found["overlap"], expected)
    held = [theirs["band"].tolist().index(name) for name in found["band"].tolist()]
    np.testing.assert_array_equal(found["band_verdict"], np.maximum(theirs["band_verdict"][..., held], 0))


def test_representations__correlate_by_ratios_of_mean_shares(base):
    found, floor = figures_of(base, *AGREEMENTS[0].rsplit("/", 1)), run_in(base).settings.statistics.share_floor
    logs = np.log(found["ratio"])
    known = np.isfinite(logs).all(axis=(1, 2))
    assert known.any()
    for label in np.flatnonzero(known):
        np.testing.assert_allclose(
            found["correlation"][label], np.corrcoef(logs[label])[0, 1], rtol=1e-6, atol=1e-9
        )
    # The one that is written, and mean shares of recordings spread over third-octaves by hand.
    for place, name in enumerate(found["representation"].tolist()):
        both = [figures_of(base, "recordings", f"{each}/{EPSILON}") for each in ("mel", "cqt")]
        shared = np.isfinite([each["share"].sum(axis=1) for each in both]).all(axis=0)
        of = both[("mel", "cqt").index(name)]
        for label in np.flatnonzero(known):
            rows = np.flatnonzero(shared & (of["label"] == label))
            means = [np.mean([in_thirds(of, kind, row, found) for row in rows], axis=0) for kind in SHARES]
            expected = (means[0] + floor / 24) / (means[1] + floor / 24)
            np.testing.assert_allclose(found["ratio"][label, place], expected, rtol=1e-6)


SHARES = ("share", "input_share")


def in_thirds(
    recordings: Mapping[str, np.ndarray], kind: str, row: int, found: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Spread the shares of one recording over common third-octaves, bin by bin."""
    total = np.zeros(len(found["frequency"]))
    edges = zip(found["frequency_low"], found["frequency_high"], strict=True)
    for place, (low, high) in enumerate(edges):
        for one, other, share in zip(
            recordings["frequency_low"], recordings["frequency_high"], recordings[kind][row], strict=True
        ):
            total[place] += share * max(0.0, min(high, other) - max(low, one)) / (other - one)
    return total / total.sum()


def test_composites__are_paired_and_correlate_as_numpy_says(base):
    found = figures_of(base, "agreement/composites", "mel")
    assert (found["first"].tolist(), found["second"].tolist()) == ([EPSILON], [FLAT])
    assert found["is_same_method"].tolist() == [False]
    maps = [figures_of(base, name=name)["mean_relevance"][:, 0] for name in OF_MAPS[:2]]
    for label in range(3):
        flat = [each[label].ravel() for each in maps]
        both = np.isfinite(flat).all(axis=0)
        if both.sum() > 2:
            expected = np.corrcoef(flat[0][both], flat[1][both])[0, 1]
            assert found["map_correlation"][label, 0] == pytest.approx(expected)
        else:
            assert np.isnan(found["map_correlation"][label, 0])


def test_object__is_summed_up_where_it_is_known_and_a_class_without_maps_is_nan(copy, raw):
    run = run_in(copy())
    features = read_whole(run.store, "features/mel")
    is_object = features["level_db"] > -30
    write.write_group(run.store, "features/mel", {**features, "object_mask": is_object})
    maps = zarr.open_group(run.store / "relevance" / "mel" / EPSILON, mode="r+")
    without = 2
    done = raw["label"] != without
    sums = np.asarray(maps["relevance_sum"][...])
    maps["relevance_sum"][...] = np.where(done, sums, np.nan).astype(np.float32)
    summing.sum_up(summing.SummingJob(run, "mel", EPSILON, {}))
    found = figures_of(run.folder)
    assert set(found) == variables_of(f"statistics/regions/{OF_MAPS[0]}").keys()
    bands = bands_in(found)
    for label in (0, 1):
        by_recording = [
            np.mean([slow_share(is_object[clip], raw["valid"][clip]) for clip in rows], axis=0)
            for rows in recordings_of(raw, done & (raw["label"] == label))
        ]
        expected = in_bands(np.mean(by_recording, axis=0), bands)
        np.testing.assert_allclose(found["band_object_share"][label], expected, rtol=1e-6)
    assert (found["n_clips"][without] == 0).all()
    for name in ("band_object_share", "band_share", "mean_relevance", "band_ratio", "p", "aligned_t", "icc"):
        assert np.isnan(found[name][without]).all(), name
    assert (found["band_verdict"][without] == 0).all()


def test_check__refuses_networks_that_are_worse_than_asked(copy):
    run = run_in(copy())
    quality = run.settings.quality.model_copy(update={"minimum_accuracy": 0.5})
    asked = Run(run.folder, run.settings.model_copy(update={"quality": quality}))
    for accuracy in (0.5, 0.25):
        for name in ("mel", "cqt"):
            group = zarr.open_group(run.store / "statistics" / "performance" / name, mode="r+")
            group["accuracy"][...] = accuracy if name == "cqt" else 0.5
        if accuracy == 0.5:
            statistics.STAGE.check(asked)
    with pytest.raises(QualityError, match=r"cqt: accuracy 0\.250 .* is below quality\.minimum_accuracy=0\.5"):
        statistics.STAGE.check(asked)
    statistics.STAGE.check(run)
