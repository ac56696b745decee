"""Call screening: who or what answered, heard without disturbing the agents' audio.

`Screener` (batch) listens and believes, `decide` (policy) says what to do about it.
"""

from dialer.screening.batch import STEP_S, Screened, Screener
from dialer.screening.detector import NOTHING_HEARD, Detector, DetectorBank, Posterior, Thresholds
from dialer.screening.listening import Counts, Listener, Tap
from dialer.screening.policy import (
    Action,
    Move,
    Reason,
    ScreeningRules,
    decide,
    is_listening_over,
    late_evidence,
)

__all__ = [
    "NOTHING_HEARD",
    "STEP_S",
    "Action",
    "Counts",
    "Detector",
    "DetectorBank",
    "Listener",
    "Move",
    "Posterior",
    "Reason",
    "Screened",
    "Screener",
    "ScreeningRules",
    "Tap",
    "Thresholds",
    "decide",
    "is_listening_over",
    "late_evidence",
]
