"""Pages from view objects: Jinja2 with autoescape and without undefined names, one self-contained file each."""

import base64
import hashlib
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from toolkit.errors import StoreError
from toolkit.reporting import figures
from toolkit.reporting.view import (
    COMPOSITE_NAMES,
    ClassView,
    Estimate,
    Overview,
    Region,
    page_files,
    read_class,
    read_overview,
    representation_name,
)
from toolkit.store.read import attributes
from toolkit.store.schema import CORRECT, MISCLASSIFIED

INDEX = "index.html"
_PACKAGED = Path(__file__).parent / "templates"
_IN_CHECKOUT = Path(__file__).parents[2] / "reports" / "templates"


def pages(store: Path) -> dict[str, str | None]:
    """Return every page of a store: its file name, and the class that it is about (none: the index)."""
    names = [str(name) for name in _listed(attributes(store)["class_names"])]
    return {INDEX: None, **{file: name for name, file in page_files(names).items()}}


def render(store: Path, file: str) -> str:
    """Return one page of a store as HTML; it depends on the store and on nothing else.

    Raises
    ------
    StoreError
        The store has no such page, or no statistics yet.
    """
    known = pages(store)
    if file not in known:
        raise StoreError(f"{store}: no page {file!r}; there are: {', '.join(known)}")
    name = known[file]
    overview = read_overview(store)
    if name is None:
        return _render_index(overview, [read_class(store, each) for each in overview.class_names])
    return _render_class(overview, read_class(store, name))


def templates_folder() -> Path:
    """Return where the templates are: in the installed package, or in the checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _IN_CHECKOUT


def _render_index(overview: Overview, classes: list[ClassView]) -> str:
    shown = [region for page in classes for region in page.correct]
    keys = list(dict.fromkeys((region.representation, region.composite) for region in shown))
    limits = {key: figures.limit_of([region for region in shown if _key(region) == key]) for key in keys}
    thumbnails = {
        (page.name, *_key(region)): image(figures.thumbnail(region, limits[_key(region)]))
        for page in classes
        for region in page.correct
    }
    return template("index.html.j2").render(
        overview=overview, classes=classes, thumbnails=thumbnails, keys=keys, **shared()
    )


def _render_class(overview: Overview, page: ClassView) -> str:
    drawn = []
    for outcome in (CORRECT, MISCLASSIFIED):
        for region in page.regions:
            if region.outcome == outcome and region.n_clips:
                pair = [other for other in page.regions if _key(other) == _key(region)]
                drawn.append((region, image(figures.maps(region, figures.limit_of(pair)))))
    representations = list(dict.fromkeys(region.representation for region in page.correct))
    profiles = {
        name: image(figures.bands([region for region in page.correct if region.representation == name]))
        for name in representations
    }
    return template("class.html.j2").render(
        overview=overview, page=page, drawn=drawn, profiles=profiles, band_names=_band_names(page), **shared()
    )


def _band_names(page: ClassView) -> list[str]:
    """Return every band that some representation has, ascending: the one with most bands knows them all."""
    names = [[band.band for band in region.bands] for region in page.regions]
    return max(names, key=len, default=[])


def _key(region: Region) -> tuple[str, str]:
    return region.representation, region.composite


def shared() -> dict[str, object]:
    """Return what every template needs: the style sheet with its hash, and words."""
    css = (templates_folder() / "assets" / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return {
        # The only markup that does not come from a template: our style sheet, whose hash the policy names.
        "css": Markup(css),  # noqa: S704
        "css_hash": f"sha256-{digest}",
        "composite_names": COMPOSITE_NAMES,
        "CORRECT": CORRECT,
        "MISCLASSIFIED": MISCLASSIFIED,
    }


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
    }
    environment.filters.update(filters)
    return environment.get_template(name)


def percent(share: float) -> str:
    """Return a share as a percentage, or a dash where there is none."""
    return "–" if math.isnan(share) else f"{100 * share:.0f} %"


def interval(estimate: Estimate) -> str:
    """Return the limits of an estimate as percentages, or nothing where there are none."""
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return ""
    return f"{100 * estimate.low:.0f}–{100 * estimate.high:.0f} %"


def number(value: float, digits: int = 2) -> str:
    """Return a number with so many decimals, or a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def words(name: str) -> str:
    """Return the name of a class as words."""
    return name.replace("_", " ")


def image(png: bytes) -> str:
    """Return a picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
