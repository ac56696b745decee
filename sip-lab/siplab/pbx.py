"""A small telephone system of independent make: Kamailio as registrar and proxy, baresip as phone.

For interop tests: an agent's PBX extension, and a softphone that shares no code with us or PJSIP.
The softphone answers by itself and echoes what it hears.

Errors: ``ProgramError`` (a program is missing, a port is in use, or it ended by itself).
"""

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from siplab import probe
from siplab.program import Program, check_port, free_port

_KAMAILIO = """#!KAMAILIO
debug=0
log_stderror=yes
children=2
disable_tcp=yes
auto_aliases=no
listen=udp:{host}:{port}
alias={host}:{port}
{modules}
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 3600)
modparam("auth", "nonce_expire", 60)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{
            t_relay();
            exit;
        }}
        if (is_method("ACK")) {{
            if (t_check_trans()) t_relay();
            exit;
        }}
        sl_send_reply("404", "Not here");
        exit;
    }}
    t_check_trans();
    if (is_method("OPTIONS") && $rU == $null) {{
        sl_send_reply("200", "OK");
        exit;
    }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("$fd", "{password}", "0")) {{
            www_challenge("$fd", "0");
            exit;
        }}
        consume_credentials();
        save("location");
        exit;
    }}
    record_route();
    if (!lookup("location")) {{
        sl_send_reply("404", "Not registered");
        exit;
    }}
    t_relay();
}}
"""
_MODULES = "tm sl rr pv maxfwd textops siputils usrloc registrar auth"
_BARESIP = """poll_method epoll
sip_listen {host}:{port}
net_interface {host}
module_path {modules}
module g711.so
module srtp.so
module aubridge.so
module_tmp account.so
module_app menu.so
audio_source aubridge,echo
audio_player aubridge,echo
audio_alert aubridge,alert
rtp_ports {rtp_low}-{rtp_high}
"""
_RTP_PORTS = 20
_POLL_S = 0.1


class Kamailio(Program):
    """A registrar and proxy on one UDP port; every extension has the same password."""

    executable = "kamailio"
    package = "kamailio"
    password: ClassVar[str] = "extension"  # noqa: S105 - of a lab on loopback

    def __init__(self, folder: Path, *, port: int = 0, host: str = "127.0.0.1") -> None:
        """Prepare on *port* (0: a free one)."""
        super().__init__(folder)
        self.host, self.port = host, port or free_port(host)

    def extension(self, name: str) -> str:
        """Return the URI of an extension."""
        return f"sip:{name}@{self.host}:{self.port}"

    async def is_registered(self, name: str) -> bool:
        """Tell whether a phone has registered as that extension."""
        try:
            answer = await probe.request("OPTIONS", self.host, self.port, user=name, timeout_s=2.0)
        except probe.NoResponseError:
            return False
        return answer.status != 404

    async def until_registered(self, name: str, *, timeout_s: float = 20.0) -> None:
        """Wait until a phone has registered as that extension; TimeoutError if none does."""
        async with asyncio.timeout(timeout_s):
            while True:
                if await self.is_registered(name):
                    return
                await asyncio.sleep(_POLL_S)

    async def _prepare(self) -> None:
        await super()._prepare()
        check_port(self.host, self.port, socket.SOCK_DGRAM)
        modules = "\n".join(f'loadmodule "{name}.so"' for name in _MODULES.split())
        text = _KAMAILIO.format(
            host=self.host, port=self.port, modules=modules, password=self.password
        )
        (self.folder / "kamailio.cfg").write_text(text, encoding="ascii")

    def _arguments(self) -> list[str]:
        folder = str(self.folder)
        return ["-f", f"{folder}/kamailio.cfg", "-DD", "-E", "-m", "16", "-M", "4", "-Y", folder]

    async def _is_ready(self) -> bool:
        with contextlib.suppress(probe.NoResponseError, OSError):
            await probe.options(self.host, self.port, timeout_s=0.5)
            return True
        return False


@dataclass(frozen=True, slots=True)
class Account:
    """Where a softphone registers."""

    name: str
    host: str
    port: int
    password: str
    srtp: bool = False
    """Refuse calls without SRTP (SDES)."""


class Baresip(Program):
    """A softphone that registers, answers by itself and echoes the audio."""

    executable = "baresip"
    package = "baresip-core"

    def __init__(self, folder: Path, account: Account) -> None:
        """Prepare a phone for *account*."""
        super().__init__(folder)
        self.account = account
        self.port = free_port(account.host)

    @property
    def uri(self) -> str:
        """Return the URI that reaches the phone without its registrar."""
        return f"sip:{self.account.name}@{self.account.host}:{self.port}"

    async def _prepare(self) -> None:
        await super()._prepare()
        account, rtp = self.account, free_port(self.account.host)
        config = _BARESIP.format(
            host=account.host,
            port=self.port,
            modules=_baresip_modules(),
            rtp_low=min(rtp, 65535 - _RTP_PORTS) & ~1,
            rtp_high=(min(rtp, 65535 - _RTP_PORTS) & ~1) + _RTP_PORTS,
        )
        (self.folder / "config").write_text(config, encoding="ascii")
        secured = ";mediaenc=srtp-mand" if account.srtp else ""
        (self.folder / "accounts").write_text(
            f"<sip:{account.name}@{account.host}:{account.port};transport=udp>"
            f";auth_pass={account.password};regint=60;answermode=auto{secured}\n",
            encoding="ascii",
        )
        (self.folder / "contacts").touch()

    def _arguments(self) -> list[str]:
        return ["-f", str(self.folder)]

    async def _is_ready(self) -> bool:
        with contextlib.suppress(probe.NoResponseError, OSError):
            await probe.options(self.account.host, self.port, timeout_s=0.5)
            return True
        return False


def _baresip_modules() -> Path:
    """Return the folder of baresip's modules, which depends on the distribution."""
    known = (Path("/usr/lib/baresip/modules"), *Path("/usr/lib").glob("*/baresip/modules"))
    return next((folder for folder in known if folder.is_dir()), known[0])
