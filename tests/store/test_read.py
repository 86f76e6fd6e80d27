"""Reading a store: what is found, what is selected, and that no more is read than was asked for."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from toolkit.errors import StoreError
from toolkit.store.read import Store, attributes, open_store, parse_band, read_rows, read_whole, store_path
from toolkit.store.schema import FORMAT_VERSION
from toolkit.store.write import new_store, write_group, write_rows

N_CLIPS = 200
CLASSES = ("dog_bark", "siren", "wind")
FOLDS = (1, 2, 3)
COMPOSITES = ("lrp.epsilon", "lrp.sequential_preset_a_flat")
FREQUENCY_HZ = {"mel": np.linspace(100, 10_000, 64), "cqt": 32 * 2 ** (np.arange(64) / 8)}
PER_MAP = ("relevance", "prediction", "target", "logits", "relevance_sum", "relevance_in_padding")
PER_CLIP = ("label", *PER_MAP)


@dataclass(frozen=True)
class Truth:
    """What the store of these tests was made from, as plain arrays."""

    path: Path
    class_name: np.ndarray
    fold: np.ndarray
    level_db: dict[str, np.ndarray]
    object_mask: dict[str, np.ndarray]
    maps: dict[tuple[str, str], dict[str, np.ndarray]]

    def rows(self, classes: Iterable[str] = CLASSES, folds: Iterable[int] = FOLDS) -> np.ndarray:
        wanted = set(product(classes, folds))
        return np.array([row for row in range(N_CLIPS) if (self.class_name[row], self.fold[row]) in wanted])


def bins(representation: str, low_hz: float, high_hz: float) -> np.ndarray:
    inside = [i for i, centre in enumerate(FREQUENCY_HZ[representation]) if low_hz <= centre < high_hz]
    return np.array(inside, dtype=int)


def make_truth(path: Path) -> Truth:
    """Rows are sorted by class and fold, like every catalogue; neither ends where a chunk does."""
    rng = np.random.default_rng(0)
    labels = np.sort(rng.integers(0, 3, N_CLIPS))
    folds = np.concatenate([np.sort(rng.integers(1, 4, (labels == label).sum())) for label in range(3)])
    level_db = {name: rng.uniform(-80, 0, (N_CLIPS, 64, 64)).astype(np.float32) for name in FREQUENCY_HZ}
    object_mask = {name: rng.random((N_CLIPS, 64, 64)) < 0.3 for name in FREQUENCY_HZ}
    maps = {}
    for name in FREQUENCY_HZ:
        logits = rng.standard_normal((N_CLIPS, 3)).astype(np.float32)
        best = logits.argmax(axis=1)
        shared = {"label": labels, "prediction": best, "target": best, "logits": logits}
        for composite in COMPOSITES:
            relevance = rng.standard_normal((N_CLIPS, 64, 64)).astype(np.float32)
            sums = {"relevance_sum": relevance.sum((1, 2)), "relevance_in_padding": relevance[:, 0, 0]}
            maps[name, composite] = {"relevance": relevance, **shared, **sums}
    names = np.array(CLASSES, dtype=object)[labels]
    return Truth(path, names, folds, level_db, object_mask, maps)


def write_truth(truth: Truth) -> None:
    store = truth.path
    with new_store(store, {"class_names": list(CLASSES)}):
        pass
    names = np.array([f"clip-{row:03}.wav" for row in range(N_CLIPS)], dtype=object)
    write_group(
        store,
        "clips",
        {
            "clip": names,
            "path": names,
            "class_name": truth.class_name,
            "label": truth.maps["mel", COMPOSITES[0]]["label"],
            "fold": truth.fold,
            "recording": np.array([str(row // 2) for row in range(N_CLIPS)], dtype=object),
            "start_s": np.zeros(N_CLIPS),
            "end_s": np.full(N_CLIPS, 4.0),
            "salience": np.ones(N_CLIPS, np.int64),
            "status": np.full(N_CLIPS, "ok", dtype=object),
            "error": np.full(N_CLIPS, "", dtype=object),
            "valid_duration_s": np.linspace(1, 4, N_CLIPS),
        },
    )
    for name, frequency_hz in FREQUENCY_HZ.items():
        axes = {
            "frequency": frequency_hz,
            "frequency_low": frequency_hz * 0.97,
            "frequency_high": frequency_hz * 1.03,
            "time": (np.arange(64) + 0.5) / 16,
        }
        cells = {"level_db": truth.level_db[name], "object_mask": truth.object_mask[name]}
        write_group(store, f"features/{name}", {**axes, **cells})
        for composite in COMPOSITES:
            group = f"relevance/{name}/{composite}"
            data = {**axes, "class_name": np.array(CLASSES, dtype=object)}
            sizes = {"clip": N_CLIPS, "frequency": 64, "time": 64, "class_name": 3}
            write_group(store, group, data, empty=PER_CLIP, sizes=sizes)
            write_rows(store, group, slice(0, N_CLIPS), truth.maps[name, composite])


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    found = make_truth(tmp_path_factory.mktemp("run") / "store.zarr")
    write_truth(found)
    return found


@pytest.fixture(scope="module")
def store(truth: Truth) -> Store:
    return open_store(truth.path)


@pytest.fixture
def copy(truth: Truth, tmp_path: Path) -> Path:
    """A store that a test may damage."""
    return Path(shutil.copytree(truth.path, tmp_path / "store.zarr"))


@pytest.fixture
def chunk_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the path, within the store, of every chunk that is read from now on."""
    reads: list[str] = []
    get = LocalStore.get

    async def counted_get(self: LocalStore, key: str, *arguments: object, **options: object):
        found = await get(self, key, *arguments, **options)
        whole = (self.root / key).as_posix()
        if "/c/" in whole and found is not None:
            reads.append(whole.rpartition("store.zarr/")[2])
        return found

    monkeypatch.setattr(LocalStore, "get", counted_get)
    return reads


