"""``--schema``: what an editor completes a YAML file from."""

from __future__ import annotations

import argparse
import json
from typing import Any

from atlpa.component import Component
from atlpa.schema import file_schema


class ShowSchema(argparse.Action):
    """Print the JSON Schema of a command's YAML files, and exit.

    Args:
        reader: the component that reads them.
    """

    def __init__(self, *, reader: type[Component], **options: Any) -> None:
        super().__init__(nargs=0, **options)
        self.reader = reader

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(json.dumps(file_schema(self.reader), ensure_ascii=False, indent=1))
        parser.exit()


def add_schema_option(parser: argparse.ArgumentParser, files: str, reader: type[Component]) -> None:
    """``--schema`` for files of a kind."""
    told = f"print the JSON Schema of {files}, from which editors complete and check them, and exit"
    parser.add_argument("--schema", action=ShowSchema, reader=reader, help=told)
