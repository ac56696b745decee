"""G.711: mu-law and A-law to and from 16-bit linear samples (ITU-T G.711), vectorised."""

import numpy as np
from numpy.typing import NDArray

Linear = NDArray[np.int16]
_MULAW_BIAS = 0x84
_MULAW_CLIP = 32635


def _mulaw_table() -> Linear:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    exponent = (code >> 4) & 7
    magnitude = (((code & 0x0F) << 3) + _MULAW_BIAS << exponent) - _MULAW_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_table() -> Linear:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent = (code >> 4) & 7
    step = ((code & 0x0F) << 4) + 8
    magnitude = np.where(exponent == 0, step, (step + 0x100) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


MULAW_TO_LINEAR = _mulaw_table()
ALAW_TO_LINEAR = _alaw_table()


def mulaw(samples: Linear) -> bytes:
    """Encode 16-bit samples as mu-law, one byte each."""
    wide = samples.astype(np.int32)
    sign = np.where(wide < 0, 0x80, 0)
    magnitude = np.minimum(np.abs(wide), _MULAW_CLIP) + _MULAW_BIAS
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return bytes((~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8))


def alaw(samples: Linear) -> bytes:
    """Encode 16-bit samples as A-law, one byte each."""
    wide = samples.astype(np.int32)
    sign = np.where(wide < 0, 0, 0x80)
    magnitude = np.minimum(np.where(wide < 0, -wide - 1, wide), 32767)
    exponent = np.where(magnitude < 256, 0, np.floor(np.log2(np.maximum(magnitude, 1))) - 7)
    exponent = exponent.astype(np.int32)
    mantissa = (magnitude >> np.where(exponent == 0, 4, exponent + 3)) & 0x0F
    return bytes(((sign | (exponent << 4) | mantissa) ^ 0x55).astype(np.uint8))


def linear(payload: bytes, payload_type: int) -> Linear:
    """Decode an RTP payload of static type 0 (PCMU) or 8 (PCMA)."""
    table = ALAW_TO_LINEAR if payload_type == 8 else MULAW_TO_LINEAR
    return table[np.frombuffer(payload, dtype=np.uint8)]