def chunks_of(array: str, rows: np.ndarray, bin_numbers: np.ndarray) -> list[str]:
    """Return the chunks, of 64 clips by 16 bins by 64 frames, that hold a cell of the selection."""
    pairs = {(int(row) // 64, int(number) // 16) for row in rows for number in bin_numbers}
    return sorted(f"{array}/c/{clip}/{frequency}/0" for clip, frequency in pairs)


def test_fixture__crosses_chunks_within_classes_and_folds(truth: Truth):
    """The tests of reading mean something only if selections are neither whole chunks nor empty."""
    for name, fold in product(CLASSES, FOLDS):
        assert 10 < len(truth.rows([name], [fold])) < 40
    ends = {int(truth.rows([name]).max()) + 1 for name in CLASSES[:-1]}
    assert not {end % 64 for end in ends} & {0}


def test_store__opens_by_its_own_path_or_by_its_run(truth: Truth):
    assert open_store(str(truth.path)).path == truth.path
    assert open_store(truth.path.parent).path == truth.path


def test_store_path__is_the_store_or_lies_in_the_run():
    assert store_path(Path("run")) == Path("run/store.zarr")
    assert store_path(Path("run/other.zarr")) == Path("run/other.zarr")


def test_store__tells_what_it_holds(store: Store):
    assert store.class_names == list(CLASSES)
    assert store.folds == list(FOLDS)
    assert store.representations == ["cqt", "mel"]
    assert store.composites == sorted(COMPOSITES)
    assert store.tree.attrs["format_version"] == FORMAT_VERSION
    assert store.clips.sizes == {"clip": N_CLIPS}


def test_clips__are_the_catalogue(store: Store, truth: Truth):
    assert store.clips["class_name"].values.tolist() == truth.class_name.tolist()
    assert store.clips["fold"].values.tolist() == truth.fold.tolist()
    assert store.clips["clip"].values[7] == "clip-007.wav"


def test_store_without_maps__has_no_representations(tmp_path: Path):
    with new_store(tmp_path / "store.zarr", {"class_names": []}):
        pass
    empty = open_store(tmp_path)
    assert (empty.class_names, empty.representations, empty.composites) == ([], [], [])


@pytest.mark.parametrize("name", ["", "run", "store.zarr"])
def test_absent_store__is_an_error_that_says_how_to_make_one(tmp_path: Path, name: str):
    message = r"store\.zarr: no store; make one with `toolkit run-all --out .*`"
    with pytest.raises(StoreError, match=message):
        open_store(tmp_path / name)


def test_folder_that_holds_no_store__is_an_error(tmp_path: Path):
    (tmp_path / "store.zarr").mkdir()
    with pytest.raises(StoreError, match=r"store\.zarr: no store"):
        open_store(tmp_path)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, str(FORMAT_VERSION)])
