"""Every figure of the pages, as matplotlib draws it. Every title says how many recordings stand behind it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolkit.reporting import drawing
from toolkit.reporting.drawing import ACCENT, FADED, INK, LINE, Drawable
from toolkit.reporting.evidence import Contrast, Evidence
from toolkit.reporting.explorer import Box, Layer, Panel
from toolkit.reporting.view import Region
from toolkit.reporting.wording import composite_name, plural, representation_name
from toolkit.store.schema import INPUT, REST

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

_RATIOS = (1 / 8, 8.0)
"""Ends of the axes of ratios; what lies beyond is drawn at the end."""
_OF_REPRESENTATION = {"mel": "#b2182b", "cqt": "#2166ac"}
_OF_COMPOSITE = ("#b2182b", "#ef8a62", "#67a9cf", "#2166ac", "#b2abd2", "#5e3c99", "#7fbf7b", "#1b7837")
_ON_SOUND = ("#7fd3ff", "#c7ecff", "#ffffff")
_ON_GREY = ("#f4a582", "#d6604d", "#b2182b")
_BAR_WIDTH = 0.07
"""Of a colour bar with its ticks and label, as a fraction of the figure."""
_FADING = 0.3
"""Opacity of what is not certain."""
_WIDEST = 2.0
"""Ratio, as its logarithm to base 2, at which colours end."""
_COMPARED = {INPUT: "ratio to input", REST: "ratio to other classes"}


@dataclass(frozen=True)
class Maps:
    """A figure of maps, and where in it its axes lie."""

    figure: "Figure"
    panels: tuple[Panel, ...]


def maps(region: Region, evidence: Evidence | None, limit: float) -> Maps:
    """Draw the mean spectrogram, the mean relevance, and both contrasts by bin, on one frequency axis.

    Lines on the spectrogram enclose the cells that together hold 50, 25 and 10 % of the positive relevance.
    Bins outside of clusters that are certain after correction are faded.

    Parameters
    ----------
    region
        What to draw.
    evidence
        Its contrasts; None draws the maps alone.
    limit
        Colours of relevance run from -limit to +limit.
    """
    figure = drawing.new_figure(11.4, 3.7)
    sound = figure.add_axes((0.055, 0.14, 0.25, 0.69))
    _colour_bar(figure, drawing.level(sound, region), 0.311, "dB below the loudest cell")
    drawing.contours(sound, region, _ON_SOUND)
    sound.set_title("mean spectrogram; lines: 50, 25, 10 % of relevance", fontsize=8.5)
    relevance = figure.add_axes((0.405, 0.14, 0.25, 0.69))
    bar = _colour_bar(
        figure, drawing.relevance(relevance, region, limit), 0.661, "share of |relevance|, thousandths"
    )
    relevance.set_ylabel("")
    relevance.set_title("mean relevance: red for, blue against", fontsize=8.5)
    panels = [
        Panel(drawing.box_of(sound), "level", drawing.rows_of(sound, region.frequency)),
        Panel(
            drawing.box_of(relevance),
            "relevance",
            drawing.rows_of(relevance, region.frequency),
            limit=limit,
            bar=bar,
        ),
    ]
    alpha, contrasts = (evidence.limits.alpha, evidence.contrasts) if evidence else (0.0, {})
    for place, contrast in enumerate(contrasts.values()):
        axes = figure.add_axes((0.752 + 0.128 * place, 0.14, 0.112, 0.69), sharey=relevance)
        axes.tick_params(labelleft=False)
        _ratio(axes, contrast, region.frequency, alpha)
        panels.append(
            Panel(
                drawing.box_of(axes),
                "profile:input" if contrast.name == INPUT else "profile:rest",
                drawing.rows_of(axes, region.frequency),
                x=(float(np.log2(_RATIOS[0])), float(np.log2(_RATIOS[1]))),
            )
        )
    figure.suptitle(f"{region.name}: {_counts(region)}", x=0.055, ha="left", fontsize=10, color=INK)
    return Maps(figure, tuple(panels))


def window(shown: Drawable, limit: float, title: str) -> Maps:
    """Draw the spectrogram of one window or clip beside its relevance, and both over each other.

    Parameters
    ----------
    shown
        What to draw.
    limit
        Colours of relevance run from -limit to +limit.
    title
        What it is.
    """
    figure = drawing.new_figure(11.4, 3.5)
    figure.subplots_adjust(left=0.06, right=0.965, bottom=0.145, top=0.84, wspace=0.16)
    left, middle, right = figure.subplots(1, 3, sharey=True)
    figure.colorbar(drawing.level(left, shown), ax=left, format="%d dB", pad=0.02)
    left.set_title("spectrogram", fontsize=10)
    relevance = drawing.relevance(middle, shown, limit)
    figure.colorbar(relevance, ax=middle, pad=0.02, label="share of |relevance|, thousandths")
    middle.set_title("relevance: red for, blue against", fontsize=10)
    drawing.level(right, shown, cmap="gray_r")
    drawing.contours(right, shown, _ON_GREY)
    right.set_title("lines hold 10, 25, 50 % of relevance", fontsize=10)
    for axes in (middle, right):
        axes.set_ylabel("")
    figure.suptitle(title, fontsize=10, color=INK)
    layers: tuple[Layer, ...] = ("level", "relevance", "level")
    return Maps(
        figure,
        tuple(
            Panel(drawing.box_of(axes), layer, drawing.rows_of(axes, shown.frequency), limit=limit)
            for axes, layer in zip((left, middle, right), layers, strict=True)
        ),
    )


def example(shown: Drawable, title: str) -> Maps:
    """Draw the spectrogram of one clip in grey, with lines around the cells of highest relevance."""
    figure = drawing.new_figure(4.2, 2.7)
    axes = figure.add_axes((0.145, 0.17, 0.83, 0.7))
    drawing.level(axes, shown, cmap="gray_r")
    drawing.contours(axes, shown, _ON_GREY)
    axes.set_title(title, fontsize=8.5, color=INK)
    axes.tick_params(labelsize=8)
    panel = Panel(drawing.box_of(axes), "level", drawing.rows_of(axes, shown.frequency))
    return Maps(figure, (panel,))


def bands(regions: Sequence[Region]) -> "Figure":
    """Draw the band shares of one representation's composites side by side, with intervals and the input."""
    names = [band.band for band in regions[0].bands]
    places = np.arange(len(names))
    figure = drawing.new_figure(7.6, 3.2)
    axes = figure.add_axes((0.08, 0.17, 0.905, 0.73))
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
            color=_OF_COMPOSITE[number % len(_OF_COMPOSITE)],
            ecolor=INK,
            error_kw={"elinewidth": 0.9},
            label=composite_name(region.composite),
        )
    seen = [band.input_share * 100 for band in regions[0].bands]
    axes.plot(places, seen, "D", color=INK, markersize=5, label="share of the network's input")
    axes.set_xticks(places, _band_labels(names), fontsize=8)
    axes.set_ylabel("% of positive relevance")
    axes.set_ylim(bottom=0)
    drawing.plain(axes, "y")
    axes.legend(fontsize=8, frameon=False)
    nominal = ", nominal frequencies" if regions[0].is_nominal else ""
    name = f"{representation_name(regions[0].representation)}{nominal}"
    axes.set_title(f"{name}: {_counts(regions[0])}", fontsize=10, color=INK)
    return figure


