"""What was committed is found again: every record loads, and by its content it lies where it would be looked for."""

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from atlpa.attacks import read_attack
from atlpa.component import dump, validate
from atlpa.experiment import parse
from atlpa.records import Bound, Credibility, Evaluation, Training, read
from atlpa.records.read import KINDS
from atlpa.runs import AnalysisSettings, AnalysisTask, BoundRun, CredibilityRun, Pairing, Protocol, Run
from atlpa.runs.measurement import Measurement

RESULTS = Path(__file__).parents[2] / "docs" / "results"
STUDY = RESULTS / "flowers-small-first"


def kinds_and_versions():
    """One committed record of each kind, version and set of fields."""
    found = defaultdict(list)
    for path in sorted(RESULTS.rglob("records/*.json")):
        fields = json.loads(path.read_text())
        found[fields["kind"], fields["version"], tuple(sorted(fields))].append(path)
    return {f"{kind}-v{version}-{len(names)}": paths[0] for (kind, version, names), paths in found.items()}


COMMITTED = kinds_and_versions()


def holds(whole, part):
    """Whether all that an older file says is said, beside what was added since."""
    if isinstance(part, dict):
        return all(name in whole and holds(whole[name], value) for name, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(holds, whole, part))
    return whole == part


def test_every_kind_of_record_is_among_the_committed_ones():
    assert {read(path).kind for path in COMMITTED.values()} == set(KINDS)


@pytest.mark.parametrize("path", COMMITTED.values(), ids=COMMITTED)
def test_a_committed_record_loads_and_loses_nothing(path):
    record = read(path)
    written = dump(record)
    assert holds(written, json.loads(path.read_text()))
    assert validate(type(record), json.loads(json.dumps(written))) == record


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("experiment.yaml")), ids=lambda path: path.parent.name)
def test_a_committed_training_is_the_experiment_beside_it(path):
    run = Run.open(path.parent)
    assert isinstance(run.training, Training)
    assert parse(run.training.experiment).identity() == run.experiment.identity()


@pytest.fixture(scope="module")
def runs():
    return {path.parent: Run.open(path.parent) for path in STUDY.glob("*/experiment.yaml")}


def expected_path(record, run, sources):
    """Where the package would look for this very measurement."""
    if isinstance(record, Evaluation):
        budgets = tuple(budget.iterations for budget in record.budgets)
        attack = read_attack({**record.attack, "iterations": budgets[-1]})
        pairing = Pairing(run, sources[record.source.weights], record.threat)
        return Measurement.of(pairing, Protocol(attack, budgets, seed=record.seed, average=record.average)).path
    if isinstance(record, Credibility):
        return CredibilityRun(run, record.epsilon, record.data.count, record.seed).path
    images = SimpleNamespace(data=record.data, seed=record.seed, epsilons=(0.25, 0.5))
    return AnalysisTask(record.kind, run, images, AnalysisSettings(), getattr(record, "seen", None)).path


def test_committed_measurements_are_not_made_anew(runs):
    sources = {run.network.weights: run for run in runs.values()}
    found = 0
    for folder, run in runs.items():
        for path in folder.glob("records/*-*.json"):
            record = read(path)
            if isinstance(record, Credibility) and record.correct is None:
                continue  # it judged plain PGD alone, and what is judged now is another number
            assert expected_path(record, run, sources) == path
            found += 1
    assert found == 152


def test_committed_bounds_are_not_made_anew_and_agree_with_the_attacks():
    """Every image that is certified stands in the record of each attack on the same images within that ε."""
    found = []
    for path in sorted((RESULTS / "digits-certified").glob("*/records/bound-*.json")):
        bound, run = Bound.load(path), Run.open(path.parents[1])
        limit = None if bound.data.count == bound.data.available else bound.data.count
        assert BoundRun(run, bound.method, bound.epsilon, limit).path == path
        for attack in map(Evaluation.load, path.parent.glob("white-*.json")):
            if attack.data == bound.data and attack.attack["epsilon"] <= bound.epsilon:
                pairs = zip(bound.certified, attack.budgets[-1].correct[0], strict=True)
                assert ("1", "0") not in set(pairs)
                found.append((bound.method, attack.attack["name"]))
    assert {("ibp", "pgd"), ("crown", "pgd"), ("crown", "ensemble")} <= set(found)
