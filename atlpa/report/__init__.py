"""Tables and figures drawn from records alone; torch is not needed."""

from atlpa.report.accuracy import each_accuracy, protocol, threat_table, tidy
from atlpa.report.accuracy_curves import accuracy_curves
from atlpa.report.checks import advice, checked, findings_table
from atlpa.report.paper import beside_paper, published_table1
from atlpa.report.results import Results, collect
from atlpa.report.significance import significance
from atlpa.report.summary import save, save_training, summary, write_report
from atlpa.report.table import Table

__all__ = [
    "Results",
    "Table",
    "accuracy_curves",
    "advice",
    "beside_paper",
    "checked",
    "collect",
    "each_accuracy",
    "findings_table",
    "protocol",
    "published_table1",
    "save",
    "save_training",
    "significance",
    "summary",
    "threat_table",
    "tidy",
    "write_report",
]
