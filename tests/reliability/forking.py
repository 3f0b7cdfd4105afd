"""Commands as real processes that start in a hundredth of a second: forked from one that has everything imported.

What a command does while its imports run is for ``tests/cli/test_startup.py``; here it begins where they end.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from atlpa.models import NETWORKS

COMMANDS = ("train", "eval", "data", "study")


class Server:
    """The process that forks commands, until the ``with`` ends."""

    def __enter__(self) -> Self:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.forking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(self, command: str, arguments: list[str], folder: Path, before: str = "") -> Command:
        """Start a command.

        Args:
            command: such as ``train``.
            arguments: of its command line.
            folder: where it runs; what it says goes to ``../out`` and ``../err`` beside it.
            before: Python that the process runs first, to change what happens at some moment.
        """
        pid = self._ask({"command": command, "arguments": arguments, "folder": str(folder), "before": before})
        return Command(self, pid, folder)

    def wait(self, pid: int) -> int:
        """The exit status of a process that was started; negative for the signal that killed it."""
        return os.waitstatus_to_exitcode(self._ask({"wait": pid}))

    def _ask(self, request: dict[str, object]) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@dataclass(frozen=True)
class Command:
    """A command that was started."""

    server: Server
    pid: int
    folder: Path

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        """Its exit status and what it said, once it has ended; it is sent a signal first, if one is given."""
        if number is not None:
            os.kill(self.pid, number)
        return self.server.wait(self.pid), *((self.folder.parent / name).read_text() for name in ("out", "err"))


def at(place: str, what: str, call: int = 1, *, after: bool = False) -> str:
    """Python that lets a process do something at some moment.

    Args:
        place: a function, as ``module:name``.
        what: one statement.
        call: at which of its calls, counted from 1.
        after: at the call's end instead of its beginning.
    """
    module, _, name = place.partition(":")
    *owners, attribute = name.split(".")
    return f"""
import functools, importlib
owner = functools.reduce(getattr, {owners!r}, importlib.import_module({module!r}))
real, calls = getattr(owner, {attribute!r}), []
def at(*arguments, **options):
    calls.append(None)
    now = len(calls) == {call}
    if now and not {after}:
        {what}
    found = real(*arguments, **options)
    if now and {after}:
        {what}
    return found
setattr(owner, {attribute!r}, at)
"""


def main() -> int:
    """Answer requests, one JSON object a line, by a process id or an exit status; a child returns its command's."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs deaf to it
    modules = {name: importlib.import_module(f"atlpa.cli.{name}") for name in COMMANDS}
    for name in ("matplotlib.pyplot", "sklearn.datasets", "torchvision", "scipy.io", "torch._dynamo"):
        importlib.import_module(name)
    NETWORKS.origin("tests.exercises.outside.network:small")  # looks once through everything installed
    started = set()
    for line in sys.stdin:
        request = json.loads(line)
        if pid := request.get("wait"):
            print(os.waitpid(pid, 0)[1], flush=True)
            started.remove(pid)
        elif pid := os.fork():
            started.add(pid)
            print(pid, flush=True)
        else:
            return _child(modules[request["command"]], request)
    for pid in started:  # of tests that failed before they waited
        os.kill(pid, signal.SIGKILL)
    return 0


def _child(module: object, request: dict[str, str]) -> int:
    """What a command's script does, from the import of ``atlpa.cli`` on."""
    folder = Path(request["folder"])
    os.chdir(folder)
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(folder.parent / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = [f"atlpa-{request['command']}", *request["arguments"]]
    from atlpa.cli.startup import prepare

    prepare()
    exec(request["before"], {})
    return module.main()  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
