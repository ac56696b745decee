"""A trunk as the settings file describes it: one `[[trunk]]` section, or `DIALER_TRUNK_*`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator

from campaigns.errors import UserError
from campaigns.model import Transport, TrunkKind
from campaigns.trunks import TrunkSettings

Port = Annotated[int, Field(ge=1, le=65_535, examples=["a port, 1 to 65535"])]


class TrunkSection(TrunkSettings):
    """Where calls go out, how much of it we may use, and (inherited) how it wants to be spoken to.

    Keys of `TrunkSettings` stand beside these in the same section.
    """

    name: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[\w .-]+$",
        examples=["a name of 1 to 64 letters, digits, spaces, dots or dashes"],
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

    @field_validator("caller_ids", "codecs", "regions", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Accept `a, b` where the environment cannot hold a list."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @property
    def settings(self) -> TrunkSettings:
        """Return the part that is stored as the trunk's settings."""
        names = TrunkSettings.model_fields
        return TrunkSettings.model_validate(
            {
                key: value
                for key, value in self.model_dump(by_alias=True).items()
                if key in names or key in {field.alias for field in names.values()}
            }
        )

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
