"""The data sets: counts, splits, layouts, and everything that can be wrong with them."""

import shutil
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat
from sklearn.datasets import load_digits

from atlpa.data import Digits, Flowers17, Folder
from atlpa.data.dataset import stratified_split
from atlpa.data.decode import decode_image as read_picture
from atlpa.errors import UserError


def names(items):
    return [item.name for item in items]


def test_digits_are_all_there_once():
    index = Digits().index()
    parts = [set(names(items)) for items in index.parts.values()]
    assert [len(part) for part in parts] == [1078, 360, 359]
    assert len(set.union(*parts)) == 1797
    for items in index.parts.values():
        assert {item.label for item in items} == set(range(10))


def test_digits_are_scikit_learns_scans():
    scans = load_digits()
    for item in Digits().index().items("test")[:5]:
        number = int(item.name.removeprefix("digit_"))
        picture = np.asarray(item.open())
        assert item.label == scans.target[number]
        np.testing.assert_allclose(picture[..., 1] / 255 * 16, scans.images[number], atol=0.04)


def test_stratified_split_keeps_shares_and_seed():
    labels = [0] * 10 + [1] * 20
    groups = stratified_split(labels, (0.6, 0.2, 0.2), seed=3)
    assert [Counter(labels[i] for i in group) for group in groups] == [
        {0: 6, 1: 12},
        {0: 2, 1: 4},
        {0: 2, 1: 4},
    ]
    assert sorted(position for group in groups for position in group) == list(range(30))
    assert groups == stratified_split(labels, (0.6, 0.2, 0.2), seed=3)
    assert groups != stratified_split(labels, (0.6, 0.2, 0.2), seed=4)


@pytest.fixture
def flowers(tmp_path):
    """The published layout with tiny pictures: the color of each tells its number."""
    jpg = tmp_path / "flowers17" / "jpg"
    jpg.mkdir(parents=True)
    for number in range(1, 1361):
        Image.new("L", (8, 8), number % 251).save(jpg / f"image_{number:04d}.jpg")
    order = np.random.default_rng(0).permutation(1360) + 1
    splits = {f"{key}{n}": order[a:b][None].astype(np.uint16) for n in (1, 2, 3)
              for key, a, b in (("trn", 0, 680), ("val", 680, 1020), ("tst", 1020, 1360))}  # fmt: skip
    savemat(tmp_path / "flowers17" / "datasplits.mat", splits)
    return tmp_path


def test_flowers_published_layout(flowers):
    index = Flowers17(root=str(flowers), split=2).index()
    assert {part: len(items) for part, items in index.parts.items()} == {
        "train": 680,
        "validation": 340,
        "test": 340,
    }
    labels = {item.name: item.label for items in index.parts.values() for item in items}
    assert labels["image_0001"] == labels["image_0080"] == 0
    assert labels["image_0081"] == 1
    assert index.classes[labels["image_1360"]] == "pansy"
    assert Flowers17(root=str(flowers / "flowers17")).index().classes[9] == "sunflower"


def test_real_flowers(data_root):
    splits = loadmat(data_root / "flowers17" / "datasplits.mat")
    for split in (1, 2, 3):
        index = Flowers17(root=str(data_root), split=split).index()
        for part, key, count in (("train", "trn", 40), ("validation", "val", 20), ("test", "tst", 20)):
            items = index.items(part)
            assert set(Counter(item.label for item in items).values()) == {count}
            assert {int(item.name[-4:]) for item in items} == set(splits[f"{key}{split}"].ravel().tolist())
    assert min(index.items("test")[0].open().size) > 400


def test_missing_flowers_say_what_is_expected_and_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLPA_DATA_ROOT", str(tmp_path))
    with pytest.raises(UserError, match=r"flowers17/jpg/image_0001\.jpg.*datasplits\.mat.*atlpa-data fetch flowers17"):
        Flowers17().index()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", None])
def test_splits_that_are_none(flowers, content):
    path = flowers / "flowers17" / "datasplits.mat"
    if content is None:
        savemat(path, {"trn1": [1]})
    else:
        path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"datasplits\.mat holds no official splits .*(get it from https|fetch it anew)"
    ):
        Flowers17(root=str(flowers)).index()


@pytest.mark.parametrize("number", [0, 1361])
def test_a_split_that_names_an_image_that_does_not_exist(flowers, number):
    path = flowers / "flowers17" / "datasplits.mat"
    splits = {key: value for key, value in loadmat(path).items() if key[0] != "_"}
    splits["val2"][0, 0] = number
    savemat(path, splits)
    with pytest.raises(UserError, match=rf"datasplits\.mat .*val2 names image {number} of 1360"):
        Flowers17(root=str(flowers)).index()


def test_incomplete_flowers(flowers):
    (flowers / "flowers17" / "jpg" / "image_0007.jpg").unlink()
    with pytest.raises(UserError, match="1359 of 1360 photographs"):
        Flowers17(root=str(flowers)).index()


