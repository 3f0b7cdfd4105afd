"""The paper's black-box protocol over a list of runs: images made on an undefended network of another architecture.

    python scripts/black_box.py runs/flowers/*-resnet101-seed0-final

Everything else is as in gray_box.py.
"""

import sys

from gray_box import attack_runs

if __name__ == "__main__":
    sys.exit(attack_runs("black"))
