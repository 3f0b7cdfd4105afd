"""A folder has one owner at a time; real processes show it in ``tests/reliability/test_one_owner.py``."""

import errno
import json

import pytest

from atlpa.errors import UserError
from atlpa.experiment import load
from atlpa.runs import Run, train_run
from atlpa.runs import lock as owner_module
from atlpa.runs.lock import run_lock
from atlpa.studies import load_study, plan
from atlpa.studies.execute import execute

TINY = {"data.resize": 20, "data.size": 16, "training.batch_size": 4, "training.log_every": 1}


def test_a_process_killed_before_the_run_was_begun(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "owner.lock").write_text("process 1 on elsewhere")
    changes = [*TINY.items(), ("training.iterations", 2), ("final", True), ("output", str(tmp_path / "run"))]
    assert train_run(load("digits", changes), say=lambda _: None).finished
    assert not list((tmp_path / "run").glob("*.lock"))


def test_a_folder_has_one_owner_at_a_time(tmp_path):
    with run_lock(tmp_path), pytest.raises(UserError, match="is in the hands of process"), run_lock(tmp_path):
        pass
    with run_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_on_a_file_that_is_gone_is_none(tmp_path, monkeypatch):
    """Its owner removed it between our opening and our locking it: what is locked then must be the new one."""
    real, removed = owner_module.fcntl.flock, []

    def flock(file, how):
        if not removed:
            removed.append((tmp_path / "owner.lock").unlink())
        real(file, how)

    monkeypatch.setattr(owner_module.fcntl, "flock", flock)
    with run_lock(tmp_path):
        assert (tmp_path / "owner.lock").exists()
        with pytest.raises(UserError), run_lock(tmp_path):
            pass


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.EOPNOTSUPP, None])
def test_where_no_locks_are_known_it_is_said(tmp_path, monkeypatch, reason):
    def flock(*_):
        raise OSError(reason, "no locks")

    if reason:
        monkeypatch.setattr(owner_module.fcntl, "flock", flock)
    else:
        monkeypatch.setattr(owner_module, "fcntl", None)
    said = []
    with run_lock(tmp_path, said.append):
        pass
    assert said == [f"note: no locks are known here; see to it that no second process trains in {tmp_path}"]


def test_a_study_does_not_move_what_is_being_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = {**TINY, "training.iterations": 2}
    text = f"config: digits\nchanges: {json.dumps(fields)}\ndefenses: [none]\nepsilons: [0.25]\nbudgets: [1]\n"
    (tmp_path / "mine.yaml").write_text(text)
    todo = plan(load_study("mine.yaml"), put_aside=True)
    experiment = todo.trainings[0].experiment
    other = load("digits", [*fields.items(), ("seed", 5), ("output", str(experiment.folder)), ("final", True)])
    train_run(other, say=lambda _: None)

    def give_up(_):
        raise TimeoutError

    said = []
    with run_lock(experiment.folder), pytest.raises(TimeoutError):
        execute(todo.trainings, said.append, give_up)
    assert "is in the hands of process" in "\n".join(said)
    assert Run.open(experiment.folder).experiment.seed == 5
    execute(todo.trainings, say=lambda _: None)
    assert Run.open(experiment.folder).experiment.seed == 0
    (aside,) = experiment.folder.parent.glob("*.stale-*")
    assert not list(aside.glob("*.lock"))
