"""Where the published data sets are, and how they come onto the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from atlpa.data.download import Expected, download, part_of, receive
from atlpa.data.flowers17 import SOURCE as FLOWERS17
from atlpa.data.unpack import BadArchive, Limits, unpack
from atlpa.errors import UserError, reason
from atlpa.files import copy_file, no_room


@dataclass(frozen=True)
class Piece:
    """One published file.

    Fields:
        base: its address without its name.
        file: what is known of it.
        makes: what is there once it has been fetched, below the data set's folder; an archive is unpacked.
        proof: a path that a whole archive holds.
    """

    base: str
    file: Expected
    makes: str
    proof: str = ""


# Sizes and hashes as published, or of the files as served; none is known of BMW-10.
PIECES: dict[str, tuple[Piece, ...]] = {
    "flowers17": (
        Piece(
            FLOWERS17,
            Expected(
                "17flowers.tgz",
                60_270_631,
                "b59a65d8d1a99cd66944d474e1289eab",
                "fe38a60f8b4a95e657551247d3e7d799a3fafcdbc595be504b12839967823d70",
            ),
            "jpg",
            "jpg/image_1360.jpg",
        ),
        Piece(FLOWERS17, Expected("datasplits.mat", 7_487, "4828cddfd0d803c5abbdebcb1e148a1e"), "datasplits.mat"),
        Piece(FLOWERS17, Expected("trimaps.tgz", 3_915_787), "trimaps", "trimaps/imlist.mat"),
    ),
    "bmw10": (
        Piece(
            "http://ai.stanford.edu/~jkrause/car196/",
            Expected("bmw10_release.tgz"),
            "bmw10_release",
            "bmw10_release/bmw10_annos.mat",
        ),
    ),
}
FOLDERS = {"flowers17": "flowers17", "bmw10": "."}

TORCHVISION = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "flowers102": "Flowers102",
    "stanford_cars": "StanfordCars",
}
"""Data sets that torchvision fetches: name → its class."""

FETCHABLE = (*PIECES, *TORCHVISION)


def fetch(
    name: str,
    root: Path,
    origins: Sequence[str] = (),
    say: Callable[[str], None] = print,
    limits: Limits | None = None,
) -> None:
    """Bring a data set onto the disk; what is there already is left alone.

    Args:
        name: one of ``FETCHABLE``.
        root: the folder for data sets.
        origins: files, folders or addresses to take pieces from in place of the published address; a folder or an
            address that ends in ``/`` holds them under their published names.
        say: told what is done, a line at a time.
        limits: of what comes, and of what it unpacks to.

    Raises:
        UserError: it cannot be had, or what came is not it.
    """
    if name in TORCHVISION:
        if origins:
            raise UserError(f"--from serves {', '.join(PIECES)}; torchvision knows itself where {name} is")
        from torchvision import datasets  # takes as long as torch

        try:
            root.mkdir(parents=True, exist_ok=True)
            getattr(datasets, TORCHVISION[name])(str(root), download=True)
        except Exception as error:  # of its own, of urllib, or of the archive's reader
            if isinstance(error, OSError) and (problem := no_room(error, root)):
                raise problem from error
            raise UserError(f"torchvision cannot fetch {name} into {root} ({reason(error)})") from error
        return
    folder = root / FOLDERS[name]
    elsewhere = _elsewhere(PIECES[name], origins)
    for piece in PIECES[name]:
        if (folder / piece.makes).exists():
            say(f"{folder / piece.makes} is there already")
            continue
        _fetch_piece(piece, folder, elsewhere.get(piece.file.name, piece.base + piece.file.name), limits or Limits())
        say(f"{folder / piece.makes} is fetched")


def _elsewhere(pieces: Sequence[Piece], origins: Sequence[str]) -> dict[str, str]:
    """Published names → the files or addresses that were given for them.

    Raises:
        UserError: an origin serves no piece.
    """
    names = [piece.file.name for piece in pieces]
    found: dict[str, str] = {}
    for origin in origins:
        if "://" in origin and origin.endswith("/"):
            served = {name: origin + name for name in names}
        elif Path(origin).is_dir():
            served = {name: str(Path(origin) / name) for name in names if (Path(origin) / name).exists()}
        else:
            served = {name: origin for name in names if name == Path(urlsplit(origin).path).name}
        if not served:
            raise UserError(
                f"--from {origin}: no {' or '.join(names)} there; the files must keep their published names"
            )
        found |= served
    return found


def _fetch_piece(piece: Piece, folder: Path, origin: str, limits: Limits) -> None:
    """Download if need be, check, and put in place."""
    name, place = piece.file.name, folder / piece.file.name
    if "://" not in origin:
        given = _checked(Path(origin), piece.file)
        if name == piece.makes:
            copy_file(given, place)
        else:
            unpack(given, folder, piece.makes, piece.proof, limits)
    elif name == piece.makes:
        download(origin, place, piece.file, limits.size)
    else:
        archive = receive(origin, part_of(place), piece.file, limits.size)
        try:
            unpack(archive, folder, piece.makes, piece.proof, limits)
        except BadArchive:  # not worth keeping; one that was interrupted, or had no room, is
            archive.unlink()
            raise
        archive.unlink()


def _checked(given: Path, expected: Expected) -> Path:
    """A file that was fetched by hand.

    Raises:
        UserError: it is missing, no plain file, or not what was published.
    """
    try:
        problem = expected.check(given)
    except OSError as error:
        raise UserError(f"--from {given}: {error.strerror}; give the file itself") from error
    if problem:
        raise UserError(f"--from {given}: it {problem}; fetch {expected.name} anew")
    return given
