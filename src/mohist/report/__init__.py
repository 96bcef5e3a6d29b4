"""Questions over the ledger: which run wrote this line, and why."""

from mohist.report.errors import NoSuchLineError, ReportError
from mohist.report.trace import Method, Traced, Tracer
from mohist.report.writing import Write, Writings

__all__ = ["Method", "NoSuchLineError", "ReportError", "Traced", "Tracer", "Write", "Writings"]