def test_store_of_another_format_version__is_an_error_with_both(copy: Path, version: object):
    meta = json.loads((copy / "zarr.json").read_text(encoding="utf-8"))
    meta["attributes"]["format_version"] = version
    (copy / "zarr.json").write_text(json.dumps(meta), encoding="utf-8")
    message = rf"format version {version!r}, this toolkit reads {FORMAT_VERSION}; run `toolkit run-all` again"
    with pytest.raises(StoreError, match=message):
        open_store(copy)


def test_foreign_store__is_an_error(tmp_path: Path):
    zarr.open_group(tmp_path / "store.zarr", mode="w", zarr_format=3)
    with pytest.raises(StoreError, match="format version None"):
        open_store(tmp_path)


def die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_group_of_a_writer_killed_before_its_rename__is_not_part_of_the_store(
    copy: Path, truth: Truth, monkeypatch: pytest.MonkeyPatch
):
    """What it left stays until the next run sweeps it; a reader may come before."""
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        for group in ("relevance/mel/lrp.epsilon", "relevance/stft/lrp.epsilon"):
            with pytest.raises(KeyboardInterrupt):
                write_group(copy, group, {"time": np.zeros(3)})
    found = open_store(copy)
    assert found.composites == sorted(COMPOSITES)
    selected = found.sel(representation="mel", class_name="siren", fold=2)
    np.testing.assert_array_equal(selected["composite"].values, COMPOSITES)
    expected = truth.maps["mel", COMPOSITES[0]]["relevance"][truth.rows(["siren"], [2])]
    np.testing.assert_array_equal(selected["relevance"].values[0], expected)


def test_group_of_a_writer_killed_within_an_array__does_not_hinder_reading(
    copy: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(zarr.Group, "create_array", die)
        with pytest.raises(KeyboardInterrupt):
            write_group(copy, "relevance/mel/lrp.epsilon", {"time": np.zeros(3)})
    assert open_store(copy).composites == sorted(COMPOSITES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2-4 kHz", (2000, 4000)),
        ("125-250 Hz", (125, 250)),
        ("8-11.025 kHz", (8000, 11_025)),
        ("0-125 Hz", (0, 125)),
        ("2-4kHz", (2000, 4000)),
        ("  2 - 4  kHz ", (2000, 4000)),
        ("2-4 KHZ", (2000, 4000)),
        ("0.5-1.5 khz", (500, 1500)),
        ("31.25-62.5 hz", (31.25, 62.5)),
    ],
)
def test_band__is_read_as_hertz(text: str, expected: tuple[float, float]):
    assert parse_band(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2-4",
        "kHz",
        "4-2 kHz",
        "2-2 kHz",
        "2 kHz",
        "-2 kHz",
        "2-4 MHz",
        "-2-4 kHz",
        "1.2.3-4 kHz",
        ".-4 kHz",
        "2-4 kHz or so",
        "a-b Hz",
        "1e3-2e3 Hz",
        "2--4 kHz",
    ],
)
def test_text_that_is_no_band__is_an_error_that_shows_how(text: str):
    with pytest.raises(StoreError, match="write it as '2-4 kHz' or '125-250 Hz', lower edge first") as caught:
        parse_band(text)
    assert str(caught.value).startswith(f"band={text!r}: ")


@pytest.mark.parametrize("representation", ["mel", "cqt"])
@pytest.mark.parametrize("composite", COMPOSITES)
def test_single_names__leave_their_dimensions_out(
    store: Store, truth: Truth, representation: str, composite: str
):
    found = store.sel(representation=representation, composite=composite)
    assert found["relevance"].dims == ("clip", "frequency", "time")
    assert found["level_db"].dims == ("clip", "frequency", "time")
    assert found["relevance"].dtype == np.float32
    expected = truth.maps[representation, composite]
    for name in PER_CLIP:
        np.testing.assert_array_equal(found[name].values, expected[name], err_msg=name)
    np.testing.assert_array_equal(found["level_db"].values, truth.level_db[representation])
    np.testing.assert_array_equal(found["frequency"].values, FREQUENCY_HZ[representation])
    assert str(found["representation"].values) == representation
    assert str(found["composite"].values) == composite
    assert found["logits"].dims == ("clip", "class")
    assert found["class"].values.tolist() == list(CLASSES)


