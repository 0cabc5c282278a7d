"""The contract of a layer (see docs/architecture.md)."""

from __future__ import annotations
