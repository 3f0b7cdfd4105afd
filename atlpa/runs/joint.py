"""Several source networks attacked as one, and shown to each target."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from atlpa.errors import UserError
from atlpa.records import Threat
from atlpa.runs.folder import Run
from atlpa.runs.threats import Pairing, must_fit, threat_of


def pair_jointly(targets: Sequence[Run], threats: Collection[Threat], sources: Sequence[Run]) -> list[Pairing]:
    """Pair targets with all of the sources at once, which is ``transfer`` whatever each of them alone would be.

    The order in which sources are named does not matter.

    Args:
        targets: the networks to judge.
        threats: ``white``, ``transfer``; if empty, both.
        sources: at least two, none of them a target.

    Raises:
        UserError: another threat, too few sources, or one that does not fit a target or the others.
    """
    if other := sorted(set(threats) - {"white", "transfer"}):
        raise UserError(f"--joint is a transfer attack; leave out --threat {other[0]}")
    by_weights = {source.network.weights: source for source in sources}
    if len(by_weights) < 2:
        given = "none" if not sources else "1 network" if len(sources) == 1 else "the same network"
        raise UserError(f"--joint attacks several networks at once, given {given}; name at least two with --source")
    first, *joint = sorted(by_weights.values(), key=_place)
    pairings = []
    for target in {(target.folder.resolve(), target.judged): target for target in targets}.values():
        if not threats or "white" in threats:
            pairings.append(Pairing(target, target, "white"))
        if threats and "transfer" not in threats:
            continue
        for source in (first, *joint):
            if threat_of(target, source) == "white":
                raise UserError(f"{target.folder} is judged, and a source of --joint as well; name it as one of both")
            must_fit(target, source)
        pairings.append(Pairing(target, first, "transfer", tuple(joint)))
    return pairings


def _place(run: Run) -> tuple[str, str, int, str]:
    network = run.network
    return network.defense, network.architecture, network.seed, network.weights