@pytest.mark.parametrize("composite", [None, list(COMPOSITES), COMPOSITES[::-1], [COMPOSITES[1]]])
def test_lists_of_composites__keep_their_dimension_and_order(
    store: Store, truth: Truth, composite: list[str] | None
):
    found = store.sel(representation="mel", composite=composite)
    assert found["relevance"].dims == ("composite", "clip", "frequency", "time")
    assert found["level_db"].dims == ("clip", "frequency", "time")
    names = list(composite or COMPOSITES)
    assert found["composite"].values.tolist() == names
    for name in PER_MAP:
        expected = [truth.maps["mel", composite][name] for composite in names]
        np.testing.assert_array_equal(found[name].values, expected, err_msg=name)
    np.testing.assert_array_equal(found["label"].values, truth.maps["mel", COMPOSITES[0]]["label"])


@pytest.mark.parametrize("representation", [None, ("mel", "cqt"), ["mel"]])
def test_lists_of_representations__keep_their_dimension_and_order(
    store: Store, truth: Truth, representation: list[str] | None
):
    found = store.sel(representation=representation, composite=COMPOSITES[0], class_name="wind", fold=3)
    names = list(representation or ("cqt", "mel"))
    assert found["representation"].values.tolist() == names
    assert found["relevance"].dims == ("representation", "clip", "frequency", "time")
    rows = truth.rows(["wind"], [3])
    for name in names:
        part = found.sel(representation=name, frequency=FREQUENCY_HZ[name])
        expected = truth.maps[name, COMPOSITES[0]]
        for variable in ("relevance", "prediction", "target", "logits", "relevance_sum"):
            np.testing.assert_array_equal(part[variable].values, expected[variable][rows], err_msg=variable)
        np.testing.assert_array_equal(part["level_db"].values, truth.level_db[name][rows])
        np.testing.assert_allclose(part["frequency_low"].values, FREQUENCY_HZ[name] * 0.97)


def test_both_representations__hold_nothing_at_the_frequencies_of_the_other(store: Store):
    found = store.sel(class_name="siren", fold=1)
    assert found["relevance"].dims == ("representation", "composite", "clip", "frequency", "time")
    union = sorted({*FREQUENCY_HZ["mel"], *FREQUENCY_HZ["cqt"]})
    np.testing.assert_array_equal(found["frequency"].values, union)
    for name in ("mel", "cqt"):
        own = np.isin(found["frequency"].values, FREQUENCY_HZ[name])
        part = found.sel(representation=name).transpose("frequency", ...)
        for variable in ("relevance", "level_db"):
            assert np.isnan(part[variable].values[~own]).all()
            assert not np.isnan(part[variable].values[own]).any()


@pytest.mark.parametrize("class_name", [None, "siren", ["wind", "dog_bark"]])
@pytest.mark.parametrize("fold", [None, 2, (3, 1), [1, 2, 3]])
def test_classes_and_folds__select_the_clips_that_are_in_both(
    store: Store, truth: Truth, class_name: str | list[str] | None, fold: int | list[int] | None
):
    found = store.sel(representation="mel", composite=COMPOSITES[0], class_name=class_name, fold=fold)
    classes = [class_name] if isinstance(class_name, str) else class_name or CLASSES
    folds = [fold] if isinstance(fold, int) else fold or FOLDS
    rows = truth.rows(classes, folds)
    assert len(rows) > 0
    np.testing.assert_array_equal(
        found["relevance"].values, truth.maps["mel", COMPOSITES[0]]["relevance"][rows]
    )
    np.testing.assert_array_equal(found["level_db"].values, truth.level_db["mel"][rows])
    assert found["class_name"].values.tolist() == truth.class_name[rows].tolist()
    assert found["fold"].values.tolist() == truth.fold[rows].tolist()
    assert found["clip"].values.tolist() == [f"clip-{row:03}.wav" for row in rows]
    np.testing.assert_allclose(found["valid_duration_s"].values, np.linspace(1, 4, N_CLIPS)[rows])


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_fold__may_be_an_integer_of_numpy(store: Store, truth: Truth, kind: type[np.integer]):
    """Folds read from a dataset are such."""
    found = store.sel(representation="mel", composite=COMPOSITES[0], class_name="siren", fold=kind(2))
    assert found.sizes["clip"] == len(truth.rows(["siren"], [2]))
    found = store.sel(representation="mel", composite=COMPOSITES[0], fold=np.array([1, 3], kind))
    assert found.sizes["clip"] == len(truth.rows(folds=[1, 3]))


