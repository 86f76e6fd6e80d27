"""Pages from view objects: Jinja2 with autoescape and without undefined names, one self-contained file each."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
from markupsafe import Markup

from toolkit.errors import StoreError
from toolkit.reporting import drawing, figures, tables, trust
from toolkit.reporting.evidence import Contrast, Evidence, read_evidence
from toolkit.reporting.explorer import ALL_FOLDS, Explorable, Panel, Profile, data_block, of_one, payload
from toolkit.reporting.listening import read_examples
from toolkit.reporting.verdicts import verdict
from toolkit.reporting.view import (
    ClassView,
    Overview,
    Region,
    page_files,
    read_class,
    read_overview,
    unique_names,
)
from toolkit.reporting.wording import (
    composite_name,
    interval,
    limits,
    listed,
    number,
    p_number,
    percent,
    plural,
    representation_name,
    times,
    words,
)
from toolkit.store.read import class_names
from toolkit.store.schema import CORRECT, MISCLASSIFIED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INDEX = "index.html"
DATA = "data"
"""Folder beside the pages that holds tables and figures as files, a folder for each page."""
_PACKAGED = Path(__file__).parent / "templates"
_IN_CHECKOUT = Path(__file__).parents[2] / "reports" / "templates"


def pages(store: Path) -> dict[str, str | None]:
    """Return every page of a store: its file name, and the class that it is about (none: the index)."""
    return {INDEX: None, **{file: name for name, file in page_files(class_names(store)).items()}}


@dataclass(frozen=True)
class Page:
    """A page, and what it shows as files of their own."""

    html: str
    files: Mapping[str, bytes]
    """By name, as 'bands.csv'; none unless they were asked for."""


def render(store: Path, file: str, *, with_data: bool = False) -> Page:
    """Return one page of a store; it depends on the store and on nothing else.

    Parameters
    ----------
    store
        A store with statistics.
    file
        Name of the page, as ``pages`` gives it.
    with_data
        Whether to return every table and figure as files, too.

    Raises
    ------
    StoreError
        The store has no such page, or no statistics yet.
    """
    known = pages(store)
    if file not in known:
        raise StoreError(f"{store}: no page {file!r}; there are: {', '.join(known)}")
    with drawing.own_style():
        return _render(store, known[file], with_data=with_data)


def templates_folder() -> Path:
    """Return where the templates are: in the installed package, or in the checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _IN_CHECKOUT


def _render(store: Path, name: str | None, *, with_data: bool) -> Page:
    overview, evidence = read_overview(store), read_evidence(store)
    if name is None:
        classes = [read_class(store, each) for each in overview.class_names]
        return _render_index(overview, classes, evidence, with_data=with_data)
    mine = [each for each in evidence if each.class_name == name]
    return _render_class(store, overview, read_class(store, name), mine, with_data=with_data)


def _render_index(
    overview: Overview, classes: Sequence[ClassView], evidence: Sequence[Evidence], *, with_data: bool
) -> Page:
    first = evidence[0].composite if evidence else ""
    shown = [region for page in classes for region in page.correct if region.composite == first]
    limits = {
        score.representation: figures.limit_of([
            region for region in shown if region.representation == score.representation
        ])
        for score in overview.scores
    }
    drawn = {
        f"{page.name}, {region.representation}": figures.thumbnail(region, limits[region.representation])
        for page in classes
        for region in page.correct
        if region.composite == first
    }
    tables_of = {score.representation: score.confusion for score in overview.scores if score.n_clips}
    if tables_of:
        drawn["confusion"] = figures.confusion(tables_of, overview.scores[0].class_names)
    pictures = {name: drawing.png(figure) for name, figure in drawn.items()}
    checks = trust.checks(overview, classes, first)
    files = files_of(drawn, pictures, tables.of_run(overview, classes, evidence, checks)) if with_data else {}
    html = template("index.html.j2").render(
        overview=overview,
        classes=classes,
        images={name: _address(picture) for name, picture in pictures.items()},
        verdicts={
            (each.class_name, each.representation): (each, verdict(each))
            for each in evidence
            if each.composite == first
        },
        trust=trust.by_question(checks),
        files=sorted(files),
        folder=data_folder(INDEX),
        first_composite=first,
        compares_classes=any(each.rest.is_kept for each in evidence),
        **shared(),
    )
    return Page(html, files)


