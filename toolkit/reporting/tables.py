"""Every table of the pages as files: one row per thing, plain column names, numbers in full."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.reporting.evidence import Evidence, InBoth
from toolkit.reporting.listening import Example
from toolkit.reporting.trust import Check
from toolkit.reporting.verdicts import headline, status
from toolkit.reporting.view import ClassView, Fault, Overview, Region
from toolkit.reporting.wording import Estimate

Cell = str | int | float | bool
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Text that begins so is a formula to a spreadsheet."""


@dataclass(frozen=True)
class Table:
    """Rows with the same columns; NaN where there is no value."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def as_csv(self) -> bytes:
        """Return CSV after RFC 4180, UTF-8: an absent value is empty, what looks like a formula is quoted."""
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        writer.writerow(self.columns)
        writer.writerows([_in_csv(cell) for cell in row] for row in self.rows)
        return buffer.getvalue().encode()

    def as_json(self) -> bytes:
        """Return a list of objects in UTF-8; an absent value is null."""
        records = [
            {name: _in_json(cell) for name, cell in zip(self.columns, row, strict=True)} for row in self.rows
        ]
        return json.dumps(records, ensure_ascii=False, indent=1).encode()


def of_run(
    overview: Overview, classes: Sequence[ClassView], evidence: Sequence[Evidence], checks: Sequence[Check]
) -> dict[str, Table]:
    """Return the tables of the index by name."""
    return {
        "verdicts": _table(_verdict(each) for each in evidence),
        "performance": _table(
            {
                "representation": score.representation,
                "clips": score.n_clips,
                "recordings": score.n_recordings,
                "chance": score.chance,
                **_estimate("accuracy", score.accuracy),
                **_estimate("mean_fold_accuracy", score.mean_fold_accuracy),
                **_estimate("macro_f1", score.macro_f1),
                **_estimate("mcc", score.mcc),
                **_estimate("brier", score.calibration.brier),
                "ece": score.calibration.error,
            }
            for score in overview.scores
        ),
        "folds": _table(
            {
                "representation": score.representation,
                "fold": fold.fold,
                **_estimate("accuracy", fold.accuracy),
                "chance": fold.chance,
                "is_chance": fold.is_chance,
            }
            for score in overview.scores
            for fold in score.folds
        ),
        "reliability": _table(
            {
                "representation": score.representation,
                "clips": n_clips,
                "confidence": confidence,
                **_estimate("accuracy", accuracy),
            }
            for score in overview.scores
            for n_clips, confidence, accuracy in score.calibration.bins
        ),
        "confusion": _table(
            {
                "representation": score.representation,
                "fold": fold.fold,
                "class": true,
                "called": called,
                "clips": int(score.fold_confusion[place, row, column]),
            }
            for score in overview.scores
            for place, fold in enumerate(score.folds)
            for row, true in enumerate(score.class_names)
            for column, called in enumerate(score.class_names)
        ),
        "classes": _table(
            {
                "class": page.name,
                "clips": page.n_clips,
                "recordings": page.n_recordings,
                "representation": score.representation,
                **_estimate("recall", score.recall),
                **_estimate("precision", score.precision),
            }
            for page in classes
            for score in page.scores
        ),
        "networks": _table(
            {"representation": score.representation, **vars(network)}
            for score in overview.scores
            for network in score.training
        ),
        "trust": _table(
            {
                "question": check.question,
                "representation": check.representation,
                "state": check.state,
                "answer": check.answer,
            }
            for check in checks
        ),
        "faults": _faults(overview.faults),
        "notes": _faults(overview.notes),
        "settings": _table({"setting": name, "value": value} for name, value in overview.parameters),
    }


def of_class(page: ClassView, evidence: Sequence[Evidence], examples: Sequence[Example]) -> dict[str, Table]:
    """Return the tables of a class by name."""
    return {
        "verdicts": _table(_verdict(each) for each in evidence),
        "bands": _table(row for each in evidence for row in _bands(each)),
        "bins": _table(row for each in evidence for row in _bins(each)),
        "folds": _table(
            {
                "representation": region.representation,
                "composite": region.composite,
                "outcome": region.outcome,
                "fold": fold.fold,
                "recordings": fold.n_recordings,
                "agreement": fold.agreement,
                "band": band.band,
                "share": share,
            }
            for region in page.regions
            for fold in region.folds
            for band, share in zip(region.bands, fold.shares, strict=True)
        ),
        **{
            f"{layer}_{region.outcome}_{region.representation}_{region.composite}": _map(region, cells)
            for region in page.regions
            if region.n_clips
            for layer, cells in (("relevance", region.mean_relevance), ("level_db", region.mean_level_db))
        },
        "performance": _table(
            {
                "representation": score.representation,
                "fold": fold.fold,
                "clips": fold.n_clips,
                "recordings": fold.n_recordings,
                "recall": fold.recall,
                "precision": fold.precision,
            }
            for score in page.scores
            for fold in score.folds
        ),
        "confusions": _table(
            {"representation": score.representation, "called": name, "clips": n_clips}
            for score in page.scores
            for name, n_clips in score.confused_with
        ),
        "kinds": _table(
            {
                **_maker(each),
                "kinds": comparison.name,
                "recordings_first": comparison.n_first,
                "recordings_second": comparison.n_second,
                "correlation": comparison.correlation,
                "band": band.band,
                **_estimate("ratio", ratio),
            }
            for each in evidence
            for comparison in each.comparisons
            for band, ratio in zip(each.bands, comparison.ratios, strict=True)
        ),
        "agreement": _table(row for each in evidence for row in _agreement(each)),
        "third_octaves": _table(row for each in evidence for row in _third_octaves(each)),
        "in_time": _table(row for each in evidence for row in _in_time(each)),
        "examples": _table(
            {
                "representation": example.cut.representation,
                "composite": example.cut.composite,
                "clip": example.cut.clip,
                "fold": example.cut.fold,
                "recordings": example.n_alike,
                "target": example.cut.target,
                "kept_share_of_cells": example.cut.kept_share_of_cells,
                "kept_share_of_relevance": example.cut.kept_share_of_relevance,
                "version": heard.version,
                "called": heard.called,
                "probability": heard.probability,
                "gain_db": heard.gain_db,
                "error": example.cut.error,
                "attribution": example.cut.attribution,
            }
            for example in examples
            for heard in example.cut.versions
        ),
        "faults": _faults(page.faults),
    }


def _verdict(evidence: Evidence) -> dict[str, Cell]:
    found: dict[str, Cell] = {
        "class": evidence.class_name,
        **_maker(evidence),
        "status": status(evidence),
        "verdict": headline(evidence),
    }
    for name, contrast in evidence.contrasts.items():
        found |= {f"recordings_{name}": contrast.n_recordings, f"p_{name}": contrast.p}
    return found


def _bands(evidence: Evidence) -> Iterable[dict[str, Cell]]:
    for number, band in enumerate(evidence.bands):
        row: dict[str, Cell] = {
            **_maker(evidence),
            "band": band.band,
            **_estimate("share", band.share),
            "input_share": band.input_share,
            "power_share": band.power_share,
            "share_per_hz": band.share_per_hz,
            "share_per_erb": band.share_per_erb,
            "icc": band.icc,
            "design_effect": band.design_effect,
            **_estimate("power_ratio", band.power_ratio),
            "power_p": band.power_p,
        }
        for name, contrast in evidence.contrasts.items():
            found = contrast.bands[number]
            row |= {
                **_estimate(f"{name}_ratio", found.ratio),
                f"{name}_p": found.p,
                f"{name}_verdict": found.verdict,
                f"{name}_effect_size": found.effect_size,
                f"{name}_folds": found.n_folds,
                f"{name}_folds_alike": found.n_folds_alike,
                f"{name}_least_ratio": found.least_ratio,
                f"{name}_largest_ratio": found.largest_ratio,
            }
        yield row


def _bins(evidence: Evidence) -> Iterable[dict[str, Cell]]:
    for number, hz in enumerate(evidence.frequency):
        row: dict[str, Cell] = {**_maker(evidence), _hertz(evidence.is_nominal): float(hz)}
        for name, contrast in evidence.contrasts.items():
            row |= {
                **_estimate(f"{name}_ratio", Estimate(*contrast.bin_ratio[:, number].tolist())),
                f"{name}_cluster_p": float(contrast.bin_cluster_p[number]),
                f"{name}_inclusion": float(contrast.bin_inclusion[number]),
            }
        yield row


def _map(region: Region, cells: np.ndarray) -> Table:
    """Return a map with a row for every bin and a column for every frame, to six digits."""
    columns = (_hertz(region.is_nominal), *(f"{s:.6g} s" for s in region.time))
    rows = zip(region.frequency.tolist(), cells.tolist(), strict=True)
    return Table(columns, tuple((hz, *(float(f"{cell:.6g}") for cell in row)) for hz, row in rows))


def _agreement(evidence: Evidence) -> Iterable[dict[str, Cell]]:
    compared: list[tuple[str, Estimate, float]] = [
        *((each.composite, each.correlation, each.map_correlation) for each in evidence.composites),
        *((f"seed {each.seed}", each.correlation, each.map_correlation) for each in evidence.seeds),
    ]
    both = _told_once(evidence)
    if both is not None:
        compared.insert(0, (" against ".join(both.representations), both.correlation, math.nan))
    for name, correlation, of_maps in compared:
        found = {"compared_with": name, **_estimate("correlation", correlation), "map_correlation": of_maps}
        yield {**_maker(evidence), **found}


def _third_octaves(evidence: Evidence) -> Iterable[dict[str, Cell]]:
    both = _told_once(evidence)
    if both is None:
        return
    for number, hz in enumerate(both.frequency.tolist()):
        ratios = zip(both.representations, both.ratio[:, number].tolist(), strict=True)
        yield {
            "composite": evidence.composite,
            _hertz(evidence.is_nominal): hz,
            **{f"ratio_{name}": ratio for name, ratio in ratios},
        }


def _told_once(evidence: Evidence) -> InBoth | None:
    """Return what both representations have in common, of the first of them: it is the same for all."""
    both = evidence.in_both
    return both if both and evidence.representation == both.representations[0] else None


def _in_time(evidence: Evidence) -> Iterable[dict[str, Cell]]:
    known = evidence.in_time
    for row, band in enumerate(evidence.bands):
        for column, s in enumerate(known.time_s.tolist()):
            yield {
                **_maker(evidence),
                "band": band.band,
                "time_s": s,
                "ratio": float(known.ratio[row, column]),
                "is_tested": bool(known.is_tested[row, column]),
                "is_certain": bool(known.is_certain[row, column]),
            }


def _faults(faults: Iterable[Fault]) -> Table:
    return Table(("subject", "reason"), tuple((fault.subject, fault.reason) for fault in faults))


def _hertz(is_nominal: bool) -> str:
    return "nominal_frequency_hz" if is_nominal else "frequency_hz"


def _maker(evidence: Evidence) -> dict[str, Cell]:
    return {"representation": evidence.representation, "composite": evidence.composite}


def _estimate(name: str, estimate: Estimate) -> dict[str, Cell]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _table(rows: Iterable[Mapping[str, Cell]]) -> Table:
    listed = list(rows)
    columns = tuple(listed[0]) if listed else ()
    return Table(columns, tuple(tuple(row[name] for name in columns) for row in listed))


def _in_csv(cell: Cell) -> Cell:
    if isinstance(cell, float) and not math.isfinite(cell):
        return ""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _in_json(cell: Cell) -> Cell | None:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
