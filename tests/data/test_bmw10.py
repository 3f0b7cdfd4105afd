"""BMW-10's published layout, on the real photographs that are at hand with an annotation file written here."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from atlpa.data import BMW10, load_masks
from atlpa.data.masks import INSIDE, OUTSIDE
from atlpa.errors import UserError
from tests.data.bmw10_release import annotate, release_photographs


@pytest.fixture
def release(tmp_path):
    """Three folders whose numbers are not the classes; a file name ends in a newline, one ending is odd."""
    base = tmp_path / "bmw10_release"
    rows = []
    for folder, label in ((1, 2), (10, 1), (11, 3)):
        (base / "bmw10_ims" / str(folder)).mkdir(parents=True)
        for number in range(5):
            name = f"{folder}/{number}" + (".thumb.jpg" if number == 1 else ".jpeg" if number == 2 else ".jpg")
            Image.new("RGB", (40, 20), (10 * folder, 0, 0)).save(base / "bmw10_ims" / name)
            rows.append((name + "\n" * (number == 3), label, 11, 30, 5, 10, 20, 40))
    annotate(base, rows, train=[*range(1, 5), *range(6, 10), *range(11, 15)], test=[5, 10, 15])
    return tmp_path


def test_labels_come_from_the_annotations(release):
    index = BMW10(root=str(release)).index()
    assert index.classes == ("class 1", "class 2", "class 3")
    items = {item.name: item for part in index.parts.values() for item in part}
    assert len(items) == 15
    assert {name.split("/")[0]: item.label for name, item in items.items()} == {"1": 1, "10": 0, "11": 2}
    assert items["1/3.jpg"].open().size == (40, 20)  # the newline is gone
    assert {item.name for item in index.items("test")} == {"1/4.jpg", "10/4.jpg", "11/4.jpg"}
    assert {part: len(found) for part, found in index.parts.items()} == {"train": 9, "validation": 3, "test": 3}
    assert sorted(item.label for item in index.items("validation")) == [0, 1, 2]


def test_boxes_are_key_regions(release):
    index = BMW10(root=str(release)).index()
    mask = index.items("test")[0].mask((40, 20))
    expected = np.full((20, 40), OUTSIDE)
    expected[4:10, 10:30] = INSIDE  # columns 11 … 30 and rows 5 … 10, counted from 1
    assert np.array_equal(mask, expected)
    assert load_masks(index.items("test"), 20).float().mean() == pytest.approx(6 * 20 / 800)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda base: (base / "bmw10_ims" / "11" / "2.jpeg").unlink(), r"names 11/2\.jpeg, which .*bmw10_ims does not"),
        (lambda base: (base / "bmw10_annos.mat").write_text("<html>"), "holds no annotations of BMW-10"),
        (
            lambda base: annotate(base, [("1/0.jpg", 1, 1, 2, 1, 2, 20, 40)], [1], [2]),
            "test_indices names image 2 of 1",
        ),
        (lambda base: annotate(base, [("1/0.jpg", 0, 1, 2, 1, 2, 20, 40)] * 2, [1], [2]), r"1/0\.jpg has class 0"),
        (lambda base: annotate(base, [("1/0.jpg", 11, 1, 2, 1, 2, 20, 40)], [1], [1]), "training and in the test part"),
        (
            lambda base: annotate(base, [("1/0.jpg", 11, 1, 2, 1, 2, 20, 40)] * 2, [1], [2]),
            r"has class 11; the classes are 1",
        ),
        (lambda base: savemat(base / "bmw10_annos.mat", {"annos": 1}), "holds no annotations of BMW-10"),
    ],
)
def test_what_is_wrong_with_a_release_is_said(release, change, message):
    change(release / "bmw10_release")
    with pytest.raises(UserError, match=message):
        BMW10(root=str(release)).index()


def test_no_release(tmp_path):
    with pytest.raises(UserError, match=r"no BMW-10 in .*bmw10_annos\.mat.*atlpa-data fetch bmw10"):
        BMW10(root=str(tmp_path)).index()


def test_the_real_photographs(data_root, tmp_path):
    rows = release_photographs(data_root, tmp_path)
    assert len(rows) == 151
    index = BMW10(root=str(tmp_path)).index()
    items = [item for part in index.parts.values() for item in part]
    assert Counter(item.label for item in items) == {0: 49, 1: 50, 2: 52}
    assert {item.name for item in items} == {row[0] for row in rows}
    masks = load_masks(index.items("test")[:5], 16)  # boxes on the left half
    assert (masks[..., :7] == INSIDE).all()
    assert (masks[..., 9:] == OUTSIDE).all()
