"""The paper's gray-box protocol over a list of runs: images made on the undefended network of the same architecture.

    python scripts/gray_box.py runs/flowers/*-resnet101-seed0-final

PGD with step 1/256 from a zero start, ε 0.25 and 0.5, budgets 10 … 200 in one pass, on CUDA where there is one. Further
options are those of atlpa-eval, for example --limit 64 or --source DIR.
"""

import sys

from atlpa.cli.eval import main

PROTOCOL = ["--eps", "0.25", "0.5", "--iters", "10", "20", "50", "100", "150", "200"]

if __name__ == "__main__":
    words = sys.argv[1:]
    options = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    runs = [word for folder in words[:options] for word in ("--run", folder)]
    sys.exit(main([*runs, "--threat", "gray", *PROTOCOL, *words[options:]]))
