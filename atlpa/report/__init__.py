"""Tables and figures drawn from records alone; torch is not needed."""

from atlpa.report.accuracy import each_accuracy, protocol, threat_table, tidy
from atlpa.report.curves import accuracy_curves
from atlpa.report.table import Table

__all__ = ["Table", "accuracy_curves", "each_accuracy", "protocol", "threat_table", "tidy"]
