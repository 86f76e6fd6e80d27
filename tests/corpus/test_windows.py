"""Long sounds as consecutive clips: what they cover, what they are called, and what stays as it is."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.corpus.audio import length_s, read_clip
from toolkit.corpus.catalogue import FAULT, Clip
from toolkit.corpus.windows import MOST_WINDOWS, in_windows
from toolkit.errors import ClipError

DURATION_S = 4.0
RATE_HZ = 8000
ROW = Clip(
    name="dog",
    path="audio/dog.wav",
    class_name="dog_bark",
    label=3,
    fold=2,
    recording="100",
    start_s=math.nan,
    end_s=math.nan,
    salience=1,
)

LengthOf = Callable[[Clip], float]


def lasting(length_of_file_s: float) -> LengthOf:
    return lambda _clip: length_of_file_s


def unreadable(clip: Clip) -> float:
    raise ClipError(f"{clip.path}: file is absent")


def never(clip: Clip) -> float:
    raise AssertionError(f"{clip.path} need not be opened")


def cut(clip: Clip, length_of: LengthOf) -> tuple[Clip, ...]:
    windows, problems = in_windows([clip], DURATION_S, length_of)
    assert problems == ()
    return windows


def times(windows: tuple[Clip, ...]) -> list[tuple[float, float]]:
    return [(window.start_s, window.end_s) for window in windows]


def test_file_without_times__is_cut_from_its_beginning_to_its_end():
    windows = cut(ROW, lasting(12))
    assert times(windows) == [(0, 4), (4, 8), (8, 12)]
    assert [window.name for window in windows] == ["dog@0s", "dog@4s", "dog@8s"]


def test_windows__keep_everything_else_of_their_clip():
    clip = replace(ROW, object_path="stems/dog.object.wav", background_path="stems/dog.background.wav")
    for window in cut(clip, lasting(12)):
        expected = replace(clip, name=window.name, start_s=window.start_s, end_s=window.end_s, is_excerpt=False)
        assert window == expected


def test_clip_within_a_recording__is_cut_between_its_times_only():
    clip = replace(ROW, start_s=100.5, end_s=108.5, is_excerpt=False)
    windows = cut(clip, lasting(3600))
    assert times(windows) == [(100.5, 104.5), (104.5, 108.5)]
    assert [window.name for window in windows] == ["dog@100.5s", "dog@104.5s"]


@pytest.mark.parametrize(("end_s", "start_s"), [(math.nan, 100.0), (3600.0, 3592.0)])
def test_clip_that_ends_with_its_recording__is_cut_up_to_the_end_of_the_file(end_s: float, start_s: float):
    clip = replace(ROW, start_s=start_s, end_s=end_s, is_excerpt=False)
    windows = cut(clip, lasting(start_s + 8))
    assert times(windows) == [(start_s, start_s + 4), (start_s + 4, start_s + 8)]


def test_excerpt__is_cut_by_the_times_of_its_file_not_of_its_recording():
    """Ten seconds of a recording, from 100 s on, in a file of ten seconds."""
    windows = cut(replace(ROW, start_s=100, end_s=110), lasting(10))
    assert times(windows) == [(0, 4), (4, 8), (8, 10)]


def test_excerpt_that_cannot_be_one__is_cut_by_the_times_of_its_recording():
    """The file is the recording itself, as it is for the reader of clips."""
    windows = cut(replace(ROW, start_s=100, end_s=110), lasting(200))
    assert times(windows) == [(100, 104), (104, 108), (108, 110)]


def test_file_shorter_than_its_times_say__is_cut_as_far_as_it_goes():
    assert times(cut(replace(ROW, start_s=0, end_s=20), lasting(9))) == [(0, 4), (4, 8), (8, 9)]


@pytest.mark.parametrize(
    ("length", "n_windows"), [(8.99, 2), (9.0, 3), (11.9, 3), (5.0, 2), (12.0000001, 3), (11.9999999, 3)]
)
def test_rest__is_a_window_from_a_quarter_on(length: float, n_windows: int):
    assert len(cut(ROW, lasting(length))) == n_windows


@pytest.mark.parametrize("length", [0.1, 4.0, 4.9])
def test_clip_that_makes_one_window__stays_as_it_is(length: float):
    assert cut(ROW, lasting(length)) == (ROW,)


def test_clip_known_to_be_short__is_not_even_opened():
    clip = replace(ROW, start_s=100, end_s=104)
    assert cut(clip, never) == (clip,)


def test_clip_whose_file_cannot_be_read__stays_as_it_is():
    assert cut(ROW, unreadable) == (ROW,)


def test_clip_that_starts_past_its_file__stays_as_it_is():
    clip = replace(ROW, start_s=100, end_s=110, is_excerpt=False)
    assert cut(clip, lasting(50)) == (clip,)


@pytest.mark.parametrize("length", [40_001.0, 1e300, math.inf])
def test_clip_of_too_many_windows__stays_whole_and_is_named(length: float):
    long = replace(ROW, name="long")
    windows, problems = in_windows([ROW, long], 4.0, lambda clip: length if clip is long else 40_000.9)
    assert len(windows) == MOST_WINDOWS + 1
    assert windows[-1] == long
    (problem,) = problems
    assert problem.subject == "long"
    assert problem.severity == FAULT
    assert problem.reason.startswith(
        f"lasts {length:g} s, which is more than 10000 windows of 4 s: only its first"
    )


def test_clips__stand_where_they_stood():
    short, long = replace(ROW, name="short", start_s=0, end_s=1), replace(ROW, name="long")
    windows, _ = in_windows([short, long, short], DURATION_S, lasting(8))
    assert [window.name for window in windows] == ["short", "long@0s", "long@4s", "short"]


def test_windows_far_into_a_recording__have_names_of_their_own():
    """In six digits, 100000.5 and 100001 would be the same second."""
    clip = replace(ROW, start_s=100_000.0, end_s=100_004.0, is_excerpt=False)
    windows, _ = in_windows([clip], 0.5, lasting(200_000))
    assert [window.name for window in windows[:3]] == ["dog@100000s", "dog@100000.5s", "dog@100001s"]


@settings(deadline=None, derandomize=True)
@given(st.floats(0.05, 60), st.floats(0.01, 50), st.booleans(), st.floats(0, 5000), st.floats(0.01, 50))
def test_windows__cover_the_clip_without_gap_or_overlap(
    duration_s: float, file_windows: float, is_whole: bool, start_s: float, clip_windows: float
):
    """Lengths are drawn in windows; a clip without times is all of its file."""
    begin_s = 0.0 if is_whole else start_s
    stop_s = begin_s + duration_s * (file_windows if is_whole else min(file_windows, clip_windows))
    times_of = (math.nan, math.nan) if is_whole else (start_s, start_s + duration_s * clip_windows)
    clip = replace(ROW, start_s=times_of[0], end_s=times_of[1], is_excerpt=is_whole)
    windows, problems = in_windows([clip], duration_s, lasting(begin_s + duration_s * file_windows))
    assert problems == ()
    if windows == (clip,):
        assert stop_s - begin_s < 1.25 * duration_s * (1 + 1e-6)
        return
    spans = np.array([window.end_s - window.start_s for window in windows])
    assert windows[0].start_s == begin_s
    assert all(window.end_s == following.start_s for window, following in pairwise(windows))
    assert stop_s - duration_s / 4 * (1 + 1e-6) < windows[-1].end_s <= stop_s * (1 + 1e-9)
    np.testing.assert_allclose(spans[:-1], duration_s, rtol=1e-6)
    assert duration_s / 4 * (1 - 1e-6) <= spans[-1] <= duration_s * (1 + 1e-6)
    assert len({window.name for window in windows}) == len(windows)


def test_windows_of_a_file__are_its_samples_one_after_the_other(tmp_path: Path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * RATE_HZ).astype(np.float32)
    path = tmp_path / "dog.wav"
    soundfile.write(path, sound, RATE_HZ, subtype="FLOAT")
    windows = cut(ROW, lambda _clip: length_s(path))
    assert len(windows) == 3
    for number, window in enumerate(windows):
        read = read_clip(
            path,
            sample_rate_hz=RATE_HZ,
            duration_s=DURATION_S,
            start_s=window.start_s,
            end_s=window.end_s,
            is_excerpt=window.is_excerpt,
        )
        expected = sound[number * 4 * RATE_HZ :][: 4 * RATE_HZ]
        assert read.recorded_s == len(expected) / RATE_HZ
        np.testing.assert_allclose(read.samples[: len(expected)], expected - expected.mean(), atol=1e-6)
