"""Command line: ``python -m siplab carrier | busy-carrier | phones | numbers | books | probe``.

A running part prints one JSON line ``{"ready": true, …}`` with its addresses and pids, then works
until SIGTERM, SIGINT or the end of ``--life``.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from siplab import books, number_plan, speech
from siplab.carrier import (
    BusyCarrier,
    Carrier,
    CarrierError,
    Codec,
    Credentials,
    Pace,
    Sipp,
    Transport,
)
from siplab.phone_control import obey_socket, obey_standard_input
from siplab.phones import PhoneBank, event_line
from siplab.program import check_port

_MISUSE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (CarrierError, speech.SpeechError, ValueError, OSError) as error:
        print(f"siplab: {error}", file=sys.stderr)
        return _MISUSE
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="siplab", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    carrier = commands.add_parser("carrier", help="play the telephone network behind a trunk")
    _add_sipp_options(carrier)
    pace = Pace()
    carrier.add_argument("--ring", type=_seconds, default=pace.ring, help="mean ring time, s")
    carrier.add_argument("--talk", type=_seconds, default=pace.talk, help="mean talk time, s")
    carrier.add_argument(
        "--voicemail", type=_seconds, default=pace.voicemail, help="recording time, s"
    )
    carrier.add_argument("--codec", choices=[c.value for c in Codec], default=Codec.PCMU.value)
    carrier.add_argument(
        "--digest", metavar="USER:PASSWORD", help="challenge every INVITE for these credentials"
    )
    carrier.add_argument("--challenge", type=int, choices=(401, 407), default=401)
    carrier.set_defaults(run=_run_carrier)
    busy = commands.add_parser("busy-carrier", help="486 to every INVITE, for load")
    _add_sipp_options(busy)
    busy.set_defaults(run=_run_busy_carrier)
    phones = commands.add_parser("phones", help="agent phones that answer and stay up")
    phones.add_argument("--count", type=int, default=5)
    phones.add_argument("--port", type=_port, default=0, help="SIP port (default: a free one)")
    phones.add_argument("--host", default="127.0.0.1")
    phones.add_argument("--prefix", default="agent", help="names are PREFIX1, PREFIX2, …")
    phones.add_argument("--answer-after", type=_seconds, default=0.0, help="ringing time, s")
    phones.add_argument("--control", type=Path, help="UNIX socket that takes commands")
    phones.add_argument("--life", type=int, default=4 * 3600, help="end after so many seconds")
    phones.set_defaults(run=_run_phones)
    numbers = commands.add_parser("numbers", help="print numbers of the plan with their behaviour")
    numbers.add_argument("--count", type=int, default=20)
    numbers.add_argument("--seed", type=int, default=1)
    numbers.add_argument("--countries", default=",".join(number_plan.COUNTRIES))
    numbers.set_defaults(run=_print_numbers)
    read = commands.add_parser("books", help="print a carrier's books as JSON lines")
    read.add_argument("folder", type=Path)
    read.add_argument("--live", action="store_true", help="only calls that are up now")
    read.set_defaults(run=_print_books)
    sounds = commands.add_parser("speech", help="make the sounds now and print their folder")
    sounds.set_defaults(run=_make_speech)
    return parser


def _add_sipp_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, required=True, help="scenario, table and books")
    parser.add_argument("--port", type=_port, default=0, help="SIP port (default: a free one)")
    parser.add_argument("--media-port", type=_port, default=0, help="first RTP port")
    parser.add_argument("--transport", choices=[t.value for t in Transport], default="udp")
    parser.add_argument("--life", type=int, default=4 * 3600, help="end after so many seconds")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 3600:
        message = "must be a number of seconds from 0 to 3600"
        raise argparse.ArgumentTypeError(message)
    return value


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        message = "must be a port from 0 (any free one) to 65535"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _run_carrier(options: argparse.Namespace) -> int:
    credentials = None
    if options.digest:
        username, colon, password = options.digest.partition(":")
        if not colon:
            message = "--digest wants USER:PASSWORD"
            raise ValueError(message)
        credentials = Credentials(username, password, challenge=options.challenge)
    carrier = Carrier(
        options.folder,
        port=options.port,
        media_port=options.media_port,
        transport=Transport(options.transport),
        pace=Pace(ring=options.ring, talk=options.talk, voicemail=options.voicemail),
        codec=Codec(options.codec),
        credentials=credentials,
        life_s=options.life,
    )
    return asyncio.run(_serve(carrier))


def _run_busy_carrier(options: argparse.Namespace) -> int:
    carrier = BusyCarrier(
        options.folder,
        port=options.port,
        media_port=options.media_port,
        transport=Transport(options.transport),
        life_s=options.life,
    )
    return asyncio.run(_serve(carrier))


def _run_phones(options: argparse.Namespace) -> int:
    if not 1 <= options.count <= 1000:
        message = "--count must lie between 1 and 1000"
        raise ValueError(message)
    return asyncio.run(_serve_phones(options))


async def _serve_phones(options: argparse.Namespace) -> int:
    """Run the phones until told to stop; events and answers go to standard output."""
    stopped = stop_on_signals()
    if options.port:
        check_port(options.host, options.port, socket.SOCK_DGRAM)
    bank = PhoneBank(
        options.count,
        port=options.port,
        host=options.host,
        prefix=options.prefix,
        on_event=lambda event: print(event_line(event), flush=True),
    )
    async with bank, obey_socket(bank, options.control):
        for phone in bank:
            phone.answer_after = options.answer_after
        uris = [phone.uri for phone in bank]
        print(json.dumps({"ready": True, "port": bank.port, "uris": uris}), flush=True)
        listener = asyncio.create_task(obey_standard_input(bank), name="siplab-standard-input")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(options.life):
                await stopped.wait()
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
    return 0


async def _serve(carrier: Sipp) -> int:
    """Run a carrier until told to stop or until it ends by itself."""
    stopped = stop_on_signals()
    async with carrier:
        ready = {"ready": True, "uri": carrier.uri, "port": carrier.port, "pid": carrier.pid}
        print(json.dumps({**ready, "folder": str(carrier.folder)}), flush=True)
        while carrier.pid is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await stopped.wait()
                return 0
    print(f"siplab: the carrier on {carrier.uri} ended by itself", file=sys.stderr)
    return 1


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    return stopped


def _print_numbers(options: argparse.Namespace) -> int:
    countries = [country for country in options.countries.upper().split(",") if country]
    for number in number_plan.numbers(options.seed, options.count, countries):
        print(f"{number}\t{number_plan.behaviour_of(number).value}")
    return 0


def _print_books(options: argparse.Namespace) -> int:
    if not options.folder.is_dir():
        message = f"no such folder: {options.folder}"
        raise ValueError(message)
    for call in books.read(options.folder):
        if call.is_live or not options.live:
            print(json.dumps(dataclasses.asdict(call)))
    return 0


def _make_speech(_options: argparse.Namespace) -> int:
    print(speech.ensure())
    return 0


if __name__ == "__main__":
    sys.exit(main())
