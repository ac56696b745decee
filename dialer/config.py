"""Every setting of the service: one frozen value, read once, from the environment and dialer.toml.

Precedence: options of the command, then `DIALER_*` in the environment, then the file, then the
defaults below. Nothing else reads the environment. Each field's `examples` hold the permitted
values in words: they are what an error and `docs/reference/configuration.md` say.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from campaigns.errors import UserError
from campaigns.model import TrunkKind
from dialer.config_sentence import sentence
from dialer.trunk_section import Port, TrunkSection

PREFIX = "DIALER_"
FILE_NAME = "dialer.toml"
# Read from the environment but no settings: where the file is, and the one trunk a container gets.
_CONFIG_VARIABLE = "DIALER_CONFIG"
_TRUNK_PREFIX = "DIALER_TRUNK_"
# Each line process takes a pair of SIP ports: one for UDP and TCP, the next for TLS.
PORTS_PER_LINE_PROCESS = 2
# RTP and RTCP.
PORTS_PER_CALL = 2

IpAddress = IPv4Address | IPv6Address


class LogFormat(StrEnum):
    """How log lines are written; `auto` is console on a terminal and JSON off it."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least severe log lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def default_data_folder() -> Path:
    """Return where the service keeps its files unless told: the user's data folder.

    For root it is the system's: the embedded Postgres gives up root's rights, and root's home
    would have to be opened for it.
    """
    home = os.environ.get("XDG_DATA_HOME")
    if home is None and os.geteuid() == 0:
        return Path("/var/lib/overdial")
    return Path(home or Path.home() / ".local" / "share") / "overdial"


