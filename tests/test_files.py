"""Files and folders that are whole or not there at all."""

import pytest

from atlpa.files import atomic_file, atomic_folder


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """The file is whole at every moment, and in the end the later's."""
    path = tmp_path / "record.json"
    with atomic_file(path) as first:
        first.write(b"first, ")
        with atomic_file(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        first.write(b"whole")
    assert path.read_bytes() == b"first, whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("below", ["report", "deep/er/report"])
def test_a_folder_appears_with_all_its_files_or_not_at_all(tmp_path, below):
    folder = tmp_path / below

    def write(*texts):
        with atomic_folder(folder) as scratch:
            for name, text in zip("ab", texts, strict=False):
                (scratch / name).write_text(text)
            if len(texts) < 2:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write("half")
    assert list(tmp_path.iterdir()) == []
    write("1", "1")
    (folder / "run").mkdir()
    (folder / "run" / "last.pt").write_text("precious")
    with pytest.raises(RuntimeError):
        write("2")
    assert {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} == {"a": "1", "b": "1"}
    write("2", "2")
    assert {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} == {"a": "2", "b": "2"}
    assert (folder / "run" / "last.pt").read_text() == "precious"
    assert {path.name for path in folder.iterdir()} == {"a", "b", "run"}
