"""A record of unknown origin: read as it is, or refused by name; never believed where it contradicts itself."""

import copy
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atlpa.attacks import BSR, NIFGSM, PGD
from atlpa.component import dump, validate
from atlpa.errors import UserError, one_line
from atlpa.records import read
from atlpa.report import Results, summary
from atlpa.report.page import page
from atlpa.report.tables import sections

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def committed():
    """The smallest record of each kind, of flowers where there is one; of evaluations by threat and by their draws."""
    found = {}
    smallest = sorted(RESULTS.rglob("records/*.json"), key=lambda path: (path.stat().st_size, path))
    for path in sorted(smallest, key=lambda path: "flowers" not in str(path.relative_to(RESULTS))):
        fields = json.loads(path.read_text())
        name = fields["kind"]
        if name == "evaluation":
            several = len(fields["budgets"]) > 1
            name = fields["threat"] + ("-budgets" if several else "") + ("-draws" if len(fields["clean"]) > 1 else "")
        found.setdefault(name, fields)
    return found


RECORDS = committed()


def at(fields, place, value):
    """A copy with a value at a dotted place."""
    fields = copy.deepcopy(fields)
    *way, last = (int(key) if key.isdigit() else key for key in place.split("."))
    inner = fields
    for key in way:
        inner = inner[key]
    inner[last] = value(inner[last]) if callable(value) else value
    return fields


def without(key):
    return lambda inner: {name: value for name, value in inner.items() if name != key}


def longer(values):
    return [*values, values[-1]]


def shorter(values):
    return values[:-1]


def flipped(text):
    return text.replace("0", "2").replace("1", "0").replace("2", "1")


OTHER = "0" * 64

