"""Steps of a study through their one face: a loop carries them out, and finished ones tell what others take."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from atlpa import yaml_files
from atlpa.attacks import FGSM, Square
from atlpa.cli.study import main
from atlpa.component import validate
from atlpa.errors import UserError
from atlpa.studies import Plan, Step, Study, execute, plan
from tests.narrow import NARROW


@dataclass
class Recorded(Step):
    """A step that says what it is and notes that it was carried out."""

    title: str = "step"
    now: str = "to do"
    like: object = "kind"
    work: float = 1.0
    took: float | None = None
    done: list = field(default_factory=list)

    def state(self):
        return self.now

    def run(self, say=print):
        del say
        self.done.append(self.title)

    def files(self):
        return []

    def seconds(self):
        return self.took


def test_what_is_to_do_is_done_in_order_and_the_rest_is_left():
    done, said = [], []
    states = {"a": "done", "b": "to do", "c": "stale", "d": "waits", "e": "waits", "f": "to do"}
    execute([Recorded(title, state, done=done) for title, state in states.items()], said.append)
    assert done == ["b", "c", "f"]
    assert said[:3] == ["[2 of 6] b", "[3 of 6] c", "[6 of 6] f"]
    assert said[3].startswith("waiting for networks that are not trained yet: 2 of 6 steps; ")
    assert len(said) == 4


def test_a_step_that_waits_is_asked_when_its_turn_comes():
    """A training that comes first lets the attack behind it be made in the same go."""
    done = []

    class Behind(Recorded):
        def state(self):
            return "to do" if "training" in done else "waits"

    execute([Recorded("training", done=done), Behind("attack", done=done)], lambda _: None)
    assert done == ["training", "attack"]


def test_the_rest_is_estimated_by_the_median_of_its_like_for_each_unit_of_work():
    finished = [Recorded(work=w, took=t) for w, t in ((1, 10), (2, 60), (4, 160))]  # 10, 30 and 40 seconds a unit
    other, rest = Recorded(like="other", took=1), Recorded(work=3)
    plan = Plan([*finished, other, rest], [])
    assert plan.seconds(rest) == pytest.approx(90)
    assert plan.seconds(Recorded(like="unknown")) is None


def test_to_estimate_all_that_is_left_each_step_is_asked_once():
    asked = []

    class Asked(Recorded):
        def seconds(self):
            asked.append(self.title)
            return self.took

    todo = Plan([Asked(str(number), took=1.0) for number in range(9)], [])
    assert {todo.seconds(step) for step in todo.steps} == {1.0}
    assert sorted(asked) == [str(number) for number in range(9)]


def test_what_is_left_of_networks_whose_stages_are_named_is_estimated():
    todo = plan(digits(changes={"model.architecture": NARROW, "model.stages": {"conv5_x": "6"}}))
    assert [todo.seconds(step) for step in todo.steps] == [None] * len(todo.steps)


def test_what_a_run_is_described_by_is_parsed_once(tmp_path, monkeypatch, capsys):
    """However often the states of a study are looked at; and anew once it says something else."""
    monkeypatch.chdir(tmp_path)
    small = {"model.architecture": NARROW, "data.size": 16, "data.resize": 20, "training.batch_size": 4}
    fields = {"epsilons": [0.25], "budgets": [1], "defenses": ["none", "pat"], "seeds": [0, 1]}
    changes = small | {"training.iterations": 1, "training.attack.iterations": 1}
    Path("mine.yaml").write_text(yaml.safe_dump({"config": "digits", "changes": changes, **fields}))
    assert main(["mine.yaml", "--only", "train"]) == 0
    described = list(Path("runs/mine").glob("*/experiment.yaml"))
    for path in described:
        path.write_text(f"# copied\n{path.read_text()}")
    parsed, parse = [], yaml_files.parse_yaml
    monkeypatch.setattr(yaml_files, "parse_yaml", lambda text: parsed.append(text) or parse(text))
    for _ in range(2):
        assert main(["mine.yaml", "--plan"]) == 0
    assert len(described) == 4
    assert all(parsed.count(path.read_text()) == 1 for path in described)
    described[0].write_text("seed: 0")
    assert main(["mine.yaml", "--plan"]) == 0
    assert "| stale |" in capsys.readouterr().out


def test_shards_take_every_nth_step_of_each_kind():
    steps = [[Recorded(f"{kind}{number}") for number in range(count)] for kind, count in (("t", 5), ("a", 4), ("c", 1))]
    parts = [Plan(*steps).shard(number, 3) for number in (1, 2, 3)]
    assert [step.title for step in parts[0].steps] == ["t0", "t3", "a0", "a3", "c0"]
    assert sorted(step.title for part in parts for step in part.steps) == sorted(
        s.title for kind in steps for s in kind
    )


def digits(**changes):
    return validate(Study, {"name": "digits", "config": "digits", "defenses": ["none", "pat"], "seeds": [0], **changes})


def test_a_study_takes_any_attack_by_its_name():
    """What transfers is shown to every network; what does not is made on each alone."""
    steps = plan(digits(epsilons=[0.1], attack={"name": "square"}, budgets=[5, 20])).attacks
    assert [step.white_box for step in steps] == [True, True]
    assert {step.protocol.attack for step in steps} == {Square(0.1, 20)}
    assert steps[0].protocol.budgets == (5, 20)
    steps = plan(digits(epsilons=[0.1], attack={"name": "fgsm"})).attacks
    assert [step.white_box for step in steps] == [True, True, False]
    assert {step.protocol.attack for step in steps} == {FGSM(0.1)}
    assert steps[0].protocol.budgets == (1,)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attack": {"name": "sqare"}}, "did you mean 'square'"),
        ({"attack": {"name": "fgsm"}, "budgets": [5]}, "budgets: the attack fgsm has none"),
        ({"attack": {"name": "square"}, "analyses": ["attention"]}, "say nothing about other networks"),
        ({"attack": {"name": "square", "iterations": 3}}, "attack.iterations: the study's own"),
    ],
)
def test_a_study_refuses_what_its_attack_cannot(changes, words):
    with pytest.raises(ValueError, match=words):
        digits(**changes)


ROW = {"preset": "pat", "name": "pat-mean", "changes": {"training.averaging.decay": 0.9, "training.iterations": 7}}


def test_a_row_changes_its_own_recipe_after_the_studys():
    study = validate(Study, {"name": "s", "config": "digits", "defenses": ["pat", ROW],
                             "changes": {"training.iterations": 5}})  # fmt: skip
    plain, changed = (study.experiment(row, 0, []) for row in study.defenses)
    assert (plain.training.iterations, changed.training.iterations) == (5, 7)
    assert (plain.training.averaging, changed.training.averaging.decay) == (None, 0.9)
    assert changed.defense.name == "pat-mean"
    assert changed.folder.name == "pat-mean-resnet18-seed0-final"


def test_a_row_that_selects_may_leave_out_final():
    row = {"preset": "pat", "name": "best", "changes": {"training.select_by": {"name": "fgsm"}, "final": False}}
    study = validate(Study, {"name": "s", "config": "digits", "defenses": ["pat", row]})
    assert [study.experiment(one, 0, []).judged_part for one in study.defenses] == ["test", "test"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"changes": {"seed": 3}}, "'seed' cannot be among them; what says it is seeds"),
        ({"changes": [1]}, "'pat-mean': changes: "),
        ({"seeds": [1, 1]}, "1 is listed twice"),
        ({"seeds": []}, "'pat-mean': seeds: "),
        ({"seeds": [-1]}, r"'pat-mean': seeds\.0: "),
    ],
)
def test_a_row_cannot_say_what_makes_no_sense(wrong, words):
    with pytest.raises(ValueError, match=words):
        validate(Study, {"name": "s", "config": "digits", "defenses": [{**ROW, **wrong}]})


def test_a_row_may_be_another_experiment():
    """As its file says, but for what the study changes of all, and then the row."""
    row = {**ROW, "config": "flowers-robust-small"}
    fields = {"name": "s", "config": "flowers-small", "defenses": ["pat", row], "changes": {"training.batch_size": 5}}
    plain, other = (validate(Study, fields).experiment(one, 0, []) for one in fields["defenses"])
    assert (plain.training.schedule.shape, other.training.schedule.shape) == ("step", "one_cycle")
    assert (plain.training.batch_size, other.training.batch_size, other.training.iterations) == (5, 5, 7)
    assert plain.folder.parent == other.folder.parent
    with pytest.raises(UserError, match="unknown shipped config 'nothing'"):
        validate(Study, {**fields, "defenses": [{**row, "config": "nothing"}]}).experiment(
            {**row, "config": "nothing"}, 0, []
        )


def test_a_row_has_seeds_of_its_own():
    """More for what is compared, fewer for the rest; the surrogate's is none of them."""
    rows = ["none", "pat", {"preset": "alp", "seeds": [4, 7]}, {"preset": "igr", "seeds": [2]}]
    fields = {"name": "s", "config": "digits", "defenses": rows, "seeds": [2, 3], "surrogates": ["pat"]}
    networks = [step.experiment.folder.name for step in plan(validate(Study, fields)).trainings]
    assert [name.removesuffix("-final").replace("-resnet18-seed", "") for name in networks] == [
        "none2", "none3", "pat2", "pat3", "alp4", "alp7", "igr2", "pat8",
    ]  # fmt: skip


