"""From lists of ids to arrays, under the names that older versions of Keras use."""

from unrolled.preprocessing import sequence

__all__ = ["sequence"]
