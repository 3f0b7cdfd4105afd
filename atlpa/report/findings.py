"""What was found, in three sentences: who stands, what transfer leaves, and what is no more than chance."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.field_types import written
from atlpa.records import Evaluation
from atlpa.report.networks import network_titles
from atlpa.report.results import Results
from atlpa.report.strongest import beat_guessing, left, strongest
from atlpa.statistics import LEVEL, holm, mcnemar, share


def findings(results: Results) -> list[str]:
    """At most three sentences, written from the records."""
    records, white = results.evaluations, strongest(results.evaluations)
    titles = network_titles(records)
    transferred = [record for record in records if record.threat != "white"]
    best = max(transferred, key=left, default=None)
    ranked = white if beat_guessing(white) else _column(transferred, best) if best else []
    made = [
        _who_stands(white, titles, distances=bool(results.distances)),
        _transfer(best, white, records, titles),
        _chance(ranked, titles),
    ]
    return [sentence for sentence in made if sentence]


def _who_stands(white: Sequence[Evaluation], titles: dict[str, str], *, distances: bool) -> str:
    if not white:
        return "" if distances else "No network was attacked itself, so nothing here says how robust one is."
    best = max(white, key=left)
    told = share(best.budgets[-1].correct)
    where = f"White-box at ε = {written(best.attack['epsilon'])}" + (" in L2" if best.norm == "L2" else "")
    guess = f"{100 / best.data.classes:.1f} %"
    name, attack = titles[best.target.weights], best.attack["name"]
    if beat_guessing(white):
        kept = f"{told.percent()} of {told.n} images under {attack}"
        return f"{where}, {name} keeps most: {kept}; a guess is right in {guess}."
    none = f"{where} no network keeps more than guessing does ({guess})"
    return f"{none}: the best, {name}, {told.percent()} under {attack}."


def _transfer(
    best: Evaluation | None, white: Sequence[Evaluation], records: Sequence[Evaluation], titles: dict[str, str]
) -> str:
    if best is None or not white:
        return ""
    target, epsilon = best.target.weights, best.attack["epsilon"]
    own = [record for record in records if record.threat == "white" and record.target.weights == target]
    itself = [left(record) for record in own if (record.norm, record.attack["epsilon"]) == (best.norm, epsilon)]
    leaves = f"Images made on another network leave up to {100 * left(best):.1f} % ({titles[target]}, {best.threat}, "
    leaves += f"ε = {written(epsilon)})"
    if not itself:
        return f"{leaves}: an upper bound, no robustness."
    attacked = f"those made on itself {100 * min(itself):.1f} %"
    return f"{leaves}, and {attacked}: transfer is an upper bound, no robustness."


def _column(records: Sequence[Evaluation], like: Evaluation) -> list[Evaluation]:
    """Each network under the same attack from the same source."""

    def settings(record: Evaluation) -> tuple[object, ...]:
        return record.threat, [source.weights for source in record.sources], record.attack, record.eight_bit

    return [record for record in records if settings(record) == settings(like)]


def _chance(ranked: Sequence[Evaluation], titles: dict[str, str]) -> str:
    """Over how many others the lead of the best is more than chance."""
    if not ranked:
        return ""
    best = max(ranked, key=left)
    others = [
        r for r in ranked if r is not best and r.data == best.data and r.target.architecture == best.target.architecture
    ]
    if not others:
        return ""
    raw = [mcnemar(best.budgets[-1].correct[0], other.budgets[-1].correct[0]) for other in others]
    tied = [titles[o.target.weights] for o, p in zip(others, holm(raw), strict=True) if p >= LEVEL]
    where = "white-box" if best.threat == "white" else f"{best.threat}, ε = {written(best.attack['epsilon'])}"
    count = "1 other network" if len(others) == 1 else f"{len(others)} other networks"
    lead, test = f"{titles[best.target.weights]} ({where}) leads {count}", "exact McNemar test, Holm's correction"
    if not tied:
        return f"{lead} by more than chance ({test})."
    named = ", ".join(tied[:4]) + (f" and {len(tied) - 4} more" if len(tied) > 4 else "")
    return f"{lead}, over {named} by no more than chance ({test})."
