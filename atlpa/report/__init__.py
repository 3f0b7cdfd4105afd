"""Tables drawn from records alone; torch is not needed."""

from atlpa.report.accuracy import each_accuracy, protocol, threat_table, tidy
from atlpa.report.table import Table

__all__ = ["Table", "each_accuracy", "protocol", "threat_table", "tidy"]
