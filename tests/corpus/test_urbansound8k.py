"""Reading a table of UrbanSound8K: what stands, what is made good, and what becomes a problem."""

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from toolkit.corpus.catalogue import Catalogue, Clip
from toolkit.corpus.urbansound8k import METADATA, read_catalogue
from toolkit.errors import CorpusError

COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
GOOD = (
    ("100-3-0-0.wav", "100", "0.0", "2.5", "1", "1", "3", "dog_bark"),
    ("100-3-0-1.wav", "100", "2.5", "4.0", "2", "1", "3", "dog_bark"),
    ("200-8-0-0.wav", "200", "1.0", "5.0", "1", "2", "8", "siren"),
    ("300-8-1-0.wav", "300", "0.0", "4.0", "2", "1", "8", "siren"),
)
GOOD_NAMES = {row[0] for row in GOOD}

Table = Iterable[Mapping[str, str]]
WriteCorpus = Callable[..., Path]


def as_rows(rows: Iterable[tuple[str, ...]] = GOOD) -> list[dict[str, str]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def as_row(**changes: str) -> dict[str, str]:
    """Return one more good row, changed in the given columns; `class` is written `class_`."""
    row = dict(zip(COLUMNS, ("900-3-0-0.wav", "900", "0.0", "1.0", "1", "1", "3", "dog_bark"), strict=True))
    return row | {name.rstrip("_"): value for name, value in changes.items()}


def names_of(catalogue: Catalogue) -> set[str]:
    return {clip.name for clip in catalogue.clips}


def clip_named(catalogue: Catalogue, name: str) -> Clip:
    return next(clip for clip in catalogue.clips if clip.name == name)


def write_table(root: Path, rows: Table, columns: Iterable[str] = COLUMNS) -> None:
    path = root / METADATA
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(columns), extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


@pytest.fixture
def write_corpus(tmp_path: Path) -> WriteCorpus:
    """Return a function that writes the files of the good rows and a table of any rows."""

    def write(rows: Table, columns: Iterable[str] = COLUMNS) -> Path:
        for name, _, _, _, _, fold, *_ in GOOD:
            folder = tmp_path / "audio" / f"fold{fold}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        write_table(tmp_path, rows, columns)
        return tmp_path

    return write


def test_catalogue__holds_what_the_table_says(write_corpus: WriteCorpus):
    root = write_corpus(as_rows())
    catalogue = read_catalogue(root)
    assert catalogue.root == root
    assert catalogue.problems == ()
    assert catalogue.class_names == ("dog_bark", "siren")
    assert clip_named(catalogue, "200-8-0-0.wav") == Clip(
        name="200-8-0-0.wav",
        path="audio/fold2/200-8-0-0.wav",
        class_name="siren",
        label=1,
        fold=2,
        recording="200",
        start_s=1.0,
        end_s=5.0,
        salience=1,
    )


def test_catalogue__is_sorted_by_class_fold_recording_and_name_whatever_the_order_of_the_table(
    write_corpus: WriteCorpus,
):
    expected = ["100-3-0-0.wav", "100-3-0-1.wav", "300-8-1-0.wav", "200-8-0-0.wav"]
    for rows in (as_rows(), as_rows()[::-1], as_rows()[2:] + as_rows()[:2]):
        assert [clip.name for clip in read_catalogue(write_corpus(rows)).clips] == expected


def test_labels__are_numbered_from_0_without_gaps(write_corpus: WriteCorpus):
    catalogue = read_catalogue(write_corpus(as_rows()))
    assert {clip.class_name: clip.label for clip in catalogue.clips} == {"dog_bark": 0, "siren": 1}


FALLBACKS: dict[str, tuple[str, object]] = {
    "fsID": ("recording", "200"),
    "start": ("start_s", None),
    "end": ("end_s", None),
    "salience": ("salience", 0),
    "fold": ("fold", 2),
    "classID": ("label", 1),
    "class": ("class_name", "siren"),
}


@pytest.mark.parametrize(("column", "made_good"), FALLBACKS.items())
def test_missing_column__is_one_problem_that_names_it_and_every_clip_stays(
    write_corpus: WriteCorpus, column: str, made_good: tuple[str, object]
):
    root = write_corpus(as_rows(), [name for name in COLUMNS if name != column])
    catalogue = read_catalogue(root)
    assert names_of(catalogue) == GOOD_NAMES
    (problem,) = catalogue.problems
    assert problem.subject == str(METADATA)
    assert f"column {column!r} is missing" in problem.reason
    field, expected = made_good
    value = getattr(clip_named(catalogue, "200-8-0-0.wav"), field)
    assert value != value if expected is None else value == expected


def test_missing_columns__are_all_made_good_from_names_and_folders(write_corpus: WriteCorpus):
    catalogue = read_catalogue(write_corpus(as_rows(), ["slice_file_name"]))
    assert len(catalogue.problems) == len(COLUMNS) - 1
    found = {(clip.name, clip.fold, clip.recording, clip.class_name) for clip in catalogue.clips}
    assert found == {(row[0], int(row[5]), row[1], row[7]) for row in GOOD}


def test_missing_class_id__comes_from_the_file_name_for_a_class_of_ones_own(write_corpus: WriteCorpus):
    rows = as_rows([(*row[:7], {"3": "owl", "8": "wind"}[row[6]]) for row in GOOD])
    catalogue = read_catalogue(write_corpus(rows, [name for name in COLUMNS if name != "classID"]))
    assert catalogue.class_names == ("owl", "wind")
    assert names_of(catalogue) == GOOD_NAMES


def test_missing_fold__is_a_problem_for_a_file_in_two_folders(write_corpus: WriteCorpus):
    root = write_corpus(as_rows(), [name for name in COLUMNS if name != "fold"])
    (root / "audio" / "fold7").mkdir()
    (root / "audio" / "fold7" / "100-3-0-0.wav").touch()
    catalogue = read_catalogue(root)
    assert names_of(catalogue) == GOOD_NAMES - {"100-3-0-0.wav"}
    (problem,) = (item for item in catalogue.problems if "line" in item.subject)
    assert "'100-3-0-0.wav' lies in 2 folders" in problem.reason


def test_missing_slice_file_name__is_an_error(write_corpus: WriteCorpus):
    with pytest.raises(CorpusError, match=r"column 'slice_file_name' is missing.*found: \['fsID'"):
        read_catalogue(write_corpus(as_rows(), COLUMNS[1:]))


BAD_ROWS = {
    "fold is a word": (as_row(fold="x"), "fold='x'"),
    "fold is zero": (as_row(fold="0"), "fold='0'"),
    "fold is negative": (as_row(fold="-1"), "fold='-1'"),
    "fold is a fraction": (as_row(fold="1.5"), "fold='1.5'"),
    "end before start": (as_row(start="2", end="1"), "end=1.0 is not after start=2.0"),
    "end at start": (as_row(start="2", end="2"), "end=2.0 is not after start=2.0"),
    "negative start": (as_row(start="-0.5"), "start='-0.5'"),
    "start is NaN": (as_row(start="nan"), "start='nan'"),
    "end is NaN": (as_row(end="NaN"), "end='NaN'"),
    "end is infinite": (as_row(end="inf"), "end='inf'"),
    "start is infinite": (as_row(start="-inf"), "start='-inf'"),
    "end is a word": (as_row(end="later"), "end='later'"),
    "salience out of range": (as_row(salience="3"), "salience='3'"),
    "salience is a word": (as_row(salience="loud"), "salience='loud'"),
    "class number is a word": (as_row(classID="three"), "classID='three'"),
    "name twice": (as_row(slice_file_name="100-3-0-0.wav"), "slice_file_name='100-3-0-0.wav' stands twice"),
    "name is empty": (as_row(slice_file_name=""), "slice_file_name=''"),
    "name climbs": (
        as_row(slice_file_name="../fold2/200-8-0-0.wav"),
        "slice_file_name='../fold2/200-8-0-0.wav'",
    ),
    "name is absolute": (as_row(slice_file_name="/etc/passwd"), "slice_file_name='/etc/passwd'"),
    "name is the parent folder": (as_row(slice_file_name=".."), "slice_file_name='..'"),
    "unknown class number, no name": (as_row(classID="77", class_=""), "classID=77"),
    "no recording": (as_row(slice_file_name="owl.wav", fsID=""), "fsID is empty"),
    "no class at all": (as_row(slice_file_name="owl.wav", classID="", class_=""), "classID is empty"),
    "no fold, no file": (as_row(fold=""), "fold is empty"),
}


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_row__is_a_problem_with_its_line_and_the_others_stand(
    write_corpus: WriteCorpus, row: Mapping[str, str], reason: str
):
    good = as_rows()
    catalogue = read_catalogue(write_corpus([*good[:2], row, *good[2:]]))
    assert names_of(catalogue) == GOOD_NAMES
    (problem,) = catalogue.problems
    assert problem.subject == f"{METADATA} line 4"
    assert reason in problem.reason
    assert "the row is left out" in problem.reason


def test_bad_row__is_reported_by_its_line_in_the_file_even_below_a_blank_line(write_corpus: WriteCorpus):
    root = write_corpus([*as_rows(), as_row(fold="x")])
    lines = (root / METADATA).read_text(encoding="utf-8").splitlines()
    (root / METADATA).write_text("\n".join([*lines[:2], "", *lines[2:]]) + "\n", encoding="utf-8")
    (problem,) = read_catalogue(root).problems
    assert problem.subject == f"{METADATA} line 7"


def test_duplicate_name__leaves_the_first_row_standing(write_corpus: WriteCorpus):
    rows = [*as_rows(), as_row(slice_file_name="200-8-0-0.wav", fsID="200", end="0.5")]
    catalogue = read_catalogue(write_corpus(rows))
    assert clip_named(catalogue, "200-8-0-0.wav").end_s == 5.0


def test_overlong_name__cannot_be_a_file_and_the_others_stand(write_corpus: WriteCorpus):
    """Some systems refuse to even look for a name of more than 255 bytes."""
    catalogue = read_catalogue(write_corpus([as_row(slice_file_name=f"{'9' * 300}-3-0-0.wav"), *as_rows()]))
    assert names_of(catalogue) >= GOOD_NAMES


@pytest.mark.parametrize(
    "changes", [{"class_": "siren"}, {"classID": "8"}, {"class_": "owl"}, {"classID": "5"}]
)
def test_class_and_number_that_pair_unlike_other_rows__are_a_problem(
    write_corpus: WriteCorpus, changes: dict[str, str]
):
    catalogue = read_catalogue(write_corpus([as_row(**changes), *as_rows()]))
    assert names_of(catalogue) == GOOD_NAMES
    assert catalogue.class_names == ("dog_bark", "siren")
    (problem,) = catalogue.problems
    assert problem.subject == "900-3-0-0.wav"
    assert (
        f"class={changes.get('class_', 'dog_bark')!r} with classID={changes.get('classID', '3')}"
        in problem.reason
    )
    assert problem.reason.endswith("; the row is left out")


def test_row_with_too_few_fields__counts_as_empty_fields(write_corpus: WriteCorpus):
    root = write_corpus(as_rows())
    with (root / METADATA).open("a", encoding="utf-8") as file:
        file.write("900-3-0-0.wav,900,0.0,1.0,1\n")
    catalogue = read_catalogue(root)
    assert names_of(catalogue) == GOOD_NAMES
    assert [problem.subject for problem in catalogue.problems] == [f"{METADATA} line 6"]


def test_row_with_too_many_fields__is_left_out_as_a_comma_may_have_shifted_them(write_corpus: WriteCorpus):
    root = write_corpus(as_rows())
    with (root / METADATA).open("a", encoding="utf-8") as file:
        file.write(
            "900-3-0-0.wav,900,0.0,1.0,1,1,3,dog_bark,and,more\n900-3-0-1.wav,900,0,1,1,1,3,dog_bark,,\n"
        )
    catalogue = read_catalogue(root)
    assert names_of(catalogue) == GOOD_NAMES | {"900-3-0-1.wav"}
    (problem,) = catalogue.problems
    assert problem.reason == "the header has 8 fields, the row 10; the row is left out"


def test_absent_file__keeps_its_row(write_corpus: WriteCorpus):
    root = write_corpus(as_rows())
    (root / "audio" / "fold2" / "200-8-0-0.wav").unlink()
    assert names_of(read_catalogue(root)) == GOOD_NAMES


def test_no_file_at_all__is_an_error_that_says_how_many_were_named(tmp_path: Path):
    write_table(tmp_path, as_rows())
    message = r"none of its 4 clips exists, such as audio/fold1/100-3-0-0\.wav; nothing to process$"
    with pytest.raises(CorpusError, match=message):
        read_catalogue(tmp_path)


def test_nothing_usable__is_an_error_that_gives_reasons(write_corpus: WriteCorpus):
    rows = [row | {"fold": "x"} for row in as_rows()]
    with pytest.raises(CorpusError, match=r"names no clip that can be used.*\(4 faults, .*line 5: fold='x'"):
        read_catalogue(write_corpus(rows))


def test_header_alone__is_an_error(write_corpus: WriteCorpus):
    with pytest.raises(CorpusError, match=r"names no clip that can be used; nothing to process$"):
        read_catalogue(write_corpus([]))


def test_no_table__is_an_error_that_says_what_is_wanted(tmp_path: Path):
    with pytest.raises(
        CorpusError, match=r"UrbanSound8K\.csv.*takes the folder that holds audio/ and metadata/"
    ):
        read_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the table is empty; it needs a header with 'slice_file_name'"),
        (b"PK\x03\x04 something else", "column 'slice_file_name' is missing"),
        (b"a" * 200_000, "header cannot be understood .field larger than field limit"),
    ],
)
def test_table_that_is_none__is_an_error(write_corpus: WriteCorpus, content: bytes, message: str):
    root = write_corpus(as_rows())
    (root / METADATA).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_catalogue(root)


