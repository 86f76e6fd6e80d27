"""Figures as the field draws them: matplotlib with librosa.display, as PNG bytes.

Sound is magma, signed relevance is a diverging map with symmetric limits, frequency and time carry units, and
every title says how many recordings stand behind it. The same numbers give the same bytes.
"""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from toolkit.reporting.evidence import Contrast, Evidence
from toolkit.reporting.view import Region
from toolkit.reporting.wording import composite_name, plural, representation_name
from toolkit.store.schema import INPUT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

_DPI = 110
_TICKS_HZ = (62.5, 125, 250, 500, 1000, 2000, 4000, 8000, 16_000)
_MASSES = (0.5, 0.25, 0.1)
"""Contours enclose the cells that hold these shares of the positive relevance."""
_INK = "#20242b"
_LOWEST_HZ = 20.0
"""Where a bin centred on 0 Hz is drawn on a logarithmic axis."""


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
        """Shape (bin, frame)."""

    @property
    def mean_relevance(self) -> np.ndarray:
        """Shape (bin, frame)."""

    @property
    def is_nominal(self) -> bool:
        """Whether frequencies are supposed, not measured."""


def maps(region: Region, limit: float) -> bytes:
    """Draw the mean spectrogram beside the mean relevance, and both over each other.

    Parameters
    ----------
    region
        What to draw.
    limit
        Colours of relevance run from -limit to +limit.
    """
    return _three(region, limit, title=f"{region.name}: {_counts(region)}", first="mean spectrogram")


def window(shown: Drawable, limit: float, title: str) -> bytes:
    """Draw the spectrogram of one window beside the mean relevance of networks, and both over each other.

    Parameters
    ----------
    shown
        What to draw.
    limit
        Colours of relevance run from -limit to +limit.
    title
        What it is.
    """
    return _three(shown, limit, title=title, first="spectrogram")


def _three(region: Drawable, limit: float, *, title: str, first: str) -> bytes:
    figure = _figure((11.4, 3.5), left=0.06, right=0.965, bottom=0.145, top=0.84, wspace=0.16)
    left, middle, right = figure.subplots(1, 3, sharey=True)
    level = _mesh(left, region, region.mean_level_db, cmap="magma", vmin=-80, vmax=0)
    left.set_title(first)
    figure.colorbar(level, ax=left, format="%d dB", pad=0.02)
    relevance = _mesh(
        middle, region, region.mean_relevance * 1e3, cmap="RdBu_r", vmin=-limit * 1e3, vmax=limit * 1e3
    )
    middle.set_title("mean relevance")
    figure.colorbar(relevance, ax=middle, pad=0.02, label="share of |relevance| x 10$^{-3}$")
    _mesh(right, region, region.mean_level_db, cmap="gray_r", vmin=-80, vmax=0)
    right.set_title("relevance over spectrogram")
    _contours(right, region)
    for axes in (middle, right):
        axes.set_ylabel("")
    figure.suptitle(title, fontsize=10, color=_INK)
    return _png(figure)


def bands(regions: Sequence[Region]) -> bytes:
    """Draw the band shares of one representation's composites side by side, with intervals and the input."""
    names = [band.band for band in regions[0].bands]
    places = np.arange(len(names))
    figure = _figure((7.6, 3.2), left=0.08, right=0.985, bottom=0.17, top=0.9, wspace=0)
    axes = figure.subplots()
    width = 0.8 / len(regions)
    for number, region in enumerate(regions):
        values = (
            np.array([[band.share.value, band.share.low, band.share.high] for band in region.bands]).T * 100
        )
        errors = np.nan_to_num(np.abs(values[1:] - values[0]))
        shift = (number - (len(regions) - 1) / 2) * width
        axes.bar(
            places + shift,
            np.nan_to_num(values[0]),
            width * 0.92,
            yerr=errors,
            capsize=2,
            color=("#b2182b", "#ef8a62", "#67a9cf")[number % 3],
            ecolor=_INK,
            error_kw={"elinewidth": 0.9},
            label=composite_name(region.composite),
        )
    seen = [band.input_share * 100 for band in regions[0].bands]
    axes.plot(places, seen, "D", color=_INK, markersize=5, label="share of the network's input")
    axes.set_xticks(
        places,
        [re.sub(r" (k?Hz)( \(nominal\))?", lambda unit: f"\n{unit[1]}", name) for name in names],
        fontsize=8,
    )
    axes.set_ylabel("% of positive relevance")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#d9dde3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    nominal = ", nominal frequencies" if regions[0].is_nominal else ""
    name = f"{representation_name(regions[0].representation)}{nominal}"
    axes.set_title(f"{name}: {_counts(regions[0])}", fontsize=10, color=_INK)
    return _png(figure)


def ratios(evidence: Evidence) -> bytes:
    """Draw, by frequency bin, the ratio of relevance to input and to other classes, one below the other.

    Bins outside significant clusters are faded. The bar along the bottom is thin where a bin lies in a
    significant cluster in half of the bootstrap replicates, thick from nine of ten.
    """
    shown = [contrast for contrast in evidence.contrasts.values() if np.isfinite(contrast.bin_ratio[0]).any()]
    height = 0.7 + 2.1 * len(shown)
    figure = _figure((7.6, height), left=0.115, right=0.985, bottom=0.48 / height, top=0.93, hspace=0.3)
    for axes, contrast in zip(np.atleast_1d(figure.subplots(len(shown), sharex=True)), shown, strict=True):
        _ratio(axes, contrast, evidence)
    axes.set_xlabel("nominal frequency in Hz" if evidence.is_nominal else "frequency in Hz")
    return _png(figure)


