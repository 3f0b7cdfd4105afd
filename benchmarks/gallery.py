"""What each attack leaves of broken and honest networks: ``python -m benchmarks.gallery``.

The networks are those of ``tests/gallery``. The judge's number is what the ensemble and the rivals together leave,
image by image; the strongest is what stands under everything that was tried, attacks by hand on the way in included.
Of a network that draws, whose images fall by chance, each number is the smallest of those of single attacks, whose
images are shown to it 32 times more: the mean over these draws. Beside them may stand what each check says, and the
number that the judge reports. The cheaper attacks are made first, on all networks; what is on record is not made again.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atlpa.attacks import APGD, PGD, Attack, AutoAttack, Ensemble
from atlpa.evaluation.checks import CHECKS, CheckContext, credibility
from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.evaluation.checks.context import ITERATIONS
from atlpa.evaluation.checks.rivals import DRAWS, RIVALS, Rival
from atlpa.evaluation.checks.standing import bits
from atlpa.files import write_text
from atlpa.float32 import ieee_float32
from atlpa.randomness import generator
from atlpa.records import digest
from atlpa.statistics import share
from benchmarks.__main__ import machine
from tests.gallery.broken import BROKEN
from tests.gallery.honest import HONEST
from tests.gallery.training import EPSILON, digits

FILE = Path(__file__).parents[1] / "docs" / "results" / "gallery" / "numbers.json"
IMAGES = 64
FLAGS = ("zero gradient", "Square Attack has decreased", "randomized", "probability", "dynamic")
"""What AutoAttack may say of a network."""
Step = Callable[[], Tensor]
Group = Callable[[CheckContext, nn.Module], Iterator[tuple[str, Step]]]


@cache
def context_of(name: str) -> tuple[CheckContext, nn.Module]:
    """A network with its images, and the way in."""
    torch.manual_seed(0)
    network, way_in = BROKEN[name]() if name in BROKEN else 2 * (HONEST[name](),)
    images, labels = (part[:IMAGES] for part in digits()[2:])
    return CheckContext(CheckedModel(network), images, labels, EPSILON, None, []), way_in


def weights_of(network: nn.Module) -> str:
    """What tells a trained network from another, of the same seed, that was rounded otherwise."""
    state = {key: value.double().sum().item() for key, value in network.state_dict().items()}
    return digest(state, 16)


def by_hand(way_in: nn.Module, context: CheckContext) -> list[Rival]:
    """Attacks on the way in."""
    draws = DRAWS if context.randomized else 1
    plain = PGD(EPSILON, EPSILON / 8, 80, loss="margin", engine="reference", eot=draws)
    attacks: list[Attack] = [
        plain,
        replace(plain, start="uniform"),
        replace(plain, loss="cross_entropy"),
        *(APGD(EPSILON, 50, loss="dlr", target=rank, engine="reference") for rank in range(1, 10)),
    ]
    return [Rival(f"by hand {number}", CheckedModel(way_in), attack) for number, attack in enumerate(attacks)]


def standing(context: CheckContext, images: Tensor) -> Tensor:
    """Which images ``(N,)`` stand as they were made; of a network that draws, in what share of draws."""
    if not context.randomized:
        return context.clean & context.right(context.model, images, context.labels)
    return torch.stack(context.answers(images)).float().mean(dim=0)


def shown(context: CheckContext, attack: Attack, seed: int = 0) -> Step:
    """What stands at an attack's end."""
    draws = generator(seed, "gallery")
    return lambda: standing(context, attack(context.model, context.images, context.labels, generator=draws))


def met(context: CheckContext, rival: Rival) -> Tensor:
    """What stands under a rival: at every iterate that the network is shown, or where it draws at the last."""
    found = rival.meet(context, context.attackable)
    return standing(context, found.adversarial) if context.randomized else found.stands


def searched(context: CheckContext) -> Tensor:
    """What stands under a longer search, where Square fells more than gradients; elsewhere under the ensemble."""
    CHECKS["more queries"](context)
    return context.standing.stands


def cheap(context: CheckContext, way_in: nn.Module) -> Iterator[tuple[str, Step]]:
    """Plain PGD, the fast ensemble, the rivals, and attacks by hand."""
    plain = replace(context.pgd, iterations=2 * ITERATIONS)
    yield "clean", lambda: standing(context, context.images)
    yield "pgd", shown(context, plain) if context.randomized else lambda: context.pgd_robust
    yield "fast 0", shown(context, Ensemble(EPSILON, version="fast"))
    for rival in (*(rival for make in RIVALS for rival in make(context)), *by_hand(way_in, context)):
        name = rival.name if rival.name.startswith("by hand") else f"rival: {rival.name}"
        yield name, partial(met, context, rival)
    if not context.randomized:
        yield "rival: more queries", partial(searched, context)


