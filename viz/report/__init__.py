"""One HTML file that shows a run's circuit: no network, light and dark, screen, phone and paper."""

from __future__ import annotations

from nacgraph.viz.report.data import Picture, ReportData
from nacgraph.viz.report.page import render_report, write_report

__all__ = ["Picture", "ReportData", "render_report", "write_report"]