class Config(BaseSettings):
    """The settings of the service, checked as a whole."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=True
    )

    database_url: str | None = Field(
        default=None,
        examples=["postgresql://user:password@host:port/database, or nothing for the embedded one"],
        description="Postgres to use; the embedded one when not set.",
    )
    data: Path = Field(
        default_factory=default_data_folder,
        examples=["a folder this user can write to"],
        description="Folder of the embedded Postgres, logs, recordings and screening audio.",
    )
    bind_address: IpAddress = Field(
        default=IPv4Address("127.0.0.1"),
        examples=["an IP address of this machine"],
        description="Where SIP and RTP are sent from and received; loopback reaches lab trunks.",
    )
    public_address: IpAddress | None = Field(
        default=None,
        examples=["the IP address carriers see, or nothing"],
        description="Address written into SIP and SDP when a NAT stands between.",
    )
    sip_port: Port = Field(
        default=5060,
        description="First SIP port; line process k uses this + 2k, and the next one for TLS.",
    )
    rtp_low: int = Field(
        default=10_000,
        ge=1024,
        le=65_534,
        examples=["a port, 1024 to 65534"],
        description="First RTP port; the range is shared out among the line processes.",
    )
    rtp_high: int = Field(
        default=19_999,
        ge=1025,
        le=65_535,
        examples=["a port, 1025 to 65535, above rtp_low"],
        description="Last RTP port.",
    )
    lines: int = Field(
        default=1, ge=1, le=64, examples=["1 to 64"], description="Line processes `serve` keeps up."
    )
    max_calls: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        examples=["1 to 100000, or nothing for what the SIP build can hold"],
        description="Calls one line process may hold, agent legs included.",
    )
    api_port: Port = Field(
        default=8400,
        description="HTTP and WebSocket on loopback; put a TLS proxy before it for other hosts.",
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65_000,
        examples=["0 for any free port, or a port up to 65000"],
        description="Health and metrics on loopback: engine here, line process k at this + 1 + k.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        examples=["a PEM file, or nothing"],
        description="Certificate for SIP over TLS.",
    )
    tls_key: Path | None = Field(
        default=None, examples=["a PEM file, or nothing"], description="Its private key."
    )
    tls_ca: Path | None = Field(
        default=None,
        examples=["a PEM file, or nothing for the system's"],
        description="Authorities trusted when a trunk speaks TLS.",
    )
    drain_s: float = Field(
        default=30,
        ge=0,
        le=7200,
        examples=["0 to 7200 seconds"],
        description="How long a shutdown lets conversations finish before it ends them.",
    )
    log: LogLevel = Field(
        default=LogLevel.INFO,
        examples=["debug, info, warning or error"],
        description="Least severe log lines written.",
    )
    log_format: LogFormat = Field(
        default=LogFormat.AUTO,
        examples=["auto, json or console"],
        description="How log lines are written; auto is JSON off a terminal.",
    )
    log_file: Path | None = Field(
        default=None,
        examples=["a file this user can write to, or nothing for standard output"],
        description="Where this process writes its log; `serve` gives each part a file of its own.",
    )
    log_file_mb: float = Field(
        default=50,
        ge=0.01,
        le=10_000,
        examples=["0.01 to 10000"],
        description="Size at which a log file is put aside and a new one begun, megabytes.",
    )
    log_files: int = Field(
        default=5,
        ge=1,
        le=1000,
        examples=["1 to 1000"],
        description="How many log files put aside are kept; the oldest goes.",
    )
    trunk: Annotated[tuple[TrunkSection, ...], NoDecode] = Field(
        default=(), examples=["[[trunk]] sections"], description="Trunks; see below."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is passed and nothing else: only `load` looks at the environment."""
        del settings_cls
        return (init_settings,)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self._check_ports()
        if self.bind_address.is_multicast or self.bind_address.is_reserved:
            raise ValueError(f"bind_address {self.bind_address} is no address of a machine")
        if self.public_address is not None and self.public_address.is_unspecified:
            raise ValueError("public_address cannot be the wildcard: give the address carriers see")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: set both or neither")
        self._check_trunks()
        return self

    def _check_ports(self) -> None:
        need = self.lines * 4 * PORTS_PER_CALL
        if self.rtp_high - self.rtp_low + 1 < need:
            raise ValueError(
                f"rtp_low {self.rtp_low} to rtp_high {self.rtp_high} is too small a range: "
                f"lines = {self.lines} needs at least {need} ports"
            )
        last = self.sip_port + self.lines * PORTS_PER_LINE_PROCESS - 1
        if last > 65_535:
            raise ValueError(
                f"sip_port {self.sip_port} leaves no room for {self.lines} line processes: "
                f"permitted up to {65_536 - self.lines * PORTS_PER_LINE_PROCESS}"
            )
        if last >= self.rtp_low and self.sip_port <= self.rtp_high:
            raise ValueError(
                f"sip_port {self.sip_port} to {last} lies inside rtp_low {self.rtp_low} to "
                f"rtp_high {self.rtp_high}: move one of them"
            )
        if self.sip_port <= self.api_port <= last:
            raise ValueError(
                f"api_port {self.api_port} is also a SIP port ({self.sip_port} to {last}): move it"
            )

    def _check_trunks(self) -> None:
        names = [trunk.name for trunk in self.trunk]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two [[trunk]] sections are named {min(twice)}: rename one")
        for trunk in self.trunk:
            if trunk.kind is TrunkKind.LAB and not _is_loopback(trunk.host):
                raise ValueError(
                    f"trunk {trunk.name} is a lab trunk but host {trunk.host} is not this machine: "
                    "lab trunks speak to loopback addresses only"
                )
            if trunk.kind is TrunkKind.REAL and self.bind_address.is_loopback:
                raise ValueError(
                    f"trunk {trunk.name} is real but bind_address {self.bind_address} reaches only "
                    "this machine: set DIALER_BIND_ADDRESS to this machine's address towards it"
                )

    def rtp_range(self, index: int) -> tuple[int, int]:
        """Return the first and last RTP port of line process *index*: an even start, its own."""
        each = (self.rtp_high - self.rtp_low + 1) // self.lines
        each -= each % PORTS_PER_CALL
        low = self.rtp_low + self.rtp_low % PORTS_PER_CALL + index * each
        return low, min(low + each - 1, self.rtp_high)

    def line_sip_port(self, index: int) -> int:
        """Return the UDP and TCP port of line process *index*; TLS is on the next one."""
        return self.sip_port + index * PORTS_PER_LINE_PROCESS

    def environment(self) -> dict[str, str]:
        """Return the variables with which a child process reads these very settings.

        Trunks are left out: children find them in the database.
        """
        values = self.model_dump(mode="json", exclude={"trunk"})
        return {
            PREFIX + name.upper(): "" if value is None else str(value)
            for name, value in values.items()
        }

    def check_files(self) -> None:
        """Raise `UserError` when a file the settings name is not there."""
        for name in ("tls_certificate", "tls_key", "tls_ca"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_file():
                raise UserError(
                    f"{PREFIX}{name.upper()} {path} is not there: give a PEM file, or nothing."
                )

    def line_metrics_port(self, index: int) -> int:
        """Return where line process *index* shows its metrics, 0 for any free port."""
        return self.metrics_port and self.metrics_port + 1 + index

    @property
    def api_url(self) -> str:
        """Return where the API answers on this machine."""
        return f"http://127.0.0.1:{self.api_port}"


def _is_loopback(host: str) -> bool:
    if host in {"localhost", "ip6-localhost"}:
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def find_file(given: Path | None) -> Path | None:
    """Return the settings file: *given*, DIALER_CONFIG, or dialer.toml of this folder if any."""
    named = given or (
        Path(os.environ[_CONFIG_VARIABLE]) if _CONFIG_VARIABLE in os.environ else None
    )
    if named is not None:
        return named
    here = Path(FILE_NAME)
    return here if here.exists() else None


def load(file: Path | None = None, **overrides: object) -> Config:
    """Return the settings; raises `UserError` naming the key and what it permits.

    *overrides* are options of the command line; those that are None were not given.
    """
    path = find_file(file)
    from_file = _read_file(path) if path else {}
    from_env = _read_environment()
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Config(**{**from_file, **from_env, **given})
    except ValidationError as error:
        raise UserError(
            sentence(
                error,
                settings=Config.model_fields,
                trunk_settings=TrunkSection.model_fields,
                from_environment=from_env,
                path=path,
            )
        ) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"There is no settings file {path}: correct --config or DIALER_CONFIG."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"The settings file {path} cannot be read: {why}.") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The settings file {path} is not valid TOML: {error}.") from None


def _read_environment() -> dict[str, Any]:
    values: dict[str, Any] = {
        key: value for key, value in EnvSettingsSource(Config)().items() if value != ""
    }
    values.pop("trunk", None)
    trunk = {
        name.removeprefix(_TRUNK_PREFIX).lower(): value
        for name, value in os.environ.items()
        if name.startswith(_TRUNK_PREFIX)
        and name.removeprefix(_TRUNK_PREFIX).lower() in _TRUNK_KEYS
    }
    if trunk:
        values["trunk"] = [{"name": "trunk", **trunk}]
    _refuse_misspelled()
    return values


_TRUNK_KEYS = frozenset(field.alias or name for name, field in TrunkSection.model_fields.items())


def _refuse_misspelled() -> None:
    """Refuse DIALER_* names that nearly are a setting; others may belong to other programs."""
    known = [PREFIX + name.upper() for name in Config.model_fields if name != "trunk"]
    known += [_CONFIG_VARIABLE, *(_TRUNK_PREFIX + name.upper() for name in _TRUNK_KEYS)]
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and not name.endswith("PASSWORD"):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.88)
            if near:
                raise UserError(f"{name} is not a setting: did you mean {near[0]}?")
