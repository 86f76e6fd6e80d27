"""Bad tables of every kind: each fault is named with its line and its reason, and costs nothing else."""

import csv
import io
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import pytest

from toolkit.config import SourceSettings
from toolkit.corpus import sources
from toolkit.corpus.catalogue import Catalogue
from toolkit.errors import CorpusError

FIELDS = ("name", "recording", "start", "end", "salience", "fold", "number", "class")
GOOD = (
    ("100-3-0-0.wav", "100", "0.0", "2.5", "1", "1", "3", "dog_bark"),
    ("100-3-0-1.wav", "100", "2.5", "4.0", "2", "1", "3", "dog_bark"),
    ("200-8-0-0.wav", "200", "1.0", "5.0", "1", "2", "8", "siren"),
    ("300-8-1-0.wav", "300", "0.0", "4.0", "", "2", "8", "siren"),
)
NAMES = [row[0] for row in GOOD]
BAD_LINE = 4
"""Where a bad row is put: below the header and two good rows."""


@dataclass(frozen=True)
class Kind:
    """How one kind of source names its table and its columns; it has no column that is called ''."""

    table: str
    columns: tuple[str, ...]
    file: str
    is_table: bool = False

    def source(self, root: Path) -> Path:
        return root / self.table if self.is_table else root

    @property
    def required(self) -> str:
        return self.columns[0]


_URBAN = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
KINDS = {
    "urbansound8k": Kind("metadata/UrbanSound8K.csv", _URBAN, "audio/fold{fold}/{name}"),
    "pictures": Kind("UrbanSound8K.csv", _URBAN, "train/{stem}.png"),
    "manifest": Kind(
        "clips.csv",
        ("path", "recording", "start", "end", "salience", "fold", "", "class"),
        "{name}",
        is_table=True,
    ),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def as_line(kind: str, values: tuple[str, ...]) -> bytes:
    columns = KINDS[kind].columns
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(
        value for column, value in zip(columns, values, strict=True) if column
    )
    return text.getvalue().removesuffix("\n").encode("utf-8", "surrogateescape")


def lines_of(kind: str) -> list[bytes]:
    return [as_line(kind, KINDS[kind].columns), *(as_line(kind, row) for row in GOOD)]


def write(root: Path, kind: str, content: bytes) -> None:
    """Write a table beside the files of the good rows."""
    for name, _, _, _, _, fold, *_ in GOOD:
        path = root / KINDS[kind].file.format(name=name, stem=Path(name).stem, fold=fold)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / KINDS[kind].table).parent.mkdir(parents=True, exist_ok=True)
    (root / KINDS[kind].table).write_bytes(content)


def read(root: Path, kind: str) -> Catalogue:
    source = SourceSettings(kind=kind, path=KINDS[kind].source(root))
    return sources.read(source, root, seed=0, duration_s=4.0)


def read_with(root: Path, kind: str, line: bytes) -> Catalogue:
    """Read the good rows and among them another line, which is the fourth of the table."""
    lines = lines_of(kind)
    write(root, kind, b"\n".join([*lines[: BAD_LINE - 1], line, *lines[BAD_LINE - 1 :]]) + b"\n")
    return read(root, kind)


def assert_costs_itself_alone(catalogue: Catalogue, kind: str, reason: str) -> None:
    assert sorted(clip.name for clip in catalogue.clips) == NAMES
    assert catalogue.class_names == ("dog_bark", "siren")
    (problem,) = catalogue.problems
    assert problem.severity == "fault"
    assert problem.subject == f"{KINDS[kind].table} line {BAD_LINE}"
    assert reason in problem.reason
    assert "left out" in problem.reason
    assert problem.reason.isprintable()
    assert problem.reason.encode()
    assert len(problem.reason) < 300


