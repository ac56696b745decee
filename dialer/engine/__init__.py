"""The engine: leases campaigns, paces them, closes what ended."""

from __future__ import annotations

from dialer.engine.process import run_engine

__all__ = ["run_engine"]
