"""The ensemble beside AutoAttack's own package: ``python -m benchmarks.ensemble RUNS --data-root DIR``.

On the same images of three kinds of networks: undefended at a small ε, adversarially trained, and one that draws. For
each seed both attack in turn; the record holds who stands after each, processor seconds and peak memory, so that images
that one fells and the other does not can be counted both ways. Where the machine computes in bfloat16, ours do too.
With ``--parts`` each of the four attacks meets all images by itself, theirs and ours; ``torchattacks`` has an
AutoAttack too, whose parts take 10 steps where the paper's take 100. docs/performance.md shows what ``page`` draws.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atlpa.attacks import Attack, AutoAttack, Ensemble, Stepwise, read_attack
from atlpa.attacks.auto_attack import MOST_TARGETS
from atlpa.attacks.foreign import seed_of
from atlpa.component import dump
from atlpa.data import load_images
from atlpa.engine import supported_precision
from atlpa.evaluation import evaluate
from atlpa.evaluation.correctness import to_batch
from atlpa.files import write_text
from atlpa.memory import keep_memory
from atlpa.model_state import Logits, RandomLayer
from atlpa.randomness import Generators, sample
from atlpa.report import Table
from atlpa.runs import Run
from atlpa.runs.evaluate import judged_images
from benchmarks.__main__ import machine

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "ensemble"
CPU = torch.device("cpu")
PARTS = ("apgd-ce", "apgd-t", "fab-t", "square")
NOISE = 8 / 255
"""Standard deviation of the noise that makes a network draw."""


def opened(folder: Path, root: str | None, count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A run's network, and so many of the images that it is judged on."""
    run = Run.open(folder).with_data_root(root)
    items, judged = judged_images(run, run.read_index(run.training.data), count)
    images = load_images(items, judged.size, CPU, folder.name)
    return run.load_model(CPU), *to_batch(images, torch.arange(len(images)), CPU)


def drawing(model: nn.Module) -> nn.Module:
    """The same network behind Gaussian noise."""
    noise = RandomLayer(lambda x, draws: x + NOISE * sample(x, torch.randn, draws), in_training=False)
    return nn.Sequential(noise, model).eval()


