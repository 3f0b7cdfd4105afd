"""Archives of strangers, unpacked so that nothing but plain files can appear, only where they belong, and so many."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from atlpa.data.names import inside
from atlpa.errors import UserError, reason, shown
from atlpa.files import no_room
from atlpa.plain_file import open_plain
from atlpa.progress import Progress
from atlpa.scratch import scratch_folder

LONGEST_HEADER = 1 << 17
"""Bytes between two contents: padding, a long name or PAX fields, and what is read ahead."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold; what is published takes 60 MB to a few hundred, and no more than 2,000 files.

    Fields:
        size: bytes of all that it unfolds to; of what is downloaded, where its size is not known.
        files: how many.
    """

    size: int = 4 * 10**9
    files: int = 100_000


class BadArchive(UserError):
    """An archive that is not worth keeping."""


class TooLarge(UserError):
    """An archive that may be good, but holds more than is allowed."""


def unpack(archive: Path, folder: Path, wanted: str, proof: str, limits: Limits | None = None) -> None:
    """Unpack one file or directory of a ``.tgz`` into a folder.

    The archive is unpacked beside its place first, and what is wanted is moved there when all of it is good: nothing
    half-made remains, and nothing that was there before is touched.

    Args:
        archive: the file.
        folder: where the wanted entry goes; it must not be there already.
        wanted: the archive's top-level entry that is meant.
        proof: a path inside the archive that shows that it is the right one, and whole.
        limits: of what it may hold.

    Raises:
        BadArchive: it is damaged or cut off, another archive, or holds a link, a device, a name that is none on some
            system, a path to outside, or one file twice.
        TooLarge: it holds more than is allowed.
        UserError: the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder) as scratch:
            _extract(archive, scratch, limits or Limits())
            if not (scratch / proof).exists():
                raise BadArchive(f"{archive} holds no {proof}; it is another archive than is wanted, or incomplete")
            (scratch / wanted).rename(folder / wanted)
    except UserError:
        raise
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise BadArchive(f"{archive} is damaged or cut off ({reason(error)}); fetch it anew") from error
    except OSError as error:
        if problem := no_room(error, folder / wanted):
            raise problem from error
        raise


def _extract(archive: Path, scratch: Path, limits: Limits) -> None:
    names = _Names(archive)
    with open_plain(archive, most=None) as packed, gzip.open(packed) as unfolded:
        stream = _Counted(unfolded, archive, limits.size)
        with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r|") as tar:
            for number, member in enumerate(Progress(f"unpacking {archive.name}", None, "file").over(tar)):
                if number >= limits.files:
                    raise TooLarge(
                        f"{archive} holds more than {limits.files} files; if it may, allow more with --unpack-files"
                    )
                if not (member.isfile() or member.isdir()) or member.sparse is not None:
                    raise BadArchive(
                        f"{archive} holds {shown(member.name)}, which is no plain file; it is not unpacked"
                    )
                stream.expect(member.size)
                place = scratch / names.place(member.name, folder=member.isdir())
                if content := tar.extractfile(member):  # modes, owners and times of strangers are of no use
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with place.open("xb") as file:
                        shutil.copyfileobj(content, file)
        stream.expect(limits.size)
        while stream.read(1 << 20):  # to the checksum at the end, which tar itself never looks at
            pass


class _Counted:
    """What an archive unfolds to, read forward, and no further than is allowed: tar believes whatever it is told."""

    def __init__(self, stream: gzip.GzipFile, archive: Path, most: int) -> None:
        self.stream, self.archive, self.most, self.done = stream, archive, most, 0
        self.expect(0)

    def expect(self, size: int) -> None:
        """Content is next, and then a header, which tar holds in memory."""
        self.end = self.done + size + LONGEST_HEADER

    def read(self, size: int) -> bytes:
        """The next bytes."""
        content = self.stream.read(size)
        self.done += len(content)
        if self.done > self.most:
            raise TooLarge(
                f"{self.archive} unfolds to more than {self.most / 1e9:g} GB; if it may, allow more with "
                f"--unpack-limit, such as {3 * self.most / 1e9:g}GB"
            )
        if self.done > self.end:
            raise tarfile.ReadError(f"a header of more than {LONGEST_HEADER} bytes")
        return content


class _Names:
    """The files of an archive, so that none is there twice, under whatever name, on any file system."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.files: dict[str, str] = {}
        self.folders: set[str] = set()

    def place(self, name: str, *, folder: bool) -> PurePosixPath:
        """Where an entry goes, below the scratch folder."""
        try:
            place = PurePosixPath() if folder and name in (".", "") else inside(name.lstrip("/"))
        except ValueError as error:
            raise BadArchive(f"{self.archive} holds {shown(name)}: {reason(error)}; it is not unpacked") from error
        folded = str(place).casefold()
        folders = {str(parent).casefold() for parent in place.parents} | ({folded} if folder else set())
        other = next((self.files[path] for path in (folded, *folders) if path in self.files), None)
        if other is not None or (not folder and folded in self.folders):
            raise BadArchive(
                f"{self.archive} holds {shown(other or name + '/')} and {shown(name)}, of which one would replace the "
                "other; it is not unpacked"
            )
        self.folders |= folders
        if not folder:
            self.files[folded] = name
        return place
