"""Kill commands without a word at random moments, start them again, and compare the end with an undisturbed run's.

``python -m tests.reliability.killing --moments 25 --output FILE`` writes a record of it; ``test_killed.py`` takes a few
moments.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import io
import json
import os
import random
import shutil
import signal
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from atlpa.component import dump
from atlpa.files import write_text
from atlpa.machine import describe
from atlpa.training import load_checkpoint
from tests.reliability.forking import Server

NAME = "tests.exercises.outside.network:small"
TINY = {"training.iterations": 60, "training.batch_size": 4, "training.log_every": 1, "training.validate_every": 4,
        "training.checkpoint_seconds": 0, "data.resize": 20, "data.size": 16, "model.architecture": NAME,
        "device": "cpu"}  # fmt: skip
SET = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
STUDY = f"""
config: digits
changes: {json.dumps({**TINY, "training.iterations": 20})}
defenses: [none, rat]
seeds: [0]
epsilons: [0.25]
budgets: [2]
limit: 20
"""


@dataclass(frozen=True)
class Case:
    """A command, and what it needs.

    Fields:
        command: such as ``train``.
        arguments: of its command line.
        prepare: lays out the empty folder in which it runs.
    """

    command: str
    arguments: list[str]
    prepare: Callable[[Path], None]


@contextmanager
def cases(server: Server) -> Iterator[dict[str, Case]]:
    """The four commands; meanwhile a server in this process publishes a data set for ``fetch``."""
    with tempfile.TemporaryDirectory() as scratch, _published(Path(scratch) / "published") as address:
        trained = Path(scratch) / "here"
        trained.mkdir()
        train = ["--config", "digits", "--final", *SET, "--output", "run"]
        assert server.start("train", train, trained).end()[0] == 0
        attack = [
            "--run",
            "run",
            "--attack",
            "pgd",
            "--iters",
            "100",
            "--eps",
            "0.02",
            "--threat",
            "white",
            "--trust-code",
        ]
        yield {
            "train": Case("train", ["--config", "digits", *SET, "--output", "run"], lambda _: None),
            "eval": Case("eval", attack, lambda folder: _copy(trained / "run", folder / "run")),
            "study": Case("study", ["mine.yaml"], lambda folder: write_text(folder / "mine.yaml", STUDY)),
            "fetch": Case("data", ["fetch", "bmw10", "--root", "data", "--from", address], lambda _: None),
        }


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


@contextmanager
def _published(folder: Path) -> Iterator[str]:
    """The address of an archive in the layout of BMW-10, of noise, so that it takes a while."""
    fields = ["fname", "class", "bbox_x1", "bbox_x2", "bbox_y1", "bbox_y2", "height", "width"]
    noise, rows = np.random.default_rng(0), np.zeros((1, 200), dtype=[(name, object) for name in fields])
    folder.mkdir()
    with tarfile.open(folder / "bmw10_release.tgz", "w:gz", compresslevel=1) as archive:

        def add(name: str, content: bytes) -> None:
            entry = tarfile.TarInfo(f"bmw10_release/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

        for number in range(200):
            name, picture = f"{number % 10 + 1}/{number}.png", io.BytesIO()
            Image.fromarray(noise.integers(0, 256, (100, 100, 3), np.uint8)).save(picture, "png")
            add(f"bmw10_ims/{name}", picture.getvalue())
            rows[0, number] = (name, number % 10 + 1, 1, 9, 1, 9, 100, 100)
        table = io.BytesIO()
        train, test = (np.arange(first, last, dtype=np.uint16)[:, None] for first, last in ((1, 151), (151, 201)))
        savemat(table, {"annos": rows, "train_indices": train, "test_indices": test})
        add("bmw10_annos.mat", table.getvalue())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def copyfile(self, source: Any, outputfile: Any) -> None:
            while block := source.read(1 << 16):
                outputfile.write(block)
                time.sleep(0.005)  # a network of 12 MB/s

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        web.handle_error = lambda *_: None  # type: ignore[method-assign]  # a reader was killed
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/"
        web.shutdown()


def state(folder: Path) -> dict[str, Any]:
    """All that lies in a folder, without what differs from one sitting to the next: times, and where it ran."""
    return {
        path.relative_to(folder).as_posix(): _content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "cache" not in path.relative_to(folder).parts
    }


def _content(path: Path) -> Any:
    if path.name == "last.pt":
        found = load_checkpoint(path)
        momenta = [value.numpy().tobytes() for kept in found.optimizer for value in kept.values()]
        return found.step, found.weights_hash, hashlib.sha256(b"".join(momenta)).hexdigest()
    if path.name == "log.jsonl":
        return [_without(json.loads(line), {"timing"}) for line in path.read_text().splitlines()]
    if path.parent.name == "records":
        return _without(json.loads(path.read_text()), {"seconds", "finished", "machine"})
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _without(fields: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def run(server: Server, case: Case, folder: Path, kill_after: float | None = None) -> tuple[float, list[str] | None]:
    """Carry a case out in a new folder, killed once if so asked.

    Returns:
        Seconds of work, before the interpreter takes itself apart; and what lay there when it was killed, ``None`` if
        it was not, or its work was done by then.

    Raises:
        AssertionError: it did not end well the last time.
    """
    folder.mkdir(parents=True)
    case.prepare(folder)
    began, ended, lay = time.time(), folder.parent / "ended", None
    if kill_after is not None:
        process = server.start(case.command, case.arguments, folder, ALONE)
        time.sleep(kill_after)
        os.kill(process.pid, signal.SIGKILL)
        process.end()
        lay = None if ended.exists() else names(folder)
    status, _, errors = server.start(case.command, case.arguments, folder, ALONE).end()
    assert status == 0, errors
    return ended.stat().st_mtime - began, lay


ALONE = """
import atexit, matplotlib, os, pathlib
atexit.register(pathlib.Path("../ended").absolute().touch)
os.environ |= {"ATLPA_CACHE": os.path.abspath("cache"), "SOURCE_DATE_EPOCH": "0"}
matplotlib.rcParams["svg.hashsalt"] = "the same each time"
"""
"""Decoded images are made, and may be left half-made, in each folder anew; figures hold neither dates nor draws; a file
beside the folder says when the work was done."""


def names(folder: Path) -> list[str]:
    """Which files lie in a folder; many in one place by their number."""
    found: dict[Path, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            place = path.relative_to(folder)
            found.setdefault(place.parent, []).append(place.as_posix())
    return [
        name
        for place, inside in found.items()
        for name in (inside if len(inside) <= 8 else [f"{place.as_posix()}: {len(inside)} files"])
    ]


def killed(server: Server, case: Case, folder: Path, moments: int, seed: int) -> dict[str, Any]:
    """Kill a case at random moments, each in a folder of its own.

    Returns:
        ``seconds`` it takes undisturbed, the ``moments`` in seconds with what lay there then, and how many ended
        ``equal`` and ``different``, these with the names of the files. Moments at which it had already ended are drawn
        anew.
    """
    seconds = min(run(server, case, folder / name / "here")[0] for name in ("warm", "straight"))
    wanted, draws = state(folder / "straight" / "here"), random.Random(seed)
    found: dict[str, Any] = {"seconds": round(seconds, 3), "moments": [], "equal": 0, "different": 0, "differing": []}
    while len(found["moments"]) < moments:
        moment, place = draws.uniform(0, seconds), folder / "killed" / "here"
        _, lay = run(server, case, place, moment)
        there = state(place)
        shutil.rmtree(place.parent)
        if lay is None:  # too late
            continue
        differing = [name for name in sorted(wanted.keys() | there.keys()) if wanted.get(name) != there.get(name)]
        found["moments"].append({"seconds": round(moment, 3), "files": lay})
        found["different" if differing else "equal"] += 1
        found["differing"] += differing
    return found


def main() -> int:
    """Kill every command, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": dump(describe(torch.device("cpu"))), "seed": options.seed}
    with tempfile.TemporaryDirectory() as scratch, Server() as server, cases(server) as all_cases:
        for name, case in all_cases.items():
            found[name] = killed(server, case, Path(scratch) / name, options.moments, options.seed)
            print(
                f"{name}: {found[name]['equal']} equal, {found[name]['different']} different {found[name]['differing']}"
            )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_text(options.output, json.dumps(found, indent=1) + "\n")
    return int(any(found[name]["different"] for name in all_cases))


if __name__ == "__main__":
    sys.exit(main())