def test_good_rows__have_no_problems(tmp_path: Path, kind: str):
    write(tmp_path, kind, b"\n".join(lines_of(kind)))
    catalogue = read(tmp_path, kind)
    assert sorted(clip.name for clip in catalogue.clips) == NAMES
    assert catalogue.problems == ()


FIELD_CASES: dict[str, tuple[dict[str, str], str]] = {
    "fold is a word": ({"fold": "first"}, "fold='first' is not a whole number from 1 to 999"),
    "fold is zero": ({"fold": "0"}, "fold='0' is not a whole number"),
    "fold is negative": ({"fold": "-1"}, "fold='-1' is not a whole number"),
    "fold is a fraction": ({"fold": "1.5"}, "fold='1.5' is not a whole number"),
    "fold is large": ({"fold": "1000"}, "fold='1000' is not a whole number"),
    "fold has thousands of digits": ({"fold": "9" * 5000}, "...' is not a whole number"),
    "fold is empty": ({"fold": ""}, "fold is empty"),
    "start is NaN": ({"start": "nan"}, "start='nan' is not a time in seconds"),
    "start is negative": ({"start": "-1"}, "start='-1' is not a time in seconds"),
    "start is a clock": ({"start": "0:01"}, "start='0:01' is not a time in seconds"),
    "end is infinite": ({"end": "inf"}, "end='inf' is not a time in seconds"),
    "end is beyond all floats": ({"end": "1e999"}, "end='1e999' is not a time in seconds"),
    "end is absurd": ({"end": "1e300"}, "end='1e300' is not a time in seconds"),
    "end comes first": ({"start": "3", "end": "1"}, "end=1.0 is not after start=3.0"),
    "end is the start": ({"start": "3", "end": "3"}, "end=3.0 is not after start=3.0"),
    "clip lasts over a day": ({"start": "0", "end": "90000"}, "end=90000.0 is more than a day after start=0.0"),
    "salience is a word": ({"salience": "loud"}, "salience='loud' is not a whole number from 0 to 2"),
    "salience is three": ({"salience": "3"}, "salience='3' is not a whole number from 0 to 2"),
    "name is empty": ({"name": ""}, "=''"),
    "name climbs": ({"name": "../100-3-0-0.wav"}, "='../100-3-0-0.wav' is not"),
    "name is absolute": ({"name": "/etc/passwd"}, "='/etc/passwd' is not"),
    "name is the folder above": ({"name": ".."}, "='..' is not"),
    "name is the folder itself": ({"name": "."}, "='.' "),
    "name holds a line break": ({"name": "a\nb.wav"}, r"='a\nb.wav' holds the unprintable character '\n'"),
    "name holds a NUL byte": ({"name": "a\0b.wav"}, r"='a\x00b.wav' holds the unprintable character '\x00'"),
    "name holds bytes": ({"name": "caf\udce9.wav"}, r"='caf\xe9.wav' holds bytes that are not UTF-8"),
    "name is gigantic": ({"name": "x" * 100_000}, "bytes; "),
    "name is beyond the limit": ({"name": "x" * 200_000}, "field larger than field limit (131072)"),
    "class holds a bell": ({"class": "si\aren"}, r"class='si\x07ren' holds the unprintable character '\x07'"),
    "class runs from right to left": ({"class": "\u202esiren"}, r"class='\u202esiren' holds the unprintable"),
    "class holds bytes": ({"class": "sir\udcc3(n"}, r"class='sir\xc3(n' holds bytes that are not UTF-8"),
    "class is long": ({"class": "s" * 241}, "has 241 bytes; 240 are allowed"),
    "recording holds a tab": ({"recording": "9\t00"}, r"='9\t00' holds the unprintable character '\t'"),
    "recording is long": ({"recording": "9" * 241}, "has 241 bytes; 240 are allowed"),
}