class TheirPart(Attack):
    """One attack of AutoAttack's package.

    Fields:
        epsilon: ε of the L∞ ball, in units of the [0, 1] pixel range.
        part: its name there.
    """

    name = "their_part"
    part: str = ""

    def perturb(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> Tensor:
        """What it alone finds."""
        import pyautoattack

        with torch.random.fork_rng():
            how: dict[str, Any] = {"version": "custom", "attacks": [self.part], "device": images.device}
            theirs = pyautoattack.AutoAttack(model, eps=self.epsilon, seed=seed_of(generator), **how)
            for attack in (theirs.apgd_targeted, theirs.fab):
                attack.n_target_classes = min(MOST_TARGETS, model(images[:1]).shape[1] - 1)
            for attack in (theirs.apgd, theirs.fab):  # five, but one in the standard version
                attack.n_restarts = 1
            found: Tensor = theirs.run_standard_evaluation(images.clone(), labels, batch_size=len(images))[0]
        return found.clamp(images - self.epsilon, images + self.epsilon).clamp(0, 1)


class OurPart(Ensemble):
    """The stages of the ensemble that one attack makes."""

    name = "our_part"
    part: str = ""

    def stages(self, classes: int) -> Sequence[Stepwise]:
        """Those whose title is the part's."""
        return [stage for stage in super().stages(classes) if stage.title == self.part]


def parts(epsilon: float) -> dict[str, Attack]:
    """Each attack by itself, theirs and ours."""
    found: dict[str, Attack] = {}
    for part in PARTS:
        found[f"AutoAttack {part}"] = TheirPart(epsilon, part)
        found[f"standard {part}"] = OurPart(epsilon, "standard", part=part)
    return found


def contestants(epsilon: float, classes: int, *, draws: bool) -> dict[str, Attack]:
    """AutoAttack of two packages, and ours in each version and precision."""
    precisions = ("fp32", "bf16") if supported_precision("bf16", CPU) == "bf16" else ("fp32",)
    versions = ("rand", "fast") if draws else ("standard", "fast")
    found: dict[str, Attack] = {"AutoAttack": AutoAttack(epsilon)}
    if not draws:
        found["torchattacks"] = read_attack(
            {"name": "torchattacks:AutoAttack", "epsilon": epsilon, "n_classes": classes}
        )
    for version in versions:
        found |= {f"{version} {precision}": Ensemble(epsilon, version, precision=precision) for precision in precisions}
    return found


def attacked(attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> dict[str, Any]:
    """Who stands, and what it cost."""
    begun, processor = time.monotonic(), time.process_time()
    result = evaluate(model, images, labels, attack, seed=seed, draws=5)
    return {
        "robust": ["".join("01"[value] for value in draw) for draw in result.robust[-1].int().tolist()],
        "felled_by": {title: len(places) for title, places in result.felled_by.items()},
        "passes": result.passes,
        "processor_seconds": round(time.process_time() - processor, 1),
        "seconds": round(time.monotonic() - begun, 1),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def page(record: Mapping[str, Any]) -> str:
    """A row for each attack; images that stand with one and fall with AutoAttack's package, and the other way round.

    An attack by itself is held against its counterpart. Times are medians over seeds: of the processor with one thread,
    since other programs may run beside; by the clock with several.
    """
    clock, word = ("seconds", "time") if record["threads"] > 1 else ("processor_seconds", "processor")
    turns = {(one["attack"], one["seed"]): one for one in record["results"]}
    titles, rows = dict.fromkeys(attack for attack, _ in turns), []
    for attack in titles:
        by_itself = f"AutoAttack {attack.rpartition(' ')[2]}"
        theirs = by_itself if by_itself in titles else "AutoAttack"
        pairs = [(turns[attack, seed], turns[theirs, seed]) for name, seed in turns if name == attack]
        answers = [bits for own, other in pairs for bits in zip(own["robust"][0], other["robust"][0], strict=True)]
        faster = statistics.median(other[clock] / own[clock] for own, other in pairs)
        rows.append(
            (
                attack,
                ", ".join(str(own["robust"][0].count("1")) for own, _ in pairs),
                *("–" if attack == theirs else str(answers.count(way)) for way in (("1", "0"), ("0", "1"))),
                f"{statistics.median(own[clock] for own, _ in pairs):.0f} s",
                f"{faster:.1f}",
            )
        )
    header = ("attack", "stand", "stand here alone", "fall here alone", word, "times faster")
    return Table(header, rows).markdown()


def main() -> None:
    """Attack, and write a record after each result."""
    keep_memory()
    parser = argparse.ArgumentParser(prog="benchmarks.ensemble", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("run", type=Path, help="a run's folder")
    add("--data-root", help="where its data lies")
    add("--eps", type=float, required=True, help="ε in 1/255")
    add("--count", type=int, default=64, help="images; default: %(default)s")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    add("--only", nargs="+", default=[], help="contestants; default: all")
    add("--noise", action="store_true", help="put noise before the network, so that it draws")
    add("--parts", action="store_true", help="each attack by itself")
    add("--output", type=Path, default=FOLDER, help="default: docs/results/ensemble")
    arguments = parser.parse_args()
    model, images, labels = opened(arguments.run, arguments.data_root, arguments.count)
    if arguments.noise:
        model = drawing(model)
    name = f"{arguments.run.name}{'-noise' * arguments.noise}{'-parts' * arguments.parts}-eps{arguments.eps:g}"
    with torch.no_grad():
        classes = model(images[:1]).shape[1]
    attacks = (
        parts(arguments.eps / 255)
        if arguments.parts
        else contestants(arguments.eps / 255, classes, draws=arguments.noise)
    )
    path, entries, own = arguments.output / f"{name}.json", [], machine(CPU)
    say: Callable[..., None] = print
    for seed in arguments.seeds:
        for title, attack in attacks.items():
            if arguments.only and title not in arguments.only:
                continue
            entries.append({"seed": seed, "attack": title, **attacked(attack, model, images, labels, seed)})
            last = entries[-1]
            say(f"seed {seed} {title}: {last['robust'][0].count('1')} stand, {last['processor_seconds']} s", flush=True)
            record = {
                "network": arguments.run.name,
                "noise": NOISE if arguments.noise else 0,
                "epsilon_255": arguments.eps,
                "images": arguments.count,
                "threads": torch.get_num_threads(),
                "machine": own,
                "attacks": {title: dump(one) for title, one in attacks.items()},
                "results": entries,
            }
            arguments.output.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
