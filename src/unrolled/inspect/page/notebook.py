"""The text of a trace, coloured by the running probability, for a notebook."""

from __future__ import annotations

from html import escape

from unrolled.inspect.backward import class_number
from unrolled.inspect.trace import Trace

FOR, AGAINST = "205 92 22", "31 92 173"  # as on the page


def coloured_text(trace: Trace) -> str:
    """A paragraph: every token on a background that says how far the probability after it is from undecided.

    Empty where the model gives no probability, reads backwards (each token would need a pass of its own), or has
    learned since the trace.
    """
    backwards = any(layer.reverse for layer in trace.recurrent.values())
    if trace.logits is None or backwards or not trace.recurrent or not trace.weights.same(trace.model.parameters):
        return ""
    k = class_number(trace, None)
    after = trace.running().outputs[:, k]
    middle = 0.5 if trace.output.shape[-1] == 1 else 1 / trace.output.shape[-1]
    parts = []
    for token, padding, p in zip(trace.tokens, trace.padding, after, strict=True):
        if padding:
            continue
        share = (p - middle) / (middle if p < middle else 1 - middle)
        style = f"background:rgb({FOR if share > 0 else AGAINST} / {0.62 * abs(share):.2f});padding:.1em .15em"
        parts.append(f'<span style="{style}" title="{p:.4f}">{escape(token or "·")}</span>')
    name = escape(trace.output_names[k])
    caption = f"<p>coloured by the probability of {name} after each token</p>"
    return f'<p style="line-height:1.8">{" ".join(parts)}</p>{caption}'
