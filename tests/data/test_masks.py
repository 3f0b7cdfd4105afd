"""Key regions: what is known, what is not, and that they stay with their image."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat

from atlpa.data import Batches, Digits, Flowers17, Folder, Item, load_images, load_masks
from atlpa.data.images import InMemory
from atlpa.data.masks import INSIDE, OUTSIDE, UNKNOWN, Box, MaskFile, Trimap
from atlpa.errors import UserError

CPU = torch.device("cpu")


def test_trimap_values(tmp_path):
    labels = np.array([[0, 1, 2], [3, 4, 1]], np.uint8)
    Image.fromarray(labels).save(tmp_path / "trimap.png")
    expected = [[UNKNOWN, INSIDE, OUTSIDE], [OUTSIDE, OUTSIDE, INSIDE]]
    assert Trimap(tmp_path / "trimap.png")((3, 2)).tolist() == expected


def test_mask_file_is_black_and_white(tmp_path):
    Image.fromarray(np.array([[0, 100, 200, 255]], np.uint8)).save(tmp_path / "mask.png")
    assert MaskFile(tmp_path / "mask.png")((4, 1)).tolist() == [[OUTSIDE, OUTSIDE, INSIDE, INSIDE]]


def test_a_mask_of_16_bits_and_one_that_is_to_be_turned(tmp_path):
    Image.fromarray(np.array([[300, 40_000]], np.uint16)).save(tmp_path / "deep.png")
    assert MaskFile(tmp_path / "deep.png")((2, 1)).tolist() == [[OUTSIDE, INSIDE]]
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down, as its image would be
    Image.fromarray(np.array([[255, 255], [0, 0]], np.uint8)).save(tmp_path / "turned.png", exif=exif)
    assert MaskFile(tmp_path / "turned.png")((2, 2)).tolist() == [[OUTSIDE] * 2, [INSIDE] * 2]


def test_a_mask_of_another_size_or_none_at_all(tmp_path):
    Image.new("L", (4, 5)).save(tmp_path / "mask.png")
    Image.new("RGB", (4, 5)).save(tmp_path / "color.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match=r"mask\.png is 4×5, its image 5×4"):
        MaskFile(tmp_path / "mask.png")((5, 4))
    with pytest.raises(UserError, match=r"color\.png is 4×5 in color"):
        Trimap(tmp_path / "color.png")((4, 5))
    with pytest.raises(UserError, match=r"text\.png is no readable image"):
        Trimap(tmp_path / "text.png")((4, 5))


def test_a_box_beyond_the_picture_is_cut():
    assert Box(-3, 2, 99, 3)((4, 4)).tolist() == [[0] * 4, [1] * 4, [1] * 4, [0] * 4]


def test_no_mask_is_unknown_not_outside():
    items = [Item("a", 0, np.zeros((8, 8, 3), np.uint8)), Item("b", 0, np.zeros((8, 8, 3), np.uint8), Box(1, 1, 4, 8))]
    unknown, half = load_masks(items, 4)
    assert (unknown == UNKNOWN).all()
    assert half.tolist() == [[1, 1, 0, 0]] * 4


def test_digits_ink():
    items = Digits().index().items("test")[:50]
    masks, pictures = load_masks(items, 8), load_images(items, 8, CPU)[torch.arange(50)]
    assert ((masks == INSIDE) == (pictures[:, 0] >= 4 * 255 / 16 - 1)).all()
    assert 0.2 < (masks == INSIDE).float().mean() < 0.6


@pytest.mark.parametrize("mirror", [True, False])
def test_masks_are_cropped_and_mirrored_as_their_images(mirror):
    """An image that shows its own mask still does after augmentation."""
    masks = torch.randint(2, (10, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batches = Batches(InMemory((masks * 255)[:, None].repeat(1, 3, 1, 1), torch.arange(10)), 6, 8, mirror, 0, CPU)
    for step in range(4):
        pictures, _ = batches.at(step)
        assert torch.equal(pictures[:, 1].byte(), batches.masks_at(step, masks))


def test_masks_and_images_are_resized_alike():
    """A bright square lights the same place in its mask, at any size."""
    picture = np.zeros((90, 60, 3), np.uint8)
    picture[30:60, 20:50] = 255
    item = Item("square", 0, picture, Box(21, 31, 50, 60))
    for side in (16, 30, 64):
        shown = load_images([item], side, CPU)[torch.tensor([0])][0, 0] > 127
        assert (shown != (load_masks([item], side)[0] == INSIDE)).float().mean() < 0.05


def test_folder_masks(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "masks" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (12, 9), number).save(tmp_path / "photos" / name / f"{number}.jpg")
    Image.new("L", (12, 9), 255).save(tmp_path / "masks" / "cat" / "3.png")
    folder = Folder(root=str(tmp_path / "photos"), masks=str(tmp_path / "masks"))
    masked = {item.name: item.mask for part in folder.index().parts.values() for item in part if item.mask}
    assert list(masked) == ["cat/3.jpg"]
    assert (masked["cat/3.jpg"]((12, 9)) == INSIDE).all()
    with pytest.raises(UserError, match=r"holds no mask of any image; expected for example .*\.png"):
        Folder(root=str(tmp_path / "photos"), masks=str(tmp_path / "nowhere")).index()


def test_real_trimaps(data_root):
    listed = set(loadmat(data_root / "flowers17" / "trimaps" / "imlist.mat")["imlist"].ravel().tolist())
    items = [item for part in Flowers17(root=str(data_root)).index().parts.values() for item in part]
    assert {int(item.name[-4:]) for item in items if item.mask} == listed
    assert not any(item.mask for item in items if item.label == 13)  # no cowslip has one
    masked = [item for item in items if item.mask][::100]
    masks = load_masks(masked, 64)
    assert set(masks.unique().tolist()) == {OUTSIDE, INSIDE, UNKNOWN}
    assert ((masks == INSIDE).float().mean(dim=(1, 2)) > 0).all()
