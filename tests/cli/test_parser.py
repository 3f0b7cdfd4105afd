"""What all commands have: help with examples, ``--quiet``, ``--completion``."""

import importlib
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from atlpa.cli.data import main as data
from atlpa.cli.eval import main as judge
from atlpa.cli.train import main as train

COMMANDS = ("train", "eval", "study", "report", "analyze", "data", "export")


def printed(command, arguments, capsys):
    """What a command says that ends while it reads its arguments."""
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"atlpa.cli.{command}").main(arguments)
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_in_the_help_are_commands_that_it_takes(command, capsys):
    text = printed(command, ["--help"], capsys)
    lines = [line.strip() for line in text.partition("examples:\n")[2].splitlines() if line.startswith("  ")]
    assert lines
    for line in lines:
        name, *arguments = shlex.split(line, comments=True)
        assert name == f"atlpa-{command}"
        assert printed(command, [*arguments, "--help"], capsys)  # its values are allowed
        assert {one for one in arguments if one.startswith("--")} <= set(text.replace(",", " ").split()) | {"--root"}


@pytest.mark.parametrize(
    ("attack", "own", "of_others"), [("apgd", "--rho", "--fixed-draws"), ("pgd", "--step", "--rho")]
)
def test_the_help_tells_the_options_of_the_attack_that_is_named(attack, own, of_others, capsys):
    text = printed("eval", ["--attack", attack, "--help"], capsys)
    assert f"\n  {own} X" in text
    assert of_others not in text


def test_the_option_that_was_meant_is_named(capsys):
    for wrong, words in (("--iterz", "did you mean --iters? see"), ("--zzzz", "unrecognized arguments: --zzzz; see")):
        with pytest.raises(SystemExit):
            judge([wrong, "3"])
        assert words in capsys.readouterr().err.replace("--zzzz 3", "--zzzz")


@pytest.mark.parametrize("wish", ["FORCE_COLOR", "NO_COLOR"])
def test_nothing_is_colored_whatever_is_wished(wish, tmp_path):
    (tmp_path / "broken.json").write_text("{")
    plain = {key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "NO_COLOR")}
    for words in (["--help"], [str(tmp_path)], ["--nonsense"]):
        command = [sys.executable, "-m", "atlpa.cli.report", *words]
        outcomes = [
            subprocess.run(command, env=env, capture_output=True, check=False) for env in (plain, plain | {wish: "1"})
        ]
        assert b"\x1b" not in outcomes[1].stdout + outcomes[1].stderr
        assert (outcomes[0].stdout, outcomes[0].stderr) == (outcomes[1].stdout, outcomes[1].stderr)


def test_quiet_leaves_results_and_errors(runs, capsys):
    assert judge(["--attack", "none", "--limit", "4"]) == 0
    usual = capsys.readouterr().out
    assert "newest finished run: " in usual
    assert judge(["--attack", "none", "--limit", "4", "--quiet"]) == 0
    quiet = capsys.readouterr()
    assert quiet.err == ""
    assert quiet.out.startswith("|")
    assert usual.endswith(quiet.out)
    assert judge(["--run", str(runs / "nowhere"), "-q"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert judge(["--attack", "none", "--limit", "4"]) == 0  # the next one speaks again
    assert capsys.readouterr().out == usual


def test_a_quiet_training_says_where_it_lies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short = ["--set", "training.iterations=1", "--set", "training.batch_size=2", "--set", "training.log_every=1"]
    assert train(["--config", "digits", "--defense", "none", "--quiet", *short]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    (line,) = said.out.splitlines()
    assert line.startswith("runs/digits/none-")
    assert "done; judge it with" in line


def test_a_quiet_look_at_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert data(["check", "digits", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.endswith("nothing is wrong\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_shell_completes_it(command, capsys, tmp_path):
    script = tmp_path / "complete"
    script.write_text(printed(command, ["--completion", "bash"], capsys))
    if not (bash := shutil.which("bash")):
        pytest.skip("no bash")
    asked = 'source "$0"; complete -p "$1"'
    found = subprocess.run([bash, "-c", asked, script, f"atlpa-{command}"], capture_output=True, text=True, check=False)
    assert found.stdout.startswith("complete ")
    assert found.returncode == 0


def test_a_shell_offers_names_and_the_option_takes_others_too(capsys):
    script = printed("eval", ["--completion", "bash"], capsys)
    (offered,) = [line for line in script.splitlines() if line.startswith("_shtab_atlpa_eval___attack_choices")]
    assert {"pgd", "ensemble", "bsr"} <= set(offered.partition("=(")[2].rstrip(")").split())
    assert printed("eval", ["--attack", "my_pkg.attacks:Mine", "--version"], capsys)
