"""How figures are drawn: sizes, axes in Hz and s, colours of sound and relevance, and files from figures.

Sound is magma, signed relevance is a diverging map with symmetric limits, what was not recorded is hatched.
The same numbers give the same bytes.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from toolkit.reporting.wording import isolated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

INK, LINE, FADED, ACCENT = "#20242b", "#d9dde3", "#a8afb9", "#b2182b"
RELEVANCE, SOUND = "RdBu_r", "magma"
LOWEST_DB = -80.0
DPI, FINE_DPI = 110, 220
_TICKS_HZ = (62.5, 125, 250, 500, 1000, 2000, 4000, 8000, 16_000)
_LOWEST_MEL_TICK_HZ = 250.0
_LOWEST_HZ = 20.0
"""Where a bin centred on 0 Hz is drawn on a logarithmic axis."""
_MASSES = (0.5, 0.25, 0.1)
"""Contours enclose the cells that hold these shares of the positive relevance."""
_UNHATCHED = 1e-6


class Drawable(Protocol):
    """A level and a relevance on the same axes."""

    @property
    def representation(self) -> str:
        """Which kind of frequency axis."""

    @property
    def frequency(self) -> np.ndarray:
        """Centres of the bins in Hz, ascending."""

    @property
    def time(self) -> np.ndarray:
        """Centres of the frames in s."""

    @property
    def mean_level_db(self) -> np.ndarray:
        """Shape (bin, frame); NaN where nothing was recorded."""

    @property
    def mean_relevance(self) -> np.ndarray:
        """Shape (bin, frame); NaN where nothing was recorded."""

    @property
    def is_nominal(self) -> bool:
        """Whether frequencies are supposed, not measured."""


@dataclass(frozen=True)
class Drawing:
    """A level and a relevance of one clip or window; ``Drawable``."""

    representation: str
    frequency: np.ndarray
    time: np.ndarray
    mean_level_db: np.ndarray
    mean_relevance: np.ndarray
    """Shares of absolute relevance, which add up to 1 with their signs left out."""
    is_nominal: bool


@contextmanager
def own_style() -> Iterator[None]:
    """Draw as matplotlib draws where nobody has set anything: settings of a machine must not change pages."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        yield


