"""Tables and figures drawn from records alone; torch is not needed."""

from atlpa.report.accuracy import each_accuracy, protocol, threat_table, tidy
from atlpa.report.checks import advice, checked, findings_table
from atlpa.report.curves import accuracy_curves
from atlpa.report.paper import beside_paper, published_table1
from atlpa.report.significance import significance
from atlpa.report.summary import summary, write_summary
from atlpa.report.table import Table
from atlpa.report.write_analyses import write_analyses

__all__ = [
    "Table",
    "accuracy_curves",
    "advice",
    "beside_paper",
    "checked",
    "each_accuracy",
    "findings_table",
    "protocol",
    "published_table1",
    "significance",
    "summary",
    "threat_table",
    "tidy",
    "write_analyses",
    "write_summary",
]
