"""Any bytes in place of a table give a catalogue that holds its promises, or a CorpusError; nothing else."""

import math
import os
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.config import SourceSettings
from toolkit.corpus import sources
from toolkit.corpus.catalogue import Catalogue
from toolkit.errors import CorpusError

KINDS = ("urbansound8k", "pictures", "manifest")
TABLES = {
    "urbansound8k": "metadata/UrbanSound8K.csv",
    "pictures": "UrbanSound8K.csv",
    "manifest": "clips.csv",
}
URBAN = """slice_file_name,fsID,start,end,salience,fold,classID,class
100-3-0-0.wav,100,0.0,2.5,1,1,3,dog_bark
100-3-0-1.wav,100,2.5,4.0,2,1,3,dog_bark
200-8-0-0.wav,200,1.0,5.0,1,2,8,siren
300-8-1-0.wav,300,0.0,4.0,,2,8,siren
"""
OWN = """path,recording,start,end,salience,fold,note,class
a.wav,100,0.0,2.5,1,1,"one, two",dog_bark
sub/b.wav,100,2.5,4.0,2,1,,dog_bark
c.wav,,1.0,5.0,1,2,,siren
c.wav,,5.0,9.0,,2,x,siren
"""
FILES = {
    "urbansound8k": [f"audio/fold{fold}/{name}" for fold, name in ((1, "100-3-0-0.wav"), (2, "200-8-0-0.wav"))],
    "pictures": ["train/100-3-0-0.png", "train/200-8-0-0.png"],
    "manifest": ["a.wav", "sub/b.wav", "c.wav"],
}
NASTY = (
    *(
        '"',
        '""',
        ",",
        ",,",
        ";",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\0",
        "\ufeff",
        "\u202e",
        "\x85",
        "\u2028",
        "\U0010ffff",
    ),
    *(
        "..",
        "../",
        "/",
        "//",
        "\\",
        ".",
        "",
        " ",
        "\xa0",
        "a.wav",
        "c.wav",
        "c.wav@1-5s",
        "escape/x.wav",
        "sub",
    ),
    *(
        "nan",
        "inf",
        "1e999",
        "1e300",
        "-1",
        "-0",
        "1_0",
        "0x1",
        "\u0661",
        "9" * 400,
        "0",
        "1",
        "2",
        "3",
        "1000",
    ),
    *(
        "siren",
        "owl",
        "<b>",
        "x" * 300,
        "x" * 140_000,
        "100-3-0-0.wav",
        "100-3-0-0.ogg",
        "8",
        "77",
        "class",
        "fold",
    ),
)
NASTY_BYTES = st.sampled_from([
    *(text.encode() for text in NASTY),
    b"\xff",
    b"\xff\xfe",
    b"\xc3",
    b"\xed\xa0\x80",
])

quick = settings(
    derandomize=True,
    deadline=None,
    max_examples=80,
    # Two busy cores may take their time to make a table.
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(scope="module", params=KINDS)
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Return a kind of source and a folder with files for some of its rows."""
    root = tmp_path_factory.mktemp("fuzz")
    outside = tmp_path_factory.mktemp("outside")
    for path in (*FILES[request.param], TABLES[request.param]):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    (root / "escape").symlink_to(outside)
    return request.param, root


def table_of(kind: str) -> str:
    return OWN if kind == "manifest" else URBAN


def assert_harmless(corpus: tuple[str, Path], content: bytes) -> None:
    kind, root = corpus
    (root / TABLES[kind]).write_bytes(content)
    place = root / TABLES[kind] if kind == "manifest" else root
    assert_catalogue_or_error(SourceSettings(kind=kind, path=place), root)


def assert_catalogue_or_error(source: SourceSettings, root: Path) -> None:
    outcome = outcome_of(source, root)
    if isinstance(outcome, Catalogue):
        assert_holds_its_promises(outcome, root)
    else:
        # The errors below it are for single clips.
        assert type(outcome) is CorpusError
        assert_can_be_shown(str(outcome))


def outcome_of(source: SourceSettings, root: Path) -> Catalogue | CorpusError:
    try:
        return sources.read(source, root, seed=0, duration_s=4.0)
    except CorpusError as error:
        return error


def assert_holds_its_promises(catalogue: Catalogue, root: Path) -> None:
    clips = catalogue.clips
    assert len(catalogue.class_names) >= 2
    assert len(set(catalogue.class_names)) == len(catalogue.class_names)
    assert {clip.label for clip in clips} == set(range(len(catalogue.class_names)))
    assert len({clip.name for clip in clips}) == len(clips)
    keys = [(clip.label, clip.fold, clip.recording, clip.name) for clip in clips]
    assert keys == sorted(keys)
    for clip in clips:
        assert clip.class_name == catalogue.class_names[clip.label]
        assert_can_be_shown(clip.name, clip.path, clip.class_name, clip.recording)
        assert 1 <= clip.fold <= 999
        assert clip.salience in {0, 1, 2}
        assert all(math.isnan(time_s) or 0 <= time_s <= 1e9 for time_s in (clip.start_s, clip.end_s))
        assert not clip.end_s <= clip.start_s
        assert ".." not in PurePosixPath(clip.path).parts
        assert os.path.realpath(root / clip.path).startswith(f"{os.path.realpath(root)}/")
    for problem in catalogue.problems:
        assert_can_be_shown(problem.subject, problem.reason)


def assert_can_be_shown(*texts: str) -> None:
    for text in texts:
        assert text
        assert text.isprintable()
        assert text.encode()


@quick
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes(corpus: tuple[str, Path], noise: bytes, has_header: bool):
    assert_harmless(corpus, table_of(corpus[0]).split("\n")[0].encode() * has_header + b"\n" + noise)


@quick
@given(st.text(max_size=300), st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-8-sig"]))
def test_any_text(corpus: tuple[str, Path], text: str, encoding: str):
    assert_harmless(corpus, (table_of(corpus[0]) + text).encode(encoding, "replace"))


@quick
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12), NASTY_BYTES), min_size=1, max_size=8))
def test_any_slips_in_a_good_table(corpus: tuple[str, Path], slips: list[tuple[int, int, bytes]]):
    content = table_of(corpus[0]).encode()
    for start, length, new in slips:
        content = content[:start] + new + content[start + length :]
    assert_harmless(corpus, content)


@quick
@given(st.data())
def test_any_fields_in_rows_between_good_ones(corpus: tuple[str, Path], data: st.DataObject):
    kind = corpus[0]
    header, *rows = table_of(kind).splitlines()
    good = [row.split(",") for row in rows if '"' not in row]
    columns = range(len(good[0]))
    cells = [st.sampled_from(NASTY) | st.sampled_from([row[column] for row in good]) for column in columns]
    made = data.draw(st.lists(st.tuples(*cells), max_size=6))
    lines = [header, *rows, *(",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in made)]
    assert_harmless(corpus, "\n".join(lines).encode())


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(quick, max_examples=60)
@given(st.lists(st.tuples(NAMES, NAMES), max_size=6))
def test_any_names_in_a_labelled_folder(names: list[tuple[str, str]]):
    with TemporaryDirectory() as folder:
        root = Path(folder, "root")
        for class_name, name in [("dog", "a"), ("owl", "b"), *names]:
            try:
                (root / class_name).mkdir(parents=True, exist_ok=True)
                (root / class_name / f"{name}.wav").touch()
            except OSError:
                continue
        assert_catalogue_or_error(SourceSettings(kind="manifest", path=root), root)
