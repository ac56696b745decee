"""How one trunk wants to be spoken to: `trunk.settings` as a checked value."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from campaigns.complaints import first_complaint
from campaigns.errors import UserError
from campaigns.rules.dialable_numbers import DialPlan, NumberFormat
from campaigns.rules.zones import zones_of_region


class Codec(StrEnum):
    """Audio codecs a trunk may offer; G.711 first, it is what carriers speak."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    OPUS = "opus"
    GSM = "GSM"


class Dtmf(StrEnum):
    """How digits travel: as RTP events (RFC 4733) or as SIP INFO."""

    RFC4733 = "rfc4733"
    INFO = "info"


class Srtp(StrEnum):
    """Media encryption: none, or SDES keys in the SDP (RFC 4568)."""

    OFF = "off"
    SDES = "sdes"


Port = Annotated[int, Field(ge=1, le=65_535)]


class TrunkSettings(BaseModel):
    """A trunk's dialect; every field has a default that suits a plain G.711 carrier.

    `prefix` goes before the formatted number. `number_format` `national` needs `country`, where the
    trunk stands. `from_user`, `from_domain` and `asserted_identity` default to the call's caller id
    and the trunk's host. `regions` limits which ISO 3166 regions the trunk may reach, None for all
    the campaign allows. Times are seconds, 0 turns `keep_alive_s` and `session_timer_s` off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number_format: NumberFormat = NumberFormat.E164
    prefix: str = ""
    country: str | None = None
    from_user: str | None = None
    from_domain: str | None = None
    from_name: str = ""
    asserted_identity: str | None = None
    codecs: tuple[Codec, ...] = (Codec.PCMU, Codec.PCMA)
    ptime_ms: int = 20
    dtmf: Dtmf = Dtmf.RFC4733
    srtp: Srtp = Srtp.OFF
    register_account: bool = Field(default=False, alias="register")
    register_expires_s: int = Field(default=300, ge=60, le=86_400)
    keep_alive_s: int = Field(default=15, ge=0, le=600)
    session_timer_s: int = Field(default=90)
    proxy: str | None = None
    regions: tuple[str, ...] | None = None

    @field_validator("prefix")
    @classmethod
    def _prefix_is_harmless(cls, prefix: str) -> str:
        if not re.fullmatch(r"[0-9*#]{0,10}", prefix):
            raise ValueError("use at most ten of 0-9, * and #")
        if any(number in prefix for number in ("112", "911", "999", "000")):
            raise ValueError("it holds an emergency number")
        return prefix

    @field_validator("country", "regions", mode="after")
    @classmethod
    def _regions_exist(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for region in (value,) if isinstance(value, str) else value or ():
            if not zones_of_region(region):
                raise ValueError(f"{region!r} is no ISO 3166 region such as US, GB or DE")
        return value

    @field_validator("codecs")
    @classmethod
    def _codecs_are_some(cls, codecs: tuple[Codec, ...]) -> tuple[Codec, ...]:
        if not codecs or len(set(codecs)) != len(codecs):
            raise ValueError("name at least one codec, each once")
        return codecs

    @field_validator("ptime_ms")
    @classmethod
    def _packets_have_a_usual_length(cls, ptime_ms: int) -> int:
        if ptime_ms not in {10, 20, 30, 40, 60}:
            raise ValueError("use 10, 20, 30, 40 or 60")
        return ptime_ms

    @field_validator("session_timer_s")
    @classmethod
    def _session_timer_is_legal(cls, session_timer_s: int) -> int:
        # RFC 4028 §4: the smallest session interval is 90 s.
        if session_timer_s != 0 and not 90 <= session_timer_s <= 7200:
            raise ValueError("use 0 for off, or 90 to 7200")
        return session_timer_s

    @field_validator("from_user", "from_domain", "asserted_identity", "proxy", "from_name")
    @classmethod
    def _headers_stay_on_one_line(cls, value: str | None) -> str | None:
        if value is not None and (re.search(r"[\x00-\x1f\x7f<>\"]", value) or len(value) > 200):
            raise ValueError("leave out control characters, quotes and angle brackets")
        return value

    @model_validator(mode="after")
    def _national_needs_a_country(self) -> TrunkSettings:
        if self.number_format is NumberFormat.NATIONAL and self.country is None:
            raise ValueError("number_format 'national' needs country, such as country = \"DE\"")
        return self

    @property
    def dial_plan(self) -> DialPlan:
        """Return what `campaigns.rules.dialable_numbers` needs to write and to check a number."""
        return DialPlan(
            number_format=self.number_format,
            prefix=self.prefix,
            country=self.country,
            regions=None if self.regions is None else frozenset(self.regions),
        )


def parse_settings(values: dict[str, Any], *, trunk: str) -> TrunkSettings:
    """Return checked settings; raises `UserError` that names trunk, field and remedy."""
    try:
        return TrunkSettings.model_validate(values)
    except ValidationError as error:
        raise UserError(f"Trunk {trunk!r}: {first_complaint(error)}") from None
