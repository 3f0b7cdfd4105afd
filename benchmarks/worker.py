"""One contestant in a process of its own: ``python -m benchmarks.worker WORK SETTINGS``, told by standard input."""

from __future__ import annotations

import json
import sys

from benchmarks import works


def main() -> None:
    """Answer ``facts`` and ``turn`` with a line of JSON each, until the input ends."""
    work = works.WORKS[sys.argv[1]](**json.loads(sys.argv[2]))
    answers, sys.stdout = sys.stdout, sys.stderr  # what a peer prints is no answer
    for request in sys.stdin:
        answer = work.facts() if request.strip() == "facts" else work.turn()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
