"""Does an attack that gets past what hides the model's gradient break what all the others leave standing?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from atlpa.attacks import Square
from atlpa.errors import reason
from atlpa.evaluation.checks.bare_layers import out_of_reach
from atlpa.evaluation.checks.check import Check, compare
from atlpa.evaluation.checks.context import CheckContext
from atlpa.evaluation.checks.evidence import TOLERANCE, broken_status
from atlpa.evaluation.checks.rivals import Rival, bare, neighbors, own_backward_passes, stand_ins
from atlpa.evaluation.checks.standing import Attempt, Met
from atlpa.out_of_memory import is_out_of_memory
from atlpa.records import Status

QUERIES = 10_000
"""Of a search that has shown itself to be the better guide: twice those of the ensemble's."""
_NOTHING_TO_PASS = "no layers without weights before the first or behind the last that has some, and none that draws"


def _against(context: CheckContext, make: Callable[[CheckContext], Iterator[Rival]]) -> tuple[Status, str]:
    """What rivals break of what stands; one that the model does not bear is left out, and said."""
    standing, lost = context.standing.stands, []
    try:
        rivals = list(make(context))
    except Exception as error:  # of somebody's network, which is asked in ways that nobody asked it before
        return "skip", _left_out([_cause(error)])
    if not rivals:
        return "skip", ""

    def bearing(rival: Rival) -> Attempt:
        def attack(candidates: Tensor) -> Met:
            try:
                return rival.meet(context, candidates)
            except Exception as error:
                lost.append(_cause(error))
                return Met(candidates, context.images)

        return rival.name, attack

    status, text = compare(context, standing, [bearing(rival) for rival in rivals])
    if len(lost) == len(rivals):
        return "skip", _left_out(lost)
    if status == "pass" and not lost and all(rival.blind(context, standing) for rival in rivals):
        return "skip", "no gradient comes through here either"
    return status, f"{text}; {_left_out(lost)}" if lost else text


def _cause(error: Exception) -> str:
    if is_out_of_memory(error):
        raise error
    return reason(error)


def _left_out(lost: Sequence[str]) -> str:
    return f"left out, since the model does not bear it: {'; '.join(dict.fromkeys(lost))}"


def _neighbors(context: CheckContext) -> tuple[Status, str]:
    if context.randomized:
        return "skip", "the model draws; see averaged gradients"
    return _against(context, neighbors)


def _stand_ins(context: CheckContext) -> tuple[Status, str]:
    status, text = _against(context, stand_ins)
    own = sorted(set(own_backward_passes(context)))
    text = f"{text}; its own backward passes: {', '.join(own)}" if own else text
    return status, text + _passed_by(context)


def _bare(context: CheckContext) -> tuple[Status, str]:
    status, text = _against(context, bare)
    return status, (text or _NOTHING_TO_PASS) + _passed_by(context)


def _more_queries(context: CheckContext) -> tuple[Status, str]:
    if context.randomized:
        return "skip", "the model draws, and would fall by chance"
    fell, right = len(context.by_ensemble.stages.get(Square.name, ())), int(context.clean.sum())
    if broken_status(fell, None, right, TOLERANCE) in ("pass", "skip"):
        return "skip", f"of {right} images {fell} fell to Square alone, so gradients are the better guide"
    return compare(context, context.standing.stands, [context.attempt(Square(context.epsilon, QUERIES))])


def _passed_by(context: CheckContext) -> str:
    """What these attacks cannot look into."""
    sealed = [name or "the whole model" for name in out_of_reach(context.model.model)]
    return f"; compiled or scripted, and so not entered: {', '.join(sealed)}" if sealed else ""


def _check(name: str, source: str, advice: str, make: Callable[[CheckContext], tuple[Status, str]]) -> Check:
    expected = f"breaks no more than {100 * TOLERANCE:.0f} % of what the attacks above leave standing"
    return Check(name=name, expected=expected, source=source, advice=advice, make=make)


CHECKS = (
    _check(
        "neighbors",
        "Pintor et al. 2022",
        "the gradient at the point is not that of its surroundings: average it over points near by",
        _neighbors,
    ),
    _check(
        "stand-ins",
        "Athalye et al. 2018",
        "something without a useful slope hides the gradient: report an attack that passes it (BPDA)",
        _stand_ins,
    ),
    _check(
        "bare layers",
        "Carlini et al. 2019",
        "what is done to the images or the logits hides the gradient: attack the layers with weights",
        _bare,
    ),
    _check(
        "more queries",
        "Andriushchenko et al. 2020",
        "random search finds what gradients do not: report Square, with as many queries as it goes on with",
        _more_queries,
    ),
)
