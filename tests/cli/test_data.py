"""``atlpa-data check`` as a user meets it; fetching has its own tests beside the server they need."""

import subprocess

import numpy as np
import pytest
from PIL import Image

from atlpa.cli.data import main


def picture(number, size=(20, 10)):
    return Image.fromarray(np.random.default_rng(number).integers(0, 255, (*size[::-1], 3), dtype=np.uint8))


@pytest.fixture
def photographs(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            picture(10 * label + number).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def rows(text):
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return {name: [int(cell) for cell in cells] for name, *cells in lines[2:]}


def test_a_sound_folder(photographs, capsys):
    assert main(["check", str(photographs)]) == 0
    text = capsys.readouterr().out
    assert rows(text) == {"cat": [6, 2, 2, 10, 0], "dog": [6, 2, 2, 10, 0], "all": [12, 4, 4, 20, 0]}
    assert "sizes: 20×10 smallest, 20×10 median, 20×10 largest" in text
    assert "nothing is wrong" in text


def test_everything_odd_is_listed(photographs, tmp_path, capsys):
    (photographs / "cat" / "0.png").write_bytes(b"no image")
    picture(3).save(photographs / "dog" / "same.bmp")  # the pixels of cat/3.png in another file
    picture(99, (300, 200)).save(photographs / "dog" / "large.png")
    masks = tmp_path / "masks" / "cat"
    masks.mkdir(parents=True)
    Image.new("L", (20, 10), 255).save(masks / "1.png")
    Image.new("L", (20, 10), 0).save(masks / "2.png")
    Image.new("L", (10, 20), 255).save(masks / "4.png")
    assert main(["check", str(photographs), "--set", f"masks={tmp_path / 'masks'}"]) == 1
    text = capsys.readouterr().out
    problems = [line for line in text.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 4
    assert "cat/0.png is no readable image" in problems[0] + problems[1] + problems[2]
    assert any("cat/2.png has a mask without any key region" in line for line in problems)
    assert any("4.png is 10×20, its image 20×10" in line for line in problems)
    (same,) = [line for line in problems if "the same picture 2 times" in line]
    assert "cat/3.png (cat, " in same
    assert "dog/same.bmp (dog, " in same
    assert "300×200 largest" in text
    assert "2 of 22 images have one; in these it covers 50% of the pixels, 0% are unknown" in text
    assert text.endswith("4 problems\n")


def test_a_folder_by_its_path_or_as_experiments_name_it(photographs, capsys):
    assert main(["check", str(photographs)]) == 0
    by_path = capsys.readouterr().out
    assert main(["check", "folder", "--root", str(photographs)]) == 0
    assert capsys.readouterr().out == by_path


def test_copies_across_train_and_test(photographs, tmp_path, capsys):
    for part in ("train", "test"):
        (tmp_path / "parts" / part).mkdir(parents=True)
        for name in ("cat", "dog"):
            (tmp_path / "parts" / part / name).symlink_to(photographs / name)
    assert main(["check", str(tmp_path / "parts")]) == 1
    problems = [line for line in capsys.readouterr().out.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 20
    assert all(", across test and " in line for line in problems)


def test_real_flowers(data_root):
    done = subprocess.run(
        ["atlpa-data", "check", "flowers17", "--set", "split=2"], capture_output=True, text=True, check=True
    )
    table = rows(done.stdout)
    assert table["all"] == [680, 340, 340, 1360, 846]
    assert table["cowslip"] == [40, 20, 20, 80, 0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "nowhere"], "no folder 'nowhere', and unknown data set 'nowhere'"),
        (["check", "flower17"], "did you mean 'flowers17'"),
        (["check", "folder"], "no folder 'folder', and --root says where"),
        (["check", ".", "--root", "x"], "is a folder of its own"),
        (["check", "digits", "--root", "x"], "digits needs no files; leave out --root"),
        (["check", "digits", "--set", "splid=2"], "unknown key 'splid'"),
        (["check", "digits", "--set", "split"], "is no FIELD=VALUE"),
        (["check", "flowers17", "--root", "."], "no Flowers-17 in ."),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("atlpa-data: ")
    assert words in line


@pytest.mark.parametrize("arguments", [[], ["fetch"], ["burn"]])
def test_malformed_commands(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "atlpa-data" in capsys.readouterr().err
