"""Tables: what counts as one row, and what a field may hold."""

import math
import tracemalloc
from pathlib import Path

import pytest

from toolkit.corpus.table import (
    Row,
    fold_of,
    parse_rows,
    printable,
    problems_of,
    read_table,
    salience_of,
    shown,
    text_of,
    times_of,
    whole_of,
)
from toolkit.errors import ClipError, CorpusError

KNOWN = ("name", "class", "start", "end")


@pytest.fixture
def read(tmp_path: Path):
    """Return a function that reads a table of the given text or bytes: its rows, and reasons by line."""

    def read_content(content: str | bytes) -> tuple[list[tuple[str, str]], dict[int, str]]:
        path = tmp_path / "table.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        table = read_table(path, KNOWN, ("name", "class"))
        return parse_rows(table, lambda row: (text_of(row, "name"), text_of(row, "class")))

    return read_content


@pytest.mark.parametrize(
    "content",
    [
        "name,class\na,owl\nb,dog\n",
        "name,class\r\na,owl\r\nb,dog\r\n",
        "name,class\ra,owl\rb,dog",
        "\ufeffname,class\na,owl\nb,dog",
        "\n\nname,class\n\na,owl\n,\n  ,\t\nb,dog\n\n",
        " Name , CLASS \n a , owl \n b,\tdog\t\n",
        '"name","class"\n"a","owl"\n"b", "dog"\n',
        "class,name\nowl,a\ndog,b\n",
        'note,name,class,note\n"any, thing",a,owl,\n"two\nlines",b,dog\n',
        "name,class,,\na,owl,,\nb,dog\n",
    ],
    ids=[
        "plain",
        "line ends of Windows",
        "line ends of old",
        "byte order mark",
        "blank lines",
        "spaces and capitals",
        "quotes",
        "other order",
        "columns nobody knows",
        "columns without a name",
    ],
)
def test_rows__are_the_same_however_the_table_is_written(read, content: str):
    assert read(content) == ([("a", "owl"), ("b", "dog")], {})


def test_row__is_counted_by_the_line_that_it_begins_on(read):
    _, faults = read('name,class\n\n"a\nb",owl\nc,\x07\n')
    assert sorted(faults) == [3, 5]


@pytest.mark.parametrize(
    "bad",
    [
        '"a,owl',
        'a,"owl',
        '"a"x,owl',
        '"a","owl","',
        "a",
        "a,owl,extra",
        "a\0,owl",
        "a,ow\x1bl",
        "a,\u202eowl",
        "a,\u2028owl",
        "x" * 200_000 + ",owl",
        "x" * 241 + ",owl",
    ],
)
def test_bad_row__costs_itself_alone(read, bad: str):
    rows, faults = read(f"name,class\nb,dog\n{bad}\nc,owl\nd,dog\n")
    assert rows == [("b", "dog"), ("c", "owl"), ("d", "dog")]
    assert list(faults) == [3]
    assert faults[3].isprintable()


def test_row_with_bytes_that_are_not_utf_8__costs_itself_alone(read):
    rows, faults = read("name,class\na,owl\nb,chou\xe9tte\nc,dog\n".encode("latin-1"))
    assert rows == [("a", "owl"), ("c", "dog")]
    assert faults == {3: r"class='chou\xe9tte' holds bytes that are not UTF-8"}


def test_quote_that_is_closed_lines_later__makes_one_row_whose_fault_says_how_far_it_runs(read):
    rows, faults = read('name,class\na,"owl\nb,dog\nc,owl"\nd,dog\n')
    assert rows == [("d", "dog")]
    assert list(faults) == [2]
    assert faults[2].startswith("class='owl\\nb,dog\\nc,owl' holds the unprintable character '\\n'")
    assert faults[2].endswith(" (the row runs to line 4)")


def test_open_quotes__do_not_make_reading_slow(read):
    """Each of these lines opens a quote that the next one closes and opens anew, to the end of the table."""
    rows, faults = read("name,class\n" + 'a,"b",c,"\n' * 5000)
    assert rows == []
    assert len(faults) == 5000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the table is empty; it needs a header with 'name' and 'class'"),
        (b"\n \r\n\n", r"the table is empty"),
        ("name,class\na,owl\n".encode("utf-16"), r"is not text in UTF-8, but UTF-16 or no text at all"),
        ("name,class\na,owl\n".encode("utf-16-be"), r"is not text in UTF-8"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", r"is not text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", r"column 'name' is missing.*found: \['\\x89PNG'\]"),
        (b"name;class\na;owl\n", r"column 'name' is missing: fields are separated by ';'; a comma is needed"),
        (b"name\tclass\na\towl\n", r"fields are separated by a tab; a comma is needed"),
        (b'"name"|"class"\na|owl\n', r"fields are separated by '\|'; a comma is needed"),
        (b"class\nowl\n", r"column 'name' is missing, so no clip can be told; found: \['class'\]"),
        (b"a,b\n", r"found: \['a', 'b'\]"),
        (b",".join(b"x" * 500 for _ in range(100)), r"found: \['x{79}\.\.\.', .*, \.\.\.\]"),
        (b"name,class,Class\na,owl,dog\n", r"column 'class' stands twice in the header"),
        (b'name,"class\na,owl\n', r"the header cannot be understood \(unexpected end of data\)"),
        (b"n" * 200_000, r"the header cannot be understood \(field larger than field limit"),
    ],
)
def test_table_that_cannot_be_understood__is_an_error_that_says_why(read, content: bytes, message: str):
    with pytest.raises(CorpusError, match=message) as caught:
        read(content)
    assert str(caught.value).isprintable()


