"""Pages from view objects: Jinja2 with autoescape and without undefined names, one self-contained file each."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from toolkit.errors import StoreError
from toolkit.reporting import figures
from toolkit.reporting.evidence import Evidence, read_evidence
from toolkit.reporting.verdicts import verdict
from toolkit.reporting.view import ClassView, Overview, Region, page_files, read_class, read_overview
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
    overview, evidence = read_overview(store), read_evidence(store)
    if name is None:
        return _render_index(overview, [read_class(store, each) for each in overview.class_names], evidence)
    mine = [each for each in evidence if each.class_name == name]
    return _render_class(overview, read_class(store, name), mine)


def templates_folder() -> Path:
    """Return where the templates are: in the installed package, or in the checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _IN_CHECKOUT


def _render_index(overview: Overview, classes: list[ClassView], evidence: Sequence[Evidence]) -> str:
    shown = [region for page in classes for region in page.correct]
    keys = list(dict.fromkeys((region.representation, region.composite) for region in shown))
    drawn_limits = {key: figures.limit_of([region for region in shown if _key(region) == key]) for key in keys}
    thumbnails = {
        (page.name, *_key(region)): image(figures.thumbnail(region, drawn_limits[_key(region)]))
        for page in classes
        for region in page.correct
    }
    first = evidence[0].composite if evidence else ""
    return template("index.html.j2").render(
        overview=overview,
        classes=classes,
        thumbnails=thumbnails,
        keys=keys,
        verdicts={
            (each.class_name, each.representation): (each, verdict(each))
            for each in evidence
            if each.composite == first
        },
        first_composite=first,
        compares_classes=any(each.rest.is_kept for each in evidence),
        **shared(),
    )


def _render_class(overview: Overview, page: ClassView, evidence: Sequence[Evidence]) -> str:
    drawn = []
    for outcome in (CORRECT, MISCLASSIFIED):
        for region in page.regions:
            if region.outcome == outcome and region.n_clips:
                pair = [other for other in page.regions if _key(other) == _key(region)]
                drawn.append((region, image(figures.maps(region, figures.limit_of(pair)))))
    representations = list(dict.fromkeys(region.representation for region in page.correct))
    shares = {
        name: image(figures.bands([region for region in page.correct if region.representation == name]))
        for name in representations
    }
    first = evidence[0].composite if evidence else ""
    return template("class.html.j2").render(
        overview=overview,
        page=page,
        drawn=drawn,
        shares=shares,
        ratios={
            each.representation: image(figures.ratios(each))
            for each in evidence
            if each.composite == first and each.has_ratios
        },
        evidence=[(each, verdict(each)) for each in evidence],
        chance_folds={score.representation: score.chance_folds for score in overview.scores},
        first_composite=first,
        **shared(),
    )


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
        "composite": composite_name,
        "limits": limits,
        "p_number": p_number,
        "times": times,
        "listed": listed,
    }
    environment.filters.update(filters)
    return environment.get_template(name)


def image(png: bytes) -> str:
    """Return a picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
