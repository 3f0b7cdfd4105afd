"""``atlpa-eval`` and the scripts around it as a user meets them."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from atlpa.cli.eval import main
from atlpa.cli.train import main as train
from atlpa.component import validate
from atlpa.records import Evaluation
from atlpa.runs import Run

REPOSITORY = Path(__file__).parents[2]
FAST = ["--limit", "8", "--iters", "2"]


def newest_is(name, folder=Path("runs")):
    record = folder / name / "records" / "training.json"
    fields = json.loads(record.read_text())
    record.write_text(json.dumps({**fields, "finished": "2999-01-01T00:00:00+00:00"}))


def rows(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")][2:]


def refused(capsys, *arguments):
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("atlpa-eval: ")
    return line


def test_the_newest_run_under_every_threat(runs):
    """The command of the paper's user, as a process: every possible threat, and which run it is about."""
    newest_is("pat-resnet18")
    command = ["atlpa-eval", "--attack", "pgd", "--eps", "0.25", "--iters", "3", "--limit", "8"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "newest finished run: runs/pat-resnet18" in done.stdout
    found = [(row[0], row[1], row[2]) for row in rows(done.stdout)]
    assert found == [
        ("pat resnet18", "white", "itself"),
        ("pat resnet18", "gray", "none resnet18"),
        ("pat resnet18", "black", "none resnet34"),
    ]
    assert "ε 0.25 cannot bind within 3 steps" in done.stdout
    assert "8 of 359 test images of digits" in done.stdout


def test_epsilons_and_budgets_in_one_call(runs, capsys):
    arguments = [
        "--run",
        str(runs / "pat-resnet18"),
        "--eps",
        "64/256",
        "0.5",
        "--iters",
        "3",
        "1",
        "--step",
        "1/8",
    ]
    assert main([*arguments, "--threat", "gray", "--limit", "8", "--json", "all.json"]) == 0
    table = rows(capsys.readouterr().out)
    assert [(row[3], row[4]) for row in table] == [("0.25", "1"), ("0.25", "3"), ("0.5", "1"), ("0.5", "3")]
    assert [float(row[8]) for row in table] == [0.125, 0.25, 0.125, 0.375]  # max ‖δ‖∞
    assert [row[7] for row in table] == ["8"] * 4
    records = [validate(Evaluation, fields) for fields in json.loads(Path("all.json").read_text())]
    assert [record.attack["epsilon"] for record in records] == [0.25, 0.5]
    assert records[0].source.defense == "none"
    assert len(list((runs / "pat-resnet18" / "records").glob("gray-none-resnet18-pgd-*.json"))) == 2


def test_records_are_piped_as_json_alone(runs, capsys):
    assert main(["--run", str(runs / "pat-resnet18"), "--threat", "white", *FAST, "--json", "-"]) == 0
    found = capsys.readouterr()
    (record,) = [validate(Evaluation, fields) for fields in json.loads(found.out)]
    assert record.data.count == 8
    assert "| pat resnet18 |" in found.err


def test_what_is_on_record_is_not_measured_again(runs, capsys):
    arguments = ["--run", str(runs / "pat-resnet18"), "--threat", "white", *FAST]
    main(arguments)
    (path,) = (runs / "pat-resnet18" / "records").glob("white-*.json")
    marked = json.loads(path.read_text()) | {"seconds": 123456.0}
    path.write_text(json.dumps(marked))
    main(arguments)
    assert json.loads(path.read_text())["seconds"] == 123456.0
    main([*arguments, "--again"])
    assert json.loads(path.read_text())["seconds"] != 123456.0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("attack", "linf"),
    [(["--attack", "none"], 0.0), (["--attack", "noise", "--eps", "0.5"], 0.5), (["--attack", "fgsm"], 0.25)],
)
def test_other_attacks(runs, capsys, attack, linf):
    assert main(["--run", str(runs / "none-resnet18"), *attack, "--limit", "64"]) == 0
    table = rows(capsys.readouterr().out)
    assert float(table[0][8]) == pytest.approx(linf, abs=1e-3)
    if attack == ["--attack", "none"]:
        assert table[0][5] == table[0][6]


def test_the_gray_box_source_itself(runs, capsys):
    """Its gray-box attack would be white-box: said by default, refused when asked for."""
    main(["--run", str(runs / "none-resnet18"), *FAST])
    out = capsys.readouterr().out
    assert "gray-box is white-box" in out
    assert [row[1] for row in rows(out)] == ["white", "black"]
    assert "gray-box is white-box" in refused(capsys, "--run", str(runs / "none-resnet18"), "--threat", "gray", *FAST)