def test_an_attack_that_says_nothing_of_others_needs_no_sources():
    fields = {"name": "s", "config": "digits", "defenses": ["pat"], "attack": {"name": "autoattack"}}
    assert [step.title for step in plan(validate(Study, fields)).trainings] == ["train pat-resnet18-seed0-final"]
    assert len(plan(validate(Study, {**fields, "checks": [0.1]})).trainings) == 2
    with pytest.raises(ValueError, match="images of autoattack say nothing"):
        validate(Study, {**fields, "black_box": "resnet34"})


def test_where_robustness_is_within_reach_the_ensemble_judges_too():
    """White-box alone, at small ε alone, and not where it is the study's own attack or is declined."""

    def titles(**changes):
        found = plan(digits(epsilons=["8/255", 0.25], budgets=[2], limit=3, **changes)).attacks
        return [step.title for step in found if "ensemble" in step.title]

    assert titles() == [f"white-box ensemble, {name}-resnet18-seed0-final, ε 8/255" for name in ("none", "pat")]
    assert titles(judge=None) == []
    found = plan(digits(epsilons=["8/255"], judge={"name": "ensemble", "version": "standard"}, limit=3)).attacks
    assert [step.protocol.attack.version for step in found if step.protocol.attack.name == "ensemble"] == 2 * [
        "standard"
    ]
    own = plan(digits(epsilons=["8/255"], attack={"name": "ensemble", "precision": "bf16"})).attacks
    assert len(own) == 2
    for judge, message in (
        ({"name": "ensemble", "epsilon": 0.1}, r"judge\.epsilon: the study's own epsilons say it"),
        ({"name": "ensemble", "verson": "fast"}, r"judge.*did you mean 'version'"),
        ({"name": "ensembl"}, "did you mean 'ensemble'"),
    ):
        with pytest.raises(ValueError, match=message):
            digits(judge=judge, epsilons=["8/255"])