def folds(regions: Sequence[Region]) -> "Figure":
    """Draw the band shares of every fold's network beside those of all, one representation below the other."""
    height = 0.45 + 2.2 * len(regions)
    figure = drawing.new_figure(7.6, height)
    figure.subplots_adjust(left=0.08, right=0.86, bottom=0.42 / height, top=1 - 0.3 / height, hspace=0.42)
    for axes, region in zip(np.atleast_1d(figure.subplots(len(regions))), regions, strict=True):
        names = [band.band for band in region.bands]
        places = np.arange(len(names))
        shown = [fold for fold in region.folds if fold.n_recordings]
        for number, fold in enumerate(shown):
            shift = (number - (len(shown) - 1) / 2) * 0.6 / max(1, len(shown))
            axes.plot(
                places + shift,
                np.array(fold.shares) * 100,
                "o",
                markersize=4,
                color=_shade(number, len(shown)),
                label=f"fold {fold.fold} ({fold.n_recordings})",
            )
        axes.hlines(
            [band.share.value * 100 for band in region.bands],
            places - 0.4,
            places + 0.4,
            color=INK,
            linewidth=1.2,
        )
        axes.set_xticks(places, _band_labels(names), fontsize=8)
        axes.set_ylabel("% of positive relevance", fontsize=8)
        axes.set_ylim(bottom=0)
        drawing.plain(axes, "y")
        if shown:
            axes.legend(
                fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02), title="(recordings)"
            )
        axes.set_title(f"{region.name}: {_counts(region)}", fontsize=9, color=INK)
    return figure


