"""``atlpa-report``: tables and figures from records, wherever they were made; needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from atlpa.cli.command import Parser, run_command
from atlpa.errors import UserError
from atlpa.records import Credibility, Evaluation, read
from atlpa.report import summary, write_summary


def found(places: Iterable[Path]) -> tuple[list[Evaluation], list[Credibility]]:
    """Every evaluation, and every network's checks, on record in files and folders at any depth.

    What cannot be read is named and left out.

    Raises:
        UserError: there is none.
    """
    places = list(places)
    files = [file for place in places for file in (sorted(place.rglob("*.json")) if place.is_dir() else [place])]
    records: list[Evaluation] = []
    checks: list[Credibility] = []
    unread = 0
    for file in files:
        if file.name == "split.json":
            continue
        try:
            record = read(file)
        except UserError as error:
            unread += 1
            print(f"left out: {error}", file=sys.stderr)
            continue
        if isinstance(record, Evaluation):
            records.append(record)
        elif isinstance(record, Credibility):
            checks.append(record)
    if unread:
        print(f"{unread} of {unread + len(records) + len(checks)} records could not be read", file=sys.stderr)
    if not records:
        raise UserError(f"no evaluation record in {', '.join(map(str, places))}; atlpa-eval and atlpa-study make them")
    return records, checks


def _parser() -> Parser:
    parser = Parser(
        prog="atlpa-report", description="Draw Table 1 and Figure 3 from the records of one study; needs no torch."
    )
    parser.add_argument("records", nargs="+", metavar="RECORDS", help="record files, or folders that hold some")
    parser.add_argument("--output", metavar="DIR", help="also write table.md, table.csv and curves.png there")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)

    def work() -> None:
        records, checks = found(map(Path, arguments.records))
        try:
            if arguments.output:
                print(write_summary(records, Path(arguments.output), checks), end="")
            else:
                print(summary(records, checks), end="")
        except OSError as error:
            raise UserError(f"{arguments.output} cannot be written ({error.strerror})") from error
        except ValueError as error:
            raise UserError(str(error)) from error

    return run_command("atlpa-report", work)


if __name__ == "__main__":
    sys.exit(main())
