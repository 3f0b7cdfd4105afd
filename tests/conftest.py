"""What several tests need: a small network, real data where there is some, a tiny trained set of runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from atlpa.experiment import load
from atlpa.runs import Run, train_run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture
def small_cnn() -> nn.Module:
    """A float64 CNN with BatchNorm and dropout, in training mode, with statistics that are not the initial ones."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(8 * 49, 5),
    ).double()
    model(torch.rand(32, 3, 16, 16, dtype=torch.float64))
    return model


@pytest.fixture
def images() -> torch.Tensor:
    """Twelve random float64 images ``(12, 3, 16, 16)`` in [0, 1]."""
    return torch.rand(12, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels() -> torch.Tensor:
    """A class of five for each of the images."""
    return torch.randint(5, (12,), generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the real data sets; tests that need it are skipped where there is none."""
    root = os.environ.get("ATLPA_DATA_ROOT")
    if not root:
        pytest.skip("ATLPA_DATA_ROOT is unset: no real data here")
    return Path(root)


@pytest.fixture(scope="session", autouse=True)
def _commands_on_the_path() -> Iterator[None]:
    """``atlpa-train`` and ``atlpa-eval`` of the environment that runs the tests, whether activated or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session", autouse=True)
def _signals_reach_processes() -> None:
    """A shell starts background jobs deaf to Ctrl-C, and ``nohup`` all to a closed terminal; children inherit that."""
    for number, heard in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, heard)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images go to a folder of this session, not to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLPA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


TINY = [("training.iterations", 3), ("training.batch_size", 4), ("training.log_every", 1), ("final", True)]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Train a digits network for three iterations, once a session for each defense and architecture."""
    folder = tmp_path_factory.mktemp("runs")
    made: dict[str, Run] = {}

    def make(defense: str = "none", architecture: str = "resnet18") -> Run:
        name = f"{defense}-{architecture}"
        if name not in made:
            changes = [
                ("defense", defense),
                ("model.architecture", architecture),
                ("output", str(folder / name)),
            ]
            made[name] = train_run(load("digits", [*changes, *TINY]), say=lambda _: None)
        return made[name]

    return make
