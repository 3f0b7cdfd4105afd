"""The notes of a release, as CHANGELOG.md has them.

python scripts/release_notes.py           # of the newest version
python scripts/release_notes.py 0.1.0
"""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def notes(changelog: str, version: str | None = None) -> str:
    """What stands below a version's heading, or below the first one, up to the next."""
    found = re.findall(r"^## \[(.+?)\].*\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE)
    of_version = {name: text.strip() + "\n" for name, text in found}
    if version is None:
        version = next(iter(of_version), "")
    if version not in of_version:
        raise SystemExit(f"CHANGELOG.md has no version {version!r}; it has: {', '.join(of_version) or 'none'}")
    return of_version[version]


if __name__ == "__main__":
    print(notes(CHANGELOG.read_text(encoding="utf-8"), *sys.argv[1:2]), end="")
