from .folder import write_reports as write_reports
from .notebook import write_report as write_report
from .summary import Summary as Summary
