"""Archives of strangers, unpacked so that nothing but plain files can appear, and nowhere else."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

from tqdm import tqdm

from atlpa.errors import UserError, reason


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive, compressed or not, into a folder.

    It is unpacked beside its place first and moved there when all of it is good, so that nothing half-made remains.

    Args:
        archive: the file.
        folder: where its top-level files and directories go; those that are there already are replaced.

    Raises:
        UserError: it is damaged or cut off, the disk is full, or it holds a link, a device or a path to outside.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    try:
        with tarfile.open(archive) as tar:
            for member in tqdm(tar, f"unpacking {archive.name}", unit="file", leave=False, disable=None):
                if not (member.isfile() or member.isdir()):
                    raise UserError(f"{archive} holds {member.name!r}, which is no plain file; it is not unpacked")
                tar.extract(member, scratch, filter="data")
        for entry in scratch.iterdir():
            target = folder / entry.name
            if target.is_dir():
                shutil.rmtree(target)
            entry.replace(target)
    except tarfile.FilterError as error:
        raise UserError(f"{archive} wants to write outside its folder ({reason(error)}); it is not unpacked") from error
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{archive} is damaged or cut off ({reason(error)}); fetch it anew") from error
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked into {folder} ({reason(error)})") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
