"""CSV tables as every catalogue reads them: rows with their line numbers, and fields as checked values.

A table is text in UTF-8 with a header, fields separated by commas, in quotes where they hold commas. Names of
columns are told apart by neither case nor surrounding spaces, and columns that nobody asked for may hold
anything. What concerns the whole table is a ``CorpusError``; what concerns one row is a ``ClipError`` and
costs that row alone. A quote that is not closed would swallow what follows; here it costs the line that it
stands on. One that is closed lines later, where a row may end, makes one row of them, as CSV has it.
"""

import csv
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from toolkit.corpus.catalogue import Problem
from toolkit.errors import ClipError, CorpusError, printable

LONGEST_NAME = 240
"""Bytes that leave room, below the usual limit of 255, for what is appended to names of files."""
LONGEST_CLIP_S = 86_400.0
"""A day: a clip is an excerpt of a few seconds."""
LATEST_TIME_S = 1e9
"""Some thirty years: a place in a recording that lies beyond is a slip."""
_LARGEST_BYTES = 128 * 2**20
_LONGEST_ROW = 100
"""Lines that one row may run over."""
_SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[0-9]{1,9}")
_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")
_SHOWN = 80

Made = TypeVar("Made")
Fields = dict[str, str]
"""The text of every known column that the table has, without surrounding spaces."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line that it begins on, what stands in it, and why it cannot be understood, if so."""

    line: int
    fields: Fields
    n_lines: int = 1
    fault: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose header is understood; its rows are read one after the other, once."""

    columns: tuple[str, ...]
    rows: Iterator[Row]


@dataclass(frozen=True)
class _Header:
    """Where the known columns are, and how many columns there are."""

    columns: dict[str, int]
    width: int

    @property
    def n_needed(self) -> int:
        """Fields that a row must have; a row may end before columns that nobody knows."""
        return max(self.columns.values()) + 1


def read_table(path: Path, known: Collection[str], required: Collection[str]) -> Table:
    """Return the rows of a CSV file by the columns that are ``known``; blank rows are skipped.

    Raises
    ------
    CorpusError
        There is no such file, it is no table in UTF-8 with commas, a column stands twice, or a ``required``
        one is missing.
    """
    place = printable(path)
    lines = _read_lines(path)
    first = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise CorpusError(f"{place}: the table is empty; it needs a header with {_listed(required)}")
    if "\0" in lines[first]:
        raise CorpusError(f"{place}: is not text in UTF-8, but UTF-16 or no text at all; save it as UTF-8")
    try:
        n_lines, header = _record(lines, first)
    except csv.Error as error:
        hint = _separator_hint(lines[first], required)
        raise CorpusError(f"{place}: the header cannot be understood ({error}){hint}") from error
    columns = _columns(header, known, place)
    missing = [name for name in required if name not in columns]
    if missing:
        hint = _separator_hint(lines[first], missing) or f", so no clip can be told; found: {_sample(header)}"
        raise CorpusError(f"{place}: column {missing[0]!r} is missing{hint}")
    return Table(tuple(columns), _rows(lines, first + n_lines, _Header(columns, len(header))))


def parse_rows(table: Table, parse_row: Callable[[Row], Made]) -> tuple[list[Made], dict[int, str]]:
    """Return what ``parse_row`` makes of the rows, and the reasons of rows that are left out, by line."""
    made, faults = [], {}
    for row in table.rows:
        try:
            made.append(_checked(row, parse_row))
        except ClipError as error:
            end = f" (the row runs to line {row.line + row.n_lines - 1})" if row.n_lines > 1 else ""
            faults[row.line] = f"{error}{end}"
    return made, faults


def problems_of(faults: dict[int, str], name_of: Callable[[int], str], thing: str = "row") -> list[Problem]:
    """Return one problem per row that is left out, in the order of lines, which ``name_of`` names."""
    return [Problem(name_of(line), f"{faults[line]}; the {thing} is left out") for line in sorted(faults)]


def text_of(row: Row, column: str) -> str:
    """Return a name: printable text of at most 240 bytes, '' where the field is empty or absent.

    Raises
    ------
    ClipError
        It holds control characters, marks of direction or bytes that are not UTF-8, or is too long.
    """
    text = row.fields.get(column, "")
    refuse_unfit(text, column)
    return text


def refuse_unfit(text: str, name: str, longest: int = LONGEST_NAME) -> None:
    """Do nothing for text that a page, a store and a terminal can show, and that is not too long.

    Parameters
    ----------
    text
        A name or a path.
    name
        What messages call it.
    longest
        Bytes that are allowed.

    Raises
    ------
    ClipError
        They cannot, or it is.
    """
    if text.isprintable():
        if len(text.encode()) > longest:
            raise ClipError(f"{name}={shown(text)} has {len(text.encode())} bytes; {longest} are allowed")
        return
    if any("\udc80" <= letter <= "\udcff" for letter in text):
        raise ClipError(f"{name}={shown(text)} holds bytes that are not UTF-8")
    odd = next(letter for letter in text if not letter.isprintable())
    raise ClipError(f"{name}={shown(text)} holds the unprintable character {odd!a}")


def whole_of(row: Row, column: str, allowed: range) -> int:
    """Return a whole number.

    Raises
    ------
    ClipError
        It is none, or not among those ``allowed``.
    """
    text = row.fields.get(column, "")
    if not _WHOLE.fullmatch(text) or int(text) not in allowed:
        raise ClipError(f"{column}={shown(text)} is not a whole number from {allowed[0]} to {allowed[-1]}")
    return int(text)


def fold_of(row: Row) -> int:
    """Return the fold, from 1 to 999, or 0 where the field is empty or absent.

    Raises
    ------
    ClipError
        It is no such number.
    """
    return whole_of(row, "fold", range(1, 1000)) if row.fields.get("fold") else 0


def salience_of(row: Row) -> int:
    """Return 1 for foreground, 2 for background, 0 where it is unknown.

    Raises
    ------
    ClipError
        It is none of these.
    """
    return whole_of(row, "salience", range(3)) if row.fields.get("salience") else 0


def times_of(row: Row) -> tuple[float, float]:
    """Return start and end in seconds within the recording, each NaN where it is unknown.

    Raises
    ------
    ClipError
        One is no time, the end is not after the start, or more than a day lies between them.
    """
    start_s, end_s = _seconds_of(row, "start"), _seconds_of(row, "end")
    if end_s <= (0.0 if math.isnan(start_s) else start_s):
        raise ClipError(f"end={end_s} is not after start={'0' if math.isnan(start_s) else start_s}")
    if end_s - start_s > LONGEST_CLIP_S:
        raise ClipError(f"end={end_s} is more than a day after start={start_s}")
    return start_s, end_s


def shown(text: str) -> str:
    """Return a value in quotes, printable, and cut where it is long."""
    quoted = _BYTE.sub(r"\\x\1", repr(text[: _SHOWN + 1]))
    return quoted if len(text) <= _SHOWN else f"{quoted[:_SHOWN]}...{quoted[0]}"


def _seconds_of(row: Row, column: str) -> float:
    text = row.fields.get(column, "")
    # A zero with a minus would be written as one wherever it is shown.
    value = (float(text) or 0.0) if _NUMBER.fullmatch(text) else math.nan
    if text and not 0 <= value <= LATEST_TIME_S:
        raise ClipError(f"{column}={shown(text)} is not a time in seconds from 0 to {LATEST_TIME_S:.0f}")
    return value


def _checked(row: Row, parse_row: Callable[[Row], Made]) -> Made:
    if row.fault:
        raise ClipError(row.fault)
    return parse_row(row)


def _read_lines(path: Path) -> list[str]:
    """Return the lines of a file with their ends; bytes that are not UTF-8 become lone surrogates.

    Raises
    ------
    CorpusError
        It is absent, no regular file, cannot be read, or is far too large for a table.
    """
    place = printable(path)
    try:
        # Anything else might never end, or wait for ever for someone to write into it.
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "No such file"
            raise CorpusError(f"{place}: {what}")
        if path.stat().st_size > _LARGEST_BYTES:
            raise CorpusError(f"{place}: has {path.stat().st_size} bytes; a table has {_LARGEST_BYTES} at most")
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return file.readlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or printable(error)
        raise CorpusError(f"{place}: cannot be read ({reason})") from error


def _record(lines: Sequence[str], start: int) -> tuple[int, list[str]]:
    """Return how many lines the row that begins at index ``start`` runs over, and its fields as they stand.

    Raises
    ------
    csv.Error
        It is no CSV, or holds an open quote.
    """
    ahead = (lines[index] for index in range(start, min(start + _LONGEST_ROW, len(lines))))
    reader = csv.reader(ahead, strict=True, skipinitialspace=True)
    fields = next(reader)
    return reader.line_num, fields


def _columns(header: Sequence[str], known: Collection[str], place: str) -> dict[str, int]:
    """Return the position of every known column.

    Raises
    ------
    CorpusError
        One stands twice: nobody can tell which one counts.
    """
    spelling = {name.casefold(): name for name in known}
    columns: dict[str, int] = {}
    for position, text in enumerate(header):
        name = spelling.get(text.strip().casefold())
        if name in columns:
            raise CorpusError(f"{place}: column {name!r} stands twice in the header; remove or rename one")
        if name is not None:
            columns[name] = position
    return columns


def _rows(lines: Sequence[str], start: int, header: _Header) -> Iterator[Row]:
    """Yield the rows from index ``start`` on."""
    index = start
    while index < len(lines):
        row = _row(lines, index, header)
        if row.fields or row.fault:
            yield row
        index += row.n_lines


def _row(lines: Sequence[str], index: int, header: _Header) -> Row:
    """Return the row at an index; a blank one holds neither fields nor a fault."""
    try:
        n_lines, texts = _record(lines, index)
    except csv.Error as error:
        return Row(index + 1, {}, fault=f"the line is not CSV: {error}{_quote_hint(lines[index])}")
    texts = [text.strip(" \t") for text in texts]
    if not any(texts):
        return Row(index + 1, {}, n_lines)
    if len(texts) < header.n_needed or any(texts[header.width :]):
        # Over several lines this is rather a stray quote, and the next line may be a good row.
        fault = f"the header has {header.width} fields, the row {len(texts)}{_quote_hint(lines[index])}"
        return Row(index + 1, {}, fault=fault)
    return Row(index + 1, {name: texts[position] for name, position in header.columns.items()}, n_lines)


def _quote_hint(line: str) -> str:
    return " (is a quote not closed?)" if '"' in line else ""


def _separator_hint(line: str, names: Collection[str]) -> str:
    """Return what is wrong where a header holds one of the names, but between other separators."""
    for separator, word in _SEPARATORS.items():
        if {text.strip(' "\r\n').casefold() for text in line.split(separator)}.intersection(names):
            return f": fields are separated by {word}; a comma is needed"
    return ""


def _sample(header: Sequence[str]) -> str:
    found = ", ".join(shown(text.strip()) for text in header[:12])
    return f"[{found}{', ...' if len(header) > 12 else ''}]"


def _listed(names: Collection[str]) -> str:
    return " and ".join(repr(name) for name in names)
