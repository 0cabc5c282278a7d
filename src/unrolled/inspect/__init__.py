"""The glass box: what a model computed, proved and explained. model.trace(x) is the way in."""

from unrolled.inspect.steps import RecurrentTrace, Step, Unit
from unrolled.inspect.trace import DenseTrace, Trace, Traces, trace

__all__ = ["DenseTrace", "RecurrentTrace", "Step", "Trace", "Traces", "Unit", "trace"]
