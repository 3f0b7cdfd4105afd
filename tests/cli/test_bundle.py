"""A bundle as a reviewer meets it: written here, repeated in another folder, and refused where it was changed."""

import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from atlpa.cli.eval import main
from atlpa.runs import Run

ATTACK = ["--threat", "white", "--limit", "12", "--eps", "0.03"]


@pytest.fixture
def judged(tiny_run, tmp_path, monkeypatch):
    """A network with two attacks on record, as the only run of the present folder."""
    monkeypatch.chdir(tmp_path)
    run = tiny_run("pat")
    shutil.copytree(run.folder, Path("runs") / "pat")
    for record in Path("runs/pat/records").glob("white*"):
        record.unlink()
    assert main(["--run", "runs/pat", *ATTACK, "--iters", "2", "4", "--step", "0.01", "--start", "uniform"]) == 0
    assert main(["--run", "runs/pat", *ATTACK, "--attack", "apgd", "--iters", "3"]) == 0
    assert main(["--run", "runs/pat", "--bundle", "pat.zip"]) == 0
    return Path("pat.zip")


def refused(capsys, *arguments):
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 2
    found = capsys.readouterr()
    assert len(found.err.strip().splitlines()) == 1
    return found.err


def contents(bundle):
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(bundle, changes):
    """The same file with other contents, which nobody signed."""
    found = contents(bundle) | changes
    with zipfile.ZipFile("changed.zip", "w") as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    return Path("changed.zip")


