"""The cache of decoded images: keyed by content, whole or not there, and never needed."""

import numpy as np
import pytest
import torch
from PIL import Image

from atlpa.data import Item, load_images
from atlpa.data.decode import decode_image

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLPA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path):
    """Five picture files, and a count of how often one was decoded."""
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        Image.new("RGB", (20, 10), (number, 50, 100)).save(path)
    return paths


@pytest.fixture
def decoded(monkeypatch):
    opened = []
    monkeypatch.setattr(
        "atlpa.data.index.decode_image", lambda content: opened.append(content) or decode_image(content)
    )
    return opened


def load(paths, side=8):
    images = load_images([Item(path.name, 0, path) for path in paths], side, CPU)
    return images[torch.arange(len(paths))]


def test_images_are_decoded_once(cache, files, decoded):
    first = load(files)
    assert len(decoded) == 5
    assert torch.equal(load(files), first)
    assert len(decoded) == 5
    assert [path.stat().st_size for path in cache.iterdir()] == [5 * 3 * 8 * 8 + 32]


def test_other_content_size_or_order_is_another_entry(cache, files, decoded):
    load(files)
    load(files, side=16)
    load(files[::-1])
    assert len(decoded) == 15
    Image.new("RGB", (20, 10), (200, 0, 0)).save(files[2])
    assert load(files)[2, 0, 0, 0] == 200
    assert len(decoded) == 20
    renamed = files[0].rename(files[0].with_name("renamed.png"))
    load([renamed, *files[1:]])
    assert len(decoded) == 20


def test_a_cut_off_entry_is_made_anew(cache, files, decoded):
    whole = load(files)
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert torch.equal(load(files), whole)
    assert len(decoded) == 10


def test_what_is_written_to_the_images_stays_out_of_the_file(cache, files):
    load(files)
    images = load_images([Item(path.name, 0, path) for path in files], 8, CPU)
    images.pixels.zero_()
    assert load(files).any()


def test_without_a_cache_it_works_too(tmp_path, files, monkeypatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("ATLPA_CACHE", str(tmp_path / "a file" / "cache"))
    assert load(files)[3, 0, 0, 0] == 3


def test_pixels_are_cached_by_content_too(cache):
    one, other = (np.full((8, 8), value, np.uint8) for value in (1, 2))
    for pixels in (one, other):
        assert (load_images([Item("same", 0, pixels)], 8, CPU)[torch.tensor([0])] == int(pixels[0, 0])).all()
