"""Archives and servers of strangers: nothing escapes, nothing hangs, and no more is written than is allowed."""

import gzip
import http.server
import io
import os
import tarfile
import threading
from pathlib import Path

import pytest

from atlpa.cli.data import main
from atlpa.data import download as downloading
from atlpa.data import fetch as fetching
from atlpa.data.download import Expected, download
from atlpa.data.fetch import Piece
from atlpa.data.unpack import Limits, unpack
from atlpa.errors import UserError

SMALL = Limits(size=1_000_000, files=20)


def member(name, content=b"x", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tar(*members, **options):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def header(name, kind, size=0, magic=b"ustar\x0000"):
    """One block, whatever it claims."""
    field = (
        b"%011o\0" % size
        if 0 <= size < 8**11
        else (b"\xff" if size < 0 else b"\x80") + size.to_bytes(11, "big", signed=True)
    )
    block = name.ljust(100, b"\0") + b"0000644\0" * 3 + field + b"%011o\0" % 0 + b" " * 8 + kind + bytes(100) + magic
    block = block.ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(content):
    return content + bytes(-len(content) % 512)


def pax(fields, name=b"good/b", size=1):
    """A file with extended fields in front."""
    content = b"".join(b"%07d %b=%b\n" % (len(b"0000000 %b=%b\n" % pair), *pair) for pair in fields)
    return header(b"x", b"x", len(content)) + padded(content) + header(name, b"0", size) + padded(b"x")


SPARSE = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")]
GOOD = tar(member("good/a"))[:1024]  # without the end
END = bytes(1024)
MANY = [member(f"good/{number}") for number in range(30)]

HOSTILE = {
    "unfolds to more": (lambda: tar(member("good/a", bytes(2_000_000))), r"more than 0\.001 GB.*--unpack-limit"),
    "many files": (lambda: tar(*MANY), "more than 20 files.*--unpack-files"),
    "many folders": (
        lambda: tar(*[member(f"good/{n}", b"", type=tarfile.DIRTYPE) for n in range(30)]),
        "more than 20 files",
    ),
    "data behind the end": (lambda: GOOD + END + bytes(2_000_000), "--unpack-limit"),
    "another archive behind": (lambda: gzip.compress(GOOD + END) + gzip.compress(bytes(2_000_000)), "--unpack-limit"),
    "claims a terabyte": (lambda: GOOD + header(b"good/b", b"0", 2**40) + END, "damaged or cut off"),
    "claims less than nothing": (lambda: GOOD + header(b"good/b", b"0", -512) + END, "damaged or cut off"),
    "a sparse file": (lambda: GOOD + header(b"good/b", b"S", 2**40, b"ustar  \0") + END, "damaged|no plain file"),
    "a sparse file in PAX": (
        lambda: GOOD + pax([(b"GNU.sparse.size", b"%d" % 2**40), (b"GNU.sparse.map", b"0,1")]) + END,
        "damaged|no plain file",
    ),
    "a sparse map without end": (
        lambda: (
            GOOD
            + pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")])[:-512]
            + b"99999\n"
            + b"0\n" * 200_000
        ),
        "damaged|--unpack-limit",
    ),
    "PAX fields of megabytes": (lambda: GOOD + pax([(b"comment", b"x" * 900_000)]) + END, "a header of more than"),
    "PAX fields that claim terabytes": (lambda: GOOD + header(b"x", b"x", 2**40) + bytes(900_000), "a header of more"),
    "PAX fields one behind the other": (
        lambda: GOOD + (header(b"x", b"x", 10) + padded(b"10 a=bcde\n")) * 900 + END,
        "damaged|a header of more",
    ),
    "a long name of megabytes": (lambda: GOOD + header(b"x", b"L", 900_000) + bytes(900_096), "a header of more than"),
    "a negative size in PAX": (lambda: GOOD + pax([(b"size", b"-1024")]) + END, "damaged"),
    "a name of another folder in PAX": (lambda: GOOD + pax([(b"path", b"../evil")]) + END, "would lie outside"),
    "a link in PAX": (lambda: GOOD + header(b"good/b", b"2") + END, "no plain file"),
    "nothing in a name": (lambda: GOOD + pax([(b"path", b"good/\0b")]) + END, "no name on every system|damaged"),
    "a long part": (lambda: tar(member("good/a"), member("good/" + "x" * 300)), "too long"),
    "a long path": (lambda: tar(member("good/a"), member("good/" + "d/" * 700 + "b")), "too long"),
    "no UTF-8": (lambda: GOOD + header(b"good/\xff\xfe", b"0", 1) + padded(b"x") + END, "no name on every system"),
    "a terminal's escape": (lambda: tar(member("good/a"), member("good/\x1b[2J")), r"'good/\\x1b\[2J'.*no name"),
    "a line's end": (lambda: tar(member("good/a"), member("good/a\nb")), "no name on every system"),
    "a backslash": (lambda: tar(member("good/a"), member("good\\..\\..\\evil")), "no name on every system"),
    "a drive": (lambda: tar(member("good/a"), member("C:/evil")), "no name on every system"),
    "a stream of a file": (lambda: tar(member("good/a"), member("good/a:hidden")), "no name on every system"),
    "a folder outside": (lambda: tar(member("good/a"), member("../evil", b"", type=tarfile.DIRTYPE)), "outside"),
    "no name": (lambda: tar(member("good/a"), member("/")), "outside"),
    "one file twice": (lambda: tar(member("good/a"), member("good/a", b"y")), "'good/a' and 'good/a', of which one"),
    "one file by two names": (lambda: tar(member("good/a"), member("good//./a", b"y")), "of which one would replace"),
    "one file in two cases": (lambda: tar(member("good/a"), member("GOOD/A", b"y")), "'good/a' and 'GOOD/A', of which"),
    "a file in a file": (lambda: tar(member("good/a"), member("good/a/b", b"y")), "of which one would replace"),
    "a file in the place of a folder": (lambda: tar(member("good/a"), member("good", b"y")), "of which one would"),
    "a folder in the place of a file": (
        lambda: tar(member("good/a"), member("good/A", b"", type=tarfile.DIRTYPE)),
        "of which one would",
    ),
    "nothing": (lambda: b"", "damaged or cut off"),
    "zeros": (lambda: bytes(100_000), "holds no good/a"),
    "noise": (lambda: os.urandom(100_000), "damaged or cut off"),
    "cut off": (lambda: GOOD[:700], "damaged or cut off"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_in_one_line_and_leaves_nothing(tmp_path, kind):
    make, words = HOSTILE[kind]
    content = make()
    (tmp_path / "bad.tgz").write_bytes(content if content[:2] == b"\x1f\x8b" else gzip.compress(content))
    with pytest.raises(UserError, match=words) as refused:
        unpack(tmp_path / "bad.tgz", tmp_path / "inside" / "here", "good", "good/a", SMALL)
    assert str(tmp_path / "bad.tgz") in str(refused.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bad.tgz", "here", "inside"]


def test_what_is_within_the_limits_is_unpacked(tmp_path):
    """To the byte: contents, their headers and padding, and the end of the archive."""
    content = tar(*MANY[:20], format=tarfile.PAX_FORMAT)
    (tmp_path / "good.tgz").write_bytes(gzip.compress(content[:20_000]) + gzip.compress(content[20_000:]))
    with pytest.raises(UserError, match="unpack-limit"):
        unpack(tmp_path / "good.tgz", tmp_path, "good", "good/19", Limits(len(content) - 1, 20))
    with pytest.raises(UserError, match="unpack-files"):
        unpack(tmp_path / "good.tgz", tmp_path, "good", "good/19", Limits(len(content), 19))
    unpack(tmp_path / "good.tgz", tmp_path, "good", "good/19", Limits(len(content), 20))
    assert {path.name: path.read_bytes() for path in (tmp_path / "good").iterdir()} == {str(n): b"x" for n in range(20)}


class Handler(http.server.BaseHTTPRequestHandler):
    """Does what ``server.act`` does."""

    def do_GET(self):
        self.server.act(self)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """One that publishes a data set of a single archive of 10,000 bytes, of which size and hash may be known."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.url = f"http://127.0.0.1:{server.server_port}/"
        server.handle_error = lambda *_: None  # whoever hangs up has read enough
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pieces = (Piece(server.url, Expected("set.tgz"), "good", "good/a"),)
        monkeypatch.setitem(fetching.PIECES, "bmw10", pieces)
        yield server
        server.shutdown()


def sends(content, length=None, status=200, **headers):
    def act(request):
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if length is not None:
            request.send_header("Content-Length", str(length))
        request.end_headers()
        for part in content:
            request.wfile.write(part)

    return act


def endless():
    while True:
        yield bytes(1 << 16)


SERVERS = {
    "data without end": (lambda: sends(endless()), "more than the 1000000 bytes that are expected or allowed"),
    "data without end, announced": (lambda: sends(endless(), 2**50), "more than the 1000000 bytes"),
    "a length that is none": (lambda: sends([b"x"], "many"), "cannot be fetched"),
    "a negative length": (lambda: sends([b"x"], -5), "set.tgz"),
    "a way to a file": (lambda: sends([], status=302, Location="file:///etc/passwd"), "name a mirror"),
    "a way to ftp": (lambda: sends([], status=302, Location="ftp://127.0.0.1/x"), "name a mirror"),
    "a way to itself": (lambda: sends([], status=302, Location="/set.tgz"), "name a mirror"),
    "a way to nowhere": (lambda: sends([], status=302), "name a mirror"),
    "headers without end": (lambda: sends([], **{f"x{n}": "y" for n in range(300)}), "cannot be fetched"),
    "no status": (lambda: lambda request: request.wfile.write(b"\x00" * 100), "cannot be fetched"),
    "a page": (lambda: sends([b"<!doctype html>"], 15), "is a web page, and was removed"),
    "no archive": (lambda: sends([b"x" * 100], 100), "damaged or cut off"),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_a_hostile_server(server, tmp_path, capsys, kind):
    make, words = SERVERS[kind]
    server.act = make()
    assert main(["fetch", "bmw10", "--root", str(tmp_path), "--unpack-limit", "1MB"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("atlpa-data: ")]
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_is_known_is_not_exceeded(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "MARGIN", 1000)
    server.act = sends(endless())
    with pytest.raises(UserError, match="more than the 11000 bytes"):
        download(server.url + "x", tmp_path / "x", Expected("x", 10_000))
    assert list(tmp_path.iterdir()) == []


def test_a_trickle_is_a_broken_connection(server, tmp_path, monkeypatch):
    """Bytes that come too slowly, however often, end a connection; what came is kept."""
    monkeypatch.setattr(downloading, "PATIENCE", 0)
    monkeypatch.setattr(downloading, "SLOWEST", 10**12)
    server.act = sends([b"0", b"1", b"2"])
    with pytest.raises(UserError, match="the connection broke 3 times"):
        download(server.url + "x", tmp_path / "x", Expected("x", 10_000))


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x", "gopher://x/", "://"]
)
def test_only_the_web_is_asked(tmp_path, address):
    with pytest.raises(UserError, match="cannot be fetched"):
        download(address, tmp_path / "x", Expected("x"))
    assert list(tmp_path.iterdir()) == []


IN_THE_WAY = {
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to(path.with_name("precious")),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "folder": Path.mkdir,
}


@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_what_lies_where_a_part_would_wait_is_left_alone(server, tmp_path, kind):
    server.act = sends([b"x" * 100], 100)
    (tmp_path / "precious").write_text("mine")
    IN_THE_WAY[kind](tmp_path / "x.part")
    with pytest.raises(UserError, match=r"x\.part is in the way.*remove it"):
        download(server.url + "x", tmp_path / "x", Expected("x"))
    assert (tmp_path / "precious").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "x.part"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(os.mkfifo, "it is a pipe", id="pipe"),
        pytest.param(Path.mkdir, "no plain file|there", id="folder"),
        pytest.param(lambda path: path.symlink_to(path.name), "symbolic links|there", id="link to itself"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "it is a device", id="device"),
        pytest.param(lambda _: None, "No such file", id="nothing"),
    ],
)
def test_an_archive_given_by_hand_is_a_plain_file(server, tmp_path, capsys, make, words):
    make(tmp_path / "set.tgz")
    assert main(["fetch", "bmw10", "--root", str(tmp_path / "root"), "--from", str(tmp_path / "set.tgz")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert any(word in line for word in words.split("|"))
    assert not (tmp_path / "root").exists()


def test_the_limit_is_stated_and_settable(server, tmp_path, capsys):
    """A few kilobytes that hold twenty megabytes: refused as long as nobody says that they may; nothing comes twice."""
    (tmp_path / "set.tgz").write_bytes(gzip.compress(tar(member("good/a", bytes(20_000_000)))))
    given = ["fetch", "bmw10", "--root", str(tmp_path / "root"), "--from", str(tmp_path / "set.tgz")]
    assert main([*given, "--unpack-limit", "10MB"]) == 2
    assert "unfolds to more than 0.01 GB; if it may, allow more with --unpack-limit" in capsys.readouterr().err
    assert not list((tmp_path / "root").iterdir())
    assert main([*given, "--unpack-limit", "30 mb"]) == 2  # it holds no data set, but it is unpacked
    assert (tmp_path / "root" / "good" / "a").stat().st_size == 20_000_000
    capsys.readouterr()


@pytest.mark.parametrize("text", ["", "0", "-1GB", "GB", "1XB", "1e9", "nan", "inf", "10 GB GB", "9" * 400])
def test_a_limit_that_is_none(text, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fetch", "bmw10", f"--unpack-limit={text}"])
    assert ended.value.code == 2
    assert "give for example 500MB or 10GB" in capsys.readouterr().err
