"""Studies: declared lists of networks and attacks that are carried out, resumed and drawn as one."""

from atlpa.studies.analysis_step import AnalysisStep
from atlpa.studies.attack_step import AttackStep
from atlpa.studies.check_step import CheckStep
from atlpa.studies.execute import execute
from atlpa.studies.plan import Plan, plan
from atlpa.studies.preflight import preflight
from atlpa.studies.report import write_study_report
from atlpa.studies.step import State, Step
from atlpa.studies.study import Study, load_study, shipped_studies
from atlpa.studies.training_step import TrainingStep

__all__ = [
    "AnalysisStep",
    "AttackStep",
    "CheckStep",
    "Plan",
    "State",
    "Step",
    "Study",
    "TrainingStep",
    "execute",
    "load_study",
    "plan",
    "preflight",
    "shipped_studies",
    "write_study_report",
]
