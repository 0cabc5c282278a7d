"""Batches by number: Keras' PyDataset, for data that are larger than memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["PyDataset"]


class PyDataset(ABC):
    """Subclass it, say how many batches there are and how to get one; fit, evaluate and predict read them in turn.

    Any object with these methods does as well. Batches are made one at a time, in this thread.

        class Parts(PyDataset):
            def __len__(self): return 40
            def __getitem__(self, index): return np.load(f"x{index}.npy"), np.load(f"y{index}.npy")

        model.fit(Parts(), epochs=3)   # in a new order in each epoch; shuffle=False: in theirs
    """

    @abstractmethod
    def __len__(self) -> int:
        """Number of batches."""

    @abstractmethod
    def __getitem__(self, index: int) -> Any:
        """Batch `index`: (x, y) or (x, y, sample_weight); for predict x alone will do."""

    def on_epoch_end(self) -> None:  # noqa: B027  to be overridden where it is needed
        """Called after each pass."""
