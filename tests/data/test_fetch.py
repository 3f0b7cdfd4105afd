"""Fetching from a real HTTP server that breaks off, lies, and sends what nobody asked for."""

import hashlib
import http.server
import io
import os
import resource
import tarfile
import threading

import pytest

from atlpa.cli.data import main
from atlpa.data import fetch as fetching
from atlpa.data.download import Expected, download
from atlpa.data.fetch import Piece, fetch
from atlpa.data.unpack import unpack
from atlpa.errors import UserError

CONTENT = os.urandom(300_000)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files``; may break off after some bytes, and may know nothing of ranges."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if self.server.ranges and (asked := self.headers.get("Range")):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        limit = self.server.breaks.pop(0) if self.server.breaks else len(content)
        self.wfile.write(content[start : start + limit])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.breaks, server.asked, server.ranges = {}, [], [], True
        server.url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def expected(content=CONTENT, name="file.bin"):
    return Expected(name, len(content), hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest())


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_comes_whole_and_checked(server, tmp_path):
    server.files["/file.bin"] = CONTENT
    download(server.url + "file.bin", tmp_path / "deep" / "file.bin", expected())
    assert (tmp_path / "deep" / "file.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["deep", "deep/file.bin"]


def test_a_broken_connection_goes_on_where_it_was(server, tmp_path):
    server.files["/file.bin"], server.breaks = CONTENT, [100_000, 50_000]
    download(server.url + "file.bin", tmp_path / "file.bin", expected())
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_connection_that_keeps_breaking_leaves_its_part_for_the_next_call(server, tmp_path):
    server.files["/file.bin"], server.breaks = CONTENT, [1000, 1000, 1000]
    with pytest.raises(UserError, match="broke 3 times, 3000 bytes are kept; the same command goes on"):
        download(server.url + "file.bin", tmp_path / "file.bin", expected())
    assert names(tmp_path) == ["file.bin.part"]
    download(server.url + "file.bin", tmp_path / "file.bin", expected())
    assert server.asked[-1][1] == "bytes=3000-"
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path):
    server.files["/file.bin"], server.breaks, server.ranges = CONTENT, [1000], False
    download(server.url + "file.bin", tmp_path / "file.bin", expected())
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_checked_and_used(server, tmp_path):
    server.files["/file.bin"] = CONTENT
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    download(server.url + "file.bin", tmp_path / "file.bin", expected())
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (CONTENT[:-1], "has 299999 bytes instead of 300000"),
        (bytes(300_000), "has the md5"),
        (b"\n<!DOCTYPE html><title>Moved</title>", "is a web page"),
        (b"<!-- moved --><html>", "is a web page"),
        (b"", "has 0 bytes"),
    ],
)
def test_what_is_not_what_was_expected_is_said_and_removed(server, tmp_path, sent, message):
    server.files["/file.bin"] = sent
    with pytest.raises(UserError, match=message):
        download(server.url + "file.bin", tmp_path / "file.bin", expected())
    assert names(tmp_path) == []


def test_a_part_of_another_file_does_not_stay(server, tmp_path):
    server.files["/file.bin"] = CONTENT
    (tmp_path / "file.bin.part").write_bytes(bytes(1000))
    with pytest.raises(UserError, match="md5"):
        download(server.url + "file.bin", tmp_path / "file.bin", expected())
    download(server.url + "file.bin", tmp_path / "file.bin", expected())
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_no_such_file_and_no_server(server, tmp_path):
    with pytest.raises(UserError, match=r"/missing: the server answered 404.*--from"):
        download(server.url + "missing", tmp_path / "x", Expected("x"))
    with pytest.raises(UserError, match="cannot be fetched"):
        download("http://127.0.0.1:9/x", tmp_path / "x", Expected("x"))
    for url in ("http://127.0.0.1:9/a b", "http://[::1/x"):
        with pytest.raises(UserError, match="cannot be fetched"):
            download(url, tmp_path / "x", Expected("x"))
    assert names(tmp_path) == []