def test_generators__can_choose(store: Store, truth: Truth):
    found = store.sel(
        representation=iter(["mel"]),
        composite=(name for name in COMPOSITES),
        class_name=iter(CLASSES[:2]),
        fold=iter(FOLDS[:1]),
        band=iter(["2-4 kHz"]),
    )
    assert found.sizes["clip"] == len(truth.rows(CLASSES[:2], FOLDS[:1]))
    assert found["relevance"].dims[:2] == ("representation", "composite")


@pytest.mark.parametrize("representation", ["mel", "cqt"])
@pytest.mark.parametrize(
    ("band", "limits_hz"),
    [
        ("2-4 kHz", [(2000, 4000)]),
        (["2-4 kHz"], [(2000, 4000)]),
        ("125-512 Hz", [(125, 512)]),
        (["4-8 kHz", "125-250 Hz"], [(125, 250), (4000, 8000)]),
        (["1-3 kHz", "2-4 kHz"], [(1000, 4000)]),
        ("256-512 Hz", [(256, 512)]),
    ],
)
def test_bands__select_the_bins_whose_centre_they_hold(
    store: Store,
    truth: Truth,
    representation: str,
    band: str | list[str],
    limits_hz: list[tuple[float, float]],
):
    """The lower edge belongs to the band, the upper one does not; bins stay in order and come once."""
    found = store.sel(
        representation=representation, composite=COMPOSITES[1], class_name="wind", fold=1, band=band
    )
    wanted = np.concatenate([bins(representation, *limits) for limits in limits_hz])
    np.testing.assert_array_equal(found["frequency"].values, FREQUENCY_HZ[representation][wanted])
    cells = np.ix_(truth.rows(["wind"], [1]), wanted)
    expected = truth.maps[representation, COMPOSITES[1]]["relevance"][cells]
    np.testing.assert_array_equal(found["relevance"].values, expected)
    np.testing.assert_array_equal(found["level_db"].values, truth.level_db[representation][cells])


def test_band_of_both_representations__takes_the_bins_of_each(store: Store):
    found = store.sel(composite=COMPOSITES[0], class_name="wind", fold=1, band="1-2 kHz")
    n_bins = [len(bins(name, 1000, 2000)) for name in ("mel", "cqt")]
    assert found.sizes["frequency"] == sum(n_bins)
    assert ((found["frequency"] >= 1000) & (found["frequency"] < 2000)).all()


def test_band_without_a_bin__gives_no_frequencies(store: Store):
    found = store.sel(representation="cqt", composite=COMPOSITES[0], fold=1, band="9-10 kHz")
    assert found.sizes["frequency"] == 0
    assert found["relevance"].values.size == 0


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"representation": "stft"}, r"representation='stft' is not in the store; there are: cqt, mel$"),
        ({"representation": ["mel", "stft"]}, r"representation='stft' is not in the store"),
        ({"composite": "lrp.z"}, r"composite='lrp\.z' is not .*: lrp\.epsilon, lrp\.sequential_preset_a_flat$"),
        ({"class_name": "owl"}, r"class_name='owl' is not in the store; there are: dog_bark, siren, wind$"),
        ({"class_name": ["siren", "owl"]}, r"class_name='owl' is not in the store"),
        ({"fold": 9}, r"fold=9 is not in the store; there are: 1, 2, 3$"),
        ({"fold": [1, 9]}, r"fold=9 is not in the store"),
        ({"fold": "1"}, r"fold='1' is not in the store; there are: 1, 2, 3$"),
        ({"fold": []}, r"fold=\[\] is not in the store; there are: 1, 2, 3$"),
        ({"class_name": []}, r"class_name=\[\] is not in the store"),
        ({"band": "low"}, r"band='low': write it as '2-4 kHz'"),
        ({"band": ["2-4 kHz", "4-2 kHz"]}, r"band='4-2 kHz': write it as"),
    ],
)
def test_name_that_is_not_in_the_store__is_an_error_that_lists_what_is(
    store: Store, choice: dict[str, object], message: str
):
    with pytest.raises(StoreError, match=f"^{message}"):
        store.sel(**choice)


