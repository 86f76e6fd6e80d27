"""What a row was made from decides whether it is made again, and what is said of it."""

import numpy as np
import pytest

from toolkit.pipeline import rows

WORDS = ("settings or code changed", "network changed", "clip changed")


def lines(*texts: str) -> np.ndarray:
    return np.array(texts, dtype=object)


def test_line__joins_recipe_and_inputs():
    assert rows.line("r", ["n1", "n2"], ["c1", "c2"]).tolist() == ["r n1 c1", "r n2 c2"]


def test_line__of_a_row_without_an_input_is_empty():
    """No network, or a clip that was left out: there is nothing to be made."""
    assert rows.line("r", ["n1", ""], ["", "c2"]).tolist() == ["", ""]


@pytest.mark.parametrize(
    ("made", "wanted", "reason"),
    [
        ("r n c", "r n c", ""),
        ("", "", ""),
        ("", "r n c", "not made yet"),
        ("r n c", "", "cannot be used any more"),
        ("q n c", "r n c", "settings or code changed"),
        ("r m c", "r n c", "network changed"),
        ("r n b", "r n c", "clip changed"),
        ("r m b", "r n c", "network changed"),
    ],
)
def test_why__names_the_first_difference(made: str, wanted: str, reason: str):
    assert rows.why(lines(made), lines(wanted), WORDS).tolist() == [reason]


def test_todo__takes_the_rows_of_its_partition_alone():
    reasons = lines("not made yet", "", "clip changed", "not made yet")
    (item,) = rows.todo("part-0001", slice(1, 3), reasons)
    assert (item.make.tolist(), item.why, item.empty.tolist()) == ([2], ("clip changed",), [])
    assert rows.todo("part-0000", slice(1, 2), reasons) == []


def test_todo__empties_what_is_out_of_date_and_not_asked_for():
    (item,) = rows.todo("part-0000", slice(0, 2), lines("", ""), np.array([False, True]))
    assert (item.make.tolist(), item.empty.tolist()) == ([], [1])
    assert item.reason == "out of date, dropped: 1"


def test_summary__counts_clips_by_reason_most_frequent_first():
    reasons = lines("not made yet", "clip changed", "not made yet")
    items = [*rows.todo("a", slice(0, 1), reasons), *rows.todo("b", slice(1, 3), reasons)]
    assert rows.summary(items) == "not made yet: 2; clip changed: 1"


def test_partition_names__cover_every_row_once():
    parts = rows.partition_names(130)
    assert [name for name, _ in parts] == ["part-0000", "part-0001", "part-0002"]
    assert [row for _, part in parts for row in range(part.start, part.stop)] == list(range(130))
