"""Memory that does not hold a batch: half of it is tried, with the same result, and it is said once."""

import pytest
import torch
from torch import nn

from atlpa import PGD, Square, evaluate, out_of_memory
from atlpa.errors import UserError
from atlpa.out_of_memory import is_out_of_memory

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class Small(nn.Module):
    """A linear model in the memory of a device that holds only so many images."""

    def __init__(self, holds, error=CUDA):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.holds, self.error, self.refused = nn.Linear(3 * 8 * 8, 5), holds, error, 0

    def forward(self, images):
        if len(images) > self.holds:
            self.refused += 1
            raise self.error
        return self.layer(images.flatten(1))


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(out_of_memory, "_fitting", [])


def data(count=50):
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, 8, 8, generator=draw)
    return images, Small(count)(images).argmax(dim=1)


ATTACKS = {
    "step by step": PGD(0.02, 0.005, 5, start="uniform"),
    "in half precision": PGD(0.02, 0.005, 5, precision="bf16"),
    "not stepwise": PGD(0.02, 0.005, 5, momentum=1.0),
    "without gradients": Square(0.1, 20),
}


@pytest.mark.parametrize("transferred", [False, True], ids=["white-box", "transfer"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("holds", [2, 7, 64])
def test_the_result_is_that_of_enough_memory(holds, attack, transferred, caplog):
    images, labels = data()
    source = Small(64) if transferred else None
    expected = evaluate(Small(64), images, labels, attack, source=source)
    small, small_source = Small(holds), Small(holds)
    found = evaluate(small, images, labels, attack, source=source and small_source)
    assert torch.equal(found.clean, expected.clean)
    assert torch.equal(found.robust, expected.robust)
    assert torch.equal(found.perturbation.linf, expected.perturbation.linf)
    assert 0 < expected.robust.float().mean() < 1
    said = [record.message for record in caplog.records if record.name == "atlpa.memory"]
    assert len(said) == (holds < 64)
    assert bool(small.refused + small_source.refused) == (holds < 50)


@pytest.mark.parametrize(
    "error",
    [
        CUDA,
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_every_kind_of_it(error):
    images, labels = data()
    small = Small(3, error)
    assert evaluate(small, images, labels, PGD(0.02, 0.005, 5)).clean.all()
    assert small.refused


def test_other_errors_are_raised_as_they_are():
    images, labels = data()
    with pytest.raises(RuntimeError, match="no kernel"):
        evaluate(Small(3, RuntimeError("no kernel")), images, labels, PGD(0.02, 0.005, 5))


def test_a_single_image_that_does_not_fit_is_said_so():
    images, labels = data(4)
    with pytest.raises(UserError, match=r"memory does not hold two images \(CUDA out of memory"):
        evaluate(Small(0), images, labels, PGD(0.02, 0.005, 5))
    with pytest.raises(UserError, match=r"memory does not hold a single image \(CUDA out of memory"):
        list(out_of_memory.in_parts(4, 4, lambda rows: Small(0)(images[rows])))


def test_what_was_found_is_known_for_the_rest():
    images, labels = data()
    small = Small(7)
    evaluate(small, images, labels, PGD(0.02, 0.005, 5))
    refused = small.refused
    evaluate(small, images, labels, PGD(0.02, 0.005, 5))
    assert small.refused == refused


def test_the_words_of_torch_on_the_cpu():
    """An allocation that no machine can serve."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
