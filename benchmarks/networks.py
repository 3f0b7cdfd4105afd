"""Which networks of torchvision and timm an attack has a faster copy of: ``python -m benchmarks.networks``.

Of every main family the smallest, with random weights and statistics of its own. Both ways take the same PGD in turns,
in one process and thread; the copy was prepared before, as it is once a batch in a long attack. Processor seconds,
since other programs may be running.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from atlpa.attacks import PGD
from atlpa.component import dump
from atlpa.engine import Frozen, prepare
from atlpa.files import write_text
from atlpa.machine import describe
from atlpa.memory import keep_memory
from atlpa.model_state import eval_mode
from atlpa.progress import Progress
from benchmarks.__main__ import FOLDER
from benchmarks.page import networks
from benchmarks.works import pattern

BATCH, CLASSES, PASSES, ITERATIONS, PROFILES = 8, 10, 50, 2, 5
TORCHVISION = {
    **dict.fromkeys(
        ("resnet18", "resnext50_32x4d", "vgg11_bn", "densenet121", "googlenet", "mobilenet_v2", "mobilenet_v3_small"),
        64,
    ),
    **dict.fromkeys(("shufflenet_v2_x0_5", "squeezenet1_1", "mnasnet0_5", "efficientnet_b0", "regnet_x_400mf"), 64),
    **dict.fromkeys(("convnext_tiny", "swin_t"), 64),
    "inception_v3": 96,
}
TIMM = {
    **dict.fromkeys(("ghostnet_100", "hrnet_w18_small", "repvgg_a0", "ese_vovnet19b_dw", "dla34", "cspresnet50"), 64),
    **dict.fromkeys(("edgenext_xx_small", "poolformer_s12", "nfnet_l0", "convnext_atto", "efficientnet_lite0"), 64),
    **dict.fromkeys(("mobilevit_xxs", "seresnet18", "res2net50_14w_8s", "rexnet_100", "fastvit_t8"), 64),
}
SIZED = {
    **dict.fromkeys(("vit_tiny_patch16_224", "deit_tiny_patch16_224", "mixer_s32_224", "resmlp_12_224"), 64),
    **dict.fromkeys(("xcit_nano_12_p16_224", "pit_ti_224", "maxvit_pico_rw_256", "coat_lite_tiny"), 64),
}
"""Those of timm that are made for one size of images."""


def build(name: str) -> nn.Module:
    """A network by its name, ``timm:…`` for those of timm, in evaluation mode, with statistics of its own."""
    torch.manual_seed(0)
    package, _, own = name.rpartition(":")
    if package:
        import timm

        sized = {"img_size": SIZED[own]} if own in SIZED else {}
        model: nn.Module = timm.create_model(own, num_classes=CLASSES, **sized)
    else:
        import torchvision

        extra = {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
        model = torchvision.models.get_model(name, num_classes=CLASSES, **extra)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        for own, parameter in model.named_parameters():
            if own.endswith(("gamma", "layer_scale")):  # 1e-6 at the start, which leaves blocks without a say
                parameter.fill_(1)
            elif parameter.ndim > 1 and not parameter.any():  # a head that starts at 0 has no gradient
                nn.init.normal_(parameter, std=0.02)
        model.train()(pattern(BATCH, side_of(name), torch.device("cpu")))
    return model.eval()


def side_of(name: str) -> int:
    """Pixels a side."""
    return {**TORCHVISION, **{f"timm:{own}": side for own, side in {**TIMM, **SIZED}.items()}}[name]


NAMES = (*TORCHVISION, *(f"timm:{own}" for own in {**TIMM, **SIZED}))


def gradients(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Of the cross-entropy by the images."""
    with eval_mode(model):
        point = images.clone().requires_grad_(True)
        loss = nn.functional.cross_entropy(model(point), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
    return gradient


KINDS = {
    "convolutions": ("conv", "_Convolve", "thnn"),
    "matrix products": ("addmm", "::mm", "bmm", "linear", "attention"),
    "normalization": ("norm", "var_mean"),
    "activations": ("gelu", "relu", "silu", "swish", "hardtanh", "sigmoid", "threshold", "softmax", "clamp"),
}
"""Operations by parts of their names; the rest moves, adds and makes tensors, or is Python."""


def shares(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Of what kinds of operations a gradient's time is, by torch's profiler: of each operation its quickest turn."""
    quickest: dict[str, float] = {}
    for _ in range(PROFILES):
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            gradients(model, images, labels)
        for event in profiler.key_averages():
            quickest[event.key] = min(quickest.get(event.key, math.inf), event.self_cpu_time_total)
    found = dict.fromkeys((*KINDS, "the rest"), 0.0)
    for operation, spent in quickest.items():
        kind = next((kind for kind, words in KINDS.items() if any(word in operation for word in words)), "the rest")
        found[kind] += spent
    return {kind: spent / sum(found.values()) for kind, spent in found.items()}


def apart(found: Tensor, expected: Tensor) -> list[float]:
    """How far each image's gradient ``(B, 3, H, W)`` is from another, of that one's length; the largest one last."""
    lengths = expected.flatten(1).norm(dim=1).clamp(min=1e-30)
    return sorted(((found - expected).flatten(1).norm(dim=1) / lengths).tolist())


class Reasons(logging.Handler):
    """What the engine says of a network that runs as it is."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the last one."""
        self.said = record.getMessage().partition(": ")[2]


def measured(name: str, rounds: int) -> dict[str, Any]:
    """Which way a network takes, how far its gradients are from the plain loop's, and what an attack takes."""
    images, labels = pattern(BATCH, side_of(name), torch.device("cpu")), torch.arange(BATCH) % CLASSES
    model = build(name)
    reasons, logger = Reasons(), logging.getLogger("atlpa.engine")
    logger.addHandler(reasons)
    logger.setLevel(logging.DEBUG)
    network = prepare(model, images, "auto", "fp32", PASSES)
    logger.removeHandler(reasons)
    copied = isinstance(network, Frozen)
    assert isinstance(network, nn.Module)
    exact = gradients(copy.deepcopy(model).double(), images.double(), labels)
    plain, own = (gradients(one, images, labels) for one in (model, network))
    found = {"apart": apart(own, plain), "plain_exact": apart(plain, exact), "own_exact": apart(own, exact)}
    parts = shares(network, images, labels)
    attack = PGD(epsilon=0.1, step=0.01, iterations=ITERATIONS, engine="reference")
    ways = {"reference": model, "auto": network}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way in list(ways)[:: 1 if turn % 2 else -1]:
            began = time.process_time()
            attack(ways[way], images, labels)
            if turn:  # the first one settles memory
                seconds[way].append(time.process_time() - began)
    why = "it gave way" if getattr(network, "gave_up", False) else reasons.said
    return {"network": name, "side": side_of(name), "copied": copied, "why": why, **found, **seconds, "shares": parts}


def main() -> None:
    """Measure what is asked for, add each to the record as it is finished, and print what it says."""
    parser = argparse.ArgumentParser(prog="networks", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way; default: %(default)s")
    parser.add_argument("--only", metavar="NAME", nargs="+", default=NAMES, help="some of them; default: all")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    path = FOLDER / f"networks-{torch.backends.cpu.get_cpu_capability().lower()}.json"
    before = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    rows: dict[str, dict[str, Any]] = {row["network"]: row for row in before}
    chosen = [name for name in NAMES if name in arguments.only]
    for name in Progress("networks", len(chosen), "network").over(chosen):
        rows[name] = measured(name, arguments.rounds)
        known = [rows[one] for one in NAMES if one in rows]
        record = {"machine": dump(describe(torch.device("cpu"))), "rows": known}
        write_text(path, json.dumps(record, indent=1) + "\n")
    print("\n".join(networks([record])))


if __name__ == "__main__":
    main()
