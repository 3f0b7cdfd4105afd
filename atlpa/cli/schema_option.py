"""``--schema``: what an editor completes a YAML file from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from atlpa.editors import Schema


class ShowSchema(argparse.Action):
    """Print the JSON Schema of a command's YAML files, and exit.

    Args:
        schema: makes it, only where it is asked for.
    """

    def __init__(self, *, schema: Callable[[], Schema], **options: Any) -> None:
        super().__init__(nargs=0, **options)
        self.schema = schema

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(json.dumps(self.schema(), ensure_ascii=False, indent=1))
        parser.exit()


def add_schema_option(parser: argparse.ArgumentParser, files: str, schema: Callable[[], Schema]) -> None:
    """``--schema`` for files of a kind."""
    told = f"print the JSON Schema of {files}, from which editors complete and check them, and exit"
    parser.add_argument("--schema", action=ShowSchema, schema=schema, help=told)
