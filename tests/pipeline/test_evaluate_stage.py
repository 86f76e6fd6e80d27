"""Stage ``evaluate`` on a tiny run: which clips it takes, what is heard of them, and when it does so anew."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import zarr

from tests.comparison import assert_same_bytes, contents
from toolkit.config import Settings, SourceSettings
from toolkit.corpus.audio import read_clip
from toolkit.errors import ConfigError
from toolkit.evaluation import medoids
from toolkit.evaluation.masks import Axes
from toolkit.evaluation.resynthesis import split
from toolkit.features.spectrogram import valid_frames
from toolkit.pipeline.events import Event, Trouble
from toolkit.pipeline.executors import Executor, Processes, Serial
from toolkit.pipeline.markers import Todo
from toolkit.pipeline.run import Plan, Run, Scope, Tools
from toolkit.pipeline.stages import evaluate, report
from toolkit.statistics.profiles import share_by_bin
from toolkit.store import write
from toolkit.store.read import attributes, open_store, read_whole
from toolkit.store.schema import variables_of

EPSILON, FLAT = "lrp.epsilon", "lrp.sequential_preset_a_flat"
MEL, CQT = f"evaluation/listening/mel/{EPSILON}", f"evaluation/listening/cqt/{EPSILON}"
Copy = Callable[[], Path]


def run_in(folder: Path, **of_evaluation: object) -> Run:
    """Return the run in a folder, with other settings of this stage."""
    known = json.loads((folder / "settings.json").read_text())
    known["evaluation"] = {"audio": "examples", **of_evaluation}
    return Run(folder, Settings.model_validate(known))


def carry_out(run: Run, workers: Executor | None = None, *, force: bool = False, only: str = "") -> list[Event]:
    """Do what the stage would do, or the part of it with this word in its name; return what it told."""
    told: list[Event] = []
    tools = Tools(told.append, workers or Serial())
    evaluate.STAGE.prepare(run, tools)
    plan = evaluate.STAGE.plan(run, Scope(), force)
    assert not plan.waits_for
    done: list[str] = []
    chosen = [item for item in plan.todo if only in item.name]
    evaluate.STAGE.execute(run, Plan(plan.units, chosen), tools, done.append)
    assert sorted(done) == sorted(item.name for item in chosen)
    return told


def reasons(run: Run) -> dict[str, str]:
    """Return what the stage would do, and why."""
    return {item.name.partition("/")[2]: item.reason for item in evaluate.STAGE.plan(run, Scope(), False).todo}


def lines(told: list[Event]) -> list[str]:
    return [f"{each.subject}: {each.reason}" for each in told if isinstance(each, Trouble)]


@pytest.fixture(scope="module")
def base(finished, tiny_corpus, tmp_path_factory) -> Path:
    """One run, on a corpus of its own, with sounds of its examples."""
    folder = tmp_path_factory.mktemp("evaluate")
    shutil.copytree(tiny_corpus, folder / "corpus", copy_function=shutil.copy2)
    shutil.copytree(finished, folder / "run", copy_function=shutil.copy2)
    _move_source(folder)
    assert lines(carry_out(run_in(folder / "run"))) == []
    return folder / "run"


def _move_source(folder: Path) -> None:
    path = folder / "run" / "settings.json"
    known = json.loads(path.read_text())
    known["source"]["path"] = str(folder / "corpus")
    path.write_text(json.dumps(known))


@pytest.fixture
def copy(base, tmp_path) -> Path:
    """A copy of that run and its corpus, to be changed."""
    shutil.copytree(base.parent, tmp_path / "copy", copy_function=shutil.copy2)
    _move_source(tmp_path / "copy")
    return tmp_path / "copy" / "run"


def listening(folder: Path, group: str = MEL) -> dict[str, np.ndarray]:
    return read_whole(folder / "store.zarr", group)


def sound_file(folder: Path, clip: str) -> Path:
    (path,) = (folder.parent / "corpus" / "audio").glob(f"*/{clip}")
    return path


def rows_of(folder: Path, found: dict[str, np.ndarray]) -> np.ndarray:
    names = read_whole(folder / "store.zarr", "clips", ("clip",))["clip"].tolist()
    return np.array([names.index(clip) for clip in found["clip"]])


@pytest.mark.parametrize("group", [MEL, CQT])
def test_group__holds_every_variable_of_the_schema_with_its_dimensions(base, group):
    root, known = zarr.open_group(base / "store.zarr" / group, mode="r"), variables_of(group)
    assert set(root.array_keys()) == known.keys()
    n_examples = root["clip"].shape[0]
    assert 3 <= n_examples <= 9
    sizes = {"example": n_examples, "version": 3, "sample": 88_200, "frequency": 64, "time": 64}
    for name, array in root.arrays():
        assert array.metadata.dimension_names == known[name].dims, name
        assert array.shape == tuple(sizes[dim] for dim in known[name].dims), name
        assert {"long_name", "units", "description"} <= dict(array.attrs).keys()
    assert root.attrs["sample_rate_hz"] == 22_050
    assert root.attrs["evaluation"] == {
        "audio": "examples",
        "composite": EPSILON,
        "n_examples": 3,
        "kept_relevance": 0.5,
    }


def test_group__can_be_opened_as_every_other(base):
    found = open_store(base).tree[MEL].to_dataset()
    assert found["sound"].dtype == np.int16
    assert found["sound"].sizes == {"example": len(found["clip"]), "version": 3, "sample": 88_200}


def test_run_all__keeps_no_sound_of_real_recordings_but_scores_them(finished):
    found = listening(finished)
    assert "sound" not in found
    assert np.isfinite(found["probability"]).all()
    assert attributes(finished / "store.zarr" / MEL)["evaluation"]["audio"] == "none"


def test_stage__second_time_has_nothing_to_do(base):
    before = contents(base)
    assert carry_out(run_in(base)) == []
    assert reasons(run_in(base)) == {}
    assert contents(base) == before


@pytest.mark.parametrize("workers", [Serial(), Processes(2)])
def test_stage__gives_the_same_bytes_however_it_runs(copy, base, workers, tmp_path):
    for path in (copy, shutil.copytree(base, tmp_path / "other", copy_function=shutil.copy2)):
        shutil.rmtree(path / "store.zarr" / "evaluation")
        shutil.rmtree(path / "markers" / "evaluate")
    carry_out(run_in(copy), workers)
    assert_same_bytes(copy, base)


@pytest.mark.parametrize("group", [MEL, CQT])
def test_examples__are_the_medoids_and_of_each_the_clip_nearest_to_its_mean(base, group):
    """The rule written again, recording by recording, from the maps."""
    store, name = base / "store.zarr", group.removeprefix("evaluation/listening/")
    clips = read_whole(store, "clips")
    maps = read_whole(store, f"relevance/{name}", ("relevance", "prediction"))
    shares = share_by_bin(np.maximum(maps["relevance"], 0), valid_frames(clips["valid_duration_s"], 4.0))
    correct = (maps["prediction"] == clips["label"]) & np.isfinite(shares).all(axis=1)
    found = listening(base, group)
    for label in range(3):
        recordings = sorted(set(clips["recording"][correct & (clips["label"] == label)]))
        members = [np.flatnonzero(correct & (clips["recording"] == each)) for each in recordings]
        means = np.array([shares[rows].mean(axis=0) for rows in members]).reshape(-1, 64)
        mine = np.flatnonzero(found["label"] == label)
        mine = mine[np.argsort(found["rank"][mine])]
        assert found["rank"][mine].tolist() == list(range(min(3, len(recordings))))
        assert found["n_recordings"][mine].sum() == len(recordings)
        chosen = np.array([recordings.index(each) for each in found["recording"][mine]], int)
        assert len(set(chosen.tolist())) == len(chosen)
        distance = medoids.distances(means, means)
        for place in range(len(chosen)):
            for other in range(len(recordings)):
                exchanged = np.where(np.arange(len(chosen)) == place, other, chosen)
                assert medoids.cost(distance, exchanged) >= medoids.cost(distance, chosen) - 1e-4
        for place, row in zip(chosen, rows_of(base, {"clip": found["clip"][mine]}), strict=True):
            away = [np.abs(np.cumsum(shares[each] - means[place])).sum() for each in members[place]]
            assert row in members[place]
            assert away[members[place].tolist().index(row)] == pytest.approx(min(away), abs=1e-6)


def test_scores__of_the_original_are_those_of_the_explained_clip(base):
    found = listening(base)
    maps = read_whole(base / "store.zarr", f"relevance/mel/{EPSILON}", ("logits", "prediction", "target"))
    rows = rows_of(base, found)
    logits = maps["logits"][rows].astype(np.float64)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    target = maps["target"][rows]
    np.testing.assert_array_equal(found["target"], target)
    np.testing.assert_allclose(found["probability"][:, 0], softmax[np.arange(len(rows)), target], atol=1e-4)
    np.testing.assert_array_equal(found["prediction"][:, 0], maps["prediction"][rows])


def test_scores__of_parts_are_what_the_network_says_of_them_as_of_any_clip(base):
    """The kept part written into a file, read, analysed and classified again."""
    from toolkit.features.channels import network_input
    from toolkit.features.spectrogram import level_db, power
    from toolkit.network.export import probabilities

    run, found = run_in(base), listening(base)
    for example, version in ((0, 1), (len(found["clip"]) - 1, 2)):
        gain = 10 ** (found["gain_db"][example, version] / 20)
        samples = (found["sound"][example, version] / 32_767 / gain).astype(np.float32)
        cells = level_db(power(samples, "mel", run.settings.features), 80.0)
        inputs = network_input(cells[None], run.settings.training.channels, 80.0)
        network = run.model("mel", int(found["fold"][example])) / "network.onnx"
        said = probabilities(network, inputs)[0, found["target"][example]]
        # 16 bits add a little noise to the quietest cells.
        assert found["probability"][example, version] == pytest.approx(said, abs=0.05)


def test_sounds__kept_and_removed_add_up_to_the_file_once_their_gain_is_undone(base):
    found = listening(base)
    step = 1 / 32_767
    for example, clip in enumerate(found["clip"]):
        gain = 10 ** (found["gain_db"][example] / 20)
        original, kept, removed = found["sound"][example] * step / gain[:, None]
        file = read_clip(sound_file(base, clip), sample_rate_hz=22_050, duration_s=4.0).samples
        np.testing.assert_allclose(original, file, atol=step / gain[0])
        np.testing.assert_allclose(kept + removed, file, atol=step * (1 / gain[1:]).sum())


def test_sounds__are_cut_by_the_mask_that_stands_beside_them(base):
    found, settings = listening(base), run_in(base).settings.features
    axes = Axes(*(found[name] for name in ("frequency", "frequency_low", "frequency_high", "time")))
    file = read_clip(sound_file(base, found["clip"][0]), sample_rate_hz=22_050, duration_s=4.0).samples
    parts = split(file, found["mask"][0], axes, sample_rate_hz=22_050, n_fft=settings.n_fft)
    recorded = slice(0, round(found["valid_duration_s"][0] * 22_050))
    for version, part in enumerate(parts, start=1):
        gain = 10 ** (found["gain_db"][0, version] / 20)
        sound = found["sound"][0, version] / 32_767 / gain
        np.testing.assert_allclose(sound[recorded], part[recorded], atol=1e-4)


def test_sounds__are_equally_loud_below_full_scale_and_silent_in_padding(base):
    found = listening(base)
    for sounds, recorded_s in zip(found["sound"], found["valid_duration_s"], strict=True):
        n_recorded = round(recorded_s * 22_050)
        level = np.sqrt((sounds[:, :n_recorded].astype(float) ** 2).mean(axis=1))
        np.testing.assert_allclose(level, level[0], rtol=0.01)
        assert np.abs(sounds).max() <= np.ceil(32_767 * 10 ** (-1 / 20))
        assert (sounds[:, n_recorded:] == 0).all()


def test_mask__keeps_the_relevance_that_it_says_and_nothing_of_padding(base):
    found = listening(base)
    rows = rows_of(base, found)
    relevance = read_whole(base / "store.zarr", f"relevance/mel/{EPSILON}", ("relevance",))["relevance"][rows]
    valid = valid_frames(found["valid_duration_s"], 4.0)[:, None, :]
    positive = np.where(valid, np.maximum(relevance, 0), 0)
    kept = (found["mask"] * positive).sum(axis=(1, 2)) / positive.sum(axis=(1, 2))
    np.testing.assert_allclose(found["kept_share_of_relevance"], kept, rtol=1e-5)
    np.testing.assert_allclose(
        found["kept_share_of_cells"], found["mask"].sum(axis=(1, 2)) / (64 * valid.sum(axis=(1, 2))), rtol=1e-5
    )
    assert (found["kept_share_of_relevance"] > found["kept_share_of_cells"]).all()
    assert (found["mask"][~np.broadcast_to(valid, found["mask"].shape)] == 0).all()


def test_audio_all__adds_every_other_clip_and_leaves_the_examples_as_they_were(copy, base):
    carry_out(run_in(copy, audio="all"), only="mel")
    every, examples = listening(copy), listening(base)
    assert len(every["clip"]) == 36
    np.testing.assert_array_equal(rows_of(copy, every), np.arange(36))
    chosen = every["rank"] >= 0
    for name in ("clip", "rank", "n_recordings", "prediction", "gain_db", "sound", "mask", "attribution"):
        np.testing.assert_array_equal(every[name][chosen], examples[name])
    assert (every["n_recordings"][~chosen] == -1).all()
    assert (every["sound"].astype(int) ** 2).sum(axis=2).min() > 0


def test_audio_none__takes_the_sounds_away_and_leaves_the_scores(copy, base):
    run = run_in(copy, audio="none")
    assert reasons(run)[f"mel/{EPSILON}"] == "audio examples -> none"
    carry_out(run, only="mel")
    without, examples = listening(copy), listening(base)
    assert examples.keys() - without.keys() == {"sound"}
    np.testing.assert_array_equal(without["probability"], examples["probability"])


@pytest.mark.parametrize(("kind", "expected"), [("synthetic", "examples"), ("manifest", "none")])
def test_audio_of__is_on_for_the_synthetic_corpus_alone(kind, expected):
    path = None if kind == "synthetic" else Path("clips.csv")
    settings = Settings(source=SourceSettings(kind=kind, path=path))
    assert evaluate.audio_of(settings) == expected
    chosen = settings.evaluation.model_copy(update={"audio": "all"})
    assert evaluate.audio_of(settings.model_copy(update={"evaluation": chosen})) == "all"


def test_attribution__credits_urbansound8k_and_the_freesound_recording(base, copy):
    found = listening(base)
    assert found["attribution"].tolist() == [
        f"Freesound {recording}, from UrbanSound8K (J. Salamon, C. Jacoby, J. P. Bello), CC BY-NC 3.0"
        for recording in found["recording"]
    ]
    (copy.parent / "corpus" / "synthetic.json").write_text("{}")
    carry_out(run_in(copy), force=True, only="mel")
    assert set(listening(copy)["attribution"]) == {"Synthetic, made by this toolkit; CC0 1.0"}


def test_missing_file__costs_its_clip_alone_and_is_made_good_when_it_is_back(copy, base):
    clip = listening(copy)["clip"][0]
    path, hidden = sound_file(copy, clip), copy.parent / "hidden.wav"
    path.rename(hidden)
    told = lines(carry_out(run_in(copy), force=True))
    found, before = listening(copy), listening(base)
    n_examples = len(before["clip"])
    (line,) = (line for line in told if line.startswith(MEL))
    assert line.startswith(f"{MEL}: 1 of {n_examples} clips have no sound and no scores, such as {clip}: ")
    assert clip in found["error"][0]
    assert str(copy.parent) not in found["error"][0]
    assert found["error"][1:].tolist() == [""] * (n_examples - 1)
    assert np.isnan(found["probability"][0]).all()
    assert np.isnan(found["gain_db"][0]).all()
    assert found["prediction"][0].tolist() == [-1, -1, -1]
    assert (found["sound"][0] == 0).all()
    np.testing.assert_array_equal(found["sound"][1:], before["sound"][1:])
    assert reasons(run_in(copy)) == {}
    hidden.rename(path)
    assert reasons(run_in(copy))[f"mel/{EPSILON}"] == "sounds are back"
    carry_out(run_in(copy))
    assert_same_bytes(copy, base)


def test_corpus_that_is_gone__is_said_and_the_stage_finishes(copy):
    (copy.parent / "corpus").rename(copy.parent / "elsewhere")
    told = lines(carry_out(run_in(copy), force=True, only="mel"))
    assert told[0].startswith("corpus: ")
    assert "clips have no sound and no scores, such as " in told[1]
    found = listening(copy)
    assert set(found["error"]) == {"the corpus is gone, or cannot be read any more"}
    assert np.isnan(found["probability"]).all()
    assert np.isfinite(found["kept_share_of_relevance"]).all()
    assert reasons(run_in(copy)) == {}


def test_another_sound_in_the_file__is_not_taken_for_the_one_explained(copy):
    found = listening(copy)
    other = sound_file(copy, found["clip"][found["label"] != found["label"][0]][0])
    shutil.copy(other, sound_file(copy, found["clip"][0]))
    (line, *_) = lines(carry_out(run_in(copy), force=True, only="mel"))
    assert f"such as {found['clip'][0]}: is not the sound that was explained" in line
    after = listening(copy)
    assert np.isnan(after["probability"][0]).all()
    assert (after["sound"][0] == 0).all()


def test_silent_file__is_named(copy):
    clip = listening(copy)["clip"][0]
    soundfile.write(sound_file(copy, clip), np.zeros(88_200), 22_050)
    carry_out(run_in(copy), force=True, only="mel")
    assert "silence" in listening(copy)["error"][0]


def test_clip_that_left_the_corpus__is_named(copy):
    clip = listening(copy)["clip"][0]
    table = copy.parent / "corpus" / "metadata" / "UrbanSound8K.csv"
    kept = [line for line in table.read_text().splitlines() if clip not in line]
    table.write_text("\n".join(kept) + "\n")
    carry_out(run_in(copy), force=True, only="mel")
    assert listening(copy)["error"][0] == "is no longer in the corpus"


def test_pictures__have_masks_but_no_sound(copy):
    run = run_in(copy)
    source = SourceSettings(kind="pictures", path=copy.parent / "pictures")
    run = Run(copy, run.settings.model_copy(update={"source": source, "representations": ("mel",)}))
    (unit,) = evaluate.plan_units(run)
    told: list[Event] = []
    plan = Plan([unit.name], [Todo(unit, "forced")])
    evaluate.STAGE.execute(run, plan, Tools(told.append, Serial()), lambda _name: None)
    (line,) = lines(told)
    assert line.endswith(": pictures hold no sound")
    found = listening(copy)
    assert np.isnan(found["probability"]).all()
    assert found["mask"].max() == 1


def test_class_without_a_correct_clip__has_no_example(copy):
    store = copy / "store.zarr"
    for kind, name in (("statistics/recordings", "share"), ("relevance", "prediction")):
        array = zarr.open_group(store / kind / "mel" / EPSILON, mode="r+")[name]
        labels = read_whole(store, f"{kind}/mel/{EPSILON}", ("label",))["label"]
        values = np.asarray(array[...])
        values[labels == 1] = np.nan if name == "share" else 0
        array[...] = values
    carry_out(run_in(copy), force=True, only="mel")
    assert 1 not in listening(copy)["label"]


def test_no_correct_clip_at_all__leaves_an_empty_group(copy):
    array = zarr.open_group(copy / "store.zarr" / "statistics" / "recordings" / "mel" / EPSILON, mode="r+")[
        "share"
    ]
    array[...] = np.full(array.shape, np.nan)
    assert lines(carry_out(run_in(copy), force=True, only="mel")) == []
    assert listening(copy)["sound"].shape == (0, 3, 88_200)
    assert reasons(run_in(copy)) == {}


@pytest.mark.parametrize("place", [0, 1])
def test_example__is_the_clip_that_lies_nearest_to_its_recording(copy, place):
    """Of a recording with two clips, whichever has the shares that the recording is said to have."""
    store = copy / "store.zarr"
    clips = read_whole(store, "clips", ("clip", "label", "recording", "valid_duration_s"))
    maps = read_whole(store, f"relevance/mel/{EPSILON}", ("relevance", "prediction"))
    correct = maps["prediction"] == clips["label"]
    pair = next(
        rows
        for recording in dict.fromkeys(clips["recording"])
        if len(rows := np.flatnonzero(correct & (clips["recording"] == recording))) == 2
    )
    valid = valid_frames(clips["valid_duration_s"][pair], 4.0)
    root = zarr.open_group(store / "statistics" / "recordings" / "mel" / EPSILON, mode="r+")
    share = np.full(root["share"].shape, np.nan)
    mine = np.asarray(root["recording"][...]).astype(object) == clips["recording"][pair[0]]
    share[mine] = share_by_bin(np.maximum(maps["relevance"][pair], 0), valid)[place]
    root["share"][...] = share
    carry_out(run_in(copy), force=True, only="mel")
    assert listening(copy)["clip"].tolist() == [clips["clip"][pair[place]]]


def test_one_recording_of_a_class__is_its_only_example(copy):
    root = zarr.open_group(copy / "store.zarr" / "statistics" / "recordings" / "mel" / EPSILON, mode="r+")
    labels, share = np.asarray(root["label"][...]), np.asarray(root["share"][...])
    usable = np.flatnonzero((labels == labels[np.isfinite(share[:, 0])][0]) & np.isfinite(share[:, 0]))
    share[usable[1:]] = np.nan
    root["share"][...] = share
    carry_out(run_in(copy), force=True, only="mel")
    found = listening(copy)
    mine = found["label"] == labels[usable[0]]
    assert found["rank"][mine].tolist() == [0]
    assert found["n_recordings"][mine].tolist() == [1]


def test_composite__can_be_chosen_and_the_other_goes(copy):
    run = run_in(copy, composite=FLAT)
    carry_out(run)
    found = (copy / "store.zarr" / "evaluation" / "listening").glob("*/*/zarr.json")
    assert [path.parent.name for path in found] == [FLAT, FLAT]
    assert not (copy / "markers/evaluate/listening/mel" / f"{EPSILON}.json").exists()


def test_composite__that_has_no_maps_is_refused():
    settings = Settings.model_validate({"evaluation": {"composite": "lrp.z"}})
    with pytest.raises(ConfigError, match=r"evaluation.composite='lrp.z' is not among explanation.composites"):
        evaluate.check_composite(settings)


@pytest.mark.parametrize(("setting", "value"), [("n_examples", 2), ("kept_relevance", 0.3)])
def test_settings__that_change_are_the_reason(base, setting, value):
    found = reasons(run_in(base, **{setting: value}))
    assert [*found] == [f"mel/{EPSILON}", f"cqt/{EPSILON}"]
    assert f"settings.{setting}" in found[f"mel/{EPSILON}"]


def test_maps_that_changed__make_their_examples_old_and_the_report_removes_them(copy):
    array = zarr.open_group(copy / "store.zarr" / "relevance" / "mel" / EPSILON, mode="r+")["made_from"]
    array[...] = np.asarray(array[...]).astype(object) + "x"
    run = run_in(copy)
    report.STAGE.prepare(run, Tools(lambda _event: None, Serial()))
    assert not (copy / "store.zarr" / MEL).exists()
    assert (copy / "store.zarr" / CQT / "zarr.json").exists()


def test_store_without_markers__keeps_its_examples(copy):
    shutil.rmtree(copy / "markers")
    evaluate.remove_old(run_in(copy))
    assert (copy / "store.zarr" / MEL / "zarr.json").exists()


def test_half_made_group__is_made_again(copy, base):
    group = zarr.open_group(copy / "store.zarr" / MEL, mode="r+")
    group["sound"][...] = np.zeros(group["sound"].shape, np.int16)
    run_in(copy).markers("evaluate").remove(f"listening/mel/{EPSILON}")
    assert reasons(run_in(copy)) == {f"mel/{EPSILON}": "missing"}
    carry_out(run_in(copy))
    assert_same_bytes(copy, base)


def test_plan__waits_for_statistics(copy):
    write.remove_group(copy / "store.zarr", f"statistics/regions/mel/{EPSILON}")
    assert evaluate.STAGE.plan(run_in(copy), Scope(), False).waits_for == "statistics"


def test_command__hears_what_it_is_told_and_remembers_it(copy, toolkit):
    done = toolkit("evaluate", "--audio", "examples", "--out", copy)
    assert done.returncode == 0, done.stderr
    assert "nothing was to do" in done.stderr
    done = toolkit("evaluate", "--audio", "none", "--out", copy, "--dry-run")
    assert "audio examples -> none" in done.stdout
    assert json.loads((copy / "settings.json").read_text())["evaluation"]["audio"] == "examples"
    done = toolkit("evaluate", "--audio", "loud", "--out", copy)
    assert done.returncode == 4
    assert "evaluation.audio='loud' (in the options): Input should be 'auto', 'none', 'examples' or 'all'" in (
        done.stderr
    )