REFUSED = [
    # Counts and verdicts.
    ("white-budgets", "clean.0", shorter, "clean: verdicts on 339 images, but data.count is 340"),
    ("white-budgets", "budgets.2.correct.0", lambda text: text + "0", "verdicts on 341 images"),
    ("white-budgets", "budgets.2.correct.0", "", "verdicts on 0 images"),
    ("white-budgets", "data.count", 10**9, "count 1000000000 of 340 available"),
    ("white-budgets", "data", lambda d: {**d, "count": 10**9, "available": 10**9}, "data.count is 1000000000"),
    ("white-budgets", "data.count", 341, "count 341 of 340 available"),
    ("white-budgets", "data.count", -340, "data.count: Input should be greater than or equal to 1"),
    ("white-budgets", "data.count", 0, "greater than or equal to 1"),
    ("white-budgets", "data.count", 340.0, "data.count: Input should be a valid integer"),
    ("white-budgets", "data.count", True, "valid integer"),
    ("white-budgets", "data.available", 10**39, "less than or equal to"),
    ("white-budgets", "data.classes", 0, "data.classes"),
    ("white-budgets", "data.size", -64, "data.size"),
    ("white-budgets", "data.part", "train", "data.part"),
    ("white-budgets", "data.digest", "d", "data.digest: String should match"),
    ("white-budgets-draws", "budgets.0.correct", shorter, "9 draws, but clean has 10"),
    ("white-budgets-draws", "clean", longer, "10 draws, but clean has 11"),
    ("white-budgets", "clean", [], "at least 1 item"),
    ("white-budgets", "clean.0", lambda text: text.replace("1", "x"), "String should match pattern"),
    ("white-budgets", "clean.0", lambda text: text[:-1] + "\n", "String should match pattern"),
    ("white-budgets", "clean.0", lambda text: text[:-1] + "١", "String should match pattern"),
    ("white-budgets", "budgets", [], "budgets: Value should have at least 1 item"),
    ("white-budgets", "budgets", lambda budgets: budgets[::-1], "do not ascend"),
    ("white-budgets", "budgets.1.iterations", 10, "do not ascend"),
    ("white-budgets", "budgets.0.iterations", 0, "greater than or equal to 1"),
    ("white-budgets", "budgets.0.iterations", -10, "greater than or equal to 1"),
    # What white-box means.
    ("white-budgets", "clean.0", flipped, "is wrong clean"),
    ("white-budgets-draws", "clean.0", flipped, "is wrong clean"),
    ("white-budgets", "budgets.0.correct.0", lambda text: "0" * len(text), "is wrong after 10"),
    # How far images were moved.
    ("white-budgets", "budgets.0.at_bound", 1.5, "at_bound: Input should be less than or equal to 1"),
    ("white-budgets", "budgets.0.at_bound", -0.1, "at_bound: Input should be greater than or equal to 0"),
    ("white-budgets", "budgets.0.linf_max", 0.01, "is above linf_max 0.01"),
    ("white-budgets", "budgets.0.linf_max", 0.9, "is above the attack's epsilon"),
    ("white-budgets", "budgets.0.linf_mean", -0.1, "linf_mean"),
    ("white-budgets", "budgets.0.linf_max", "0.25", "linf_max: Input should be a valid number"),
    ("white-budgets", "attack.epsilon", 2, "its epsilon 2 is outside [0, 1]"),
    ("white-budgets", "attack.epsilon", -0.25, "outside [0, 1]"),
    ("white-budgets", "attack.epsilon", "0.25", "its epsilon should be of type float, given '0.25'"),
    ("white-budgets", "attack.epsilon", True, "its epsilon should be of type float, given True"),
    ("white-budgets", "attack", without("epsilon"), "its epsilon should be of type float, given None"),
    ("white-budgets", "attack", without("name"), "its name should be of type str"),
    ("white-budgets", "attack", without("step"), "its step should be of type float"),
    ("white-budgets", "attack.step", "fast", "its step should be of type float, given 'fast'"),
    ("white-budgets", "attack.restarts", [1], "its restarts should be of type int"),
    ("white-budgets", "attack", "pgd", "attack: Input should be"),
    # Who attacked whom.
    ("white-budgets", "source.weights", OTHER, "threat white, but source and target are two networks"),
    ("gray-budgets", "target", lambda _: RECORDS["gray-budgets"]["source"], "source and target are one network"),
    ("gray-budgets", "source.architecture", "resnet50", "threat gray, but the architectures are"),
    ("black-budgets", "source", lambda source: {**source, "architecture": "resnet18"}, "threat black, but the arch"),
    ("gray-budgets", "threat", "surrogate", "not of the same defense with another seed"),
    ("gray-budgets", "threat", "grey", "threat: Input should be 'white'"),
    ("gray-budgets", "target.weights", "A" * 64, "target.weights: String should match"),
    ("gray-budgets", "target.weights", OTHER + "\n", "target.weights: String should match"),
    ("gray-budgets", "target.seed", -1, "target.seed"),
    ("gray-budgets", "target", None, "target"),
    ("gray-budgets", "seconds", -1.0, "seconds: Input should be greater than or equal to 0"),
    ("gray-budgets", "steps", -1, "steps"),
    ("gray-budgets", "average", 0, "average"),
    ("gray-budgets", "machine.threads", 0, "machine.threads"),
    ("gray-budgets", "accuracy", 0.9, "unknown key 'accuracy'"),
    ("gray-budgets", "clean", 5, "clean: Input should be a valid tuple"),
    # Its kind and version.
    ("gray-budgets", "kind", "training", "unknown key"),
    ("gray-budgets", "kind", ["evaluation"], "its kind is ['evaluation']"),
    ("gray-budgets", "kind", None, "its kind is None"),
    ("gray-budgets", "version", 3, "record version 3, this atlpa reads up to 2; update it"),
    ("gray-budgets", "version", "2", "version: Input should be 2"),
    ("gray-budgets", "version", 1, "version: Input should be 2"),
    # Trainings.
    ("training", "network.seed", 7, "experiment.seed is 0, but elsewhere it says 7"),
    ("training", "network.defense", "atlpa!", "experiment.defense.name is"),
    ("training", "network.architecture", "resnet152", "experiment.model.architecture is"),
    ("training", "iterations", 1, "experiment.training.iterations is"),
    ("training", "experiment", {}, "experiment.seed is None"),
    ("training", "experiment.training", [], "experiment.training.iterations is None"),
    ("training", "finished", "yesterday", "finished: Invalid isoformat string"),
    ("training", "finished", "2026-11-23T02:18:10", "is no time in UTC"),
    ("training", "finished", "2026-11-23T02:18:10+05:00", "is no time in UTC"),
    ("training", "data", "x", "data: String should match"),
    # Checks.
    ("credibility", "epsilon", 8, "epsilon: Input should be less than or equal to 1"),
    ("credibility", "findings", [], "at least 1 item"),
    ("credibility", "findings", longer, "two findings of the check"),
    ("credibility", "findings.0.status", "fine", "findings.0.status"),
    # Analyses.
    ("embedding", "labels", shorter, "labels, but data.count is"),
    ("embedding", "points", longer, "points, but data.count is"),
    ("embedding", "points.0", [1.0], "points.0: Value should have at least 2 items"),
    ("embedding", "points.0", [1.0, 2.0, 3.0], "points.0: Value should have at most 2 items"),
    ("embedding", "labels.0", 10**6, "label 1000000 of"),
    ("embedding", "labels.0", -1, "labels.0"),
    ("embedding", "classes", shorter, "classes, but data.classes is"),
    ("embedding", "silhouettes", [], "silhouettes"),
    ("embedding", "silhouettes.0", 1.5, "silhouettes.0: Input should be less than or equal to 1"),
    ("embedding", "raw_silhouette", -2.0, "raw_silhouette"),
    ("embedding", "perplexity", 0.0, "perplexity"),
    ("embedding", "points.0.0", 1e300, "points.0.0"),
    ("regions", "inside", shorter, "images inside,"),
    ("regions", "inside.0", 1.5, "inside.0"),
    ("regions", "outside", [], "outside"),
    ("attention", "variation", shorter, "variation of 3 stages, but there are 4"),
    ("attention", "distance", longer, "distance of 5 stages, but there are 4"),
    ("attention", "variation.0", -0.5, "variation.0"),
    ("attention", "stages.1", "conv2_x", "a stage is there twice"),
    ("attention", "seen.epsilon", 0.25, "clean images have no epsilon"),
    ("attention", "seen.threat", "black", "black-box images have a source and an attack"),
    ("landscape", "losses", shorter, "images, but 3 surfaces"),
    ("landscape", "losses.0", shorter, "a surface is not 51×51"),
    ("landscape", "losses.0.7", shorter, "a surface is not 51×51"),
    ("landscape", "steps", lambda steps: steps[::-1], "the steps do not ascend"),
    ("landscape", "steps.50", 7.0, "steps.50"),
    ("landscape", "images", [], "images"),
]


