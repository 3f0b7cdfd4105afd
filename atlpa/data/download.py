"""Downloads that resume, are checked, and are whole or not there at all."""

from __future__ import annotations

import errno
import hashlib
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from atlpa.errors import UserError, reason
from atlpa.progress import BYTES, Progress

ATTEMPTS = 3
TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 16


@dataclass(frozen=True)
class Expected:
    """What is known of a published file.

    Fields:
        name: the file's.
        size: in bytes, if published.
        md5: if published.
        sha256: if known.
    """

    name: str
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None

    def check(self, path: Path) -> str | None:
        """What is wrong with a file, if anything."""
        if begins_like_a_page(path):
            return "is a web page"
        if self.size is not None and path.stat().st_size != self.size:
            return f"has {path.stat().st_size} bytes instead of {self.size}"
        for kind, wanted in (("md5", self.md5), ("sha256", self.sha256)):
            if wanted is not None:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, kind).hexdigest()
                if found != wanted:
                    return f"has the {kind} {found} instead of {wanted}"
        return None


def begins_like_a_page(path: Path) -> bool:
    """Whether a file is HTML, as servers send it in place of a file they do not have."""
    with path.open("rb") as file:
        return file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!", b"<html"))


def download(url: str, path: Path, expected: Expected) -> None:
    """Fetch a file, going on where an earlier call was cut off, with a progress bar.

    What has arrived waits in ``<path>.part``; the file itself appears when it is whole and checked.

    Args:
        url: http, https or file.
        path: where to.
        expected: size and hashes to check.

    Raises:
        UserError: the server refuses, the connection breaks again and again, what came is not what was expected, or
            the disk is full.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(ATTEMPTS):
            if _receive(url, part):
                break
        else:
            raise UserError(
                f"{url}: the connection broke {ATTEMPTS} times, {part.stat().st_size} bytes are kept; the same command "
                "goes on from there"
            )
        if problem := expected.check(part):
            part.unlink()
            raise UserError(f"{url}: what came {problem}, and was removed; try again, or name a mirror with --from")
        part.replace(path)
    except urllib.error.HTTPError as error:
        raise UserError(f"{url}: the server answered {error.code} {error.reason}; name a mirror with --from") from error
    except (http.client.HTTPException, ValueError) as error:
        raise UserError(f"{url} cannot be fetched ({reason(error)}); name a mirror with --from") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(
                f"no room for {part}: {reason(error)}; make room, and the same command goes on from there"
            ) from error
        raise UserError(f"{url} cannot be fetched ({reason(error)}); name a mirror with --from") from error


def _receive(url: str, part: Path) -> bool:
    """Append what is missing of a file; returns whether it is whole now, as far as the server says."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(
        url, headers={"User-Agent": "atlpa", **({"Range": f"bytes={have}-"} if have else {})}
    )
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return True  # nothing is missing; the check decides
        raise
    with response:
        resumed = have > 0 and response.status == http.HTTPStatus.PARTIAL_CONTENT
        have = have if resumed else 0
        missing = response.headers.get("Content-Length")
        total = have + int(missing) if missing is not None else None
        with (
            part.open("ab" if resumed else "wb") as file,
            Progress(part.stem, total, BYTES, done=have, keep=True) as progress,
        ):
            try:
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    progress.update(len(chunk))
            except (http.client.HTTPException, ConnectionError, TimeoutError):
                return False
    return total is None or part.stat().st_size >= total