def both(evidence: Evidence) -> "Figure | None":
    """Draw the ratio to input of both representations over one frequency axis; none where there is nothing."""
    shared = evidence.in_both
    if shared is None or not np.isfinite(shared.ratio).any():
        return None
    figure = drawing.new_figure(7.6, 2.8)
    axes = figure.add_axes((0.095, 0.18, 0.89, 0.71))
    axes.axhline(1, color=INK, linewidth=0.8)
    for ratio, name in zip(shared.ratio, shared.representations, strict=True):
        axes.step(
            shared.frequency,
            ratio,
            where="mid",
            color=_OF_REPRESENTATION.get(name, INK),
            label=representation_name(name),
            linewidth=1.6,
        )
    axes.set_xscale("log")
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    drawing.frequency_ticks(axes.xaxis, shared.frequency)
    axes.set_xlabel("nominal frequency in Hz" if evidence.is_nominal else "frequency in Hz")
    axes.set_ylabel("relevance / input")
    drawing.plain(axes, "y")
    axes.legend(fontsize=8, frameon=False)
    counts = plural(shared.n_recordings, "recording")
    axes.set_title(
        f"third-octaves, {composite_name(evidence.composite)}: {counts} with correct clips in both",
        fontsize=10,
        color=INK,
    )
    return figure


def in_time(evidence: Sequence[Evidence]) -> "Figure | None":
    """Draw the ratio of relevance to input by band and time from the onset, a representation below the other.

    What was not tested for there being too few recordings is hatched, what is not certain faded. None where
    nothing was tested.
    """
    shown = [each for each in evidence if each.in_time.is_tested.any()]
    if not shown:
        return None
    height = 0.5 + 2.3 * len(shown)
    figure = drawing.new_figure(7.6, height)
    figure.subplots_adjust(left=0.14, right=0.98, bottom=0.5 / height, top=1 - 0.3 / height, hspace=0.5)
    for axes, each in zip(np.atleast_1d(figure.subplots(len(shown))), shown, strict=True):
        _time_map(axes, each)
    return figure


def confusion(tables: Mapping[str, np.ndarray], class_names: Sequence[str]) -> "Figure":
    """Draw confusion tables side by side, by representation: shares of the clips of each true class."""
    names = drawing.drawable(class_names)
    figure = drawing.new_figure(1.2 + 4.6 * len(tables), 4.6)
    figure.subplots_adjust(
        left=0.16 if len(tables) > 1 else 0.3, right=0.98, bottom=0.27, top=0.92, wspace=0.08
    )
    axes_of = np.atleast_1d(figure.subplots(1, len(tables), sharey=True))
    for axes, (name, table) in zip(axes_of, tables.items(), strict=True):
        shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Purples", vmin=0, vmax=1)
        for row, column in zip(*np.nonzero(table), strict=True):
            colour = "white" if shares[row, column] > 0.5 else INK
            axes.text(column, row, str(table[row, column]), ha="center", va="center", fontsize=7, color=colour)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8, parse_math=False)
        axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
        axes.set_xlabel("called", fontsize=8)
        axes.set_title(
            f"{representation_name(name)}: {plural(int(table.sum()), 'clip')}", fontsize=9, color=INK
        )
        axes.tick_params(length=0)
    axes_of[0].set_ylabel("true class", fontsize=8)
    return figure


def thumbnail(region: Region, limit: float) -> "Figure":
    """Draw the mean relevance alone, small, with its frequency axis."""
    figure = drawing.new_figure(1.5, 1.2, drawing.FINE_DPI)
    axes = figure.add_axes((0.29, 0.16, 0.67, 0.71 if region.is_nominal else 0.8))
    drawing.mesh(axes, region, region.mean_relevance, cmap=drawing.RELEVANCE, vmin=-limit, vmax=limit)
    axes.set_xlabel("")
    low, high = region.frequency[[0, -1]]
    ticks = {250: "250 Hz", 1000: "1 kHz", 4000: "4 kHz"}
    inside = {hz: name for hz, name in ticks.items() if low <= hz <= high}
    axes.set_yticks([*inside], [*inside.values()])
    axes.set_ylabel("")
    if region.is_nominal:
        axes.set_title("nominal frequency", fontsize=6.5, loc="left", pad=2)
    axes.tick_params(labelsize=6.5, length=2, pad=1.5)
    end_s = drawing.clip_end_s(region.time)
    axes.set_xticks([0, end_s / 2, end_s], ["0", f"{end_s / 2:g}", f"{end_s:g} s"])
    return figure


