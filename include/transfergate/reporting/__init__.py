"""Pages and tables built from records: nothing here computes a verdict or writes a file."""

from transfergate.reporting.charts import Charts, chart_data
from transfergate.reporting.page import evaluation_page
from transfergate.reporting.series import ArmSeries, arm_series, describe
from transfergate.reporting.sizing import render_sizing, sizing_page
from transfergate.reporting.text import render_verdicts

__all__ = [
    "ArmSeries",
    "Charts",
    "arm_series",
    "chart_data",
    "describe",
    "evaluation_page",
    "render_sizing",
    "render_verdicts",
    "sizing_page",
]
