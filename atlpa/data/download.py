"""Downloads that resume, are checked, and are whole or not there at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import stat
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from atlpa.errors import UserError, reason
from atlpa.files import NO_ROOM
from atlpa.plain_file import open_plain
from atlpa.progress import BYTES, Progress

ATTEMPTS = 3
TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 16
MARGIN = 1 << 20
"""Bytes that are received beyond the size that is known, so that a web page is told from a file."""
PATIENCE, SLOWEST = 60, 100
"""Seconds after which a connection must have brought so many bytes a second."""


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
        with open_plain(path, most=None) as file:
            size = os.fstat(file.fileno()).st_size
            if begins_like_a_page(file.read(512)):
                return "is a web page"
            if self.size is not None and size != self.size:
                return f"has {size} bytes instead of {self.size}"
            for kind, wanted in (("md5", self.md5), ("sha256", self.sha256)):
                if wanted is not None:
                    file.seek(0)
                    found = hashlib.file_digest(file, kind).hexdigest()
                    if found != wanted:
                        return f"has the {kind} {found} instead of {wanted}"
        return None


def begins_like_a_page(start: bytes) -> bool:
    """Whether this is HTML, as servers send it in place of a file they do not have."""
    return start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!", b"<html"))


def download(url: str, path: Path, expected: Expected, most: int = 4 * 10**9) -> None:
    """Fetch a file, see ``receive``; it appears under its name when it is whole and checked."""
    receive(url, part_of(path), expected, most).replace(path)


def part_of(path: Path) -> Path:
    """Where what has arrived of a file waits."""
    return path.with_name(path.name + ".part")


def receive(url: str, part: Path, expected: Expected, most: int) -> Path:
    """Fetch a file into ``part``, going on where an earlier call was cut off, with a progress bar.

    Args:
        url: http or https.
        part: where to.
        expected: size and hashes to check.
        most: bytes, where the size is not known.

    Returns:
        ``part``, whole and checked.

    Raises:
        UserError: the server refuses, sends too much, the connection breaks again and again, what came is not what was
            expected, or the disk is full.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(part) and not stat.S_ISREG(part.lstat().st_mode):
            raise UserError(f"{part} is in the way: no plain file, but a link, a folder or a device; remove it")
        for _ in range(ATTEMPTS):
            if _receive(url, part, most if expected.size is None else expected.size + MARGIN):
                break
        else:
            raise UserError(
                f"{url}: the connection broke {ATTEMPTS} times, {part.stat().st_size} bytes are kept; the same command "
                "goes on from there"
            )
        if problem := expected.check(part):
            part.unlink()
            raise UserError(f"{url}: what came {problem}, and was removed; try again, or name a mirror with --from")
        return part
    except UserError:
        raise
    except urllib.error.HTTPError as error:
        raise UserError(f"{url}: the server answered {error.code} {error.reason}; name a mirror with --from") from error
    except (http.client.HTTPException, ValueError) as error:
        raise UserError(f"{url} cannot be fetched ({reason(error)}); name a mirror with --from") from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise UserError(
                f"no room for {part}: {reason(error)}; make room, and the same command goes on from there"
            ) from error
        raise UserError(f"{url} cannot be fetched ({reason(error)}); name a mirror with --from") from error


def _receive(url: str, part: Path, most: int) -> bool:
    """Append what is missing of a file; returns whether it is whole now, as far as the server says."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(
        url, headers={"User-Agent": "atlpa", **({"Range": f"bytes={have}-"} if have else {})}
    )
    try:
        response = _web().open(request, timeout=TIMEOUT)
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
            pace = _Pace()
            try:
                while chunk := response.read1(CHUNK):
                    have += len(chunk)
                    if have > most:
                        break
                    file.write(chunk)
                    progress.update(len(chunk))
                    if pace.too_slow(len(chunk)):
                        return False
            except (http.client.HTTPException, ConnectionError, TimeoutError):
                return False
    if have > most:
        part.unlink()
        raise UserError(
            f"{url}: what comes is more than the {most} bytes that are expected or allowed, and was removed; name a "
            "mirror with --from, or allow more with --unpack-limit"
        )
    return total is None or part.stat().st_size >= total


class _Pace:
    """Whether anything to speak of arrives: a byte now and then keeps a connection from timing out."""

    def __init__(self) -> None:
        self.since, self.received = time.monotonic(), 0

    def too_slow(self, count: int) -> bool:
        """Count what came; true if it was too little for too long."""
        self.received += count
        if (seconds := time.monotonic() - self.since) < PATIENCE:
            return False
        slow = self.received < SLOWEST * seconds
        self.since, self.received = time.monotonic(), 0
        return slow


def _web() -> urllib.request.OpenerDirector:
    """Speaks http and https alone, wherever a server redirects to: no files, no ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
