"""YAML of unknown origin: what it stands for, or a line that says why not; never a hang, a crash or another meaning."""

import math

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atlpa.cli.train import main as train
from atlpa.component import dump
from atlpa.errors import UserError
from atlpa.experiment import load, parse
from atlpa.field_types import parse_number
from atlpa.strict_yaml import LOADER, parse_yaml
from atlpa.studies import load_study
from atlpa.yaml_files import read


def bomb(levels, width=9):
    """Each level repeats the one before ``width`` times, by aliases."""
    lines = [f"a0: &a0 [{', '.join(['lol'] * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


DEEP = "nested more than 32 deep|maximum nesting depth"  # libyaml's newer versions count by themselves

REFUSED = {
    "aliases at five levels": (bomb(5), "more than 20000 values"),
    "aliases at nine levels": (bomb(9), "more than 20000 values"),
    "aliases through merges": (
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(200)) + "}\nb: [" + ", ".join(["{<<: *a}"] * 200) + "]",
        "more than 20000 values",
    ),
    "an alias inside itself": ("a: &a [*a]", "alias 'a' stands for nothing"),
    "an alias of nothing": ("a: *b", "alias"),
    "5,000 brackets": ("[" * 5_000, DEEP),
    "100,000 brackets": ("a: " + "[" * 100_000 + "]" * 100_000, DEEP),
    "100,000 braces": ("{a: " * 100_000, DEEP),
    "100,000 dashes": ("- " * 100_000 + "x", DEEP),
    "a key twice": ("seed: 1\nname: x\nseed: 2", "key 'seed' is there twice"),
    "a key twice, quoted": ("seed: 1\n'seed': 2", "key 'seed' is there twice"),
    "a key twice, deep": ("training: {attack: {epsilon: 0.1, epsilon: 0.5}}", "key 'epsilon' is there twice"),
    "a key twice, as lists": ("? [1]\n: 2\n? [1]\n: 3", "unhashable"),
    "a mapping as key": ("? {a: 1}\n: 2", "unhashable"),
    "an integer of 5,000 digits": ("seed: " + "1" * 5_000, "5000 signs"),
    "a sexagesimal of 5,000 digits": ("seed: " + ":".join(["59"] * 2_000), "5999 signs"),
    "a day that is none": ("name: 2001-99-99", "month"),
    "a tag that runs code": ("a: !!python/object/apply:os.system [echo]", "could not determine a constructor"),
    "a tag that does not fit": ("a: !!int x", "invalid literal"),
    "a tag of another kind": ("a: !!timestamp [1]", "expected a scalar"),
    "an empty number": ("a: !!int ''", "value that cannot be"),
    "an odd truth": ("a: !!bool maybe", "value that cannot be"),
    "a NUL": ('output: "a\\0b"', "no file name can"),
    "half a sign": ('output: "\\ud800"', "invalid Unicode"),
    "two documents": ("a: 1\n---\nb: 2", "expected a single document"),
    "a control character": ("a: \x01", "special characters are not allowed|control characters"),
    "a tab": ("a:\n\tb: 1", "cannot start any token"),
    "no end": ("a: 'x", "while scanning a quoted scalar"),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(text, why):
    with pytest.raises(ValueError, match=why) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", [REFUSED[name][0] for name in REFUSED], ids=REFUSED)
@pytest.mark.parametrize("reads", [load, load_study])
def test_experiments_and_studies_say_it_with_the_files_name(tmp_path, text, reads):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"mine\.yaml is no valid YAML: ") as caught:
        reads(str(path))
    assert len(str(caught.value)) < 500 + len(str(path))


MEANT = {
    "aliases": "a: &a {x: 1}\nb: *a\nc: [*a, *a]",
    "merges, one key of its own": "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}",
    "a list of merges": "a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: [*a, *b]}",
    "keys that look alike": "1: a\n'one': b\n1.0: c",
    "nothing": "",
    "a plain value": "x",
    "thirty sections": "{a: " * 30 + "1" + "}" * 30,
}


@pytest.mark.parametrize("text", MEANT.values(), ids=MEANT)
def test_what_is_meant_is_read_as_ever(text):
    assert parse_yaml(text) == yaml.load(text, Loader=LOADER)


def test_keys_are_as_they_are_written(tmp_path):
    """YAML 1.1 takes on, off, yes and no for truth values, and one of our fields is called on."""
    assert parse_yaml("on: off\nyes: [no, {off: 1}]\n'no': 2") == {"on": False, "yes": [False, {"off": 1}], "no": 2}
    path = tmp_path / "mine.yaml"
    path.write_text(
        "data: {name: digits}\ndefense: {preset: atlpa_no_attention, terms: {tolerant_logit: {on: probabilities}}}\n"
    )
    experiment = load(str(path))
    assert experiment.defense.terms["tolerant_logit"].on == "probabilities"
    path.write_text(yaml.safe_dump(experiment.resolved()))
    assert load(str(path)) == experiment


def result(reads, *what):
    """What was read, and what was said where it was refused."""
    try:
        return reads(*what), ""
    except UserError as error:
        return None, str(error)


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(plain)
def test_any_plain_value_is_read_as_the_library_reads_it(value):
    text = yaml.safe_dump(value, allow_unicode=True)
    assert parse_yaml(text) == yaml.load(text, Loader=LOADER)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab1:-.&*<!?|>{}[],'\"#%@ \n\t\\0e", max_size=60) | st.binary(max_size=40))
