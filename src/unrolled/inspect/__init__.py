"""The glass box: what a model computed, proved and explained. model.trace(x) is the way in."""

from unrolled.inspect.attribution import Attribution, Explanation, Running
from unrolled.inspect.backward import Backward, LayerGradient
from unrolled.inspect.counterfactual import Counterfactual
from unrolled.inspect.flow import Flow, Powers, gradient_flow, plot_flow, recurrent_powers, unrolled_terms
from unrolled.inspect.ledger import Ledger
from unrolled.inspect.page import to_html
from unrolled.inspect.steps import RecurrentTrace, Step, Unit
from unrolled.inspect.trace import DenseTrace, Trace
from unrolled.inspect.traces import Traces, trace
from unrolled.inspect.verify import Check, Report

__all__ = [
    "Attribution",
    "Backward",
    "Check",
    "Counterfactual",
    "DenseTrace",
    "Explanation",
    "Flow",
    "LayerGradient",
    "Ledger",
    "Powers",
    "RecurrentTrace",
    "Report",
    "Running",
    "Step",
    "Trace",
    "Traces",
    "Unit",
    "gradient_flow",
    "plot_flow",
    "recurrent_powers",
    "to_html",
    "trace",
    "unrolled_terms",
]