def test_without_a_source_the_way_to_one_is_said(runs, capsys):
    shutil.rmtree(runs / "none-resnet34")
    line = refused(capsys, "--run", str(runs / "pat-resnet18"), "--threat", "black", *FAST)
    assert "--defense none --set model.architecture=resnet34" in line
    command = shlex.split(line.split("train one with: ")[1])
    assert command[0] == "atlpa-train"
    subprocess.run([*command, "--set", "training.iterations=1"], check=True, capture_output=True)
    assert main(["--run", str(runs / "pat-resnet18"), "--threat", "black", *FAST]) == 0
    capsys.readouterr()


def test_runs_named_twice_and_the_source_among_them(runs, capsys):
    """A shell pattern names the undefended network too; it is passed over, with a word."""
    names = ["runs/pat-resnet18", "runs/pat-resnet18/", "runs/none-resnet18"]
    assert main([*(word for name in names for word in ("--run", name)), "--threat", "gray", *FAST]) == 0
    out = capsys.readouterr().out
    assert [row[0] for row in rows(out)] == ["pat resnet18"]
    assert "runs/none-resnet18: its gray-box source is this very network" in out


def test_each_run_is_judged_on_its_own_part(runs, capsys, tmp_path):
    train(["--config", "digits", "--set", "training.iterations=1", "--output", str(tmp_path / "develop")])
    arguments = ["--run", str(tmp_path / "develop"), "--run", "runs/pat-resnet18", "--threat", "white", *FAST]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "8 of 360 validation images" in out
    assert "8 of 359 test images" in out
    records = [Evaluation.load(p) for folder in (tmp_path / "develop", runs / "pat-resnet18")
               for p in (folder / "records").glob("white-*.json")]  # fmt: skip
    assert [record.data.part for record in records] == ["validation", "test"]


def test_sources_lie_beside_a_run_not_below(runs, capsys):
    Path("alone").mkdir()
    shutil.move(runs / "pat-resnet18", "alone/pat-resnet18")
    shutil.move(runs, "alone/deeper")
    assert "no gray-box source beside it" in refused(capsys, "--run", "alone/pat-resnet18", "--threat", "gray", *FAST)


@pytest.fixture
def noisy(runs, tiny_run):
    """The folder of a randomized run beside the others."""
    run = tiny_run("rat")
    shutil.copytree(run.folder, runs / run.folder.name)
    return str(runs / run.folder.name)


def records_of(folder):
    return [Evaluation.load(path) for path in Path(folder, "records").glob("*-*.json")]


