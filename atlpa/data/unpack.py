"""Archives of strangers, unpacked so that nothing but plain files can appear, and only where they belong."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from atlpa.errors import UserError, reason
from atlpa.progress import Progress

SCRATCH = ".unpacking-"


def unpack(archive: Path, folder: Path, wanted: str, proof: str) -> None:
    """Unpack one file or directory of a ``.tgz`` into a folder.

    The archive is unpacked beside its place first, and what is wanted is moved there when all of it is good: nothing
    half-made remains, and nothing that was there before is touched.

    Args:
        archive: the file.
        folder: where the wanted entry goes; it must not be there already.
        wanted: the archive's top-level entry that is meant.
        proof: a path inside the archive that shows that it is the right one, and whole.

    Raises:
        UserError: it is damaged or cut off, another archive, holds a link, a device or a path to outside, or the disk
            is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{SCRATCH}*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
            _extract(archive, Path(scratch))
            if not (Path(scratch) / proof).exists():
                raise UserError(f"{archive} holds no {proof}; it is another archive than is wanted, or incomplete")
            (Path(scratch) / wanted).rename(folder / wanted)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{archive} is damaged or cut off ({reason(error)}); fetch it anew") from error


def _extract(archive: Path, scratch: Path) -> None:
    with gzip.open(archive) as stream:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in Progress(f"unpacking {archive.name}", None, "file").over(tar):
                place = PurePosixPath(member.name.lstrip("/"))
                if ".." in place.parts:
                    raise UserError(f"{archive} wants to write outside its folder ({member.name}); it is not unpacked")
                if not (member.isfile() or member.isdir()):
                    raise UserError(f"{archive} holds {member.name!r}, which is no plain file; it is not unpacked")
                content = tar.extractfile(member)
                if content:  # modes, owners and times of strangers are of no use
                    (scratch / place).parent.mkdir(parents=True, exist_ok=True)
                    with (scratch / place).open("wb") as file:
                        shutil.copyfileobj(content, file)
        while stream.read(1 << 20):  # to the checksum at the end, which tar itself never looks at
            pass