def test_byte_order_mark_and_windows_line_ends__change_nothing(write_corpus: WriteCorpus):
    root = write_corpus(as_rows())
    expected = read_catalogue(root)
    plain = (root / METADATA).read_bytes()
    (root / METADATA).write_bytes(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"))
    assert read_catalogue(root) == expected


def test_spaces_around_fields__change_nothing(write_corpus: WriteCorpus):
    expected = read_catalogue(write_corpus(as_rows()))
    spaced = [{name: f" {value} " for name, value in row.items()} for row in as_rows()]
    assert read_catalogue(write_corpus(spaced)) == expected


def test_stems__are_found_where_they_lie(write_corpus: WriteCorpus):
    root = write_corpus(as_rows())
    folder = root / "stems" / "fold2"
    folder.mkdir(parents=True)
    (folder / "200-8-0-0.object.wav").touch()
    (folder / "200-8-0-0.background.wav").touch()
    catalogue = read_catalogue(root)
    clip = clip_named(catalogue, "200-8-0-0.wav")
    assert clip.object_path == "stems/fold2/200-8-0-0.object.wav"
    assert clip.background_path == "stems/fold2/200-8-0-0.background.wav"
    assert clip_named(catalogue, "300-8-1-0.wav").object_path is None
    assert catalogue.has_stems


def test_stems__may_lack_the_background(write_corpus: WriteCorpus):
    root = write_corpus(as_rows())
    folder = root / "stems" / "fold2"
    folder.mkdir(parents=True)
    (folder / "200-8-0-0.object.wav").touch()
    clip = clip_named(read_catalogue(root), "200-8-0-0.wav")
    assert clip.object_path is not None
    assert clip.background_path is None


def test_without_stems__the_catalogue_says_so(write_corpus: WriteCorpus):
    assert not read_catalogue(write_corpus(as_rows())).has_stems