def test_a_randomized_network_is_asked_several_times(noisy, capsys):
    command = ["--run", noisy, "--threat", "white", *FAST, "--eot", "2", "--fixed-draws", "--draws", "3"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "mean over 3 draws, ± their standard deviation" in text
    assert "gradients averaged over 2 draws, draws held fixed" in text
    (record,) = records_of(noisy)
    assert [len(record.clean), len(record.budgets[0].correct)] == [3, 3]
    assert record.steps == 8 * 2 * 2
    assert record.attack["eot"] == 2
    assert record.attack["fixed_draws"]
    # The same again is on record; without the options it is another measurement, with ten draws.
    assert main(command) == main(["--run", noisy, "--threat", "white", *FAST]) == 0
    assert sorted(len(record.clean) for record in records_of(noisy)) == [3, 10]


def test_options_of_randomized_networks_reach_them_alone(noisy, runs, capsys):
    both = ["--run", noisy, "--run", "runs/pat-resnet18", "--threat", "white", "--threat", "gray"]
    assert main([*both, *FAST, "--eot", "2", "--average", "2", "--draws", "2"]) == 0
    found = {(record.target.defense, record.threat): record for folder in (noisy, "runs/pat-resnet18")
             for record in records_of(folder)}  # fmt: skip
    assert {key: (record.attack["eot"], record.average, len(record.clean)) for key, record in found.items()} == {
        ("rat", "white"): (2, 2, 2),
        ("rat", "gray"): (1, 2, 2),
        ("pat", "white"): (1, 1, 1),
        ("pat", "gray"): (1, 1, 1),
    }
    assert "each the mean prediction of 2" in capsys.readouterr().out


def test_randomization_and_its_gray_box_source_have_the_same_weights_and_are_two_networks(runs, tiny_run, capsys):
    run = tiny_run("randomization_clean")
    shutil.copytree(run.folder, runs / run.folder.name)
    assert main(["--run", str(runs / run.folder.name), "--threat", "gray", *FAST, "--draws", "2"]) == 0
    assert [row[:3] for row in rows(capsys.readouterr().out)] == [
        ["randomization_clean resnet18", "gray", "none resnet18"]
    ]


def test_the_same_defense_with_another_seed_is_a_surrogate(runs, tiny_run, capsys):
    pat = str(runs / "pat-resnet18")
    asked = ["--run", pat, "--threat", "surrogate", *FAST]
    command = shlex.split(refused(capsys, *asked).rpartition("train one with: atlpa-train ")[2])
    assert train([*command, "--set", "training.iterations=1"]) == 0
    capsys.readouterr()
    assert main(asked) == 0
    assert [row[:3] for row in rows(capsys.readouterr().out)] == [["pat resnet18", "surrogate", "pat resnet18 seed 1"]]
    assert main(["--run", pat, *FAST]) == 0
    assert [row[1] for row in rows(capsys.readouterr().out)] == ["white", "gray", "surrogate", "black"]
    none = str(runs / "none-resnet18")
    assert "the surrogate is the gray-box source" in refused(capsys, "--run", none, "--threat", "surrogate", *FAST)


def test_a_source_of_ones_own(runs, capsys):
    """A defended network that attacks another defense's, in either direction and from another architecture."""
    pat, none, none34 = ("runs/pat-resnet18", "runs/none-resnet18", "runs/none-resnet34")
    for target in (none, none34):
        assert main(["--run", target, "--source", pat, "--threat", "transfer", *FAST]) == 0
        assert rows(capsys.readouterr().out)[0][1:3] == ["transfer", "pat resnet18"]
        assert [record.threat for record in records_of(target)] == ["transfer"]
    assert main(["--run", none, "--source", pat, *FAST]) == 0
    assert [row[1] for row in rows(capsys.readouterr().out)] == ["white", "transfer"]
    report = subprocess.run(["atlpa-report", "runs"], capture_output=True, text=True, check=True).stdout
    assert " transfer from pat resnet18 0.25 |" in report
    for threat, kind in (("black", "black-box"), ("gray", "gray-box"), ("surrogate", "surrogate")):
        line = refused(capsys, "--run", none, "--source", pat, "--threat", threat, *FAST)
        assert f"none of the sources that were named makes a {kind} attack on it ({pat}: transfer)" in line
    line = refused(capsys, "--run", pat, "--source", pat, "--threat", "transfer", *FAST)
    assert f"({pat}: white)" in line


def test_gray_box_is_undefended_by_what_it_is(runs, capsys):
    """Another seed of the plain network under another name attacks gray-box; a defended one named ``none`` does not."""
    digits = ["--config", "digits", "--final", "--set", "training.iterations=1", "--set", "training.batch_size=4"]
    plain = [*digits, "--defense", "none", "--set", "defense.name=plain", "--seed", "1", "--output", "runs/plain"]
    assert train(plain) == 0
    assert train([*digits, "--defense", "pat", "--set", "defense.name=none", "--output", "runs/disguised"]) == 0
    capsys.readouterr()
    threats = {}
    for target in ("runs/pat-resnet18", "runs/none-resnet18"):
        sources = [word for source in ("runs/plain", "runs/disguised") for word in ("--source", source)]
        assert main(["--run", target, *sources, *FAST]) == 0
        threats[target] = {row[2]: row[1] for row in rows(capsys.readouterr().out)}
        del threats[target]["itself"]
    assert [list(found.values()) for found in threats.values()] == [["gray", "transfer"]] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no finished run below runs/; train one with atlpa-train"),
        (["--run", "nowhere"], "nowhere holds no run"),
        (["--run", "runs/pat-resnet18", "--eps", "64"], "epsilon: 64 is outside [0, 1]"),
        (
            ["--run", "runs/pat-resnet18", "--attack", "fgsm", "--iters", "3"],
            "--iters has no meaning for --attack fgsm",
        ),
        (["--run", "runs/pat-resnet18", "--attack", "none", "--eps", "0.1"], "--eps has no meaning"),
        (["--run", "runs/pat-resnet18", "--attack", "noise", "--threat", "gray"], "is for the judged network itself"),
        (["--run", "runs/pat-resnet18", "--threat", "transfer"], "--threat transfer needs --source DIR"),
        (["--run", "runs/pat-resnet18", "--threat", "white", "--threat", "transfer"], "--threat transfer needs"),
        (
            ["--run", "runs/pat-resnet18", "--threat", "white", "--source", "runs/none-resnet18"],
            "--source has no meaning for --threat white",
        ),
        (["--run", "runs/pat-resnet18", "--restarts", "3"], "same run; use start: uniform"),
        (
            ["--run", "runs/pat-resnet18", "--restarts", "3", "--start", "uniform", "--iters", "2", "3"],
            "2 budgets of an attack that restarts",
        ),
        (["--run", "runs/pat-resnet18", "--attack-set", "restarts=many", "--iters", "2", "3"], "restarts: "),
        (["--run", "runs/pat-resnet18", "--eot", "2"], "--eot is for randomized networks, and none is attacked"),
        (["--run", "runs/pat-resnet18", "--eot", "0"], "eot: Input should be greater than or equal to 1, given 0"),
        (["--run", "runs/pat-resnet18", "--fixed-draws"], "--fixed-draws is for randomized networks"),
        (["--run", "runs/pat-resnet18", "--draws", "3"], "--draws is for randomized networks, and none is judged"),
        (["--run", "runs/pat-resnet18", "--average", "3"], "--average is for randomized networks, and none is judged"),
        (["--run", "runs/pat-resnet18", "--attack", "fgsm", "--eot", "2"], "--eot has no meaning for --attack fgsm"),
        (["--run", "runs/pat-resnet18", "--json", "missing/all.json"], "its folder does not exist"),
        (["--run", "runs/pat-resnet18", "--data-root", "x"], "pat-resnet18, needs no files; leave out --data-root"),
    ],
)
def test_bad_input_is_one_line(runs, capsys, monkeypatch, tmp_path_factory, arguments, words):
    if not arguments:
        monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    assert words in refused(capsys, *arguments)