def test_a_full_disk(server, tmp_path):
    """The kernel refuses to let files grow beyond a limit, as a full disk does."""
    server.files["/file.bin"] = CONTENT
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(UserError, match=r"no room for .*file\.bin\.part.*goes on from there"):
            download(server.url + "file.bin", tmp_path / "file.bin", expected())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["file.bin.part"]
    download(server.url + "file.bin", tmp_path / "file.bin", expected())
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def archive(*members, cut=None):
    """A compressed tar of (name, content or a prepared TarInfo)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()[:cut]


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return name, info


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("good", b"x"), ("../evil", b"x")], "outside"),
        ([("good", b"x"), ("a/../../evil", b"x")], "outside"),
        ([("good", b"x"), special("link", tarfile.SYMTYPE, "/etc/passwd")], "'link', which is no plain file"),
        ([("good", b"x"), special("link", tarfile.LNKTYPE, "good")], "no plain file"),
        ([("good", b"x"), special("disk", tarfile.BLKTYPE)], "no plain file"),
        ([("good", b"x"), special("pipe", tarfile.FIFOTYPE)], "no plain file"),
    ],
)
def test_a_hostile_archive_leaves_nothing(tmp_path, members, message):
    (tmp_path / "bad.tgz").write_bytes(archive(*members))
    with pytest.raises(UserError, match=message):
        unpack(tmp_path / "bad.tgz", tmp_path / "inside" / "here", "good", "good")
    assert names(tmp_path) == ["bad.tgz", "inside", "inside/here"]


def test_an_absolute_path_lands_inside(tmp_path):
    (tmp_path / "bad.tgz").write_bytes(archive(("/etc/evil", b"x")))
    unpack(tmp_path / "bad.tgz", tmp_path / "here", "etc", "etc/evil")
    assert names(tmp_path / "here") == ["etc", "etc/evil"]


def flipped(content, place):
    """One wrong bit, which only the checksum at the end of the stream can tell."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        archive(("jpg/a", CONTENT), cut=100_000),
        archive(("jpg/a", CONTENT), ("jpg/b", CONTENT), cut=-4),
        flipped(archive(("jpg/a", CONTENT)), 150_000),
        b"no archive",
        b"",
    ],
)
def test_a_damaged_archive_leaves_nothing(tmp_path, content):
    (tmp_path / "bad.tgz").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.tgz is damaged or cut off"):
        unpack(tmp_path / "bad.tgz", tmp_path / "here", "jpg", "jpg/a")
    assert names(tmp_path / "here") == []


def test_an_archive_touches_nothing_but_what_is_wanted(tmp_path):
    """Another archive, or one with more in it, neither adds to nor replaces what lies there."""
    for name in ("mine", "set/old"):
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_text("precious")
    before = names(tmp_path / "here")
    (tmp_path / "other.tgz").write_bytes(archive(("mine", b"x"), ("set/old", b"x"), ("set/new", b"x")))
    with pytest.raises(UserError, match="holds no wanted/proof; it is another archive than is wanted, or incomplete"):
        unpack(tmp_path / "other.tgz", tmp_path / "here", "wanted", "wanted/proof")
    (tmp_path / "more.tgz").write_bytes(archive(("mine", b"x"), ("wanted/proof", b"x")))
    unpack(tmp_path / "more.tgz", tmp_path / "here", "wanted", "wanted/proof")
    assert names(tmp_path / "here") == sorted([*before, "wanted", "wanted/proof"])
    assert (tmp_path / "here" / "mine").read_text() == "precious"


def test_what_a_killed_unpacking_left_is_cleared_away(tmp_path):
    (tmp_path / "here" / ".half-old" / "jpg").mkdir(parents=True)
    (tmp_path / "good.tgz").write_bytes(archive(("jpg/a", b"x")))
    unpack(tmp_path / "good.tgz", tmp_path / "here", "jpg", "jpg/a")
    assert names(tmp_path / "here") == ["jpg", "jpg/a"]


