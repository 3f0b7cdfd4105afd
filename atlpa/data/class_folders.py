"""Folders with one directory per class: the directories, and the pictures in them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from atlpa.data.decode import endings
from atlpa.data.root import data_root
from atlpa.errors import UserError, shown


def find_folder(given: str, field: str) -> Path:
    """A folder as it is given, else below the folder of published data sets.

    Args:
        given: its path.
        field: where the path was written, for the error.

    Raises:
        UserError: there is none.
    """
    places = [Path(given), data_root(None) / given]
    for folder in places:
        if folder.is_dir():
            return folder
    named = " or ".join(str(place) for place in dict.fromkeys(places))
    raise UserError(f"no folder {named}; {field} must hold one directory per class, each with that class's images")


def class_folders(folder: Path, but: str | None = None) -> list[str]:
    """The names of a folder's directories, sorted; hidden ones are none.

    Args:
        folder: that holds them.
        but: a directory that is no class, such as that of the masks.

    Raises:
        UserError: two of them are the same directory.
    """
    own = os.path.realpath(but) if but else None
    found = {entry.name: os.path.realpath(entry) for entry in folder.iterdir() if entry.is_dir()}
    classes = sorted(name for name, real in found.items() if name[0] != "." and real != own)
    first: dict[str, str] = {}
    for name in classes:
        if (other := first.setdefault(found[name], name)) != name:
            raise UserError(f"{folder}: the classes {shown(other)} and {shown(name)} are the same folder")
    return classes


def refuse_parts(folder: Path, classes: Sequence[str]) -> None:
    """Refuse classes that are parts, or collections, of which each holds the true classes.

    Args:
        folder: that holds them.
        classes: the names of its directories.

    Raises:
        UserError: all of them have the same directories, two or more, and no picture beside those.
    """
    wanted = endings()
    if any(entry.suffix.lower() in wanted for name in classes for entry in (folder / name).iterdir()):
        return  # as nearly always, at the first entry
    inside = ({entry.name for entry in (folder / name).iterdir() if entry.is_dir()} for name in classes)
    same = set.intersection(*inside)
    if len(same) > 1:
        few, several = (", ".join(map(shown, sorted(names)[:3])) + " …" * (len(names) > 3) for names in (same, classes))
        raise UserError(
            f"{folder}: {several} hold the same folders ({few}) and no images beside them, so those seem to be the "
            f"classes; give {folder / classes[0]} itself, or name the parts train/ and test/"
        )


def pictures(folder: Path, name: str) -> list[Path]:
    """The pictures of a class, sorted.

    Raises:
        OSError: a directory may not be read; it is not taken for an empty one.
        UserError: there are none, or a link leads to a folder that is looked through already.
    """
    files = sorted(_pictures(folder / name))
    if not files:
        raise UserError(f"class {shown(name)} has no images: {folder / name} holds no file with an image's ending")
    return files


def _pictures(folder: Path) -> Iterator[Path]:
    """Files with an image's ending, at any depth, behind links too."""
    wanted, seen = endings(), set[str]()

    def stop(error: OSError) -> None:
        raise error

    if folder.is_dir():
        # A folder above the class, too, would lead back here; before that, perhaps through the whole disk.
        above = {os.path.realpath(folder.parent), *map(str, Path(os.path.realpath(folder.parent)).parents)}
        for place, _, names in os.walk(folder, onerror=stop, followlinks=True):
            real = os.path.realpath(place)
            if real in seen or real in above:
                raise UserError(f"{place} leads to {real}, whose images are here already; remove that link")
            seen.add(real)
            yield from (Path(place, name) for name in names if Path(name).suffix.lower() in wanted)