def test_autoattack_on_the_network_itself(runs, capsys):
    pat = str(runs / "pat-resnet18")
    assert main(["--run", pat, "--attack", "autoattack", "--limit", "2", "--eps", "0.5"]) == 0
    (row,) = rows(capsys.readouterr().out)
    assert row[1:4] == ["white", "itself", "0.5"]
    (record,) = [record for record in records_of(pat) if record.attack["name"] == "autoattack"]
    assert record.steps is None
    assert record.budgets[0].correct == ("00",)
    assert "leave out --threat" in refused(capsys, "--run", pat, "--attack", "autoattack", "--threat", "gray")
    assert "--iters has no meaning" in refused(capsys, "--run", pat, "--attack", "autoattack", "--iters", "3")


def test_autoattack_without_its_package(runs, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert "pip install 'atlpa[attacks]'" in refused(capsys, "--run", "runs/pat-resnet18", "--attack", "autoattack")


def test_dlr_needs_three_classes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (16, 16), 20 * number).save(tmp_path / "photos" / name / f"{number}.png")
    Path("two.yaml").write_text(
        "data: {name: folder, root: photos, size: 16, resize: 16}\ndefense: none\n"
        "model: {architecture: resnet18, weights: none}\ntraining: {iterations: 1, batch_size: 4}\n"
    )
    assert train(["--config", "two.yaml", "--output", "run"]) == 0
    line = refused(capsys, "--run", "run", "--threat", "white", "--iters", "1", "--loss", "dlr")
    assert "has 2 classes; pgd as it is set needs at least 3" in line
    assert main(["--run", "run", "--threat", "white", "--iters", "1", "--loss", "margin"]) == 0
    assert "climbing margin" in capsys.readouterr().out


