"""Whether an attack in half precision is as strong: ``python -m benchmarks.strength --runs DIR [--data-root DIR]``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from atlpa.attacks import PGD
from atlpa.evaluation.white_box import white_box
from atlpa.files import write_text
from atlpa.memory import keep_memory
from benchmarks.__main__ import FOLDER
from benchmarks.works import Trained

# Networks and ε at which between 20 and 80 % of the test images are left standing.
CASES = (("pat", 4 / 255), ("atlpa", 8 / 255), ("trades", 8 / 255), ("none", 0.5 / 255))
ENGINES: dict[str, dict[str, str]] = {"reference": {"engine": "reference"}, "fp32": {}, "bf16": {"precision": "bf16"}}


def main() -> None:
    """Attack every case three ways and compare verdict by verdict."""
    parser = argparse.ArgumentParser(prog="strength")
    parser.add_argument("--runs", required=True)
    parser.add_argument("--data-root")
    arguments = parser.parse_args()
    keep_memory()
    rows: list[dict[str, Any]] = []
    for name, epsilon in CASES:
        model, images = Trained(arguments.data_root, None, "cpu").load(f"{arguments.runs}/{name}-resnet18-seed0-final")
        correct = {}
        for engine, options in ENGINES.items():
            attack = PGD(epsilon=epsilon, step=epsilon / 4, iterations=50, **options)  # type: ignore[arg-type]
            correct[engine] = white_box(model, images, attack, [50]).robust[0, 0]
        rows.append(
            {
                "network": name,
                "epsilon": epsilon,
                "images": len(images),
                "accuracy": {engine: found.float().mean().item() for engine, found in correct.items()},
                "changed": {
                    engine: (correct[engine] != correct["reference"]).float().mean().item()
                    for engine in ("fp32", "bf16")
                },
            }
        )
        print(rows[-1])
        write_text(FOLDER / "strength.json", json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