def limit_of(regions: Sequence[Drawable]) -> float:
    """Return one limit for the colours of several maps: the 99.5th percentile of absolute mean relevance."""
    cells = [np.abs(region.mean_relevance[np.isfinite(region.mean_relevance)]) for region in regions]
    together = np.concatenate(cells) if cells else np.zeros(0)
    return float(np.quantile(together, 0.995)) if together.size and together.max() > 0 else 1.0


def _time_map(axes: "Axes", evidence: Evidence) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    known, names = evidence.in_time, [band.band for band in evidence.bands]
    step = known.time_s[1] - known.time_s[0]
    edges = np.append(known.time_s, known.time_s[-1] + step)
    rows = np.arange(len(names) + 1) - 0.5
    axes.set_facecolor("white")
    axes.patch.set(hatch="////", edgecolor=LINE)
    colours = ScalarMappable(Normalize(-_WIDEST, _WIDEST), drawing.RELEVANCE)
    with np.errstate(divide="ignore"):
        cells = np.asarray(colours.to_rgba(np.where(known.is_tested, np.log2(known.ratio), np.nan)))
    cells[..., :3] = 1 - (1 - cells[..., :3]) * np.where(known.is_certain, 1.0, _FADING)[..., None]
    axes.pcolormesh(edges, rows, cells, rasterized=True)
    bar = axes.figure.colorbar(colours, ax=axes, pad=0.02)
    bar.set_ticks([-_WIDEST, 0, _WIDEST], labels=["1/4", "1", "4"])
    bar.set_label("relevance / input", fontsize=8)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("time from the onset of the loudest event in s", fontsize=8)
    n = plural(evidence.input.n_recordings, "recording")
    axes.set_title(f"{evidence.name}: {n}", fontsize=9, color=INK)


def _ratio(axes: "Axes", contrast: Contrast, frequency: np.ndarray, alpha: float) -> None:
    """Draw ratios by bin upwards; bar on the left: bins that lie in a cluster if recordings are drawn anew."""
    inside = contrast.is_certain(alpha)
    ratio, low, high = np.clip(contrast.bin_ratio, *_RATIOS)
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.fill_betweenx(frequency, low, high, color=LINE, linewidth=0)
    axes.plot(ratio, frequency, color=FADED, linewidth=0.8)
    axes.plot(ratio[~inside], frequency[~inside], "o", markersize=2.2, color="#c9ced6")
    axes.plot(ratio[inside], frequency[inside], "o", markersize=3.2, color=ACCENT)
    for share, width in ((0.5, 1.5), (0.9, 4)):
        reached = np.where((contrast.bin_inclusion >= share) & inside.any(), 0.03, np.nan)
        axes.plot(reached, frequency, color=ACCENT, linewidth=width, transform=axes.get_yaxis_transform())
    axes.set_xscale("log", base=2)
    axes.set_xlim(*_RATIOS)
    axes.set_xticks([0.25, 1, 4], ["1/4", "1", "4"], fontsize=8)
    axes.set_xticks([], minor=True)
    drawing.plain(axes, "x")
    n = plural(contrast.n_recordings, "recording")
    axes.set_title(f"{_COMPARED[contrast.name]}\n{n}", fontsize=8)
    if not np.isfinite(contrast.bin_ratio[0]).any():
        why = "too few\nto say" if contrast.is_kept else "not kept\nin this run"
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", fontsize=8, color=INK)


def _colour_bar(figure: "Figure", drawn: "QuadMesh", left: float, label: str) -> Box:
    """Draw a colour bar; return the box that it takes with what is written beside it."""
    bar = figure.colorbar(drawn, cax=figure.add_axes((left, 0.14, 0.009, 0.69)))
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    left, top, _, height = drawing.box_of(bar.ax)
    return left, top, _BAR_WIDTH, height


def _shade(number: int, n: int) -> str:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps["viridis"](number / max(1, n - 1) * 0.9))


def _band_labels(names: Sequence[str]) -> list[str]:
    return [re.sub(r" (k?Hz)( \(nominal\))?", lambda unit: f"\n{unit[1]}", name) for name in names]


def _counts(region: Region) -> str:
    clips = plural(region.n_clips, f"{region.outcome} clip")
    return f"{plural(region.n_recordings, 'recording')} ({clips})"
