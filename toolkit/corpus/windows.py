"""Long sounds as consecutive clips: a recording of an hour becomes windows as long as the network takes."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from toolkit.corpus.audio import place
from toolkit.corpus.catalogue import Clip, Problem
from toolkit.errors import ClipError

MOST_WINDOWS = 10_000
"""Windows that one clip may become."""
_SHORTEST_REST = 0.25
"""Share of a window that the end of a clip must fill to become one, padded; less is left out."""
_ROUNDING = 1e-6
"""Share of a window by which times out of tables may be off."""


def in_windows(
    clips: Iterable[Clip], duration_s: float, length_of: Callable[[Clip], float]
) -> tuple[tuple[Clip, ...], tuple[Problem, ...]]:
    """Return the clips, each longer one as its windows, and which of them are too long for that.

    Windows follow one another without a gap or overlap, from the beginning of the clip; the rest at its end is
    one too if it fills a quarter of a window. They are named after the second of the file at which they begin
    (``name@8s``), and are cut out of the file. A clip stays as it is if it makes one window only, more than
    10,000, or if its file cannot be read, which comes to light when it is.

    Parameters
    ----------
    clips
        In any order; the windows of each stand in its place.
    duration_s
        Length of a window.
    length_of
        Seconds that the file of a clip holds, or a ``ClipError``. Asked only for clips that may be longer.
    """
    made: list[Clip] = []
    problems = []
    for clip in clips:
        begin_s, stop_s = _extent(clip, duration_s, length_of)
        if stop_s - begin_s >= (MOST_WINDOWS + _SHORTEST_REST) * duration_s:
            reason = (
                f"lasts {stop_s - begin_s:g} s, which is more than {MOST_WINDOWS} windows of {duration_s:g} s: "
                "only its first is used; cut the file into several"
            )
            problems.append(Problem(clip.name, reason))
            made.append(clip)
        else:
            windows = tuple(_windows(clip, begin_s, stop_s, duration_s))
            made += windows if len(windows) > 1 else [clip]
    return tuple(made), tuple(problems)


def _extent(clip: Clip, duration_s: float, length_of: Callable[[Clip], float]) -> tuple[float, float]:
    """Return where a clip lies within its file, in seconds; nowhere, if it is short or cannot be read."""
    if clip.end_s - clip.start_s <= duration_s:
        return 0.0, 0.0
    try:
        length_s = length_of(clip)
    except ClipError:
        return 0.0, 0.0
    times = {"start_s": clip.start_s, "end_s": clip.end_s}
    return place(length_s, duration_s, **times, is_excerpt=clip.is_excerpt)


def _windows(clip: Clip, begin_s: float, stop_s: float, duration_s: float) -> Iterator[Clip]:
    extent_s = stop_s - begin_s
    n_whole = math.floor(extent_s / duration_s + _ROUNDING)
    has_rest = extent_s - n_whole * duration_s >= _SHORTEST_REST * duration_s
    for number in range(n_whole + has_rest):
        start_s = begin_s + number * duration_s
        yield replace(
            clip,
            # Ten digits tell apart the windows of any file; six, the default, do not.
            name=f"{clip.name}@{start_s:.10g}s",
            start_s=start_s,
            end_s=min(begin_s + (number + 1) * duration_s, stop_s),
            is_excerpt=False,
        )