@pytest.fixture
def published(server, monkeypatch):
    """A data set of two files on the server."""
    tar = archive(("jpg/one.jpg", b"picture"), ("files.txt", b"one.jpg"))
    server.files = {"/set/pictures.tgz": tar, "/set/splits.mat": b"splits"}
    pieces = (
        Piece(
            server.url + "set/", Expected("pictures.tgz", len(tar), hashlib.md5(tar).hexdigest()), "jpg", "jpg/one.jpg"
        ),
        Piece(server.url + "set/", Expected("splits.mat", 6), "splits.mat"),
    )
    monkeypatch.setitem(fetching.PIECES, "flowers17", pieces)
    return server


def test_a_data_set_is_fetched_once(published, tmp_path, capsys):
    fetch("flowers17", tmp_path)
    assert names(tmp_path / "flowers17") == ["jpg", "jpg/one.jpg", "splits.mat"]
    asked = len(published.asked)
    fetch("flowers17", tmp_path)
    assert len(published.asked) == asked
    assert capsys.readouterr().out.count("is there already") == 2


def test_a_damaged_piece_is_fetched_anew_and_the_rest_is_kept(published, tmp_path):
    good, published.files["/set/splits.mat"] = published.files["/set/splits.mat"], b"<html>gone</html>"
    with pytest.raises(UserError, match=r"splits\.mat: what came is a web page"):
        fetch("flowers17", tmp_path)
    assert names(tmp_path / "flowers17") == ["jpg", "jpg/one.jpg"]
    published.files["/set/splits.mat"] = good
    fetch("flowers17", tmp_path)
    assert [path for path, _ in published.asked].count("/set/pictures.tgz") == 1


@pytest.mark.parametrize("way", ["files", "folder", "address", "mirror"])
def test_from_a_mirror_or_files_fetched_by_hand(published, tmp_path, way):
    hand = tmp_path / "hand"
    hand.mkdir()
    for name in ("pictures.tgz", "splits.mat"):
        (hand / name).write_bytes(published.files.pop(f"/set/{name}"))
        published.files[f"/mirror/{name}"] = (hand / name).read_bytes()
    mirror = published.url + "mirror/"
    origins = {
        "files": [str(hand / "pictures.tgz"), str(hand / "splits.mat")],
        "folder": [str(hand)],
        "address": [mirror + "pictures.tgz", mirror + "splits.mat"],
        "mirror": [mirror],
    }[way]
    fetch("flowers17", tmp_path / "root", origins)
    assert names(tmp_path / "root" / "flowers17") == ["jpg", "jpg/one.jpg", "splits.mat"]
    assert names(hand) == ["pictures.tgz", "splits.mat"]


def refused(capsys, *arguments):
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("atlpa-data: ")
    return line


def test_bad_origins(published, tmp_path, capsys):
    root = ["--root", str(tmp_path / "root")]
    (tmp_path / "pictures.tgz").write_bytes(b"<html>")
    given = str(tmp_path / "pictures.tgz")
    assert "pictures.tgz: it is a web page" in refused(capsys, "fetch", "flowers17", *root, "--from", given)
    assert "keep their published names" in refused(capsys, "fetch", "flowers17", *root, "--from", "other.tgz")
    assert "No such file" in refused(capsys, "fetch", "flowers17", *root, "--from", "nowhere/pictures.tgz")
    assert "did you mean 'flowers17'" in refused(capsys, "fetch", "flower17", *root)
    assert "torchvision knows itself" in refused(capsys, "fetch", "cifar10", *root, "--from", given)
    assert "torchvision cannot fetch stanford_cars" in refused(capsys, "fetch", "stanford_cars", *root)
    (tmp_path / "a file").write_text("")
    assert "a file" in refused(capsys, "fetch", "flowers17", "--root", str(tmp_path / "a file" / "root"))