def test_restarts_on_a_randomized_network(noisy, capsys):
    words = ["--restarts", "2", "--start", "uniform", "--threat", "white"]
    assert "use eot in place of restarts" in refused(capsys, "--run", noisy, *FAST, *words)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--loss", "steep"],
        ["--eps", "a lot"],
        ["--iters", "0"],
        ["--iters", "1.5"],
        ["--threat", "pink"],
        ["--seed", "-1"],
    ],
)
def test_malformed_options(runs, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert arguments[1] in line


def run_script(name, *arguments):
    command = [sys.executable, str(REPOSITORY / "scripts" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_gray_box_script_runs_the_papers_protocol(runs):
    table = rows(run_script("gray_box.py", "runs/pat-resnet18", "--limit", "1"))
    assert [(row[3], row[4]) for row in table] == [
        (epsilon, budget) for epsilon in ("0.25", "0.5") for budget in ("10", "20", "50", "100", "150", "200")
    ]
    assert {row[2] for row in table} == {"none resnet18"}
    assert float(table[-1][8]) == pytest.approx(0.5, abs=1e-3)


def test_black_box_script_over_several_runs(runs):
    table = rows(run_script("black_box.py", "runs/pat-resnet18", "runs/none-resnet18", "--limit", "2", "--iters", "3"))
    assert {(row[0], row[2]) for row in table} == {
        ("pat resnet18", "none resnet34"),
        ("none resnet18", "none resnet34"),
    }
    assert [row[4] for row in table] == ["3"] * 4


def test_momentum_and_diversity_serve_transfer_alone(runs, capsys):
    arguments = ["--run", str(runs / "pat-resnet18"), *FAST, "--momentum", "1", "--diversity", "0.5"]
    assert main([*arguments, "--threat", "white", "--threat", "gray"]) == 0
    assert "momentum 1, input diversity 0.5" in capsys.readouterr().out
    found = {record.threat: record.attack for record in records_of(runs / "pat-resnet18")}
    assert [(found[threat]["momentum"], found[threat]["diversity"]) for threat in ("white", "gray")] == [
        (0, 0),
        (1, 0.5),
    ]
    assert "--momentum serves transfer" in refused(capsys, *arguments, "--threat", "white")
    assert "diversity" in refused(capsys, "--run", str(runs / "pat-resnet18"), "--diversity", "2")


def test_square_counts_queries(runs, capsys):
    assert main(["--run", str(runs / "none-resnet18"), "--attack", "square", "--iters", "3", "6", "--limit", "8"]) == 0
    out = capsys.readouterr().out
    assert "Square attack, 6 queries" in out
    assert [row[4] for row in rows(out)] == ["3", "6"]
    assert "--step has no meaning for --attack square" in refused(capsys, "--attack", "square", "--step", "0.1")


def test_checks_are_on_record_and_stand_in_the_report(runs, capsys):
    pat = str(runs / "pat-resnet18")
    assert main(["--run", pat, "--check", "--limit", "8"]) == 0
    out = capsys.readouterr().out
    assert "runs/pat-resnet18, ε 8/255, 8 of 359 test images of digits:" in out
    table = {row[0]: row[1] for row in rows(out)}
    assert table["pixel range"] == "pass"
    assert "no transfer source" not in out  # both undefended networks lie beside it
    (path,) = (runs / "pat-resnet18" / "records").glob("credibility-eps0.03137-*.json")
    written = path.stat().st_mtime_ns
    assert main(["--run", pat, "--check", "--limit", "8"]) == 0
    assert path.stat().st_mtime_ns == written
    assert capsys.readouterr().out == out
    assert main(["--run", pat, "--threat", "white", *FAST, "--eps", "8/255"]) == 0
    report = subprocess.run(["atlpa-report", pat], capture_output=True, text=True, check=True).stdout
    assert "checks 8/255" in report
    verdict = out.split("verdict: ")[1].split(":")[0].split()[0]
    assert verdict in rows(report)[0][-1]


def test_a_claim_is_held_against_what_stands_and_the_images_that_refute_it_are_kept(runs, capsys):
    """The kept images, shown to the network again, fool it; another claim asks no attack."""
    run = Run.open(runs / "pat-resnet18")
    command = ["--run", str(run.folder), "--check", "--limit", "16", "--eps", "0.1", "--seed", "3"]
    assert main([*command, "--claimed", "0.99", "--json", "claim.json"]) == 0
    out = capsys.readouterr().out
    assert rows(out)[-1][:2] == ["claim", "fail"]
    (kept,) = (run.folder / "fallen").glob("credibility-eps0.1-*.npz")
    assert str(kept) in out.replace("\n", " ")
    found, record = np.load(kept), json.loads(Path("claim.json").read_text())[0]
    fell = record["correct"][0].count("0")
    assert 1 <= len(found["label"]) <= fell
    with torch.no_grad():
        logits = run.load_model(torch.device("cpu"))(torch.from_numpy(found["adversarial"]))
    assert (logits.argmax(dim=1).numpy() != found["label"]).all()
    assert sorted(record["felled_by"]) == sorted(set(found["felled_by"].tolist()))
    written = kept.stat().st_mtime_ns
    assert main([*command, "--claimed", "0"]) == 0
    assert kept.stat().st_mtime_ns == written
    assert rows(capsys.readouterr().out)[-1][:2] == ["claim", "pass"]


def test_a_claim_is_a_share(runs, capsys):
    assert "for 53 % give 0.53" in refused(capsys, "--check", "--claimed", "53")
    assert "between 0 and 1" in refused(capsys, "--check", "--claimed", "-0.1")
    assert "--claimed has no meaning without --check" in refused(capsys, "--claimed", "0.5")


@pytest.mark.parametrize("option", [["--iters", "3"], ["--attack", "fgsm"], ["--threat", "gray"], ["--draws", "3"]])
def test_checks_choose_their_own_attacks(runs, capsys, option):
    assert f"{option[0]} has no meaning with --check" in refused(capsys, "--check", *option)


def test_checks_need_a_size(runs, capsys):
    assert "--eps 0" in refused(capsys, "--check", "--eps", "0")