def test_selecting_from_a_store_without_maps__says_that_there_are_none_yet(copy: Path):
    shutil.rmtree(copy / "relevance")
    with pytest.raises(StoreError, match=r"representation='mel' is not in the store; there are: none yet"):
        open_store(copy).sel(representation="mel")
    with pytest.raises(StoreError, match=r"none yet|no relevance maps"):
        open_store(copy).sel()


def test_composite_of_one_representation_only__is_an_error_that_lists_its_own(copy: Path):
    shutil.rmtree(copy / "relevance" / "cqt" / COMPOSITES[1])
    found = open_store(copy)
    assert found.composites == sorted(COMPOSITES)
    message = rf"composite '{COMPOSITES[1]}' has no cqt maps; there are: {COMPOSITES[0]}$"
    with pytest.raises(StoreError, match=message):
        found.sel(representation="cqt", composite=COMPOSITES[1])
    assert found.sel(representation="mel", composite=COMPOSITES[1]).sizes["clip"] == N_CLIPS


def test_variables__keep_their_meaning_through_a_selection(store: Store):
    found = store.sel(representation="mel", composite=COMPOSITES[0], fold=1)
    assert found["level_db"].attrs["units"] == "dB"
    assert found["frequency"].attrs["units"] == "Hz"
    assert found["relevance"].attrs["description"]


SELECTIONS = (
    ("mel", "siren", 2, "2-4 kHz"),
    ("cqt", "wind", 3, "125-250 Hz"),
    ("cqt", "dog_bark", [1, 3], ["63-64 Hz", "4-8 kHz"]),
    ("mel", ["dog_bark", "wind"], 1, None),
    ("mel", None, None, "9-10 kHz"),
)


@pytest.mark.parametrize(("representation", "class_name", "fold", "band"), SELECTIONS)
def test_computing_relevance__reads_the_chunks_that_the_selection_overlaps_once_and_no_other(
    truth: Truth,
    chunk_reads: list[str],
    representation: str,
    class_name: str | list[str] | None,
    fold: int | list[int] | None,
    band: str | list[str] | None,
):
    store = open_store(truth.path)
    selected = store.sel(
        representation=representation, composite=COMPOSITES[0], class_name=class_name, fold=fold, band=band
    )
    assert not [key for key in chunk_reads if "/relevance/c/" in key or "/level_db/c/" in key]
    chunk_reads.clear()
    values = selected["relevance"].values
    classes = [class_name] if isinstance(class_name, str) else class_name or CLASSES
    folds = [fold] if isinstance(fold, int) else fold or FOLDS
    bands = [band] if isinstance(band, str) else band or ["0-100 kHz"]
    rows = truth.rows(classes, folds)
    numbers = np.concatenate([bins(representation, *parse_band(text)) for text in bands])
    group = f"relevance/{representation}/{COMPOSITES[0]}"
    assert sorted(chunk_reads) == chunks_of(f"{group}/relevance", rows, numbers)
    assert values.shape == (len(rows), len(numbers), 64)


def test_narrow_selection__is_far_less_than_the_store(truth: Truth):
    """A guard of the test above: one class, fold and band overlap few of the 16 chunks of a map."""
    rows, numbers = truth.rows(["siren"], [2]), bins("mel", 2000, 4000)
    assert len(chunks_of("relevance", np.arange(N_CLIPS), np.arange(64))) == 16
    assert len(chunks_of("relevance", rows, numbers)) <= 4


@pytest.mark.parametrize("representation", ["mel", None])
def test_opening_and_selecting__read_no_map_and_no_level(
    truth: Truth, chunk_reads: list[str], representation: str | None
):
    selected = open_store(truth.path).sel(
        representation=representation, class_name="siren", fold=2, band="2-4 kHz"
    )
    assert selected["relevance"].dims
    assert selected["level_db"].dims
    assert chunk_reads
    lazy = {*PER_MAP, "level_db", "object_mask"}
    assert not [key for key in chunk_reads if Path(key.partition("/c/")[0]).name in lazy]


