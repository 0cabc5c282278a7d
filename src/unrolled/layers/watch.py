"""Who looks on while a model runs: layers report what they computed, inspection reads it (see inspect/)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

See = Callable[[str, Any, dict[str, Any]], None]


class _Watched(threading.local):
    see: See | None = None


_watched = _Watched()


@contextmanager
def watching(see: See) -> Iterator[None]:
    """Call see(event, layer, values) for whatever this thread's layers report inside the block.

    Events: "layer", a layer of a Sequential with x and y; "pass", a recurrent layer with x (a Sequence) and ran (a
    Pass, which a later backprop overwrites); "logits", Dense with its z; "back", a recurrent layer's way back with x,
    ran (its stash is now the gradient of the pre-activations), d_h and d_c (state rows, Hp), d_out (rows or B, H);
    "dense back", Dense's way back with x (n, D) and d_z (n, K).
    """
    outer = _watched.see
    _watched.see = see
    try:
        yield
    finally:
        _watched.see = outer


def watched() -> bool:
    """Whether somebody looks on in this thread."""
    return _watched.see is not None


def report(event: str, layer: Any, **values: Any) -> None:
    """Tell whoever looks on in this thread, if anybody."""
    if _watched.see is not None:
        _watched.see(event, layer, values)
