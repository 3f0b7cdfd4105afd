"""What every command shares: how its errors reach a user."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pydantic import ValidationError

from atlpa.errors import UserError, explain


def run_command(name: str, work: Callable[[], int | None]) -> int:
    """Run a command's work; one line on standard error and status 2 for a mistake in its input, 130 for Ctrl-C."""
    try:
        return work() or 0
    except UserError as error:
        message = str(error)
    except ValidationError as error:
        message = explain(error)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    return 2
