"""What contestants do: each work is made once in a worker, checks itself, and then measures one turn at a time."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

from atlpa.attacks import PGD
from atlpa.data import Images, load_images
from atlpa.defenses import Defense, load_preset
from atlpa.evaluation import transfer
from atlpa.evaluation.correctness import batch_indices, is_correct, to_batch
from atlpa.evaluation.white_box import white_box
from atlpa.memory import keep_memory
from atlpa.models import Classifier, ModelSpec
from atlpa.runs import Run
from atlpa.training import training_step
from atlpa.training.step import forward
from benchmarks.contestants import CONTESTANTS, PEERS
from benchmarks.counting import Passes, operations

CLASSES = 17
SETTLING = 10
"""Training steps before the first that counts: a process that grows is slow until it has touched all of its memory."""

Measured = dict[str, Any]


def pattern(batch: int, side: int, device: torch.device) -> Tensor:
    """Images ``(B, 3, S, S)`` in [0, 1] that are smooth as photographs are, the same every time."""
    coarse = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1).to(device)


def network(architecture: str, images: Tensor) -> Classifier:
    """A network as initialized, whose BatchNorm knows the images' statistics.

    The residual branches start small, as Goyal et al. 2017 advise: with full ones a deep network before training is
    chaotic, and the signs of its gradients are rounding errors.
    """
    model = ModelSpec(architecture=architecture, weights="none").build(CLASSES, seed=0).to(images.device)  # type: ignore[arg-type]
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    for block in model.modules():
        if isinstance(block, BasicBlock | Bottleneck):
            nn.init.constant_(block.bn3.weight if isinstance(block, Bottleneck) else block.bn2.weight, 0.2)
    with torch.no_grad():
        model.train()(images)
    return model.eval()


@contextmanager
def clocked(device: torch.device) -> Iterator[Callable[[], float]]:
    """Gives a function that says how many seconds went by inside, once the work was really done."""
    end = start = time.perf_counter()

    yield lambda: end - start
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    end = time.perf_counter()


class Iteration:
    """One PGD iteration: a run of several on one batch, over their number and the images'."""

    def __init__(
        self,
        contestant: str,
        architecture: str,
        side: int,
        batch: int,
        iterations: int,
        device: str,
        together: bool = False,
    ) -> None:
        self.iterations, self.device = iterations, torch.device(device)
        self.images = pattern(batch, side, self.device)
        self.labels = torch.arange(batch, device=self.device) % CLASSES
        self.model = network(architecture, self.images)
        if contestant not in PEERS and not together:
            keep_memory()  # as every command of ours does
        self.attack, self.peer = CONTESTANTS[contestant](self.model), PEERS["torchattacks"](self.model)

    def once(self, iterations: int) -> Tensor:
        return self.attack(self.images, self.labels, 0.25, 1 / 256, iterations)

    def facts(self) -> Measured:
        """Whether one step goes where torchattacks' goes, and what an iteration takes.

        ``exact``: the share of pixels at which torchattacks itself leaves the path of float64.
        """
        self.once(self.iterations)  # a process that grows is slow until it has touched all of its memory
        expected, found = (attack(self.images, self.labels, 0.25, 1 / 256, 1) for attack in (self.peer, self.attack))
        with Passes() as passes:
            self.once(1)
        few = self.images[:2], self.labels[:2]
        precise = CONTESTANTS["plain loop"](copy.deepcopy(self.model).double())
        exact = precise(few[0].double(), few[1], 0.25, 1 / 256, 1)
        return {
            "differing": ((found - expected).abs() > 1e-4).float().mean().item(),
            "exact": ((expected[:2] - exact).abs() > 1e-4).float().mean().item(),
            "forwards": passes.forwards / len(self.images),
            "backwards": passes.backwards / len(self.images),
            "operations": 2 * operations(self.model, self.images),
        }

    def turn(self) -> Measured:
        with clocked(self.device) as seconds:
            self.once(self.iterations)
        return {"seconds": seconds() / self.iterations / len(self.images)}


class Memory(Iteration):
    """What one iteration needs beyond the network: the process's peak, and what autograd keeps until the backward."""

    def facts(self) -> Measured:
        """Both, in bytes; the first includes everything that the contestant makes for itself."""
        peak = self.peak()
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            if not isinstance(tensor, nn.Parameter):
                storage = tensor.untyped_storage()
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self.once(1)
        return {"peak": peak, "activations": sum(kept.values())}

    def peak(self) -> int:
        """The bytes that one iteration takes at its most, beyond what is there before."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            self.once(1)
            return torch.cuda.max_memory_allocated(self.device) - before
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
        self.once(1)
        return _status("VmHWM") - before


def _status(field: str) -> int:
    """A line of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


class Trained:
    """Works on networks and images of finished runs."""

    def __init__(self, data_root: str | None, limit: int | None, device: str) -> None:
        self.data_root, self.limit, self.device = data_root, limit, torch.device(device)

    def load(self, folder: str) -> tuple[Classifier, Images]:
        """A run's network, and its test images."""
        run = Run.open(Path(folder)).with_data_root(self.data_root)
        items = run.read_index(run.training.data).items("test")
        size = run.experiment.data.size
        return run.load_model(self.device).eval(), load_images(items[: self.limit], size, self.device)