def new_figure(width: float, height: float, dpi: int = DPI) -> "Figure":
    """Return an empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, facecolor="white")


def png(figure: "Figure") -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    # Without this, matplotlib writes its own version into every file.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: "Figure") -> bytes:
    """Return a figure as SVG: lines and words as such, maps as pictures."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    # Names inside the file are random, and its date is that of writing, unless told otherwise.
    with mpl.rc_context({"svg.hashsalt": "toolkit", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def level(axes: "Axes", shown: Drawable, cmap: str = SOUND) -> "QuadMesh":
    """Draw the level in dB."""
    return mesh(axes, shown, shown.mean_level_db, cmap=cmap, vmin=LOWEST_DB, vmax=0)


def relevance(axes: "Axes", shown: Drawable, limit: float) -> "QuadMesh":
    """Draw relevance in thousandths, colours from -limit to +limit."""
    return mesh(axes, shown, shown.mean_relevance * 1e3, cmap=RELEVANCE, vmin=-limit * 1e3, vmax=limit * 1e3)


def mesh(
    axes: "Axes", shown: Drawable, cells: np.ndarray, *, cmap: str, vmin: float, vmax: float
) -> "QuadMesh":
    """Draw cells, shape (bin, frame), on axes in Hz and s; cells without a value are hatched."""
    import librosa.display

    drawn = librosa.display.specshow(
        cells,
        x_coords=shown.time,
        y_coords=shown.frequency,
        x_axis="time",
        y_axis="mel" if shown.representation == "mel" else "cqt_hz",
        ax=axes,
        cmap=cmap,
        vmin=vmin,
        vmax=vmax,
        rasterized=True,
    )
    axes.set_ylim(*shown.frequency[[0, -1]])
    lowest = _LOWEST_MEL_TICK_HZ if shown.representation == "mel" else 0.0
    frequency_ticks(axes.yaxis, shown.frequency, lowest)
    axes.set_ylabel("nominal frequency in Hz" if shown.is_nominal else "frequency in Hz")
    end_s = clip_end_s(shown.time)
    axes.set_xlim(0, end_s)
    ticks_s = np.linspace(0, end_s, 5)
    axes.set_xticks(ticks_s, [f"{tick:g}" for tick in ticks_s])
    axes.set_xlabel("time in s")
    until_s = recorded_until_s(shown)
    if until_s < end_s - _UNHATCHED:
        axes.axvspan(until_s, end_s, facecolor="none", edgecolor=FADED, hatch="////", linewidth=0)
    return drawn


def recorded_until_s(shown: Drawable) -> float:
    """Return where the last frame ends in which anything was recorded."""
    known = np.flatnonzero(np.isfinite(shown.mean_level_db).any(axis=0))
    step = shown.time[1] - shown.time[0]
    return float(shown.time[known[-1]] + step / 2) if len(known) else 0.0


def clip_end_s(time: np.ndarray) -> float:
    """Return the end of the last frame, from the centres of all."""
    return float(time[-1] + (time[1] - time[0]) / 2)


def contours(axes: "Axes", shown: Drawable, colours: tuple[str, ...]) -> None:
    """Enclose the cells of highest relevance that together hold 50, 25 and 10 % of what is positive."""
    positive = np.nan_to_num(np.maximum(shown.mean_relevance, 0))
    total = positive.sum()
    if total <= 0:
        return
    ordered = np.sort(positive.ravel())[::-1]
    reached = np.cumsum(ordered) / total
    heights = sorted({float(ordered[np.searchsorted(reached, mass)]) for mass in _MASSES})
    if heights[0] > 0:
        axes.contour(
            shown.time,
            shown.frequency,
            positive,
            levels=heights,
            colors=colours[-len(heights) :],
            linewidths=1.1,
        )


def frequency_ticks(axis: "Axis", frequency: np.ndarray, lowest: float = 0.0) -> None:
    """Label octaves that lie within bins, centres given in Hz, from ``lowest`` on."""
    ticks = [tick for tick in _TICKS_HZ if max(lowest, frequency[0]) <= tick <= frequency[-1]]
    axis.set_ticks(ticks, [hertz(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def drawable(names: Sequence[str]) -> list[str]:
    """Return names as a figure can show them: by number where the font lacks a letter, or they turn direction.

    They are text, whatever they hold: give them to matplotlib with ``parse_math=False``.
    """
    from matplotlib.font_manager import findfont, get_font

    letters = get_font(findfont("DejaVu Sans")).get_charmap()
    fits = [all(ord(letter) in letters for letter in name) and isolated(name) == name for name in names]
    return [
        name if fit else f"no. {number}" for number, (name, fit) in enumerate(zip(names, fits, strict=True), 1)
    ]


def positive_hz(frequency: np.ndarray) -> np.ndarray:
    """Return frequencies that a logarithmic axis can show."""
    return np.maximum(frequency, _LOWEST_HZ)


def hertz(value: float) -> str:
    """Return a frequency as a tick names it."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def plain(axes: "Axes", grid: Literal["x", "y"]) -> None:
    """Leave of an axes what is needed: two lines, and a grid along one direction."""
    axes.grid(axis=grid, color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def rows_of(axes: "Axes", frequency: np.ndarray) -> np.ndarray:
    """Return where bins are drawn, as fractions from the top of the axes, shape (bin,)."""
    points = np.column_stack([np.zeros(len(frequency)), frequency])
    axes.apply_aspect()
    pixels = axes.transData.transform(points)[:, 1]
    low, high = axes.transAxes.transform([(0, 0), (0, 1)])[:, 1]
    return np.asarray(1 - (pixels - low) / (high - low))


def box_of(axes: "Axes") -> tuple[float, float, float, float]:
    """Return left, top, width and height of axes as fractions of the figure, from its upper left corner."""
    place = axes.get_position()
    return float(place.x0), float(1 - place.y1), float(place.width), float(place.height)