def ids(table):
    return [f"{number:02}-{name}-{place}" for number, (name, place, *_) in enumerate(table)]


@pytest.mark.parametrize(("name", "place", "value", "words"), REFUSED, ids=ids(REFUSED))
def test_a_record_that_is_wrong_or_contradicts_itself_is_refused_by_name(name, place, value, words, tmp_path):
    fields = RECORDS[name]
    fields = at(fields, place, value) if place in fields or "." in place else {**fields, place: value}
    file = tmp_path / "record.json"
    file.write_text(json.dumps(fields))
    with pytest.raises(UserError) as caught:
        read(file)
    assert str(caught.value).startswith(str(file))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert "\n" not in str(caught.value).removesuffix("\n")


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_that_is_missing_is_named(name, tmp_path):
    optional = {"version", "average", "rejudged", "obstacle", "joint", "eight_bit", "felled_by"}
    for key in RECORDS[name].keys() - optional:
        file = tmp_path / f"{key}.json"
        file.write_text(json.dumps(without(key)(RECORDS[name])))
        with pytest.raises(UserError, match=rf"{key}.json.*{key}"):
            read(file)


@pytest.mark.parametrize("attack", [PGD(0.25, momentum=1.0, diversity=0.5), NIFGSM(0.25, scales=5), BSR(0.25)])
def test_a_setting_that_reports_read_is_of_its_type(attack, tmp_path):
    """What our attacks say in numbers, words or switches cannot be a list."""
    kept = {**RECORDS["black"], "attack": attack.settings()}
    file = tmp_path / "record.json"
    file.write_text(json.dumps(kept))
    assert read(file).attack == attack.settings()
    unread = {"name", "engine", "precision", "iterations", "norm"}
    for field in attack.settings().keys() - unread:
        file.write_text(json.dumps(at(kept, f"attack.{field}", [1])))
        with pytest.raises(UserError, match=f"its {field} should be of type"):
            read(file)