@pytest.mark.parametrize(("changes", "reason"), FIELD_CASES.values(), ids=FIELD_CASES)
def test_bad_field__is_named_with_its_line_and_costs_its_row_alone(
    tmp_path: Path, kind: str, changes: dict[str, str], reason: str
):
    good = dict(zip(FIELDS, ("900-3-0-0.wav", "900", "0", "1", "1", "1", "3", "dog_bark"), strict=True))
    line = as_line(kind, tuple({**good, **changes}.values()))
    catalogue = read_with(tmp_path, kind, line)
    if changes.get("name") == "a\nb.wav":
        assert "(the row runs to line 5)" in catalogue.problems[0].reason
    assert_costs_itself_alone(catalogue, kind, reason)


LINE_CASES: dict[str, tuple[bytes, str]] = {
    "short row": (b"x.wav,1", "fields, the row 2"),
    "one field": (b"x.wav", "fields, the row 1"),
    "long row": (b"x.wav,1,0,1,1,1,dog_bark,dog_bark,and,more", "fields, the row 10"),
    "open quote at the start": (b'"x.wav,1,0,1,1,1,dog_bark', "is not CSV"),
    "open quote at the end": (
        b'x.wav,1,0,1,1,1,"dog_bark',
        "is not CSV: unexpected end of data (is a quote not",
    ),
    "text after a quote": (b'"x.wav"x,1,0,1,1,1,dog_bark', "is not CSV: ',' expected after '\"'"),
    "bytes of an image": (b"\x89PNG\x1a\x00\xff\xfe", "fields, the row 1"),
    "other separators": (b"x.wav;1;0;1;1;1;3;dog_bark", "fields, the row 1"),
}


@pytest.mark.parametrize(("line", "reason"), LINE_CASES.values(), ids=LINE_CASES)
def test_bad_line__is_named_and_costs_itself_alone(tmp_path: Path, kind: str, line: bytes, reason: str):
    assert_costs_itself_alone(read_with(tmp_path, kind, line), kind, reason)


OF_ONE_KIND: dict[str, tuple[str, tuple[str, ...], str]] = {
    "slice twice": ("urbansound8k", GOOD[0], "slice_file_name='100-3-0-0.wav' stands twice; the first one"),
    "picture twice": (
        "pictures",
        GOOD[0],
        "slice_file_name='100-3-0-0.wav' stands twice; the first one counts",
    ),
    "path twice": ("manifest", GOOD[0], "names the same file and times as clips.csv line 2, which counts"),
    "slice in a folder": (
        "urbansound8k",
        ("sub/900-3-0-0.wav", "900", "0", "1", "1", "1", "3", "dog_bark"),
        "slice_file_name='sub/900-3-0-0.wav' is not the plain name of a file",
    ),
    "path of Windows": (
        "manifest",
        ("sub\\x.wav", "900", "0", "1", "1", "1", "", "dog_bark"),
        r"path='sub\\x.wav' holds a backslash; folders are separated by '/'",
    ),
    "no class": ("manifest", ("x.wav", "900", "0", "1", "1", "1", "", " "), "class is empty"),
    "no class, no number": (
        "urbansound8k",
        ("owl.wav", "900", "0", "1", "1", "1", "", ""),
        "classID is empty, and neither the class nor the file name tells it",
    ),
    "number of no class": (
        "pictures",
        ("900-77-0-0.wav", "900", "0", "1", "1", "1", "77", ""),
        "class is empty, and classID=77 is none of UrbanSound8K's (0 to 9)",
    ),
    "number is a word": (
        "urbansound8k",
        ("900-3-0-0.wav", "900", "0", "1", "1", "1", "three", "dog_bark"),
        "classID='three' is not a whole number from 0 to 999",
    ),
    "no recording": (
        "urbansound8k",
        ("owl.wav", "", "0", "1", "1", "1", "3", "dog_bark"),
        "fsID is empty, and the file name does not tell it",
    ),
}