def _ratio(axes: "Axes", contrast: Contrast, evidence: Evidence) -> None:
    frequency = np.maximum(evidence.frequency, _LOWEST_HZ)
    ratio, low, high = contrast.bin_ratio
    inside = contrast.bin_cluster_p <= evidence.limits.alpha
    axes.axhline(1, color=_INK, linewidth=0.8)
    axes.fill_between(frequency, low, high, color="#d9dde3", linewidth=0)
    axes.plot(frequency, ratio, color="#a8afb9", linewidth=1)
    axes.scatter(frequency[~inside], ratio[~inside], s=12, color="#c9ced6", zorder=3)
    axes.scatter(frequency[inside], ratio[inside], s=16, color="#b2182b", zorder=4)
    for share, width in ((0.5, 2), (0.9, 5)):
        reached = np.where(contrast.bin_inclusion >= share, 0.02, np.nan)
        axes.plot(frequency, reached, color="#b2182b", linewidth=width, transform=axes.get_xaxis_transform())
    axes.set_xscale("log")
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ticks = [tick for tick in _TICKS_HZ if frequency[0] <= tick <= frequency[-1]]
    axes.set_xticks(ticks, [_hertz(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.grid(axis="y", color="#d9dde3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    compared = "to the network's input" if contrast.name == INPUT else "to other classes, same output"
    axes.set_title(f"{compared}: {plural(contrast.n_recordings, 'recording')}", fontsize=9, color=_INK)
    axes.set_ylabel("ratio of shares", fontsize=9)
    axes.yaxis.set_label_coords(-0.09, 0.5)


def thumbnail(region: Region, limit: float) -> bytes:
    """Draw the mean relevance alone, small, with its frequency axis."""
    figure = _figure((2.5, 1.6), left=0.22, right=0.95, bottom=0.13, top=0.96, wspace=0)
    axes = figure.subplots()
    _mesh(axes, region, region.mean_relevance, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_xlabel("")
    axes.set_yticks([250, 1000, 4000], ["250 Hz", "1 kHz", "4 kHz"])
    axes.set_ylabel("")
    if region.is_nominal:
        figure.subplots_adjust(top=0.9)
        axes.set_title("nominal frequency", fontsize=7, loc="left", pad=2)
    axes.tick_params(labelsize=7)
    end_s = axes.get_xlim()[1]
    axes.set_xticks([0, end_s / 2, end_s], ["0", f"{end_s / 2:g}", f"{end_s:g} s"])
    return _png(figure)


def limit_of(regions: Sequence[Drawable]) -> float:
    """Return one limit for the colours of several maps: the 99.5th percentile of absolute mean relevance."""
    cells = [np.abs(region.mean_relevance[np.isfinite(region.mean_relevance)]) for region in regions]
    together = np.concatenate(cells) if cells else np.zeros(0)
    return float(np.quantile(together, 0.995)) if together.size and together.max() > 0 else 1.0


def _mesh(
    axes: "Axes", region: Drawable, cells: np.ndarray, *, cmap: str, vmin: float, vmax: float
) -> "QuadMesh":
    import librosa.display

    mesh = librosa.display.specshow(
        cells,
        x_coords=region.time,
        y_coords=region.frequency,
        x_axis="time",
        y_axis="mel" if region.representation == "mel" else "cqt_hz",
        ax=axes,
        cmap=cmap,
        vmin=vmin,
        vmax=vmax,
    )
    low, high = region.frequency[[0, -1]]
    ticks = [
        tick for tick in _TICKS_HZ if low <= tick <= high and (region.representation == "cqt" or tick >= 250)
    ]
    axes.set_yticks(ticks, [_hertz(tick) for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_ylim(low, high)
    step = region.time[1] - region.time[0]
    end = region.time[-1] + step / 2
    axes.set_xlim(0, end)
    ticks_s = np.linspace(0, end, 5)
    axes.set_xticks(ticks_s, [f"{tick:g}" for tick in ticks_s])
    axes.set_xlabel("time in s")
    axes.set_ylabel("nominal frequency in Hz" if region.is_nominal else "frequency in Hz")
    return mesh


def _contours(axes: "Axes", region: Drawable) -> None:
    """Enclose the cells of highest mean relevance that together hold given shares of what is positive."""
    positive = np.nan_to_num(np.maximum(region.mean_relevance, 0))
    total = positive.sum()
    if total <= 0:
        return
    ordered = np.sort(positive.ravel())[::-1]
    reached = np.cumsum(ordered) / total
    levels = sorted({float(ordered[np.searchsorted(reached, mass)]) for mass in _MASSES})
    if levels[0] > 0:
        axes.contour(
            region.time,
            region.frequency,
            positive,
            levels=levels,
            colors=("#f4a582", "#d6604d", "#b2182b")[-len(levels) :],
            linewidths=1.1,
        )
        axes.set_title("lines hold 10, 25, 50 % of relevance", fontsize=10)


def _counts(region: Region) -> str:
    clips = plural(region.n_clips, f"{region.outcome} clip")
    return f"{plural(region.n_recordings, 'recording')} ({clips})"


def _hertz(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _figure(size: tuple[float, float], **margins: float) -> "Figure":
    """Return a figure with fixed margins: having them found automatically takes longer than drawing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
    figure.subplots_adjust(**margins)
    return figure


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    # Without this, matplotlib writes its own version into every file.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
