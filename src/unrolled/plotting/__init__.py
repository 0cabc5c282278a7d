"""Pictures of a training and of what came out of it; each says its figure in the title."""

from unrolled.plotting.curves import plot_history
from unrolled.plotting.judging import (
    plot_accuracy_by_length,
    plot_calibration,
    plot_confusion,
    plot_precision_recall,
    plot_roc,
)
from unrolled.plotting.report import plot_report

__all__ = [
    "plot_accuracy_by_length", "plot_calibration", "plot_confusion", "plot_history", "plot_precision_recall",
    "plot_report", "plot_roc",
]  # fmt: skip
