"""Commands: arguments in, exit codes and readable errors out."""

import sys
from pathlib import Path

from atlpa.cli.startup import prepare

# However a command is started, this package is imported first, before torch: by its script, or by ``python -m``, which
# calls the program "-m" while it looks for the module. A program that merely imports a command is left alone.
_program = sys.argv[0] if sys.argv else ""
if _program == "-m" or Path(_program).name.startswith("atlpa-"):
    prepare()
