"""Honest networks, on which the tolerances of the credibility checks rest: PAT on digits, with nothing that hides.

    python scripts/honest_networks.py runs/honest

One undefended ResNet-18, the transfer source and the reference, and PAT at two ε with two seeds each, judged at the ε
of its training on 128 test images. One of these and the undefended network are judged where little stands as well.
What is there is not made again. Cost: about 20 minutes on one CPU core.
docs/results/credibility/digits holds the records.
"""

import sys
from pathlib import Path

from atlpa.experiment import load
from atlpa.machine import pick_device
from atlpa.runs import CredibilityRun, Run, train_run

EPSILONS, SEEDS, IMAGES = (0.05, 0.1), (0, 1), 128
BARELY, UNDEFENDED_BARELY = 0.15, 0.1  # where a sixth of PAT's images stands, and a tenth of the undefended network's


def trained(folder: Path, defense: str, seed: int, epsilon: float) -> Run:
    """A finished run of the digits configuration with another ε of the training attack, reached in its two steps."""
    changes = {"defense": defense, "seed": seed, "final": True, "output": str(folder)}
    attack = {"training.attack.epsilon": epsilon, "training.attack.step": epsilon / 2}
    return train_run(load("digits", [*changes.items(), *attack.items()]))


def main(folder: Path) -> None:
    """Train and check all of them."""
    undefended = trained(folder / "none-seed0", "none", 0, 0.05)  # it meets no attack in its training, whatever the ε
    pat = {
        (seed, epsilon): trained(folder / f"pat-eps{epsilon:g}-seed{seed}", "pat", seed, epsilon)
        for seed in SEEDS
        for epsilon in EPSILONS
    }
    judged = [(run, epsilon) for (_, epsilon), run in pat.items()]
    for run, epsilon in [*judged, (pat[0, 0.1], BARELY), (undefended, UNDEFENDED_BARELY)]:
        examination = CredibilityRun(run, epsilon, IMAGES)
        record = examination.recorded or examination.make(pick_device("auto"))
        for finding in record.findings:
            print(f"{run.folder.name:20} {epsilon:<5g} {finding.check:20} {finding.status:5} {finding.measured}")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or ["runs/honest"]))
