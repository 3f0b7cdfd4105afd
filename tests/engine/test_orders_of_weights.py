"""Weights lie in the order that oneDNN takes them in: none are arranged anew in pass after pass, whatever the batch."""

import os
import subprocess
import sys

import pytest

BATCHES = (8, 1, 2, 3, 5)
ATTACK = """
import sys
import torch
from torchvision.models import resnet18
from atlpa.engine import Frozen

torch.set_num_threads(int(sys.argv[1]))
copy = Frozen(resnet18().eval(), passes=1000)
for batch in 2 * list(map(int, sys.argv[2:])):
    print("batch", batch, flush=True)
    copy(torch.rand(batch, 3, 64, 64, requires_grad=True)).sum().backward()
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_no_batch_pays_for_the_order_of_another(threads):
    """Images leave an attack as they fall. Of 34 convolutions there and back three are torch's own, which does pay."""
    command = [sys.executable, "-c", ATTACK, str(threads), *map(str, BATCHES)]
    told = subprocess.run(
        command, env=os.environ | {"ONEDNN_VERBOSE": "1"}, capture_output=True, text=True, check=True
    ).stdout
    if ",convolution," not in told:
        pytest.skip("this oneDNN does not tell what it does")
    passes = [part.count(",reorder,") for part in told.split("batch ")[1:]]
    first, second = passes[: len(BATCHES)], passes[len(BATCHES) :]
    assert first[0] > 30
    assert max(second) < 8
