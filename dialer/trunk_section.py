"""A trunk as the settings file describes it: one `[[trunk]]` section, or `DIALER_TRUNK_*`."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from campaigns.errors import UserError
from campaigns.model import Transport, TrunkKind

if TYPE_CHECKING:
    from collections.abc import Mapping

Port = Annotated[int, Field(ge=1, le=65_535, examples=["a port, 1 to 65535"])]


class NumberFormat(StrEnum):
    """How a trunk wants the dialed number: +14155550123, 14155550123, 0014155550123 or 4155550123.

    `national` is the number without its country code and belongs to trunks of one country.
    """

    E164 = "e164"
    E164_NO_PLUS = "e164_no_plus"
    INTERNATIONAL_00 = "00"
    NATIONAL = "national"


class Dtmf(StrEnum):
    """How keypad digits travel."""

    RFC4733 = "rfc4733"
    INFO = "info"


class Srtp(StrEnum):
    """Encryption of audio; `sdes` needs TLS signalling to be worth anything."""

    OFF = "off"
    SDES = "sdes"


class TrunkSection(BaseModel):
    """One `[[trunk]]` of dialer.toml: where calls go out, and how much of it we may use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        min_length=1, max_length=64, pattern=r"^[\w .-]+$", examples=["a name of 1 to 64 letters"]
    )
    kind: TrunkKind = Field(
        default=TrunkKind.REAL,
        examples=["lab (loopback peers, fictional numbers only) or real"],
    )
    enabled: bool = Field(default=True, examples=["true or false"])
    host: str = Field(
        min_length=1, pattern=r"^[^\s/@]+$", examples=["a host name or address, without sip:"]
    )
    port: Port = 5060
    transport: Transport = Field(default=Transport.UDP, examples=["udp, tcp or tls"])
    username: str | None = Field(default=None, examples=["the name the carrier gave you"])
    password_env: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        examples=["the name of an environment variable that holds the password"],
    )
    caller_ids: tuple[str, ...] = Field(
        default=(), examples=["a list of numbers in full, with + and country code"]
    )
    priority: int = Field(default=1, ge=1, le=1000, examples=["1 to 1000, lowest first"])
    weight: int = Field(default=1, ge=1, le=1000, examples=["1 to 1000"])
    channels: int = Field(default=30, ge=1, le=10_000, examples=["1 to 10000 calls at once"])
    calls_per_second: float = Field(default=5, gt=0, le=1000, examples=["above 0, at most 1000"])
    calls_per_day: int = Field(default=10_000, ge=1, le=100_000_000, examples=["1 or more"])
    minutes_per_day: int = Field(default=5_000, ge=1, le=100_000_000, examples=["1 or more"])
    register_with_carrier: bool = Field(default=False, alias="register", examples=["true or false"])
    number_format: NumberFormat = Field(
        default=NumberFormat.E164, examples=["e164, e164_no_plus, 00 or national"]
    )
    prefix: str = Field(
        default="", pattern=r"^[0-9*#]{0,16}$", examples=["up to 16 of 0-9 * #, or nothing"]
    )
    from_domain: str | None = Field(default=None, examples=["a host name"])
    p_asserted_identity: bool = Field(default=False, examples=["true or false"])
    codecs: tuple[str, ...] = Field(
        default=("PCMA", "PCMU"), min_length=1, examples=["a list such as PCMA, PCMU"]
    )
    ptime_ms: int = Field(default=20, ge=10, le=60, multiple_of=10, examples=["10 to 60, in tens"])
    dtmf: Dtmf = Field(default=Dtmf.RFC4733, examples=["rfc4733 or info"])
    srtp: Srtp = Field(default=Srtp.OFF, examples=["off or sdes"])
    keep_alive_s: int = Field(default=15, ge=0, le=600, examples=["0 (none) to 600 seconds"])
    session_timer_s: int = Field(default=90, ge=90, le=7200, examples=["90 to 7200 seconds"])

    @field_validator("caller_ids", "codecs", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Accept `a, b` where the environment cannot hold a list."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    def password(self, environment: Mapping[str, str] | None = None) -> str | None:
        """Return the password from the variable `password_env` names; raises `UserError`."""
        if self.password_env is None:
            return None
        value = (os.environ if environment is None else environment).get(self.password_env)
        if not value:
            raise UserError(
                f"Trunk {self.name}: password_env names {self.password_env}, which is not set: "
                "put the password into that environment variable."
            )
        return value
