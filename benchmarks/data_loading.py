"""What data costs: waiting in a training step, images a second beside torchvision, memory while streaming.

    python benchmarks/data_loading.py --data-root DIR        # DIR holds flowers17/

Contestants take turns in one process; medians with the smallest and largest of the rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from atlpa.component import validate
from atlpa.data import Augmentation, Batches, Flowers17, Folder, Mix, ResizedCrop, load_images
from atlpa.defenses import Defense, load_preset
from atlpa.machine import describe, pick_device
from atlpa.models import ModelSpec
from atlpa.training import Recipe
from atlpa.training.step import training_step

BATCH, RESIZE, SIZE = 16, 73, 64


def spread(numbers: list[float], digits: int = 0) -> str:
    """Median with the extremes."""
    low, middle, high = min(numbers), statistics.median(numbers), max(numbers)
    return f"{middle:.{digits}f} ({low:.{digits}f} … {high:.{digits}f})"


def rate(batches: Iterable[object], count: int) -> float:
    """Images a second over some batches, the first of which is not counted."""
    source = iter(batches)
    next(source)
    began = time.perf_counter()
    for _ in islice(source, count):
        pass
    return count * BATCH / (time.perf_counter() - began)


def loaders(root: str, folder: Path, device: torch.device) -> dict[str, Callable[[], float]]:
    """Contestants by name: each loads the same photographs, resized, mirrored and cropped at random."""
    items = Flowers17(root=root).index().items("train")
    for item in items:
        place = folder / str(item.label)
        place.mkdir(exist_ok=True)
        os.symlink(Path(item.content).absolute(), place / item.content.name)
    steps = [
        transforms.Resize((RESIZE, RESIZE)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomCrop(SIZE),
        transforms.ToTensor(),
    ]
    theirs = DataLoader(
        datasets.ImageFolder(str(folder), transforms.Compose(steps)),
        BATCH,
        shuffle=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        drop_last=True,
    )
    ours = Batches(load_images(items, RESIZE, device), BATCH, SIZE, True, 0, device)
    streamed = Batches(_streamed(items), BATCH, SIZE, True, 0, device)
    return {
        "atlpa, cached": lambda: rate(ours.from_step(0, 401), 400),
        "atlpa, streamed": lambda: rate(streamed.from_step(0, 31), 30),
        "torchvision ImageFolder + DataLoader": lambda: rate(theirs, 30),
    }


def _streamed(items):
    from atlpa.data.images import Streamed

    return Streamed(items, RESIZE)


AUGMENTATIONS = {
    "none": Augmentation(),
    "resized crop": Augmentation(resized_crop=ResizedCrop(scale=(0.25, 1))),
    "TrivialAugment": Augmentation(trivial_augment=True),
    "CutMix": Augmentation(mix=Mix(method="cutmix")),
    "MixUp": Augmentation(mix=Mix(method="mixup")),
    "resized crop, TrivialAugment, CutMix": Augmentation(
        resized_crop=ResizedCrop(scale=(0.25, 1)), trivial_augment=True, mix=Mix(method="cutmix")
    ),
}


def augmenting(root: str, device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of processor time an image of each augmentation, in turn: what a thread beside training needs."""
    images = load_images(Flowers17(root=root).index().items("train"), RESIZE, device)
    made = {
        name: Batches(images, BATCH, SIZE, True, 0, device, augmentation=augmentation, classes=17)
        for name, augmentation in AUGMENTATIONS.items()
    }
    found: dict[str, list[float]] = {name: [] for name in made}
    for number in range(rounds):
        for name, batches in made.items():
            began = time.process_time()
            for step in range(20 * number, 20 * number + 20):
                batches.at(step)
            found[name].append(1000 * (time.process_time() - began) / 20 / BATCH)
    return found


def waiting(root: str, device: torch.device, steps: int) -> float:
    """Share of the time of plain training steps of a ResNet-18 that goes by until the next batch is there."""
    items = Flowers17(root=root).index().items("train")
    batches = Batches(load_images(items, RESIZE, device), BATCH, SIZE, True, 0, device)
    model = ModelSpec(architecture="resnet18", weights="none").build(17, seed=0).to(device)
    defense, recipe = validate(Defense, load_preset("none").fields), Recipe()
    optimizer = recipe.make_optimizer(model)
    source, waited = batches.from_step(0, steps + 3), 0.0
    for number in range(steps + 3):
        if number == 3:
            began, waited = time.perf_counter(), 0.0
        asked = time.perf_counter()
        images, labels = next(source)
        waited += time.perf_counter() - asked
        training_step(model, defense, recipe.attack, optimizer, images, labels)
        if device.type == "cuda":
            torch.cuda.synchronize()
    return waited / (time.perf_counter() - began)


def streaming_memory(count: int, side: int = 400) -> list[tuple[int, float]]:
    """Peak memory in MB after parts of an epoch over generated files, too many to be held decoded."""
    with tempfile.TemporaryDirectory() as scratch:
        draw = np.random.default_rng(0)
        for number in range(count):
            place = Path(scratch, str(number % 10))
            place.mkdir(exist_ok=True)
            Image.fromarray(draw.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(place / f"{number}.png")
        items = Folder(root=scratch).index().items("train", "validation", "test")
        images = load_images(items, side, torch.device("cpu"))
        batches, found = Batches(images, BATCH, side - 16, True, 0, torch.device("cpu")), []
        for step, _ in enumerate(batches.from_step(0, count // BATCH), 1):
            if step in (count // BATCH // 10, count // BATCH // 2, count // BATCH):
                found.append((step * BATCH, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True, help="the folder that holds flowers17/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--images", type=int, default=10_000, help="generated images for the memory measurement")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    machine = describe(device)
    print(f"{machine.device}, {machine.threads} thread(s), torch {machine.torch}\n")

    memory = streaming_memory(arguments.images)
    with tempfile.TemporaryDirectory() as scratch:
        contestants = loaders(arguments.data_root, Path(scratch), device)
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(arguments.rounds):
            for name, contestant in contestants.items():
                rates[name].append(contestant())
    costs = augmenting(arguments.data_root, device, arguments.rounds)
    shares = [100 * waiting(arguments.data_root, device, 40) for _ in range(arguments.rounds)]

    print(f"| Flowers-17, {RESIZE} → {SIZE} px, batches of {BATCH} | images/s |\n| --- | ---: |")
    for name, numbers in rates.items():
        print(f"| {name} | {spread(numbers)} |")
    print(f"\n| augmentation, {RESIZE} → {SIZE} px | processor ms an image |\n| --- | ---: |")
    for name, numbers in costs.items():
        print(f"| {name} | {spread(numbers, 3)} |")
    print(f"\nshare of a training step (none, ResNet-18, {SIZE} px) spent waiting for data: {spread(shares, 2)} %")
    print(f"\n| images streamed of {arguments.images} generated ones | peak memory, MB |\n| ---: | ---: |")
    for count, megabytes in memory:
        print(f"| {count} | {megabytes:.0f} |")


if __name__ == "__main__":
    main()