@example("? ")
@example("&a [*a, &a b]")
def test_any_text_is_read_as_the_library_reads_it_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "any.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found, said = result(read, path, "experiment", ["name"])
    if found is None:
        assert said
        assert "\n" not in said
    else:
        assert found == {"name": "any", **yaml.load(path.read_text(), Loader=LOADER)}


junk = st.sampled_from(
    [
        None, True, -1, 0, 10**30, 10**400, 0.5, math.inf, -math.inf, math.nan, "", "x", "..", "a/b", "../../x",
        "1e400", "1e-99999999", "1/0", "nan", "inf", "x" * 5_000, "\x1b[31mred", [], {}, [[]], [None], {"name": None},
        {"name": ["pgd"]}, {"name": "nope"}, {"preset": ["atlpa"]}, {"preset": {}}, {1: 2}, {"": ""}, {"x": {"y": [1]}},
        {"weight": "inf"}, b"bytes", object, {1, 2},
    ]
)  # fmt: skip


def places(value, place=()):
    """Every place inside a value."""
    yield place
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*place, key))
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*place, number))


def put(value, place, new):
    """The value with something else at a place."""
    if not place:
        return new
    changed = value.copy()
    changed[place[0]] = put(value[place[0]], place[1:], new)
    return changed


EXPERIMENT = load("digits", [("defense", "atlpa")]).resolved()
STUDY = {**dump(load_study("digits")), "attack": {"name": "pgd", "step": 0.01}, "defenses": ["none", {"preset": "pat"}]}


@pytest.mark.parametrize("place", list(places(EXPERIMENT)), ids=lambda place: ".".join(map(str, place)) or "all")
def test_an_experiment_with_anything_anywhere_is_read_or_refused(place):
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(junk)
    def any_junk(new):
        experiment, said = result(parse, put(EXPERIMENT, place, new))
        assert experiment or said
        if experiment:
            assert parse(experiment.resolved()) == experiment
            numbers = [value for value in flat(experiment.resolved()) if isinstance(value, float)]
            assert all(map(math.isfinite, numbers))

    any_junk()


@pytest.mark.parametrize("place", list(places(STUDY)), ids=lambda place: ".".join(map(str, place)) or "all")
def test_a_study_with_anything_anywhere_is_read_or_refused(tmp_path, place):
    path = tmp_path / "mine.yaml"

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(junk.filter(lambda value: not isinstance(value, type)))
    def any_junk(new):
        path.write_text(yaml.safe_dump(put(STUDY, place, new)))
        study, said = result(load_study, str(path))
        assert said or study.protocols()

    any_junk()


def flat(value):
    """The plain values inside a value."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from flat(inner)
    else:
        yield value


NUMBERS = {
    "tiny": "1e-99999999",
    "huge": "1e400",
    "long": "1" * 50,
    "rounded to 0": "1e-400",
    "by nothing": "1/0",
    "by a word": "1/x",
    "no number": "nan",
    "infinite": "inf",
    "underscored": "1_000",
    "hexadecimal": "0x10",
    "other digits": "٣",
    "empty": "",
}


@pytest.mark.parametrize("text", NUMBERS.values(), ids=NUMBERS)
def test_texts_that_are_no_number(text):
    with pytest.raises(ValueError, match="is no number; write"):
        parse_number(text)


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_a_fraction_is_the_float_next_to_it(over, under):
    assert parse_number(f"{over}/{under}") == over / under


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_python_writes_it_is_read_as_it(value):
    assert parse_number(repr(value)) == value


COMMANDS = {
    "name: ..": (["name='..'"], "name"),
    "name: .": (["name='.'"], "name"),
    "a hidden name": (["name=.x"], "name"),
    "a name that is a path": (["name=a/b"], "name"),
    "a name of 5,000 signs": (["name=" + "x" * 4_000], "name"),
    "a defense's name": (["defense.name='..'"], "defense.name"),
    "a NUL in a path": (['output="a\\0b"'], "--set output"),
    "an infinite rate": (["training.learning_rate=.inf"], "finite"),
    "an infinite rate, in words": (["training.learning_rate=1e999"], "learning_rate"),
    "no number": (["training.momentum=.nan"], "finite"),
    "an infinite weight": (["defense.terms.attention_map.weight=.inf"], "finite"),
    "an infinite delay": (["training.checkpoint_seconds=.inf"], "finite"),
    "an integer of 5,000 digits": (["seed=" + "1" * 5_000], "--set seed"),
    "a seed beyond all": (["seed=" + "1" * 400], "seed"),
    "brackets": (["name=" + "[" * 100_000], "--set name"),
    "a list as a data set": (["data.name=[digits]"], "data"),
    "a mapping as an attack": (["training.attack.name={a: 1}"], "attack"),
    "a number as a network": (["model.architecture=18"], "architecture"),
    "a list as a preset": (["defense=[atlpa]"], "defense"),
    "a mapping as a preset": (["defense.preset={a: 1}"], "defense"),
    "terms that are a list": (["defense.terms=[cross_entropy]"], "terms"),
    "colors": (["name=\x1b[31mred"], "name"),
}


@pytest.mark.parametrize(("texts", "word"), COMMANDS.values(), ids=COMMANDS)
def test_a_command_refuses_it_in_a_line_before_any_folder_is_made(tmp_path, monkeypatch, capfd, texts, word):
    monkeypatch.chdir(tmp_path)
    options = [part for text in texts for part in ("--set", text)]
    assert train(["--config", "digits", "--defense", "atlpa", *options]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert word in said
    assert len(said) < 1_200
    assert said.rstrip("\n").isprintable()
    assert list(tmp_path.iterdir()) == []