def test_everything_is_repeated_elsewhere_without_the_run(judged, capsys, tmp_path, monkeypatch):
    shutil.rmtree("runs")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(judged, elsewhere)
    monkeypatch.chdir(elsewhere)
    capsys.readouterr()
    assert main(["--verify", "pat.zip", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "24 of 24 verdicts on images agree" in out
    assert out.count("12 of 12") == 2
    assert [path.name for path in Path().iterdir()] == ["pat.zip"]


def test_curves_and_bounds_are_repeated(judged, capsys):
    assert main(["--run", "runs/pat", "--curve", "0.005", "0.01", "0.03", "--limit", "6", "--iters", "3"]) == 0
    assert (
        main(
            [
                "--run",
                "runs/pat",
                "--attack",
                "fmn",
                "--norm",
                "L2",
                "--curve",
                "1",
                "2",
                "--limit",
                "5",
                "--iters",
                "4",
            ]
        )
        == 0
    )
    assert main(["--run", "runs/pat", "--bound", "ibp", "--eps", "0.001", "--limit", "7"]) == 0
    assert main(["--run", "runs/pat", "--bundle", "more.zip"]) == 0
    shutil.rmtree("runs")
    capsys.readouterr()
    assert main(["--verify", "more.zip"]) == 0
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in out.splitlines() if line.startswith("| ")]
    agree = {"-".join(name.split("-")[:3]): found for name, found in rows}
    assert {name: found for name, found in agree.items() if name.startswith(("bound", "distances"))} == {
        "bound-ibp-eps0.001": "7 of 7",
        "distances-Linf-pgd": "6 of 6",
        "distances-L2-fmn": "5 of 5",
    }
    assert "42 of 42 verdicts on images agree" in out


def test_another_verdict_is_named(judged, capsys):
    """Of a record that says otherwise of image 3, sealed as a liar would."""
    found = contents(judged)
    name = next(name for name in found if "apgd" in name)
    record = json.loads(found[name])
    (verdicts,) = record["budgets"][-1]["correct"]
    flipped = record["clean"][0].index("1")
    new = "0" if verdicts[flipped] == "1" else "1"
    record["budgets"][-1]["correct"] = [verdicts[:flipped] + new + verdicts[flipped + 1 :]]
    changed = json.dumps(record).encode()
    manifest = json.loads(found["manifest.json"])
    manifest["files"][name] = hashlib.sha256(changed).hexdigest()
    lie = rewritten(judged, {name: changed, "manifest.json": json.dumps(manifest).encode()})
    assert main(["--verify", str(lie)]) == 1
    out = capsys.readouterr().out
    assert "23 of 24 verdicts" in out
    assert f"images {flipped} " in out


def test_what_it_holds(judged):
    found = contents(judged)
    network = Run.open(Path("runs/pat")).load_model(torch.device("cpu")).state_dict()
    weights = load(found["weights.safetensors"])
    assert weights.keys() == network.keys()
    assert all(torch.equal(weights[name], value) for name, value in network.items())
    said = json.loads(found["robustbench.json"])
    assert (said["eps"], said["autoattack_acc"]) == (None, None)  # no ensemble was made
    assert said["architecture"] in found["README.md"].decode()
    again = Path("again.zip")
    assert main(["--run", "runs/pat", "--bundle", str(again)]) == 0
    assert again.read_bytes() == judged.read_bytes()


def test_the_images_that_fell_are_shown_again(judged, capsys):
    assert main(["--run", "runs/pat", "--check", "--eps", "0.1", "--limit", "12", "--claimed", "1"]) == 0
    assert main(["--run", "runs/pat", "--bundle", "more.zip"]) == 0
    names = [name for name in contents("more.zip") if name.startswith("fallen/")]
    assert len(names) == 1
    capsys.readouterr()
    assert main(["--verify", "more.zip"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "images that fell" in line)
    agree, of = line.split("|")[2].split(" of ")
    assert int(agree) == int(of) > 0


def test_an_image_that_was_moved_too_far_has_not_fallen(judged, capsys):
    """A liar swaps one for its negative, beyond ε of it."""
    assert main(["--run", "runs/pat", "--check", "--eps", "0.1", "--limit", "12", "--claimed", "1"]) == 0
    assert main(["--run", "runs/pat", "--bundle", "more.zip"]) == 0
    found = contents("more.zip")
    (name,) = [name for name in found if name.startswith("fallen/")]
    with np.load(io.BytesIO(found[name])) as kept:
        arrays = dict(kept)
    arrays["adversarial"][0] = 1 - arrays["adversarial"][0]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    manifest = json.loads(found["manifest.json"])
    manifest["files"][name] = hashlib.sha256(buffer.getvalue()).hexdigest()
    lie = rewritten("more.zip", {name: buffer.getvalue(), "manifest.json": json.dumps(manifest).encode()})
    capsys.readouterr()
    assert main(["--verify", str(lie)]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if "images that fell" in line)
    agree, of = line.split("|")[2].split(" of ")
    assert int(agree) == int(of) - 1


def test_changed_and_foreign_files_are_refused(judged, capsys):
    found = contents(judged)
    weights = bytearray(found["weights.safetensors"])
    weights[-1] ^= 1
    assert "changed" in refused(capsys, "--verify", rewritten(judged, {"weights.safetensors": bytes(weights)}))
    manifest = json.loads(found["manifest.json"])
    newer = json.dumps({**manifest, "format": 99}).encode()
    assert "newer atlpa (format 99" in refused(capsys, "--verify", rewritten(judged, {"manifest.json": newer}))
    outside = json.dumps({**manifest, "files": {"../evil": "0" * 64}}).encode()
    assert "changed" in refused(capsys, "--verify", rewritten(judged, {"manifest.json": outside, "../evil": b"x"}))
    assert not Path("../evil").exists()
    Path("other.zip").write_text("no archive")
    assert "no bundle" in refused(capsys, "--verify", "other.zip")
    assert "no bundle" in refused(capsys, "--verify", "missing.zip")
    assert "--iters has no meaning with --verify" in refused(capsys, "--verify", judged, "--iters", "3")


def test_a_run_without_numbers_makes_no_bundle(judged, capsys):
    for record in Path("runs/pat/records").glob("white*"):
        record.unlink()
    assert "judge it with atlpa-eval first" in refused(capsys, "--run", "runs/pat", "--bundle", "none.zip")
    assert not Path("none.zip").exists()
