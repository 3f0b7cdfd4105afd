"""What was found, in three sentences: who stands, what transfer leaves, and what is no more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from atlpa.field_types import written
from atlpa.records import Credibility, Evaluation, verdict
from atlpa.report.networks import network_titles
from atlpa.report.results import Results
from atlpa.report.strongest import beat_guessing, left, strongest
from atlpa.statistics import LEVEL, holm, mcnemar, share


class Sentence(NamedTuple):
    """What was found, and where it is read from.

    Fields:
        text: the sentence.
        table: the name of the report's table that it is about, or "".
        record: the attack that its first number is of, if it has one.
        check: the checks that it names, which say what to do.
    """

    text: str
    table: str = ""
    record: Evaluation | None = None
    check: Credibility | None = None


def findings(results: Results) -> list[Sentence]:
    """At most three sentences, written from the records."""
    records, white = results.evaluations, strongest(results.evaluations)
    titles = network_titles(records)
    transferred = [record for record in records if record.threat != "white"]
    best = max(transferred, key=left, default=None)
    ranked = white if beat_guessing(white) else _column(transferred, best) if best else []
    made = [
        _who_stands(results, white, titles),
        _transfer(best, white, records, titles),
        _chance(ranked, titles),
    ]
    return [sentence for sentence in made if sentence]


def _who_stands(results: Results, white: Sequence[Evaluation], titles: dict[str, str]) -> Sentence | None:
    if not white:
        none = Sentence("No network was attacked itself, so nothing here says how robust one is.", "table1")
        return None if results.distances else none
    best = max(white, key=left)
    told = share(best.budgets[-1].correct)
    where = f"White-box at ε = {written(best.attack['epsilon'])}" + (" in L2" if best.norm == "L2" else "")
    guess = f"{100 / best.data.classes:.1f} %"
    name, attack = titles[best.target.weights], best.attack["name"]
    check = None
    if beat_guessing(white):
        check = _doubt(results, best)
        doubt = f"; its checks say {verdict(check.findings)}" if check else ""
        kept = f"{told.percent()} of {told.n} images under {attack}"
        text = f"{where}, {name} keeps most: {kept}; a guess is right in {guess}{doubt}."
    else:
        text = f"{where} no network keeps more than guessing does ({guess}): "
        text += f"the best, {name}, {told.percent()} under {attack}."
    return Sentence(text, "table1", best, check)


def _doubt(results: Results, best: Evaluation) -> Credibility | None:
    """The checks of the network that stands best, where they have a doubt."""
    at = [r for r in results.checks if (r.target.weights, r.epsilon) == (best.target.weights, best.attack["epsilon"])]
    return at[-1] if at and verdict(at[-1].findings).startswith(("fail", "warn")) else None


def _transfer(
    best: Evaluation | None, white: Sequence[Evaluation], records: Sequence[Evaluation], titles: dict[str, str]
) -> Sentence | None:
    if best is None or not white:
        return None
    target, epsilon = best.target.weights, best.attack["epsilon"]
    own = [record for record in records if record.threat == "white" and record.target.weights == target]
    itself = [left(record) for record in own if (record.norm, record.attack["epsilon"]) == (best.norm, epsilon)]
    leaves = f"Images made on another network leave up to {100 * left(best):.1f} % ({titles[target]}, {best.threat}, "
    leaves += f"ε = {written(epsilon)})"
    attacked = f", and those made on itself {100 * min(itself):.1f} %: transfer is" if itself else ":"
    return Sentence(f"{leaves}{attacked} an upper bound, no robustness.", "transfer", best)


def _column(records: Sequence[Evaluation], like: Evaluation) -> list[Evaluation]:
    """Each network under the same attack from the same source."""

    def settings(record: Evaluation) -> tuple[object, ...]:
        return record.threat, [source.weights for source in record.sources], record.attack, record.eight_bit

    return [record for record in records if settings(record) == settings(like)]


def _chance(ranked: Sequence[Evaluation], titles: dict[str, str]) -> Sentence | None:
    """Over how many others the lead of the best is more than chance."""
    if not ranked:
        return None
    best = max(ranked, key=left)
    others = [
        r for r in ranked if r is not best and r.data == best.data and r.target.architecture == best.target.architecture
    ]
    if not others:
        return None
    raw = [mcnemar(best.budgets[-1].correct[0], other.budgets[-1].correct[0]) for other in others]
    tied = [titles[o.target.weights] for o, p in zip(others, holm(raw), strict=True) if p >= LEVEL]
    where = "white-box" if best.threat == "white" else f"{best.threat}, ε = {written(best.attack['epsilon'])}"
    count = "1 other network" if len(others) == 1 else f"{len(others)} other networks"
    lead, test = f"{titles[best.target.weights]} ({where}) leads {count}", "exact McNemar test, Holm's correction"
    named = ", ".join(tied[:4]) + (f" and {len(tied) - 4} more" if len(tied) > 4 else "")
    over = f", over {named} by no more than chance" if tied else " by more than chance"
    return Sentence(f"{lead}{over} ({test}).", "significance")
