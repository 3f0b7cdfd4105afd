"""Studies: declared lists of networks and attacks that are carried out, resumed and drawn as one."""

from atlpa.studies.carry_out import carry_out, draw
from atlpa.studies.plan import Plan, plan
from atlpa.studies.steps import Attack
from atlpa.studies.study import Study, load_study, shipped_studies

__all__ = ["Attack", "Plan", "Study", "carry_out", "draw", "load_study", "plan", "shipped_studies"]
