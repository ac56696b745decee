"""TLS for a carrier whose SIPp has none: a front that decrypts and passes the bytes on by TCP.

The certificate is made once with the openssl command into the lab's cache; nobody should trust it.

Errors: ``ProgramError`` (openssl is missing or refused).
"""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from pathlib import Path

from siplab import speech
from siplab.program import ProgramError

_CHUNK = 65536
_OPENSSL_TIMEOUT_S = 30.0
_DAYS = "3650"


def certificate() -> tuple[Path, Path]:
    """Return the lab's self-signed certificate for 127.0.0.1 and its key, made if need be."""
    folder = speech.cache_folder().parent / "tls"
    certificate_path, key_path = folder / "lab.crt", folder / "lab.key"
    if certificate_path.exists() and key_path.exists():
        return certificate_path, key_path
    if shutil.which("openssl") is None:
        message = "openssl is not installed: apt-get install openssl"
        raise ProgramError(message)
    folder.mkdir(parents=True, exist_ok=True)
    with speech.lock(folder):
        if not certificate_path.exists():
            _make(certificate_path, key_path)
    return certificate_path, key_path


def _make(certificate_path: Path, key_path: Path) -> None:
    subject = ["-subj", "/CN=siplab", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    fresh = certificate_path.with_suffix(".new")
    files = ["-keyout", str(key_path), "-out", str(fresh)]
    finished = subprocess.run(
        ["openssl", "req", "-x509", *curve, "-days", _DAYS, *subject, *files],
        capture_output=True,
        text=True,
        check=False,
        timeout=_OPENSSL_TIMEOUT_S,
    )
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or ["no reason given"]
        message = f"openssl made no certificate: {lines[-1]}"
        raise ProgramError(message)
    key_path.chmod(0o600)
    fresh.rename(certificate_path)


class TlsFront:
    """Accepts TLS on one port and speaks TCP to another."""

    def __init__(self, host: str, port: int, inner_port: int) -> None:
        """Prepare; `open` binds the port."""
        self.host, self.port, self.inner_port = host, port, inner_port
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Bind and accept; OSError if the port is in use."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*await asyncio.to_thread(certificate))
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=context)

    async def close(self) -> None:
        """Close all connections."""
        if self._server is not None:
            self._server.close()
        for pump in tuple(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, outer: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        try:
            inner, into = await asyncio.open_connection(self.host, self.inner_port)
        except OSError:
            out.close()
            return
        for reader, writer in ((outer, into), (inner, out)):
            pump = asyncio.create_task(_pump(reader, writer), name="siplab-tls-pump")
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until either end closes."""
    try:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while chunk := await reader.read(_CHUNK):
                writer.write(chunk)
                await writer.drain()
    finally:
        writer.close()
