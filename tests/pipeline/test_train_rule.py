"""What a corpus that changes means for networks: which of them stand, and which are trained anew."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolkit.config import resolve, to_json
from toolkit.pipeline.executors import Serial
from toolkit.pipeline.run import Run, Scope, Tools
from toolkit.pipeline.stages import train
from toolkit.store.schema import LEFT_OUT, OK
from toolkit.store.write import new_store, write_group

CLASSES = ["bark", "siren"]
FOLDS = (1, 2, 3, 4)

Clip = tuple[str, int, str, str]
"""Content, fold, class, recording."""


def corpus(n_per_fold: int = 3) -> list[Clip]:
    return [
        (f"sound {fold} {name} {number}", fold, name, f"{name} {fold} {number}")
        for fold in FOLDS
        for name in CLASSES
        for number in range(n_per_fold)
    ]


def text(values: Iterable[str]) -> np.ndarray:
    return np.array(list(values), dtype=object)


def write_corpus(
    run: Run,
    clips: list[Clip],
    classes: list[str] | None = None,
    left_out: str | None = None,
    unread: Iterable[str] = (),
) -> None:
    names = classes or CLASSES
    about = {"class_names": names, "features": to_json(run.settings.features)}
    with new_store(run.store, about) as store:
        content, folds, class_names, recordings = zip(*clips, strict=True)
        table = {
            "status": text(LEFT_OUT if each == left_out else OK for each in content),
            "fold": np.array(folds, np.int64),
            "label": np.array([names.index(name) for name in class_names], np.int64),
            "class_name": text(class_names),
            "recording": text(recordings),
        }
        write_group(store, "clips", table)
        digests = text("" if each == left_out else each for each in content)
        made_from = text("" if each in unread else "r c" for each in content)
        write_group(store, "features/mel", {"made_from": made_from, "digest": digests})


@pytest.fixture
def run(tmp_path: Path, monkeypatch) -> Run:
    """A run whose networks are trained, as far as anyone can tell without TensorFlow."""

    def instead(job: train.TrainingJob) -> str:
        job.folder.mkdir(parents=True, exist_ok=True)
        for name in (train.WEIGHTS_NAME, train.HISTORY_NAME):
            (job.folder / name).touch()
        return f"weights {job.split.training.tolist()} {job.split.validation.tolist()}"

    monkeypatch.setattr(train, "train_network", instead)
    monkeypatch.setattr(train.runtime, "require", lambda: None)
    run = Run(tmp_path, resolve({"test": {"representations": ["mel"]}}))
    write_corpus(run, corpus())
    train_all(run)
    return run


def train_all(run: Run, *, force: bool = False) -> dict[str, str]:
    """Train what has to be; return it with the reasons."""
    plan = train.plan(run, Scope(), force)
    train.execute(run, plan, Tools(lambda _: None, Serial()), lambda _: None)
    return {name: item.reason for name, item in plan.whole.items()}


def later(run: Run, fold: int) -> int:
    return train.n_later_clips(run, "mel", fold, train.clips_of(run, "mel"))


def name_of(fold: int) -> str:
    return train.unit_name("mel", fold)


def test_networks__stand_while_nothing_changes(run: Run):
    assert train_all(run) == {}
    assert set(train.current(run)) == {("mel", fold) for fold in FOLDS}


def test_networks__stand_when_clips_are_added(run: Run):
    before = train.current(run)
    more = [("new sound", 2, "bark", "new recording"), ("another", 2, "siren", "bark 2 0")]
    write_corpus(run, [*more, *corpus()])
    assert train_all(run) == {}
    assert train.current(run) == before
    assert [later(run, fold) for fold in FOLDS] == [2, 0, 2, 2]


def test_networks__stand_while_a_clip_was_not_read_yet_and_none_is_trained(run: Run):
    """`features --representation cqt` after a clip was added: what is known of mel must not be given up."""
    before = train.current(run)
    write_corpus(run, [*corpus(), ("", 2, "bark", "new recording")], unread=[""])
    assert train.current(run) == before
    assert train.plan(run, Scope(), False).waits_for == "features"


def test_clip_without_features__has_no_say(run: Run):
    """Its state may be good because another representation has read it since."""
    write_corpus(run, [*corpus(), ("", 2, "bark", "new recording")])
    clips = train.clips_of(run, "mel")
    for fold in FOLDS:
        split = train.split_of(clips, fold, run.settings.training, 0)
        assert len(corpus()) not in {*split.training, *split.validation}


def test_networks__stand_when_a_fold_is_added_and_only_its_own_is_new(run: Run):
    """Today fold 4's network would choose its epoch by fold 5, and not by fold 1 as it did."""
    write_corpus(run, [*corpus(), *((f"fifth {name}", 5, name, f"fifth {name}") for name in CLASSES)])
    assert train_all(run) == {name_of(5): "missing"}