TEXTS = [
    ("nothing", b""),
    ("half a record", json.dumps(RECORDS["white"]).encode()[:-40]),
    ("a list", b"[]"),
    ("a number", b"17"),
    ("a text", b'"record"'),
    ("null", b"null"),
    ("not UTF-8", b'{"kind": "\xff"}'),
    ("UTF-16", json.dumps(RECORDS["white"]).encode("utf-16")),
    ("NUL", b"\0" * 100),
    ("brackets", b"[" * 100_000),
    ("braces", b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    ("a kind twice", json.dumps(RECORDS["white"]).encode()[:-1] + b', "kind": "evaluation"}'),
    ("NaN", json.dumps({**RECORDS["white"], "seconds": float("nan")}).encode()),
    ("Infinity", json.dumps({**RECORDS["white"], "seconds": float("inf")}).encode()),
    ("1e999", json.dumps(RECORDS["white"]).replace('"seconds": ', '"seconds": 1e999, "s": ').encode()),
    ("5,000 digits", json.dumps(RECORDS["white"]).replace('"seed": 0', f'"seed": {"9" * 5000}').encode()),
    ("a version of 5,000 digits", f'{{"kind": "evaluation", "version": {"9" * 5000}}}'.encode()),
    ("a kind of a million letters", f'{{"kind": "{"x" * 10**6}"}}'.encode()),
    ("a key of a million letters", f'{{"kind": "evaluation", "{"x" * 10**6}": 1}}'.encode()),
]


@pytest.mark.parametrize("content", [content for _, content in TEXTS], ids=[name for name, _ in TEXTS])
def test_what_is_no_record_is_one_short_line(content, tmp_path):
    file = tmp_path / "record.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"record\.json") as caught:
        read(file)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("path", ["gone.json", "folder.json", "loop.json", "fifo.json"])
def test_what_is_no_plain_file_is_refused_without_waiting(path, tmp_path):
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "loop.json").symlink_to("loop.json")
    (tmp_path / "gone.json").symlink_to("nowhere.json")
    os.mkfifo(tmp_path / "fifo.json")
    with pytest.raises(UserError, match=path):
        read(tmp_path / path)


@pytest.mark.parametrize("text", ["\x1b[31mred", "two\nlines", "tab\there"])
def test_texts_of_a_record_are_lines_that_can_be_printed_and_written(text, tmp_path):
    """Ours too: a folder or a class may be called so."""
    fields = at(at(RECORDS["credibility"], "findings.0.advice", text), "target.run", text)
    fields = at(fields, "findings.0.check", text)
    (tmp_path / "record.json").write_text(json.dumps(fields))
    record = read(tmp_path / "record.json")
    assert {record.target.run, record.findings[0].advice, record.findings[0].check} == {one_line(text)}
    assert one_line(text).isprintable()
    record.save(tmp_path / "again.json")
    assert read(tmp_path / "again.json") == record


def read_or_refuse(file):
    """The record that a file holds, or ``None`` where it is refused in a line that names the file."""
    try:
        return read(file)
    except UserError as error:
        message = str(error)
    assert str(file) in message
    assert len(message) < 3000
    return None


SPECIAL = ["<b>", "$x_", "=1", "a|b\n", "\x1b[2J", "\ud800"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(SPECIAL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value, way=()):
    """Every place in plain values, but no more than three of a list."""
    yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*way, str(key)))


WAYS = [(name, ".".join(way)) for name in RECORDS for way in places(RECORDS[name]) if way]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(where=st.sampled_from(WAYS), value=ANYTHING)
def test_anything_anywhere_is_refused_or_reported(where, value, tmp_path_factory):
    """Whatever is put in a record's place: it is refused, or it can be written, read back and drawn in every form."""
    name, place = where
    file = tmp_path_factory.getbasetemp() / "anything.json"
    file.write_text(json.dumps(at(RECORDS[name], place, lambda _: value)))
    if (record := read_or_refuse(file)) is None:
        return
    assert validate(type(record), json.loads(json.dumps(dump(record)))) == record
    record.save(file)
    assert read(file) == record
    others = {Path("white.json"): _read(RECORDS["white"], file)}
    results = Results.of({file: record} if record.kind == "evaluation" else {**others, file: record})
    assert "\x1b" not in summary(results)
    for section in sections(results):
        section.table.latex().encode()
        section.table.csv().encode()
    page(results, sections(results), {}, Path("nowhere")).encode()


def _read(fields, file):
    file.with_name("other.json").write_text(json.dumps(fields))
    return read(file.with_name("other.json"))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=200), cut=st.integers(0, 4000), put=st.booleans())
def test_any_bytes_are_refused_or_read(content, cut, put, tmp_path_factory):
    """Garbage by itself, and written over a part of a record."""
    whole = json.dumps(RECORDS["white"]).encode()
    file = tmp_path_factory.getbasetemp() / "bytes.json"
    file.write_bytes(whole[:cut] + content + whole[cut + len(content) :] if put else content)
    read_or_refuse(file)
