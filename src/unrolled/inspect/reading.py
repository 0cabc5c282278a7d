"""What reads a model's input: the Embedding that looks ids up, or the Masking of a series."""

from __future__ import annotations

from typing import Any

from unrolled.layers import Embedding, Masking, WordDropout


def reading_layer(model: Any) -> tuple[int, Any]:
    """Number and layer of the Embedding or Masking that reads the input, behind WordDropout at most; or (-1, None)."""
    for number, layer in enumerate(model.layers):
        if isinstance(layer, Embedding | Masking):
            return number, layer
        if not isinstance(layer, WordDropout):
            break
    return -1, None


def embedding_of(model: Any) -> Embedding | None:
    """The Embedding that reads the ids, if the model starts with one."""
    layer = reading_layer(model)[1]
    return layer if isinstance(layer, Embedding) else None
