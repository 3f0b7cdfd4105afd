"""Block shuffle and rotation by its geometry: rectangles that moved, ramps that turned."""

import math

import pytest
import torch

from atlpa.attacks.block_shuffle import block_shuffle
from atlpa.randomness import generator


def generators(count, first=0):
    return [generator(0, "test", first + number) for number in range(count)]


def coordinates(height, width):
    """An image whose first two channels say where each pixel is; the third is white."""
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([down, right, torch.ones_like(down)]).double()


def breaks(places):
    """How often what lies side by side was not so before."""
    return int((places.diff() != 1).sum())


@pytest.mark.parametrize(("height", "width", "blocks"), [(30, 30, 3), (24, 40, 3), (24, 40, 2), (7, 5, 4), (9, 9, 1)])
def test_without_rotation_strips_and_their_blocks_change_places(height, width, blocks):
    """Every pixel is there once. Strips are whole rows or columns, at most n of them; so are the blocks of each."""
    image = coordinates(height, width)
    in_rows = []
    for found in block_shuffle(image.expand(20, -1, -1, -1), blocks, 0.0, generators(20)):
        torch.testing.assert_close(found, found.round(), atol=1e-9, rtol=0)
        down, right, _ = found.round().long()
        assert torch.equal((down * width + right).flatten().sort().values, torch.arange(height * width))
        in_rows.append(bool((down == down[:, :1]).all()))
        across, along = (down, right) if in_rows[-1] else (right.T, down.T)
        assert (across == across[:, :1]).all()
        assert breaks(across[:, 0]) < blocks
        assert all(breaks(row) < blocks for row in along)
        assert (along.diff(dim=0) != 0).any(dim=1).sum() < blocks  # blocks are as thick as their strip
    if blocks > 1:
        assert 0 < sum(in_rows) < 20


def test_sizes_and_places_are_random():
    image = coordinates(30, 30)
    one, other = block_shuffle(image.expand(2, -1, -1, -1), 3, 0.0, generators(2))
    assert not torch.equal(one, other)
    assert not torch.equal(one, image)


def test_one_block_turns_about_its_middle_by_at_most_the_angle():
    """A ramp stays a ramp under rotation and interpolation, so that its slope tells the angle; corners become black."""
    image = coordinates(33, 41)
    turned = block_shuffle(image.expand(200, -1, -1, -1), 1, 24.0, generators(200))
    angles = []
    for found in turned:
        center = found[:, 16, 20]
        torch.testing.assert_close(center, torch.tensor([16.0, 20, 1], dtype=torch.float64), atol=1e-9, rtol=0)
        down, right = found[0, 17, 20] - found[0, 16, 20], found[0, 16, 21] - found[0, 16, 20]
        assert math.hypot(down, right) == pytest.approx(1)
        angles.append(math.degrees(math.atan2(right, down)))
        middle = found[2, 10:23, 12:29]
        torch.testing.assert_close(middle, torch.ones_like(middle), atol=1e-9, rtol=0)
    assert 22 < max(angles) <= 24
    assert -24 <= min(angles) < -22
    assert abs(sum(angles) / 200) < 4 * 24 / math.sqrt(3 * 200)
    corners = turned[:, 2, [0, 0, -1, -1], [0, -1, 0, -1]]
    steep = torch.tensor([abs(angle) > 5 for angle in angles])
    assert corners[steep].max() == 0


def test_blocks_turn_each_by_its_own_angle():
    """In the middle of each of the four blocks stands a ramp, and their slopes differ."""
    (found,) = block_shuffle(coordinates(60, 60)[None], 2, 24.0, generators(1))
    slopes = (found[0, 1:, :-1] - found[0, :-1, :-1]).where(found[2, 1:, :-1] == 1, torch.nan)
    inside = (found[2] - 1).abs() < 1e-9
    assert 0.7 < inside.double().mean() < 1
    common = slopes[~slopes.isnan()].mul(1e6).round().div(1e6)
    values, counts = common.unique(return_counts=True)
    assert (counts > 150).sum() == 4
    assert values[counts > 150].min() > math.cos(math.radians(24)) - 1e-6


def test_an_image_does_not_notice_its_batch():
    images = torch.rand(9, 3, 20, 20, dtype=torch.float64)
    whole = block_shuffle(images, 3, 24.0, generators(9))
    alone = block_shuffle(images[4:6], 3, 24.0, generators(2, first=4))
    assert torch.equal(alone, whole[4:6])


def test_its_gradient_goes_back_to_where_pixels_come_from():
    """Unturned, every pixel of the image is shown once, so that the sum of what is shown has slope 1 everywhere."""
    image = torch.rand(3, 3, 16, 24, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(3, 3, 16, 24, dtype=torch.float64)
    shown = block_shuffle(image, 3, 0.0, generators(3))
    (slope,) = torch.autograd.grad((weight * shown).sum(), image)
    moved = block_shuffle(weight, 3, 0.0, generators(3))
    torch.testing.assert_close(slope.flatten(2).sort(2).values, moved.flatten(2).sort(2).values, atol=1e-9, rtol=0)
    torch.testing.assert_close((slope * image).sum(), (weight * shown).sum())
