"""The pages under test: figures that are made up, and names that try to be more than text."""

from pathlib import Path

import numpy as np

from tests.reporting.comparable import Run
from tests.reporting.stores import CLASSES, CUTS_ABOUT, MadeUp, cuts, text
from tests.reporting.test_clip import LABELS, Corpus, page_of
from tests.reporting.test_recording import Recording
from toolkit.pipeline.comparing import compare
from toolkit.reporting import comparison, render
from toolkit.store import write
from toolkit.store.schema import LEFT_OUT

RIGHT_TO_LEFT = "צופר صفارة"
CLASS_NAMES = ('"><img src=x onerror=alert(1)>', RIGHT_TO_LEFT, "<script>alert(1)</script> & 'horn' $x{$")
PATH = 'fold1/<img src=x onerror="alert(2)">.wav'
REASON = "not sound: '<svg onload=alert(3)>' & \"x\""
SUBJECT = "row 7: <script>alert(4)</script>"
CORPUS_CLIP = f'"><script>alert(5)</script> {RIGHT_TO_LEFT}'
FILE = "a<iframe srcdoc='<script>parent.alert(6)</script>'></iframe>&amp;.wav"
CREDIT = "Sound: <img src=x onerror=alert(7)>"
SHOWN = {
    "index": (*CLASS_NAMES, PATH, REASON, SUBJECT),
    "class": (*CLASS_NAMES, PATH, REASON),
    "recording": (*CLASS_NAMES, FILE, CORPUS_CLIP),
    "compare": CLASS_NAMES,
    "clip": (*CLASS_NAMES, PATH, CREDIT),
}
"""What each page must show, letter by letter."""


def write_pages(folder: Path) -> dict[str, Path]:
    """Render one page of every kind into a folder; return their files."""
    store = hostile_store(folder)
    (class_file,) = (file for file, name in render.pages(store).items() if name == CLASS_NAMES[0])
    made = {
        "index": (render.INDEX, render.render(store, render.INDEX).html),
        "class": (class_file, render.render(store, class_file).html),
        "recording": ("recording.html", hostile_recording(folder).page()),
        "compare": ("compare.html", hostile_comparison(folder)),
        "clip": ("clip.html", hostile_clip(folder / "clip")),
    }
    for file, page in made.values():
        (folder / file).write_text(page, encoding="utf-8")
    return {kind: folder / file for kind, (file, _) in made.items()}


def hostile_store(folder: Path) -> Path:
    made = MadeUp(folder)
    made.about["class_names"] = list(CLASS_NAMES)
    for table in (made.clips, *made.groups.values()):
        rename(table)
    made.clips["path"][0], made.clips["error"][0], made.clips["status"][0] = PATH, f"{PATH}: {REASON}", LEFT_OUT
    made.problems = {"subject": text(SUBJECT), "reason": text(REASON), "severity": text("fault")}
    return made.write()


def hostile_recording(folder: Path) -> Recording:
    made = Recording(folder, n_windows=2)
    made.about |= {"class_names": list(CLASS_NAMES), "file": FILE}
    made.explanations["class_name"] = text(*CLASS_NAMES)
    made.explanations["corpus_clip"] = text(CORPUS_CLIP, "")
    return made


def hostile_comparison(folder: Path) -> str:
    """Two runs of which the second lacks a recording and is wrong where the first is right."""
    runs = (Run(folder / "compared" / "one"), Run(folder / "compared" / "<b>other"))
    for run in runs:
        run.names = run.about["class_names"] = list(CLASS_NAMES)
        for table in run.groups.values():
            rename(table)
    runs[1].right["mel"][::5] = False
    runs[1].without_rows("recording 3")
    return comparison.render(compare(*(run.write() for run in runs)))


def hostile_clip(folder: Path) -> str:
    """A clip that can be heard."""
    made = Corpus(folder)
    made.about["class_names"] = list(CLASS_NAMES)
    for table in (made.clips, *made.groups.values(), *made.by_target.values()):
        rename(table)
    made.clips["clip"][0] = PATH
    store = made.write()
    heard = cuts(made.clips["clip"], LABELS, made.clips["fold"]) | {
        "attribution": text(*[CREDIT] * len(LABELS))
    }
    write.write_group(store, "evaluation/listening/mel/lrp.epsilon", heard, attributes=CUTS_ABOUT)
    return page_of(made, PATH)


def rename(table: dict[str, np.ndarray]) -> None:
    """Give the classes in a table of a made-up store their names here."""
    names = dict(zip(CLASSES, CLASS_NAMES, strict=True))
    for name, values in table.items():
        if values.dtype == object:
            table[name] = text(*(names.get(value, value) for value in values))
