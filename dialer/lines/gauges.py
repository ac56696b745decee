"""What a line process shows on `/metrics` beside the common ones."""

from __future__ import annotations

from prometheus_client import Gauge

calls = Gauge("dialer_line_calls", "Customer calls this line process holds.")
agent_legs = Gauge("dialer_line_agent_legs", "Agents' phones that are up.")
screened = Gauge("dialer_line_screened", "Calls being screened.")
backlog = Gauge("dialer_line_backlog", "Steps of calls not yet written to Postgres.")
frames_received = Gauge("dialer_screening_frames_received", "Audio frames screening has read.")
frames_expected = Gauge("dialer_screening_frames_expected", "Audio frames that must have come.")
