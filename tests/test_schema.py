"""What editors are told of YAML files is what the commands read: files of ours pass, and what is refused is refused."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from atlpa.cli.study import main as study
from atlpa.cli.train import main as train
from atlpa.component import field_docs
from atlpa.errors import UserError
from atlpa.experiment import Experiment, load, shipped_configs
from atlpa.schema import file_schema
from atlpa.strict_yaml import parse_yaml
from atlpa.studies import Study, load_study, shipped_studies
from atlpa.training import Recipe

RECORDED = sorted((Path(__file__).parents[1] / "docs" / "results").glob("*/*/experiment.yaml"))


@pytest.fixture(scope="module")
def schemas():
    return {"experiment": file_schema(Experiment), "study": file_schema(Study)}


@pytest.fixture(scope="module")
def wrong(schemas):
    """A function from a kind of file and its fields to what is wrong with them."""
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    validators = {kind: Draft202012Validator(schema) for kind, schema in schemas.items()}
    return lambda kind, fields: [error.message for error in validators[kind].iter_errors(fields)]


@pytest.mark.parametrize("path", shipped_configs().values(), ids=shipped_configs())
def test_every_shipped_config_passes(wrong, path):
    assert wrong("experiment", yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("path", shipped_studies().values(), ids=shipped_studies())
def test_every_shipped_study_passes(wrong, path):
    assert wrong("study", parse_yaml(path.read_text())) == []


def test_every_experiment_on_record_passes(wrong):
    """They were written by the program, every field resolved, over months."""
    assert len(RECORDED) > 50
    for path in RECORDED:
        fields = yaml.safe_load(path.read_text())
        fields["training"].pop("decay_at", None)  # still read, and no longer written; as are these
        if "attack_loss" in fields["defense"]:
            continue
        assert wrong("experiment", fields) == [], path


EXPERIMENTS = [
    ("data", {"name": "flowers18"}),
    ("data", {"name": "digits", "sise": 32}),
    ("data", {"name": "digits", "size": "big"}),
    ("data", {"name": "digits", "size": 7}),
    ("data", {"size": 32}),
    ("defense", "patt"),
    ("defense", {"preset": "patt"}),
    ("defense", {"preset": "pat", "terms": {"cross_entropi": {}}}),
    ("defense", {"preset": "pat", "terms": {"cross_entropy": {"label_smoothing": "much"}}}),
    ("defense", {"preset": "pat", "denoise": "median"}),
    ("defense", {"name": "mine"}),
    ("model", {"architecture": "resnet19"}),
    ("model", {"arch": "resnet18"}),
    ("seed", -1),
    ("seed", "0"),
    ("final", "maybe"),
    ("training", {"iteration": 5}),
    ("training", {"iterations": -5}),
    ("training", {"learning_rate": "fast"}),
    ("training", {"learning_rate": 0}),
    ("training", {"momentum": 1}),
    ("training", {"schedule": "zigzag"}),
    ("training", {"attack": {"name": "pdg"}}),
    ("training", {"attack": {"epsilon": 8}}),
    ("training", {"attack": {"epsilon": 0.1, "kernel": 3}}),
    ("training", {"attack": {"name": "apgd", "momentum": 1}}),
    ("training", {"collapse": True}),
    ("training", {"averaging": {"decay": 1.5}}),
    ("trainig", {}),
]


@pytest.mark.parametrize(("section", "value"), EXPERIMENTS)
def test_what_is_wrong_in_a_config_is_wrong_for_both(wrong, tmp_path, section, value):
    fields = yaml.safe_load(shipped_configs()["digits"].read_text())
    assert wrong("experiment", fields) == []
    assert wrong("experiment", {**fields, section: value}) != []
    (tmp_path / "wrong.yaml").write_text(json.dumps({**fields, section: value}))
    with pytest.raises(UserError):
        load(str(tmp_path / "wrong.yaml"))


STUDIES = [
    ("defenses", []),
    ("defenses", ["patt"]),
    ("defenses", [{"preset": "pat", "change": {}}]),
    ("seeds", [-1]),
    ("epsilons", [8]),
    ("epsilons", 0.25),
    ("budgets", [0]),
    ("attack", {"name": "pdg"}),
    ("attack", {"epsilon": 0.1}),
    ("judge", {"name": "pdg"}),
    ("bounds", ["lirpa"]),
    ("analyses", ["looks"]),
    ("limits", 10),
]


def networks(file):
    """Every row of a study, which is read when its network is planned."""
    made = load_study(file)
    return [made.experiment(row, 0, []) for row in made.defenses]


@pytest.mark.parametrize(("field", "value"), STUDIES)
def test_what_is_wrong_in_a_study_is_wrong_for_both(wrong, tmp_path, field, value):
    fields = yaml.safe_load(shipped_studies()["digits"].read_text())
    assert wrong("study", {**fields, field: value}) != []
    (tmp_path / "wrong.yaml").write_text(json.dumps({**fields, field: value}))
    with pytest.raises(UserError):
        networks(str(tmp_path / "wrong.yaml"))


RIGHT = [
    ("training", {"learning_rate": "1e-3", "attack": {"epsilon": "8/255", "step": "2 / 255"}}),
    ("training", {"schedule": "cosine", "epsilon_schedule": {"shape": "constant", "warmup": "1/3"}, "collapse": False}),
    ("training", {"trackers": ["tensorboard"], "select_by": {"name": "ensemble", "epsilon": "8/255"}}),
    ("defense", {"preset": "pat", "terms": {"cross_entropy": None, "attention_map": {"stages": ["conv2_x"]}}}),
    ("defense", {"preset": "pat", "attack": {"iterations": 4}, "awp": {}}),
    ("model", {"architecture": "vgg11", "weights": "none", "normalization": "none"}),
    ("data", {"name": "digits", "augmentation": None}),
]


@pytest.mark.parametrize(("section", "value"), RIGHT)
def test_what_is_right_is_right_for_both(wrong, tmp_path, section, value):
    fields = {**yaml.safe_load(shipped_configs()["digits"].read_text()), section: value}
    assert wrong("experiment", fields) == []
    (tmp_path / "right.yaml").write_text(json.dumps(fields))
    load(str(tmp_path / "right.yaml"))


def test_code_of_your_own_is_no_mistake(wrong):
    fields = yaml.safe_load(shipped_configs()["digits"].read_text())
    fields["model"]["architecture"] = "my_pkg.nets:make"
    fields["data"] = {"name": "my_pkg.sets:Mine", "root": "photos"}
    fields["defense"] = {"preset": "pat", "terms": {"my_pkg.losses:Focal": {"gamma": 3}}}
    fields["training"]["attack"] = {"name": "my_pkg.attacks:Mine", "tries": 5}
    assert wrong("experiment", fields) == []


def test_every_bound_that_editors_are_told_is_one(schemas):
    """A recipe beyond it is refused, so that nothing is marked that a command would take."""
    (training,) = (value for name, value in schemas["experiment"]["$defs"].items() if name == "Recipe")
    beyond = {"minimum": -1, "exclusiveMinimum": 0, "maximum": 1, "exclusiveMaximum": 0}
    tried = 0
    for field, told in training["properties"].items():
        for form in told.get("anyOf", [told]):
            for bound, away in beyond.items():
                if bound in form:
                    tried += 1
                    with pytest.raises(ValueError, match=field):
                        Recipe(**{field: form[bound] + away})
    assert tried > 10


def test_every_field_of_a_recipe_has_its_words(schemas):
    told = schemas["experiment"]["$defs"]["Recipe"]["properties"]
    docs = field_docs(Recipe)
    assert told.keys() == docs.keys()
    for name, doc in docs.items():
        assert told[name]["description"].split() == doc.replace("``", "").split()


@pytest.mark.parametrize(("command", "schema"), [(train, "experiment"), (study, "study")])
def test_the_commands_print_it(schemas, capsys, command, schema):
    with pytest.raises(SystemExit) as end:
        command(["--schema"])
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out) == schemas[schema]


def test_a_schema_made_twice_is_the_same_and_nobodys_to_change(schemas):
    before = copy.deepcopy(schemas["experiment"])
    changed = file_schema(Experiment)
    changed["properties"].clear()
    assert file_schema(Experiment) == before
