"""A disk that is full in the middle of a fetch: one line, nothing lost, and the same command goes on."""

import hashlib
import http.server
import io
import os
import tarfile
import threading

import pytest

from atlpa.cli.data import main
from atlpa.data import fetch as fetching
from atlpa.data.download import Expected
from atlpa.data.fetch import Piece
from tests.reliability.room import room

PICTURE = os.urandom(400_000)


def archive():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("good/a")
        info.size = len(PICTURE) + 400_000
        tar.addfile(info, io.BytesIO(PICTURE + bytes(400_000)))
    return buffer.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.content``, from where it is asked for."""

    def do_GET(self):
        self.server.asked += 1
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(self.server.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.server.content) - start))
        self.end_headers()
        self.wfile.write(self.server.content[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    content = archive()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.asked = content, 0
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        known = Expected("set.tgz", len(content), hashlib.md5(content).hexdigest())
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setitem(fetching.PIECES, "bmw10", (Piece(url, known, "good", "good/a"),))
        yield server
        server.shutdown()


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("size", "words", "kept"),
    [
        pytest.param(100_000, "no room for {root}/set.tgz.part", 100_000, id="downloading"),
        pytest.param(600_000, "no room to write {root}/good", None, id="unpacking"),
    ],
)
def test_what_has_come_is_kept_and_the_same_command_goes_on(server, tmp_path, capsys, size, words, kept):
    (tmp_path / "mine").write_text("precious")
    command = ["fetch", "bmw10", "--root", str(tmp_path)]
    with room(size):
        assert main(command) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("atlpa-data: ")]
    assert words.format(root=tmp_path) in line
    assert "make room" in line
    assert files(tmp_path) == ["mine", "set.tgz.part"]
    assert (tmp_path / "set.tgz.part").read_bytes() == server.content[: kept or len(server.content)]

    main(command)  # the archive is no BMW-10, which is said once all is there
    assert (tmp_path / "good" / "a").read_bytes() == PICTURE + bytes(400_000)
    assert files(tmp_path) == ["good/a", "mine"]
    assert server.asked == 2  # and nothing came twice


@pytest.mark.parametrize("what", ["archive", "file"])
def test_from_files_fetched_by_hand(tmp_path, capsys, monkeypatch, what):
    content = archive() if what == "archive" else PICTURE
    piece = Piece("http://127.0.0.1:9/", Expected("set.tgz"), "good" if what == "archive" else "set.tgz", "good/a")
    monkeypatch.setitem(fetching.PIECES, "bmw10", (piece,))
    (tmp_path / "hand").mkdir()
    (tmp_path / "hand" / "set.tgz").write_bytes(content)
    command = ["fetch", "bmw10", "--root", str(tmp_path / "sets"), "--from", str(tmp_path / "hand")]
    with room(200_000):
        assert main(command) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("atlpa-data: ")]
    assert f"no room to write {tmp_path}/sets/{piece.makes}" in line
    assert files(tmp_path) == ["hand/set.tgz"]
    main(command)
    assert files(tmp_path) == ["hand/set.tgz", "sets/good/a" if what == "archive" else "sets/set.tgz"]
    assert (tmp_path / "hand" / "set.tgz").read_bytes() == content