@pytest.mark.parametrize(("kind", "values", "reason"), OF_ONE_KIND.values(), ids=OF_ONE_KIND)
def test_bad_row_of_one_kind__is_named_and_costs_itself_alone(
    tmp_path: Path, kind: str, values: tuple[str, ...], reason: str
):
    assert_costs_itself_alone(read_with(tmp_path, kind, as_line(kind, values)), kind, reason)


@pytest.mark.parametrize(
    ("number", "name", "reason"),
    [
        ("3", "dogbark", "class='dogbark' with classID=3, which is 'dog_bark' in UrbanSound8K"),
        ("0", "aircon", "class='aircon' with classID=0, which is 'air_conditioner' in UrbanSound8K"),
        ("3", "siren", "class='siren' with classID=3, unlike other rows"),
        ("12", "dog_bark", "class='dog_bark' with classID=12, unlike other rows"),
    ],
)
def test_class_and_number_that_do_not_pair__are_named(tmp_path: Path, number: str, name: str, reason: str):
    line = as_line("urbansound8k", ("900-3-0-0.wav", "900", "0", "1", "1", "1", number, name))
    catalogue = read_with(tmp_path, "urbansound8k", line)
    assert sorted(clip.name for clip in catalogue.clips) == NAMES
    (problem,) = catalogue.problems
    assert (problem.subject, problem.reason) == ("900-3-0-0.wav", f"{reason}; the row is left out")


def test_classes_of_ones_own_beside_those_of_urbansound8k__stand_with_other_numbers(tmp_path: Path):
    line = as_line("urbansound8k", ("900-10-0-0.wav", "900", "0", "1", "1", "1", "10", "owl"))
    assert read_with(tmp_path, "urbansound8k", line).class_names == ("dog_bark", "siren", "owl")


def test_other_classes_throughout__stand_in_the_layout_of_urbansound8k(tmp_path: Path):
    rows = [(*row[:7], {"3": "owl", "8": "wind"}[row[6]]) for row in GOOD]
    lines = [as_line("urbansound8k", row) for row in [KINDS["urbansound8k"].columns, *rows]]
    write(tmp_path, "urbansound8k", b"\n".join(lines))
    catalogue = read(tmp_path, "urbansound8k")
    assert catalogue.class_names == ("owl", "wind")
    assert catalogue.problems == ()


def test_many_bad_rows__are_all_named_in_the_order_of_lines(tmp_path: Path, kind: str):
    lines = lines_of(kind)
    bad = [line for line, _ in LINE_CASES.values()]
    mixed = [lines[0]]
    for number, line in enumerate(bad):
        mixed += [line, *lines[1 + number : 2 + number]]
    write(tmp_path, kind, b"\n".join(mixed))
    catalogue = read(tmp_path, kind)
    assert sorted(clip.name for clip in catalogue.clips) == NAMES
    found = [problem.subject for problem in catalogue.problems]
    assert found == [f"{KINDS[kind].table} line {mixed.index(line) + 1}" for line in bad]


def test_spaces_markup_and_other_scripts__are_no_fault(tmp_path: Path, kind: str):
    rows = [
        [f"  {value} " for value in (*row[:7], {"3": "<b>&</b>", "8": "\u732b \u05d0"}[row[6]])] for row in GOOD
    ]
    lines = [as_line(kind, tuple(row)) for row in [list(KINDS[kind].columns), *rows]]
    write(tmp_path, kind, b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\r\n")
    catalogue = read(tmp_path, kind)
    assert sorted(clip.name for clip in catalogue.clips) == NAMES
    assert set(catalogue.class_names) == {"<b>&</b>", "\u732b \u05d0"}
    assert catalogue.problems == ()


TABLE_CASES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", r"the table is empty; it needs a header with '{required}'"),
    "blank lines": (b"\n\n \n", r"the table is empty"),
    "header alone": (b"{header}\n", r"names no clip that can be used; nothing to process$"),
    "rows all bad": (b"{header}\nx\ny\n", r"names no clip that can be used.*\(2 faults, such as .* line 2"),
    "no required column": (
        b"fold,class\n1,siren\n",
        r"column '{required}' is missing.*found: \['fold', 'class'\]",
    ),
    "column twice": (b"{header},Class\n", r"column 'class' stands twice in the header"),
    "UTF-16": ("{header}\n".encode("utf-16"), r"is not text in UTF-8, but UTF-16 or no text at all"),
    "sound": (b"RIFF\x00\x01\x00\x00WAVEfmt \x10\x00", r"is not text in UTF-8"),
    "zip": (b"PK\x03\x04 something else", r"column '{required}' is missing"),
    "gigantic header": (b"x" * 200_000, r"header cannot be understood \(field larger than field limit"),
    "open quote in the header": (b'"{header}\nx\n', r"header cannot be understood"),
}