def test_unknown_column_that_stands_twice__harms_nobody(read):
    assert read("note,name,note,class\n1,a,2,owl\n") == ([("a", "owl")], {})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, r"No such file"),
        (lambda path: path.mkdir(), r"is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), r"is not a regular file"),
        (lambda path: path.symlink_to(path), r"No such file|cannot be read"),
    ],
    ids=["absent", "folder", "device", "loop"],
)
def test_place_without_a_table__is_an_error(tmp_path: Path, make, message: str):
    make(tmp_path / "table.csv")
    with pytest.raises(CorpusError, match=message):
        read_table(tmp_path / "table.csv", KNOWN, ())


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "a\nb"])
def test_impossible_name_of_a_table__is_an_error_that_can_be_shown(tmp_path: Path, name: str):
    with pytest.raises(CorpusError, match=r"No such file|cannot be read") as caught:
        read_table(tmp_path / name, KNOWN, ())
    assert str(caught.value).isprintable()


def test_file_far_too_large__is_refused_before_it_is_read(tmp_path: Path):
    with (tmp_path / "table.csv").open("wb") as file:
        file.truncate(200 * 2**20)
    tracemalloc.start()
    with pytest.raises(CorpusError, match=r"has 209715200 bytes; a table has 134217728 at most"):
        read_table(tmp_path / "table.csv", KNOWN, ())
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("", "", (math.nan, math.nan)),
        ("0", "4", (0.0, 4.0)),
        ("1.5", "", (1.5, math.nan)),
        ("", ".25", (math.nan, 0.25)),
        ("58.5", "6.25E1", (58.5, 62.5)),
        ("-0", "+1.", (0.0, 1.0)),
    ],
)
def test_times__are_seconds_or_unknown(start: str, end: str, expected: tuple[float, float]):
    found = times_of(Row(2, {"start": start, "end": end}))
    assert [str(value) for value in found] == [str(value) for value in expected]


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        ("nan", "", r"start='nan' is not a time in seconds from 0 to 1000000000"),
        ("-1", "", r"start='-1' is not"),
        ("0", "1e999", r"end='1e999' is not"),
        ("0", "1e300", r"end='1e300' is not"),
        ("0", "infinity", r"end='infinity' is not"),
        ("1_0", "20", r"start='1_0' is not"),
        ("\u0661", "20", r"start='\u0661' is not"),
        ("0x1p3", "20", r"start='0x1p3' is not"),
        ("1:30", "", r"start='1:30' is not"),
        ("9" * 5000, "", r"start='9{79}\.\.\.' is not"),
        ("2", "2", r"end=2\.0 is not after start=2\.0"),
        ("", "0", r"end=0\.0 is not after start=0"),
        ("0", "1e-400", r"end=0\.0 is not after start=0\.0"),
        ("1", "86402", r"end=86402\.0 is more than a day after start=1\.0"),
    ],
)
def test_absurd_times__are_refused(start: str, end: str, reason: str):
    with pytest.raises(ClipError, match=reason):
        times_of(Row(2, {"start": start, "end": end}))


@pytest.mark.parametrize("text", ["", "x", "-1", "1.0", "3", "1e0", "\u0661", "\u00b2", "9" * 5000, "0x1"])
def test_whole__takes_plain_digits_in_its_range_alone(text: str):
    with pytest.raises(ClipError, match=r"salience=.* is not a whole number from 0 to 2"):
        whole_of(Row(2, {"salience": text}), "salience", range(3))


def test_empty_fold_and_salience__are_0():
    assert (fold_of(Row(2, {"fold": ""})), salience_of(Row(2, {}))) == (0, 0)


def test_fold__is_a_number_from_1_to_999():
    assert fold_of(Row(2, {"fold": "010"})) == 10
    for text in ("0", "1000"):
        with pytest.raises(ClipError, match=r"fold='.*' is not a whole number from 1 to 999"):
            fold_of(Row(2, {"fold": text}))


@pytest.mark.parametrize(
    "text", ["owl", "<b>owl</b>", "\u05d9\u05e0\u05e9\u05d5\u05e3", "\u732b \U0001f989", "x" * 240]
)
def test_name__may_be_any_text_that_can_be_shown(text: str):
    assert text_of(Row(2, {"class": text}), "class") == text


def test_name__is_measured_in_bytes():
    with pytest.raises(ClipError, match=r"class='\u00e9{79}\.\.\.' has 242 bytes; 240 are allowed"):
        text_of(Row(2, {"class": "\u00e9" * 121}), "class")


@pytest.mark.parametrize("text", ["plain", "a'b", "a\nb", "\udce9", "\u202e", "x" * 500, "\0" * 500])
def test_shown_and_printable__can_be_written_anywhere(text: str):
    for made in (shown(text), printable(text)):
        assert made.isprintable()
        assert made.encode()
    assert len(shown(text)) <= 90


def test_problems__follow_the_lines():
    problems = problems_of({5: "is odd", 2: "is bad"}, lambda line: f"t line {line}")
    assert [(problem.subject, problem.reason) for problem in problems] == [
        ("t line 2", "is bad; the row is left out"),
        ("t line 5", "is odd; the row is left out"),
    ]
