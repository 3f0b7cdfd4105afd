"""Tables and figures drawn from records alone; torch is not needed."""

from atlpa.report.accuracy import each_accuracy, protocol, threat_table, tidy
from atlpa.report.accuracy_curves import accuracy_curves
from atlpa.report.accuracy_sections import bounds_section
from atlpa.report.bounds import bounds_table
from atlpa.report.checks import advice, checked, findings_table, what_stands
from atlpa.report.distances import curve_table, distances_note, distances_table
from atlpa.report.figures import FIGURES, ReportFigure, save, save_figures
from atlpa.report.paper import beside_paper
from atlpa.report.published import published
from atlpa.report.results import Results, collect, read_results
from atlpa.report.section import Section
from atlpa.report.significance import significance
from atlpa.report.summary import summary, write_report
from atlpa.report.table import Table
from atlpa.report.tables import TABLES, sections

__all__ = [
    "FIGURES",
    "TABLES",
    "ReportFigure",
    "Results",
    "Section",
    "Table",
    "accuracy_curves",
    "advice",
    "beside_paper",
    "bounds_section",
    "bounds_table",
    "checked",
    "collect",
    "curve_table",
    "distances_note",
    "distances_table",
    "each_accuracy",
    "findings_table",
    "protocol",
    "published",
    "read_results",
    "save",
    "save_figures",
    "sections",
    "significance",
    "summary",
    "threat_table",
    "tidy",
    "what_stands",
    "write_report",
]