def test_networks__stand_when_clips_are_in_another_order_or_have_other_names(run: Run):
    write_corpus(run, corpus()[::-1])
    assert train_all(run) == {}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda clips: clips[1:], id="gone"),
        pytest.param(lambda clips: [("other sound", *clips[0][1:]), *clips[1:]], id="changed"),
        pytest.param(lambda clips: [(*clips[0][:2], "siren", clips[0][3]), *clips[1:]], id="called otherwise"),
    ],
)
def test_networks__that_knew_a_clip_that_changed_are_trained_anew(run: Run, change: Callable):
    """The clip lies in fold 1: the network of fold 1 never knew it, and stands."""
    write_corpus(run, change(corpus()))
    reasons = train_all(run)
    assert set(reasons) == {name_of(fold) for fold in (2, 3, 4)}
    assert all("clips changed" in reason for reason in reasons.values())
    assert train_all(run) == {}


def test_networks__are_trained_anew_when_a_clip_that_they_knew_breaks(run: Run):
    write_corpus(run, corpus(), left_out=corpus()[0][0])
    assert set(train_all(run)) == {name_of(fold) for fold in (2, 3, 4)}


def test_networks__are_trained_anew_when_a_clip_moves_into_their_fold(run: Run):
    """Nothing may be tested on what it learned from. Fold 3 and 4 knew the clip before and know it now."""
    (content, _, name, recording), *others = corpus()
    write_corpus(run, [(content, 2, name, recording), *others])
    assert set(train_all(run)) == {name_of(2)}


def test_networks__are_trained_anew_when_there_is_another_class(run: Run):
    write_corpus(run, [*corpus(), ("horn", 1, "horn", "horn")], [*CLASSES, "horn"])
    reasons = train_all(run)
    assert set(reasons) == {name_of(fold) for fold in FOLDS}
    assert all("classes" in reason for reason in reasons.values())


def test_later_clips__retrain(run: Run):
    write_corpus(run, [*corpus(), ("new sound", 2, "bark", "new recording")])
    training = run.settings.training.model_copy(update={"later_clips": "retrain"})
    eager = replace(run, settings=run.settings.model_copy(update={"training": training}))
    assert set(train_all(eager)) == {name_of(fold) for fold in (1, 3, 4)}
    assert train_all(eager) == train_all(run) == {}, "what they are made from is the same by either rule"


def test_force__trains_on_all_clips_of_today(run: Run):
    write_corpus(run, [*corpus(), ("new sound", 2, "bark", "new recording")])
    before = train.current(run)
    assert set(train_all(run, force=True).values()) == {"forced"}
    assert [later(run, fold) for fold in FOLDS] == [0, 0, 0, 0]
    assert train.current(run)["mel", 1] != before["mel", 1]
    assert train_all(run) == {}


def test_other_settings__train_on_all_clips_of_today_once(run: Run):
    write_corpus(run, [*corpus(), ("new sound", 2, "bark", "new recording")])
    training = run.settings.training.model_copy(update={"epochs": 3})
    other = replace(run, settings=run.settings.model_copy(update={"training": training}))
    assert set(train_all(other)) == {name_of(fold) for fold in FOLDS}
    assert train_all(other) == {}
    assert [later(other, fold) for fold in FOLDS] == [0, 0, 0, 0]


def test_strict_groups__keep_recordings_of_two_folds_out_of_every_network(run: Run):
    shared = [("part a", 1, "bark", "shared"), ("part b", 3, "siren", "shared")]
    clips = [*corpus(), *shared]
    write_corpus(run, clips)
    training = run.settings.training.model_copy(update={"strict_groups": True})
    strict = replace(run, settings=run.settings.model_copy(update={"training": training}))
    rows = train.clips_of(strict, "mel")
    for fold in FOLDS:
        split = train.split_of(rows, fold, training, 0)
        known = {clips[row][3] for row in (*split.training, *split.validation)}
        assert "shared" not in known
        loose = train.split_of(rows, fold, run.settings.training, 0)
        assert "shared" in {clips[row][3] for row in (*loose.training, *loose.validation)}
