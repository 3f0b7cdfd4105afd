"""The field's own data sets through torchvision, from files in their published layouts written here."""

import hashlib
import pickle
from collections import Counter

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat

from atlpa.data import Cifar, Flowers102, StanfordCars
from atlpa.errors import UserError


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Fifty training and ten test pictures of CIFAR-10, each of the color of its number."""
    kind = torchvision.datasets.CIFAR10
    base = tmp_path / kind.base_folder
    base.mkdir()

    def write(name, content):
        (base / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((base / name).read_bytes()).hexdigest()]

    def batch(numbers):
        pixels = np.concatenate([np.full((1, 3072), number, np.uint8) for number in numbers])
        return {"data": pixels, "labels": [number % 10 for number in numbers]}

    train = [write(f"data_batch_{n + 1}", batch(range(10 * n, 10 * n + 10))) for n in range(5)]
    test = write("test_batch", batch(range(100, 110)))
    key, md5 = write("batches.meta", {"label_names": list("abcdefghij")})
    monkeypatch.setattr(kind, "train_list", train)
    monkeypatch.setattr(kind, "test_list", [test])
    monkeypatch.setattr(kind, "meta", {"filename": key, "key": "label_names", "md5": md5})
    return tmp_path


def test_cifar(cifar):
    index = Cifar(name="cifar10", root=str(cifar)).index()
    assert index.classes == tuple("abcdefghij")
    assert {part: len(items) for part, items in index.parts.items()} == {"train": 40, "validation": 10, "test": 10}
    for item in index.items("train", "validation", "test"):
        color = np.asarray(item.open())
        assert color.shape == (32, 32, 3)
        assert color.min() == color.max()
        assert color[0, 0, 0] % 10 == item.label
    assert len({item.name for part in index.parts.values() for item in part}) == 60


def test_cifar_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no cifar100 in .*atlpa-data fetch cifar100"):
        Cifar(name="cifar100", root=str(tmp_path)).index()


def test_flowers102(tmp_path, monkeypatch):
    base = tmp_path / "flowers-102"
    (base / "jpg").mkdir(parents=True)
    for number in range(1, 7):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(base / "jpg" / f"image_{number:05d}.jpg")
    savemat(base / "imagelabels.mat", {"labels": np.array([1, 2, 1, 2, 1, 2])})
    savemat(base / "setid.mat", {"trnid": np.array([1, 2]), "valid": np.array([3, 4]), "tstid": np.array([6, 5])})
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_check_integrity", lambda _: True)
    index = Flowers102(root=str(tmp_path)).index()
    assert {part: [(item.name, item.label) for item in items] for part, items in index.parts.items()} == {
        "train": [("image_00001.jpg", 0), ("image_00002.jpg", 1)],
        "validation": [("image_00003.jpg", 0), ("image_00004.jpg", 1)],
        "test": [("image_00006.jpg", 1), ("image_00005.jpg", 0)],
    }
    assert index.items("test")[0].open().size == (8, 8)


def test_stanford_cars(tmp_path):
    base = tmp_path / "stanford_cars"
    (base / "devkit").mkdir(parents=True)
    fields = [("fname", object), ("class", object)]

    def annotate(path, images, rows):
        images.mkdir()
        annotations = np.zeros((1, len(rows)), dtype=fields)
        for number, row in enumerate(rows):
            annotations[0, number] = row
            Image.new("RGB", (8, 8)).save(images / row[0])
        savemat(path, {"annotations": annotations})

    train = [(f"{n:05d}.jpg", 1 + n % 2) for n in range(20)]
    annotate(base / "devkit" / "cars_train_annos.mat", base / "cars_train", train)
    annotate(base / "cars_test_annos_withlabels.mat", base / "cars_test", train[:4])
    names = np.empty((1, 2), object)
    names[0] = ["Audi", "BMW"]
    savemat(base / "devkit" / "cars_meta.mat", {"class_names": names})
    index = StanfordCars(root=str(tmp_path)).index()
    assert index.classes == ("Audi", "BMW")
    assert Counter(item.label for item in index.items("train")) == {0: 9, 1: 9}
    assert Counter(item.label for item in index.items("validation")) == {0: 1, 1: 1}
    assert [item.label for item in index.items("test")] == [0, 1, 0, 1]
    assert index.items("test")[0].open().size == (8, 8)