def test_a_judge_is_carried_out_or_refused():
    """Two attacks of one name would be one column; what is written down is not left out."""
    margin = {"loss": "margin", "start": "uniform", "iterations": 50, "step": "1/255"}
    for attack, judge in (
        ({"step": "1/255"}, margin),
        ({"name": "ensemble"}, {"name": "ensemble", "version": "standard"}),
    ):
        with pytest.raises(ValueError, match=r"judge: tables could not tell two attacks named \w+ apart"):
            digits(epsilons=["8/255"], attack=attack, judge=judge)
    same = digits(epsilons=["8/255", 0.25], attack={"name": "ensemble"}, judge={"name": "ensemble", "version": "fast"})
    assert same.judges() == []


def test_restarts_have_a_single_budget():
    attack = {"start": "uniform", "restarts": 3}
    with pytest.raises(ValueError, match="2 budgets of an attack that restarts"):
        digits(attack=attack, budgets=[1, 2])
    assert digits(attack=attack, budgets=[2]).protocols()[0].attack.restarts == 3


def test_analyses_need_a_row_of_the_first_seed():
    with pytest.raises(UserError, match="analyses are of the networks of seed 0, which no row has"):
        plan(digits(defenses=[{"preset": "pat", "seeds": [1]}], analyses=["embedding"], epsilons=[0.1]))


def test_a_row_that_is_there_twice():
    with pytest.raises(UserError, match="'pat' is listed twice"):
        plan(digits(defenses=["pat", {"preset": "pat"}]))


def test_the_undefended_network_of_a_study_that_selects_keeps_its_last():
    """It is the source of gray-box attacks: selected by an attack that fells it, it would be its first look."""
    study = digits(final=False, changes={"training.select_by": {"name": "fgsm"}})
    none, pat = (study.experiment(row, 0, []) for row in study.defenses)
    assert none.training.select_by is None
    assert pat.training.select_by
    assert [one.judged_part for one in (none, pat)] == ["test", "test"]
    assert plan(study).trainings[0].experiment == none