def test_computing_level__reads_no_map(truth: Truth, chunk_reads: list[str]):
    selected = open_store(truth.path).sel(representation="mel", class_name="siren", fold=2, band="2-4 kHz")
    chunk_reads.clear()
    selected["level_db"].load()
    expected = chunks_of("features/mel/level_db", truth.rows(["siren"], [2]), bins("mel", 2000, 4000))
    assert sorted(chunk_reads) == expected


def test_maps_of_both_representations__read_only_their_own_overlap(truth: Truth, chunk_reads: list[str]):
    selected = open_store(truth.path).sel(class_name="dog_bark", fold=1, band="2-4 kHz")
    chunk_reads.clear()
    selected["relevance"].load()
    rows = truth.rows(["dog_bark"], [1])
    expected = [
        key
        for name, composite in product(FREQUENCY_HZ, COMPOSITES)
        for key in chunks_of(f"relevance/{name}/{composite}/relevance", rows, bins(name, 2000, 4000))
    ]
    assert sorted(chunk_reads) == sorted(expected)


def test_selection__is_an_ordinary_dataset(store: Store, truth: Truth):
    """Clips can be grouped by what is known of them, here by recording."""
    selected = store.sel(representation="mel", composite=COMPOSITES[0], class_name="siren", fold=2)
    found = selected["relevance"].groupby("recording").mean().mean("recording")
    maps = truth.maps["mel", COMPOSITES[0]]["relevance"]
    by_recording: dict[int, list[np.ndarray]] = {}
    for row in truth.rows(["siren"], [2]):
        by_recording.setdefault(int(row) // 2, []).append(maps[row])
    expected = np.mean([np.mean(part, axis=0) for part in by_recording.values()], axis=0)
    assert found.dims == ("frequency", "time")
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


@pytest.mark.parametrize("representation", ["mel", "cqt"])
def test_object_mask__is_selected_with_the_maps(store: Store, truth: Truth, representation: str):
    choice = {"class_name": "siren", "fold": 2, "band": "2-4 kHz"}
    cells = np.ix_(truth.rows(["siren"], [2]), bins(representation, 2000, 4000))
    expected = truth.object_mask[representation][cells]
    single = store.sel(representation=representation, **choice)["object_mask"]
    assert single.dtype == np.bool_
    np.testing.assert_array_equal(single.values, expected)
    both = store.sel(**choice)["object_mask"].sel(representation=representation)
    own = both.isel(frequency=np.isin(both["frequency"], FREQUENCY_HZ[representation]))
    np.testing.assert_array_equal(own.values.astype(bool), expected)


def test_object_mask__is_absent_where_it_is_not_known(copy: Path):
    for name in FREQUENCY_HZ:
        shutil.rmtree(copy / "features" / name / "object_mask")
    assert "object_mask" not in open_store(copy).sel(representation="mel", fold=1)


def test_stages__read_plain_rows(truth: Truth):
    group = f"relevance/cqt/{COMPOSITES[0]}"
    expected = truth.maps["cqt", COMPOSITES[0]]
    for rows in (slice(64, 128), slice(190, 200), np.array([3, 150, 64]), np.array([], dtype=int)):
        found = read_rows(truth.path, group, ["relevance", "label"], rows)
        assert list(found) == ["relevance", "label"]
        for name, values in found.items():
            np.testing.assert_array_equal(values, expected[name][rows])


def test_stages__read_whole_groups_or_some_variables(truth: Truth):
    assert set(read_whole(truth.path, "features/mel")) == {
        "frequency", "frequency_high", "frequency_low", "level_db", "object_mask", "time",
    }  # fmt: skip
    (fold,) = read_whole(truth.path, "clips", ["fold"]).values()
    np.testing.assert_array_equal(fold, truth.fold)


def test_group_in_the_place_of_a_variable__is_an_error(copy: Path):
    shutil.rmtree(copy / "clips" / "label")
    zarr.open_group(copy / "clips" / "label", mode="w", zarr_format=3)
    for read in (
        lambda: read_rows(copy, "clips", ["label"], slice(0, 3)),
        lambda: read_whole(copy, "clips", ["label"]),
    ):
        with pytest.raises(StoreError, match="label is not an array: remove the store and run again"):
            read()


def test_attributes__are_what_the_store_says_of_itself(truth: Truth):
    assert attributes(truth.path) == {"format_version": FORMAT_VERSION, "class_names": list(CLASSES)}