@pytest.fixture
def photographs(tmp_path):
    """Two classes of ten pictures, one directory each."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.new("L", (12, 9), number).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_folder_is_split_by_class(photographs):
    index = Folder(root=str(photographs)).index()
    assert index.classes == ("cat", "dog")
    assert [Counter(item.label for item in index.parts[part]) for part in index.parts] == [
        {0: 6, 1: 6}, {0: 2, 1: 2}, {0: 2, 1: 2}
    ]  # fmt: skip
    assert len({name for items in index.parts.values() for name in names(items)}) == 20
    assert index.items("train")[0].open().mode == "RGB"


def test_folder_with_its_own_parts(photographs, tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    (root / "train").symlink_to(photographs)
    (root / "test").mkdir()
    (root / "test" / "cat").symlink_to(photographs / "cat")
    (root / "test" / "dog").symlink_to(photographs / "dog")
    index = Folder(root=str(root)).index()
    assert [len(index.parts[part]) for part in ("train", "validation", "test")] == [16, 4, 20]
    assert not set(names(index.items("train"))) & set(names(index.items("validation")))


def test_folder_mistakes(photographs, tmp_path_factory):
    with pytest.raises(UserError, match=r"no folder .*nowhere.*one directory per class"):
        Folder(root=str(photographs / "nowhere")).index()
    with pytest.raises(UserError, match="0 class directories"):
        Folder(root=str(tmp_path_factory.mktemp("empty"))).index()
    (photographs / "empty class").mkdir()
    (photographs / "empty class" / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match="class 'empty class' has no images"):
        Folder(root=str(photographs)).index()


def test_parts_without_a_test_part_are_no_classes(photographs, tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    for part in ("train", "valid"):
        (root / part).symlink_to(photographs)
    with pytest.raises(UserError, match=r"holds train/ and valid/, but no test/"):
        Folder(root=str(root)).index()
    (root / "test").symlink_to(photographs)
    assert len(Folder(root=str(root)).index().items("validation")) == 20


def test_a_relative_folder_is_found_below_the_data_root(photographs, monkeypatch):
    monkeypatch.setenv("ATLPA_DATA_ROOT", str(photographs.parent))
    assert Folder(root=photographs.name).index().classes == ("cat", "dog")


@pytest.mark.parametrize("place", range(0, 7000, 500))
def test_a_damaged_byte_of_the_splits_is_said_or_harmless(flowers, place):
    path = flowers / "flowers17" / "datasplits.mat"
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 0xFF
    path.write_bytes(content)
    with suppress(UserError):
        assert len(Flowers17(root=str(flowers)).index().items("train")) > 0


def test_32_bit_pixels_have_no_known_range(tmp_path):
    Image.fromarray(np.full((5, 4), 0.5, np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(UserError, match=r"float\.tiff is no readable image \(32-bit pixels of an unknown range"):
        read_picture(tmp_path / "float.tiff")


def test_an_unreadable_image_is_named(photographs):
    broken = photographs / "cat" / "broken.jpg"
    broken.write_text("not an image")
    index = Folder(root=str(photographs)).index()
    (item,) = [item for items in index.parts.values() for item in items if item.name == "cat/broken.jpg"]
    with pytest.raises(UserError, match=r"broken\.jpg is no readable image"):
        item.open()


def test_any_picture_becomes_upright_8_bit_rgb(tmp_path):
    def read(picture, name="picture.png", **options):
        picture.save(tmp_path / name, **options)
        return np.asarray(read_picture(tmp_path / name))

    def plain(*pixel):
        return np.full((5, 4, 3), pixel)

    size = 4, 5
    assert (read(Image.new("L", size, 7)) == 7).all()
    assert (read(Image.new("1", size, 1)) == 255).all()
    levels = np.tile(np.array([0, 257 * 100, 257 * 101 + 100, 65535], np.uint16), (5, 1))
    assert read(Image.fromarray(levels))[2].tolist() == [[0] * 3, [100] * 3, [101] * 3, [255] * 3]
    assert (read(Image.new("RGBA", size, (10, 20, 30, 0))) == 255).all()
    assert (read(Image.new("RGBA", size, (10, 20, 30, 255))) == plain(10, 20, 30)).all()
    assert (read(Image.new("LA", size, (9, 255))) == 9).all()
    palette = Image.new("P", size, 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert (read(palette) == plain(10, 20, 30)).all()
    assert np.abs(read(Image.new("CMYK", size, (255, 0, 0, 0)), "ink.jpg").astype(int) - plain(0, 255, 255)).max() < 5
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90°
    assert np.shape(read(Image.new("RGB", size), "turned.jpg", exif=turned)) == (4, 5, 3)


def test_a_data_set_has_a_digest(photographs):
    index = Folder(root=str(photographs)).index()
    assert index.digest == Folder(root=str(photographs)).index().digest
    assert index.digest != Folder(root=str(photographs), split_seed=1).index().digest
    (photographs / "cat" / "0.png").rename(photographs / "dog" / "new.png")
    assert index.digest != Folder(root=str(photographs)).index().digest


def test_a_crop_must_fit():
    with pytest.raises(ValueError, match="resize 32 is smaller than size 64"):
        Digits(resize=32, size=64)


def test_parts_of_another_name_are_not_taken_for_classes(photographs, tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    for part in ("learning", "judging"):
        shutil.copytree(photographs, root / part)
    with pytest.raises(UserError, match=r"judging.*hold the same folders .*'cat', 'dog'.*name the parts train/"):
        Folder(root=str(root)).index()


def test_a_class_may_have_folders_of_its_own(photographs):
    """The same in each, beside a picture; or others in each."""
    for name in ("cat", "dog"):
        for folder in ("indoors", "outdoors"):
            (photographs / name / folder).mkdir()
    files = sorted((photographs / "dog").glob("*.*"))
    for file in files:
        file.rename(photographs / "dog" / "indoors" / file.name)
    assert len(Folder(root=str(photographs)).index().items("test")) == 4
    (photographs / "cat" / "outdoors").rename(photographs / "cat" / "abroad")
    for file in sorted((photographs / "cat").glob("*.*")):
        file.rename(photographs / "cat" / "abroad" / file.name)
    assert len(Folder(root=str(photographs)).index().items("test")) == 4