class WhiteBox(Trained):
    """Accuracy after a white-box PGD of many iterations; a peer's is made shorter and its time longer."""

    def __init__(
        self, contestant: str, run: str, epsilon: float, step: float, iterations: int, measured: int, **where: Any
    ) -> None:
        super().__init__(**where)
        self.contestant, self.step, self.epsilon = contestant, step, epsilon
        self.iterations, self.measured = iterations, measured
        self.model, self.images = self.load(run)
        if contestant not in PEERS:
            keep_memory()

    def facts(self) -> Measured:
        """What is left standing, and how many passes that takes."""
        with Passes() as passes:
            accuracy, _ = self.once()
        size = self.images[torch.arange(1)].shape[-1]
        return {
            "accuracy": accuracy,
            "forwards": passes.forwards,
            "backwards": passes.backwards,
            "images": len(self.images),
            "operations": operations(self.model, pattern(1, size, self.device)),
        }

    def once(self) -> tuple[float, Measured]:
        """Accuracy, and what the attack and the judging took."""
        if self.contestant not in PEERS:
            precision = self.contestant.split()[-1]
            attack = PGD(epsilon=self.epsilon, step=self.step, iterations=self.iterations, precision=precision)  # type: ignore[arg-type]
            with clocked(self.device) as seconds:
                outcome = white_box(self.model, self.images, attack, [self.iterations])
            return outcome.robust[0, 0].float().mean().item(), {"seconds": seconds(), "share": 1.0}
        peer = PEERS[self.contestant](self.model)
        batches = [to_batch(self.images, positions, self.device) for positions in batch_indices(self.images)]
        with clocked(self.device) as attacking:
            made = [peer(batch, labels, self.epsilon, self.step, self.measured) for batch, labels in batches]
        with clocked(self.device) as judging:
            correct = [is_correct(self.model, made[at], labels) for at, (_, labels) in enumerate(batches)]
        whole = attacking() / self.measured * self.iterations + judging()
        share = (attacking() + judging()) / whole
        return torch.cat(correct).float().mean().item(), {"seconds": whole, "share": share}

    def turn(self) -> Measured:
        return self.once()[1]


class Transfer(Trained):
    """One source, several targets, ε and budgets. A peer is called for each budget; its images serve all targets."""

    def __init__(
        self, contestant: str, source: str, targets: list[str], epsilons: list[float], budgets: list[int], **where: Any
    ) -> None:
        super().__init__(**where)
        self.contestant, self.epsilons, self.budgets = contestant, epsilons, budgets
        self.source, self.images = self.load(source)
        self.targets = {target: self.load(target)[0] for target in targets}
        if contestant not in PEERS:
            keep_memory()

    def facts(self) -> Measured:
        return {"images": len(self.images), "targets": len(self.targets)}

    def turn(self) -> Measured:
        if self.contestant not in PEERS:
            with clocked(self.device) as seconds:
                for epsilon in self.epsilons:
                    precision = self.contestant.split()[-1]
                    attack = PGD(epsilon=epsilon, iterations=self.budgets[-1], precision=precision)  # type: ignore[arg-type]
                    transfer(self.source, self.targets, self.images, attack, self.budgets)
            return {"seconds": seconds(), "share": 1.0}
        attack = PEERS[self.contestant](self.source)
        fewest = self.budgets[0]
        with clocked(self.device) as attacking:
            made = [
                (attack(batch, labels, self.epsilons[0], 1 / 256, fewest), labels)
                for batch, labels in (to_batch(self.images, where, self.device) for where in batch_indices(self.images))
            ]
        with clocked(self.device) as judging:
            for target in self.targets.values():
                for adversarial, labels in made:
                    is_correct(target, adversarial, labels)
        calls, iterations = len(self.epsilons) * len(self.budgets), len(self.epsilons) * sum(self.budgets)
        return {
            "seconds": attacking() / fewest * iterations + judging() * calls,
            "share": (attacking() + judging()) / (attacking() / fewest * iterations + judging() * calls),
        }


class TrainingStep:
    """One step of adversarial training with a two-iteration attack, on clean and adversarial images."""

    def __init__(self, contestant: str, defense: str, architecture: str, side: int, batch: int, device: str) -> None:
        self.device = torch.device(device)
        self.images = pattern(batch, side, self.device)
        self.labels = torch.arange(batch, device=self.device) % CLASSES
        self.model = network(architecture, self.images)
        self.plain = contestant in PEERS
        self.precision = contestant.split()[-1]
        self.defense = Defense(**load_preset(defense).fields)
        if not self.plain:
            keep_memory()
            self.model.to(memory_format=torch.channels_last)  # as train_run does
        fused = not self.plain  # as a recipe's
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.001, 0.9, weight_decay=1e-4, fused=fused)

    def facts(self) -> Measured:
        for _ in range(SETTLING):
            self.once()
        with Passes() as passes:
            self.once()
        return {"forwards": passes.forwards, "operations": operations(self.model, self.images)}

    def once(self) -> None:
        if not self.plain:
            attack = PGD(epsilon=0.25, step=0.125, iterations=2, precision=self.precision)  # type: ignore[arg-type]
            training_step(
                *(self.model, self.defense, attack, self.optimizer, self.images, self.labels),
                precision=self.precision,  # type: ignore[arg-type]
            )
            return
        # As MAIR and robustness write it: the loop's attack in evaluation mode, then one pass over both views.
        self.model.eval()
        adversarial = PEERS["plain loop"](self.model)(self.images, self.labels, 0.25, 0.125, 2)
        self.model.train()
        views = forward(self.model, self.defense, self.images, adversarial, self.labels)
        loss = torch.stack(list(self.defense.objective(views).values())).sum()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def turn(self) -> Measured:
        with clocked(self.device) as seconds:
            self.once()
        return {"seconds": seconds()}


WORKS: Mapping[str, Callable[..., Any]] = {
    "iteration": Iteration,
    "memory": Memory,
    "white box": WhiteBox,
    "transfer": Transfer,
    "training step": TrainingStep,
}
