"""Studies: declared lists of networks and attacks that are carried out, resumed and drawn as one."""

from atlpa.studies.execute import draw, execute
from atlpa.studies.plan import Plan, plan
from atlpa.studies.steps import Attack
from atlpa.studies.study import Study, load_study, shipped_studies

__all__ = ["Attack", "Plan", "Study", "draw", "execute", "load_study", "plan", "shipped_studies"]
