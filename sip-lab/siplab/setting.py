"""What the carrier can be set to: codec, credentials, addresses."""

import enum
import re
from dataclasses import dataclass
from pathlib import Path


class Codec(enum.StrEnum):
    """Which G.711 the carrier answers with."""

    PCMU = "PCMU"
    PCMA = "PCMA"

    @property
    def payload_type(self) -> int:
        """Return the static RTP payload type (RFC 3551)."""
        return 0 if self is Codec.PCMU else 8

    @property
    def suffix(self) -> str:
        """Return the file name suffix of the sounds in this codec."""
        return "ulaw" if self is Codec.PCMU else "alaw"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller must present when the carrier challenges (RFC 3261 22, MD5)."""

    username: str
    password: str
    realm: str = "siplab"
    challenge: int = 401
    """401 as a user agent asks; 407 as a proxy does, but then only the user name is checked."""

    def __post_init__(self) -> None:
        """Refuse what would not survive SIPp's patterns and templates."""
        for value in (self.username, self.password, self.realm):
            if not re.fullmatch(r"[A-Za-z0-9_.@-]+", value):
                message = "credentials of the lab are letters, digits and _.@- only"
                raise ValueError(message)
        if self.challenge not in (401, 407):
            message = "the challenge is 401 or 407"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a scenario is generated for."""

    sounds_folder: Path
    table: str
    """The file name SIPp knows the table by."""
    contact: str
    """URI under which the carrier is reached for requests within a call, without the brackets."""
    codec: Codec = Codec.PCMU
    credentials: Credentials | None = None