@pytest.mark.parametrize(("content", "message"), TABLE_CASES.values(), ids=TABLE_CASES)
def test_table_that_cannot_be_used__is_an_error_that_says_why(
    tmp_path: Path, kind: str, content: bytes, message: str
):
    wide = content.startswith(b"\xff\xfe")
    header = lines_of(kind)[0].decode().encode("utf-16-le" if wide else "utf-8")
    content = content.replace("{header}".encode("utf-16-le" if wide else "utf-8"), header)
    write(tmp_path, kind, content)
    with pytest.raises(CorpusError, match=message.replace("{required}", KINDS[kind].required)) as caught:
        read(tmp_path, kind)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(("separator", "word"), [(b";", "';'"), (b"\t", "a tab")])
def test_other_separators__are_refused_with_a_hint(tmp_path: Path, kind: str, separator: bytes, word: str):
    write(tmp_path, kind, b"\n".join(lines_of(kind)).replace(b",", separator))
    with pytest.raises(CorpusError, match=f"fields are separated by {word}; a comma is needed"):
        read(tmp_path, kind)


@pytest.mark.parametrize("place", ["absent", "device"])
def test_no_table__is_an_error_that_says_what_is_wanted(tmp_path: Path, kind: str, place: str):
    write(tmp_path, kind, b"")
    table = tmp_path / KINDS[kind].table
    table.unlink()
    if place == "device":
        table.symlink_to("/dev/zero")
    reason = {"absent": "No such file", "device": "is not a regular file"}[place]
    advice = {"urbansound8k": "--dataset", "pictures": "--images", "manifest": "--manifest"}[kind]
    with pytest.raises(CorpusError, match=f"{reason}; {advice} takes "):
        read(tmp_path, kind)


@pytest.mark.parametrize("kind", ["urbansound8k", "pictures"])
def test_folder_in_place_of_the_table__is_an_error(tmp_path: Path, kind: str):
    (tmp_path / KINDS[kind].table).mkdir(parents=True)
    with pytest.raises(CorpusError, match=r"UrbanSound8K\.csv: is not a regular file"):
        read(tmp_path, kind)


def test_one_class__is_an_error_that_says_why(tmp_path: Path, kind: str):
    write(tmp_path, kind, b"\n".join(lines_of(kind)[:3]))
    with pytest.raises(
        CorpusError, match=r"names clips of one class alone, 'dog_bark': a network learns to tell"
    ):
        read(tmp_path, kind)


def test_rows__take_modest_memory(tmp_path: Path):
    """Some 40 MB for 50,000 rows; fewer are read here, as the measurement is slow."""
    n_rows = 5000
    rows = b"".join(b"sub/%d.wav,class %d,%d\n" % (n, n % 10, n // 5) for n in range(n_rows))
    write(tmp_path, "manifest", b"path,class,recording\n100-3-0-0.wav,class 0,here\n" + rows)
    tracemalloc.start()
    catalogue = read(tmp_path, "manifest")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(catalogue.clips) == 1 + n_rows
    assert peak < 1200 * n_rows