def _render_class(
    store: Path, overview: Overview, page: ClassView, evidence: Sequence[Evidence], *, with_data: bool
) -> Page:
    first = evidence[0].composite if evidence else ""
    known = {(each.representation, each.composite): each for each in evidence}
    explorable, drawn = {}, {}
    for region in page.regions:
        if region.n_clips and (region.outcome == CORRECT or region.composite == first):
            pair = [other for other in page.regions if _key(other) == _key(region)]
            limit = figures.limit_of(pair)
            mine = known[_key(region)] if region.outcome == CORRECT else None
            maps = figures.maps(region, mine, limit)
            name = f"{region.outcome}, {region.representation}, {region.composite}"
            drawn[name], explorable[name] = maps.figure, _explorable(region, mine, maps.panels, overview.alpha)
    for name in dict.fromkeys(region.representation for region in page.correct):
        drawn[f"bands, {name}"] = figures.bands([each for each in page.correct if each.representation == name])
    by_first = [region for region in page.correct if region.composite == first]
    if by_first:
        drawn["folds"] = figures.folds(by_first)
    in_both = figures.both(evidence[0]) if evidence else None
    in_time = figures.in_time([each for each in evidence if each.composite == first])
    drawn |= {name: each for name, each in (("both representations", in_both), ("in time", in_time)) if each}
    examples = read_examples(store, page.name)
    for each in examples:
        maps = figures.example(each.drawing, each.title)
        drawn[each.key] = maps.figure
        explorable[each.key] = of_one(each.drawing, each.cut.composite, maps.panels)
    pictures = {name: drawing.png(figure) for name, figure in drawn.items()}
    files = files_of(drawn, pictures, tables.of_class(page, evidence, examples)) if with_data else {}
    html = template("class.html.j2").render(
        overview=overview,
        page=page,
        images={name: _address(picture) for name, picture in pictures.items()},
        explorer_data=data_block(payload(explorable)),
        files=sorted(files),
        folder=data_folder(page.file),
        evidence=[(each, verdict(each)) for each in evidence],
        examples=examples,
        chance_folds={score.representation: score.chance_folds for score in overview.scores},
        first_composite=first,
        **shared(),
    )
    return Page(html, files)


def data_folder(file: str) -> str:
    """Return where the files of a page lie, relative to the page."""
    return f"{DATA}/{Path(file).stem}"


def files_of(
    drawn: Mapping[str, "Figure"], pictures: Mapping[str, bytes], made: Mapping[str, tables.Table]
) -> dict[str, bytes]:
    """Return figures as PNG, which ``pictures`` are, and SVG, and tables as CSV and JSON, by file name."""
    files: dict[str, bytes] = {}
    stems = unique_names(drawn, r"[^A-Za-z0-9._-]+", taken=())
    for name, figure in drawn.items():
        files |= {f"{stems[name]}.png": pictures[name], f"{stems[name]}.svg": drawing.svg(figure)}
    for name, table in made.items():
        if table.columns:
            files |= {f"{name}.csv": table.as_csv(), f"{name}.json": table.as_json()}
    return files


def _explorable(region: Region, evidence: Evidence | None, panels: Sequence[Panel], alpha: float) -> Explorable:
    shown = [fold for fold in region.folds if fold.n_recordings]
    until_s, end_s = drawing.recorded_until_s(region), drawing.clip_end_s(region.time)
    return Explorable(
        representation=region.representation,
        composite=region.composite,
        frequency=region.frequency,
        time=region.time,
        panels=panels,
        folds={
            ALL_FOLDS: region.mean_relevance,
            **({str(fold.fold): fold.mean_relevance for fold in shown} if evidence else {}),
        },
        n_recordings={ALL_FOLDS: region.n_recordings, **{str(fold.fold): fold.n_recordings for fold in shown}},
        level=region.mean_level_db,
        profile={
            contrast.name: _profile(contrast, alpha)
            for contrast in (evidence.contrasts.values() if evidence else ())
            if np.isfinite(contrast.bin_ratio[0]).any()
        },
        recorded_until_s=until_s if until_s < end_s else None,
        alpha=alpha,
        is_nominal=region.is_nominal,
    )


def _profile(contrast: Contrast, alpha: float) -> Profile:
    """Return a contrast by bin; only clusters that are certain for all classes and contrasts have a p."""
    ratio, low, high = contrast.bin_ratio
    p = np.where(contrast.is_certain(alpha), contrast.bin_cluster_p, np.nan)
    return Profile(ratio=ratio, low=low, high=high, p=p)


def _key(region: Region) -> tuple[str, str]:
    return region.representation, region.composite


def shared() -> dict[str, object]:
    """Return what every template needs: the style sheet and the script with their hashes, and words."""
    css = _asset("style.css") + _asset("explorer.css")
    script = _asset("script.js")
    return {
        # The only markup that does not come from a template: our own, whose hashes the policy names.
        "css": Markup(css),  # noqa: S704
        "css_hash": _hash(css),
        "script": Markup(script),  # noqa: S704
        "script_hash": _hash(script),
        "bibtex": _asset("references.bib"),
        "CORRECT": CORRECT,
        "MISCLASSIFIED": MISCLASSIFIED,
    }


def _asset(name: str) -> str:
    return (templates_folder() / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def template(name: str) -> jinja2.Template:
    """Return a template with autoescape, our filters and no undefined names."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "percent": percent,
        "interval": interval,
        "number": number,
        "plural": plural,
        "words": words,
        "representation": representation_name,
        "composite": composite_name,
        "limits": limits,
        "p_number": p_number,
        "times": times,
        "listed": listed,
    }
    environment.filters.update(filters)
    return environment.get_template(name)


def image(figure: "Figure") -> str:
    """Return a figure as an address that holds it."""
    return _address(drawing.png(figure))


def _address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