def judged(context: CheckContext) -> dict[str, Any]:
    """What each of the checks says of a network, as ``atlpa-eval --check`` would; and how many images stand by it."""
    found = credibility(context.model.model, context.images, context.labels, EPSILON)
    left = {"judged": round(IMAGES * share(found.standing.correct).value, 2)} if found.standing else {}
    return {"findings": {finding.check: finding.status for finding in found}} | left


def seeded(title: str, attack: Attack, seeds: int) -> Group:
    """An attack, with so many seeds."""
    return lambda context, _: ((f"{title} {seed}", shown(context, attack, seed)) for seed in range(seeds))


def summary(masks: Mapping[str, str], means: Mapping[str, float]) -> dict[str, float]:
    """How many images stand under which attacks; of a network that draws, under the strongest of them."""

    def left(*beginnings: str) -> float:
        if means:
            return min(mean for name, mean in means.items() if name.startswith(beginnings))
        chosen = [mask for name, mask in masks.items() if name.startswith(beginnings)]
        return sum(set(image) == {"1"} for image in zip(*chosen, strict=True))

    groups = {name: (name,) for name in ("clean", "pgd", "rival", "by hand")}
    groups |= {name: (f"{name} 0",) for name in ("fast", "standard", "autoattack")}
    groups |= {f"{name} and rivals": (f"{name} 0", "rival") for name in ("fast", "standard")} | {"strongest": ("",)}
    made = {name: group for name, group in groups.items() if all(any(m.startswith(g) for m in masks) for g in group)}
    return {name: left(*group) for name, group in made.items()}


def main() -> None:
    """Measure what is not on record yet, and write it there."""
    parser = argparse.ArgumentParser(prog="benchmarks.gallery", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="networks with this in their name")
    parser.add_argument("--seeds", type=int, default=1, help="of the standard ensemble and AutoAttack; default: 1")
    parser.add_argument("--checks", action="store_true", help="what each check says of a network, too")
    parser.add_argument("--output", type=Path, default=FILE, help="default: docs/results/gallery/numbers.json")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    own = machine(torch.device("cpu"))
    kept = json.loads(arguments.output.read_text()) if arguments.output.exists() else {"networks": {}}
    rows: dict[str, dict[str, Any]] = kept["networks"]
    names = [name for name in (*BROKEN, *HONEST) if arguments.only in name]
    ours, theirs = Ensemble(EPSILON, version="standard"), AutoAttack(EPSILON)
    for group in (cheap, seeded("standard", ours, arguments.seeds), seeded("autoattack", theirs, arguments.seeds)):
        for name in names:
            context, way_in = context_of(name)
            empty = {"honest": name in HONEST, "draws": context.randomized, "standing": {}, "seconds": {}, "flags": []}
            empty |= {"means": {}, "weights": weights_of(way_in), "instructions": own["instructions"]}
            row = rows.setdefault(name, empty)
            if row.get("weights") != empty["weights"]:  # trained elsewhere, and rounded otherwise: another network
                row = rows[name] = empty
            with ieee_float32(), torch.random.fork_rng():
                for attack, make in group(context, way_in):
                    if attack in row["standing"]:
                        continue
                    torch.manual_seed(0)
                    begun, said = time.process_time(), io.StringIO()
                    with redirect_stderr(said):
                        stands = make()
                    row["standing"][attack] = bits(stands > 0.5)
                    if row["draws"]:
                        row["means"][attack] = round(stands.sum().item(), 2)
                    row["seconds"][attack] = round(time.process_time() - begun, 2)
                    row["flags"] += [flag for flag in FLAGS if flag in said.getvalue() and flag not in row["flags"]]
            if arguments.checks and "findings" not in row:
                torch.manual_seed(0)
                row |= judged(context)
            row["left"] = summary(row["standing"], row.get("means", {}))
            print(name, row["left"], row["flags"], round(sum(row["seconds"].values())), flush=True)
            record = {"epsilon": EPSILON, "images": IMAGES, "networks": rows, "machine": kept.get("machine", own)}
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            write_text(arguments.output, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
