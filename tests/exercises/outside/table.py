"""How much of its clean accuracy each network loses under the strongest attack on itself."""

from atlpa.report import Section, Table
from atlpa.statistics import share


def losses(results):
    rows = []
    for record in results.evaluations:
        if record.threat == "white":
            clean, robust = share(record.clean).value, share(record.budgets[-1].correct).value
            rows.append((record.target.defense, f"{record.attack['epsilon']:.3g}", f"{100 * (clean - robust):.1f}"))
    if not rows:
        return None
    table = Table(("defense", "ε", "points lost"), rows)
    return Section("losses", "What white-box attacks take", table, "Clean minus robust accuracy.\n")
