"""Arguments that would be accepted and ignored, or mean nothing: one line instead, from every command that has them."""

import importlib

import pytest

import atlpa

COMMANDS = {
    "train": ["--config", "digits"],
    "eval": [],
    "report": ["."],
    "study": ["digits"],
    "analyze": ["."],
    "export": [".", "network", "--to", "torch"],
}
PLACES = {
    "train": ["--output", "--json", "--data-root"],
    "eval": ["--run", "--source", "--json", "--keep-images", "--data-root"],
    "report": ["--output", "--json"],
    "study": ["--keep-images", "--json", "--data-root"],
    "analyze": ["--output", "--json", "--data-root"],
}


def said(command, arguments, capsys):
    """The line that a command ends with."""
    try:
        status = importlib.import_module(f"atlpa.cli.{command}").main(arguments)
    except SystemExit as end:
        status = end.code
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture(autouse=True)
def _nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ["", "a\0b"], ids=["empty", "NUL"])
@pytest.mark.parametrize(("command", "option"), [(name, option) for name, many in PLACES.items() for option in many])
def test_a_place_that_is_none(command, option, given, capsys):
    assert "names no file and no folder" in said(command, [*COMMANDS[command], option, given], capsys)


@pytest.mark.parametrize("field", [".", "...", "training..iterations", "training.iterations.", ".seed"])
def test_a_field_made_of_dots(field, capsys):
    assert f"--set {field}: no field is called so" in said(
        "train", ["--config", "digits", "--set", f"{field}=1"], capsys
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--attack-set", "epsilon=0.1"], "--attack-set epsilon: ε is set with --eps"),
        (["--step", "0.1", "--attack-set", "step=0.2"], "--step and --attack-set step say the same"),
        (["--momentum", "1e39"], "less than or equal to 1"),
    ],
)
def test_a_field_of_the_attack_that_would_be_ignored_or_ruin_it(options, words, tmp_path, capsys):
    assert words in said("eval", ["--run", "nowhere", *options], capsys)


VERSIONS = {(command, option) for command in (*COMMANDS, "data") for option in ("-V", "--version")}


@pytest.mark.parametrize(("command", "option"), sorted(VERSIONS))
def test_every_command_tells_its_version(command, option, capsys):
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"atlpa.cli.{command}").main([option])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"atlpa-{command} {atlpa.__version__}\n"


@pytest.mark.parametrize("command", ["eval", "analyze", "export"])
def test_several_processes_at_a_command_of_one(command, monkeypatch, capsys):
    place = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert "2 processes were started, and each would do the same" in said(command, COMMANDS[command], capsys)
