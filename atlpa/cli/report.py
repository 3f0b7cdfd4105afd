"""``atlpa-report``: tables and figures from records, wherever they were made; needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from atlpa.cli.command import path, run_command
from atlpa.cli.json_option import add_json_option, as_json
from atlpa.cli.parser import Parser, command_parser
from atlpa.errors import UserError, one_line
from atlpa.report import collect, summary, write_report


def _parser() -> Parser:
    parser = command_parser(
        "atlpa-report",
        "Draw tables, figures and a page from the records of one study; needs no torch.",
        [
            "atlpa-report runs/digits                                                  # its tables, on the terminal",
            "atlpa-report runs/flowers-race runs/flowers-race-today --output race      # two studies on one page",
        ],
        quiet=False,
    )
    parser.add_argument("records", nargs="+", metavar="RECORDS", help="record files, or folders that hold some")
    parser.add_argument(
        "--output",
        type=path,
        metavar="DIR",
        help="also write the report there: index.html, table.md, table.csv, *.tex and figures",
    )
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="PACKAGE.MODULE:FUNCTION",
        help="one more table: a function from atlpa.report.Results to an atlpa.report.Section or None; repeatable",
    )
    add_json_option(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)

    def work() -> None:
        with as_json(arguments.json) as records:
            results = collect(map(Path, arguments.records))
            records.extend(results.records)
            for problem in results.problems:
                print(problem, file=sys.stderr)
            try:
                if arguments.output:
                    print(write_report(results, Path(arguments.output), arguments.table), end="")
                    print(one_line(f"{Path(arguments.output) / 'index.html'} is the report's page"))
                else:
                    print(summary(results, arguments.table), end="")
            except ValueError as error:
                raise UserError(str(error)) from error

    return run_command("atlpa-report", work)


if __name__ == "__main__":
    sys.exit(main())
