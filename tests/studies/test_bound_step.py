"""The bounds of a study: planned, made, shown beside the attacks, and not made twice."""

import pytest

from atlpa.cli.study import main
from atlpa.records import Bound, Evaluation, read

STUDY = """config: digits-certified
changes: {training.iterations: 2, training.batch_size: 4}
defenses: [ibp]
attack: {step: 0.01}
judge: null
epsilons: [0.02]
budgets: [2]
limit: 4
bounds: [ibp, crown]
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "certified.yaml").write_text(STUDY)
    return tmp_path / "certified.yaml"


def test_bounds_are_steps_of_a_study(study, capsys):
    assert main([str(study)]) == 0
    text = capsys.readouterr().out
    assert "certified 0.02" in text
    assert "Between two bounds" in text
    records = [read(path) for path in sorted(study.parent.glob("runs/certified/*/records/*.json"))]
    bounds = [record for record in records if isinstance(record, Bound)]
    assert sorted((one.target.defense, one.method) for one in bounds) == [
        (defense, method) for defense in ("ibp", "none") for method in ("crown", "ibp")
    ]
    white = {one.target.weights: one for one in records if isinstance(one, Evaluation) and one.threat == "white"}
    for one in bounds:
        attack = white[one.target.weights]
        assert one.clean == attack.clean[0]
        assert one.data == attack.data
        assert ("1", "0") not in set(zip(one.certified, attack.budgets[-1].correct[0], strict=True))
    assert main([str(study), "--plan"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "bound by" in line]
    assert len(lines) == 4
    assert all("done" in line for line in lines)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("bounds: [lp]", "'ibp' or 'crown'"),
        ("bounds: [ibp, ibp]", "'ibp' is listed twice"),
        ("epsilons: [0, 0.02]", "bounds: they need every one of epsilons above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(study, capsys, change, words):
    key = change.partition(":")[0]
    study.write_text("".join(line for line in STUDY.splitlines(keepends=True) if not line.startswith(key)) + change)
    assert main([str(study), "--plan"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
