"""The paper's gray-box protocol over a list of runs: images made on the undefended network of the same architecture.

    python scripts/gray_box.py runs/flowers/*-resnet101-seed0-final

PGD with step 1/256 from a zero start, ε 0.25 and 0.5, budgets 10 … 200 in one pass, on CUDA where there is one. Further
options are those of atlpa-eval, for example --limit 64 or --source DIR.
"""

import sys

from atlpa.cli.eval import main

PROTOCOL = ["--eps", "0.25", "0.5", "--iters", "10", "20", "50", "100", "150", "200"]


def attack_runs(threat: str) -> int:
    """Judge the runs named on the command line under one threat; options may follow them."""
    words = sys.argv[1:]
    runs = words[: next((i for i, word in enumerate(words) if word.startswith("-")), len(words))]
    named = [word for folder in runs for word in ("--run", folder)]
    return main([*named, "--threat", threat, *PROTOCOL, *words[len(runs) :]])


if __name__ == "__main__":
    sys.exit(attack_runs("gray"))
