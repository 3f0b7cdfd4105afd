"""How often an evaluation waits for the device, on a device that counts."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from atlpa.attacks import PGD
from atlpa.data.images import InMemory
from atlpa.evaluation.white_box import white_box
from atlpa.randomness import generator

AFAR = torch.device("meta")
aten = torch.ops.aten
READ = (aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal)
INDEXED = (aten.index, aten.index_put, aten.index_put_)


class Far(Tensor):
    """Says that it lies on another device; its numbers are on the CPU."""

    @staticmethod
    def __new__(cls, near):
        return Tensor._make_wrapper_subclass(
            cls, near.shape, strides=near.stride(), dtype=near.dtype, device=AFAR, requires_grad=near.requires_grad
        )

    def __init__(self, near):
        self.near = near

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return execute(func, args, kwargs or {}, [])


def execute(func, args, kwargs, waits):
    """One operation of torch, and whether CUDA would make the caller wait for all that it was given before.

    It waits where a number or a shape is read, for a mask (which is as many as it says), and for every transfer that is
    not told otherwise, also of indices and other tensors that lie on the wrong side.
    """
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    came = any(isinstance(tensor, Far) for tensor in tensors)
    goes = came if kwargs.get("device") is None else torch.device(kwargs["device"]) == AFAR
    packet = func.overloadpacket
    if packet is aten._to_copy:
        if (came and not goes) or (goes and not came and not kwargs.get("non_blocking")):
            waits.append(func)
    elif came and (
        packet in READ
        or any(tensor.ndim and not isinstance(tensor, Far) for tensor in tensors)
        or (packet in INDEXED and any(leaf.dtype == torch.bool for leaf in tree_leaves(args[1])))
    ):
        waits.append(func)
    if goes and "device" in kwargs:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs, target = *tree_map(near, (args, kwargs)), kwargs.get("out", args[0] if args else None)
    result = func(*args, **kwargs)
    if isinstance(target, Far) and result is target.near:
        return target
    return tree_map(lambda part: Far(part) if goes and isinstance(part, Tensor) else part, result)


def near(part):
    return part.near if isinstance(part, Far) else part


class Counted(TorchDispatchMode):
    """Everything inside lies where it is put; ``waits`` are the operations that would have waited."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return execute(func, args, kwargs or {}, self.waits)


def put_afar(model):
    for module in model.modules():
        for name, parameter in module._parameters.items():
            module._parameters[name] = nn.Parameter(Far(parameter.detach()))
    return model


class Network(nn.Module):
    """Counts its forward passes, and what had been waited for at each."""

    def __init__(self, counted):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Softplus(), nn.Flatten(), nn.Linear(6 * 64, 3)).eval()
        self.counted, self.waited = counted, []

    def forward(self, images):
        if self.counted:
            self.waited.append(len(self.counted.waits))
        return self.layers(images)


class Source(torch.Generator):
    """The CPU's numbers, as if they were drawn afar."""

    device = AFAR


def keyed_afar(seed, purpose, *keys, device):
    assert torch.device(device) == AFAR
    return Source().manual_seed(generator(seed, purpose, *keys).initial_seed())


@pytest.fixture
def data():
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (60, 3, 10, 10), generator=draw, dtype=torch.uint8)
    logits = Network(None)(pixels.float() / 255)
    return pixels, torch.where(torch.arange(60) % 7 > 0, logits.argmax(dim=1), 0)


def test_the_counting_device_counts():
    """What torch.cuda.set_sync_debug_mode would report, one by one, and nothing else."""
    with Counted() as counted:
        tensor, index = Far(torch.arange(6.0)), torch.tensor([0, 2])
        for asynchronous in (
            lambda: tensor + 1,
            lambda: tensor[index.to(AFAR, non_blocking=True)],
            lambda: torch.where(tensor > 2, tensor, 0),
            lambda: torch.zeros(3, device=AFAR) + 1,
            lambda: tensor.argsort()[:3],
        ):
            assert isinstance(asynchronous(), Far)
        assert not counted.waits
        for number, waiting in enumerate(
            (
                tensor.cpu,
                lambda: bool((tensor > 7).any()),
                lambda: tensor.max().item(),
                lambda: tensor[tensor > 2],
                lambda: tensor[index],
                lambda: index.to(AFAR),
            ),
            1,
        ):
            waiting()
            assert len(counted.waits) >= number
            del counted.waits[number:]


@pytest.mark.parametrize("start", ["zero", "uniform"])
@pytest.mark.parametrize("batch_size", [7, 64])
def test_one_wait_an_iteration(data, start, batch_size, monkeypatch):
    """Between one forward pass of the attack and the next, whatever falls, leaves, enters or reaches a budget."""
    pixels, labels = data
    attack = PGD(epsilon=0.2, step=0.013, iterations=12, start=start, engine="reference")
    plain = white_box(Network(None), InMemory(pixels, labels), attack, (6, 8, 12), seed=3, batch_size=batch_size)
    monkeypatch.setattr(import_module("atlpa.evaluation.correctness"), "generator", keyed_afar)
    progress = []
    with Counted() as counted:
        network = put_afar(Network(counted))
        afar = InMemory(Far(pixels), labels)
        outcome = white_box(network, afar, attack, (6, 8, 12), seed=3, batch_size=batch_size, progress=progress.append)
    judged = -(-60 // 64)  # batches of clean images
    iterations = network.waited[judged:]
    assert len(iterations) >= 12
    assert torch.tensor(iterations).diff().tolist() == [1] * (len(iterations) - 1)
    assert sum(progress) == 60 * (12 + 1)
    assert torch.equal(outcome.robust, plain.robust)
    assert torch.equal(outcome.clean, plain.clean)
    torch.testing.assert_close(outcome.perturbation.linf, plain.perturbation.linf, rtol=0, atol=0, equal_nan=True)
    standing = outcome.robust[:, 0].sum(dim=1)
    assert 0 < standing[2] < standing[1] < standing[0] < outcome.clean.sum() < 60  # the case is worth counting


@pytest.mark.parametrize(
    "attack",
    [
        PGD(iterations=5, start="uniform"),
        PGD(iterations=5, start="uniform", loss="kl"),
        PGD(iterations=5, loss="dlr", momentum=1.0, diversity=0.5, eot=2),
        PGD(iterations=5, start="uniform", restarts=3),
    ],
    ids=str,
)
def test_the_loop_of_an_attack_never_waits(attack, data):
    """Its images and labels are looked at once, before it begins."""
    pixels, labels = data
    attack = replace(attack, engine="reference")
    images = pixels.float() / 255
    with Counted() as counted:
        adversarial = attack(put_afar(Network(counted)), Far(images), Far(labels))
    assert isinstance(adversarial, Far)
    assert len(counted.waits) == 1
