"""Settings: where they come from, which one wins, and what is said about an impossible one."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from itertools import pairwise
from pathlib import Path

import pytest

from campaigns.errors import UserError
from campaigns.model import TrunkKind
from campaigns.trunks import TrunkSettings
from dialer import config
from dialer.config import Config, LogLevel
from dialer.trunk_section import TrunkSection

LAB = {"name": "lab", "kind": "lab", "host": "127.0.0.1"}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where no dialer.toml lies about."""
    monkeypatch.chdir(tmp_path)


def written(tmp_path: Path, text: str) -> Path:
    """Return a settings file with *text*."""
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_set_is_a_working_default() -> None:
    """
    Without any setting the service runs on loopback with the embedded Postgres.
    """
    settings = config.load()

    assert settings.database_url is None
    assert IPv4Address("127.0.0.1") == settings.bind_address
    assert "http://127.0.0.1:8400" == settings.api_url
    assert () == settings.trunk


def test_environment_wins_over_file_and_option_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An option beats the environment, which beats the file, which beats the default.
    """
    path = written(tmp_path, 'sip_port = 5070\napi_port = 8500\nlog = "error"\n')
    monkeypatch.setenv("DIALER_API_PORT", "8600")
    monkeypatch.setenv("DIALER_LOG", "warning")

    settings = config.load(path, log="debug")

    assert (5070, 8600, LogLevel.DEBUG) == (settings.sip_port, settings.api_port, settings.log)


def test_file_of_the_working_folder_is_found(tmp_path: Path) -> None:
    """
    dialer.toml in the working folder is read without being named.
    """
    (tmp_path / "dialer.toml").write_text("lines = 3\n", encoding="utf-8")

    assert 3 == config.load().lines


def test_file_may_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    DIALER_CONFIG names the settings file.
    """
    monkeypatch.setenv("DIALER_CONFIG", str(written(tmp_path, "lines = 4\n")))

    assert 4 == config.load().lines


def test_empty_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A variable that is set to nothing, as compose files do, means the default.
    """
    monkeypatch.setenv("DIALER_DATABASE_URL", "")

    assert config.load().database_url is None


def test_settings_made_in_code_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What a program passes to Config is what it gets, whatever the environment says.
    """
    monkeypatch.setenv("DIALER_LINES", "9")

    assert 2 == Config(lines=2).lines


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "DIALER_SIP_PORT",
            "70000",
            "DIALER_SIP_PORT cannot be '70000': it must be a port, 1 to 65535.",
        ),
        ("DIALER_LINES", "0", "DIALER_LINES cannot be '0': it must be 1 to 64."),
        (
            "DIALER_BIND_ADDRESS",
            "everywhere",
            "DIALER_BIND_ADDRESS cannot be 'everywhere': it must be an IP address of this machine.",
        ),
        (
            "DIALER_LOG",
            "loud",
            "DIALER_LOG cannot be 'loud': it must be debug, info, warning or error.",
        ),
        ("DIALER_SIPPORT", "1", "DIALER_SIPPORT is not a setting: did you mean DIALER_SIP_PORT?"),
        (
            "DIALER_TRUNK_PORT",
            "x",
            "DIALER_TRUNK_PORT cannot be 'x': it must be a port, 1 to 65535.",
        ),
    ],
)
def test_impossible_variable(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An impossible value is named with its variable and what it permits, in one sentence.
    """
    if name.startswith("DIALER_TRUNK"):
        monkeypatch.setenv("DIALER_TRUNK_HOST", "127.0.0.1")
    monkeypatch.setenv(name, value)

    with pytest.raises(UserError) as refused:
        config.load()

    assert sentence == str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sip_port = 'a'", r"sip_port in .*settings\.toml cannot be 'a': it must be a port, 1 to"),
        ("chanels = 3", r"chanels in .* is not a setting: there are database_url, data,"),
        ("sipport = 3", r"sipport in .* is not a setting: did you mean sip_port\?"),
        ("rtp_low = 20000\nrtp_high = 20001", r"Impossible settings: rtp_low 20000 to rtp_high"),
        ("sip_port = 65535", r"Impossible settings: sip_port 65535 leaves no room for 1 line"),
        ("sip_port = 12000", r"Impossible settings: sip_port 12000 to 12001 lies inside rtp_low"),
        ("api_port = 5061", r"Impossible settings: api_port 5061 is also a SIP port \(5060 to"),
        ("tls_key = 'key.pem'", r"tls_certificate and tls_key go together: set both or neither\."),
        ("public_address = '0.0.0.0'", r"public_address cannot be the wildcard"),
        ("bind_address = '224.0.0.1'", r"bind_address 224\.0\.0\.1 is no address of a machine"),
        ("lines = ", r"The settings file .* is not valid TOML: "),
        (
            "[[trunk]]\nname='a'\nkind='lab'\nhost='127.0.0.1'\nchanels=2",
            r"trunk\.chanels in .* is not a setting: did you mean channels\?",
        ),
        (
            "[[trunk]]\nname='a'\nkind='lab'\nhost='127.0.0.1'\ncodecs=['MP3']",
            r"trunk\.codecs in .* cannot be 'MP3': it must be 'PCMU', 'PCMA'",
        ),
        ("[[trunk]]\nname='a'\nkind='lab'", r"trunk\.host in .* is missing: it must be a host"),
        (
            "[[trunk]]\nname='a'\nkind='lab'\nhost='192.0.2.1'",
            r"trunk a is a lab trunk but host 192\.0\.2\.1 is not this machine",
        ),
        (
            "[[trunk]]\nname='a'\nhost='192.0.2.1'",
            r"trunk a is real but bind_address 127\.0\.0\.1 reaches only this machine",
        ),
        (
            "[[trunk]]\nname='a'\nkind='lab'\nhost='127.0.0.1'\n" * 2,
            r"two \[\[trunk\]\] sections are named a: rename one",
        ),
    ],
)
def test_impossible_file(text: str, words: str, tmp_path: Path) -> None:
    """
    An impossible file is refused with one sentence that names the key, the file and the remedy.
    """
    with pytest.raises(UserError) as refused:
        config.load(written(tmp_path, text))

    assert re.search(words, str(refused.value)), str(refused.value)
    assert "\n" not in str(refused.value)


def test_missing_file(tmp_path: Path) -> None:
    """
    A settings file that is not there is named.
    """
    with pytest.raises(UserError, match=r"There is no settings file .*nowhere\.toml"):
        config.load(tmp_path / "nowhere.toml")


def test_file_that_is_no_text(tmp_path: Path) -> None:
    """
    A settings file that is not UTF-8 is refused with that reason.
    """
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UserError, match="cannot be read: it is not UTF-8 text"):
        config.load(path)


def test_database_password_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A connection string is not shown in any error about other settings.
    """
    monkeypatch.setenv("DIALER_DATABASE_URL", "postgresql://me:hush@db/x")
    monkeypatch.setenv("DIALER_LINES", "0")

    with pytest.raises(UserError) as refused:
        config.load()

    assert "hush" not in str(refused.value)


def test_trunk_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    DIALER_TRUNK_* describes one trunk, lists divided by commas.
    """
    monkeypatch.setenv("DIALER_BIND_ADDRESS", "192.0.2.9")
    monkeypatch.setenv("DIALER_TRUNK_HOST", "sip.carrier.example")
    monkeypatch.setenv("DIALER_TRUNK_CALLER_IDS", "+14155550100, +14155550101")
    monkeypatch.setenv("DIALER_TRUNK_PTIME_MS", "30")

    (trunk,) = config.load().trunk

    assert ("trunk", "sip.carrier.example", TrunkKind.REAL) == (trunk.name, trunk.host, trunk.kind)
    assert ("+14155550100", "+14155550101") == trunk.caller_ids
    assert 30 == trunk.settings.ptime_ms


def test_trunk_section_carries_the_trunks_dialect() -> None:
    """
    Keys of the trunk's dialect stand beside the others and come out as its settings.
    """
    section = TrunkSection.model_validate(
        {**LAB, "number_format": "national", "country": "DE", "register": True, "prefix": "9"}
    )

    assert (
        TrunkSettings.model_validate(
            {"number_format": "national", "country": "DE", "register": True, "prefix": "9"}
        )
        == section.settings
    )


def test_trunk_password_comes_from_its_variable() -> None:
    """
    The password is read from the variable the section names, and its absence is a sentence.
    """
    section = TrunkSection.model_validate({**LAB, "password_env": "CARRIER_SECRET"})

    assert "s3" == section.password({"CARRIER_SECRET": "s3"})
    with pytest.raises(UserError, match="Trunk lab: password_env names CARRIER_SECRET"):
        section.password({})


def test_line_processes_share_the_ports_out() -> None:
    """
    Each line process has SIP ports and an RTP range of its own, and none leaves the whole range.
    """
    settings = Config(lines=3, sip_port=5060, rtp_low=10001, rtp_high=10100)
    ranges = [settings.rtp_range(index) for index in range(3)]

    assert [5060, 5062, 5064] == [settings.line_sip_port(index) for index in range(3)]
    assert all(low % 2 == 0 and low < high <= 10_100 for low, high in ranges)
    assert all(before[1] < after[0] for before, after in pairwise(ranges))


def test_children_read_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The variables handed to a child process give it the settings of its parent.
    """
    parent = Config(data=tmp_path, lines=2, sip_port=5070, drain_s=0.5, log=LogLevel.ERROR)

    for name, value in parent.environment().items():
        monkeypatch.setenv(name, value)

    assert parent == config.load()


def test_every_setting_is_documented() -> None:
    """
    docs/reference/configuration.md names every setting and every key of a trunk.
    """
    root = Path(__file__).resolve().parents[4]
    text = (root / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    names = [f"DIALER_{name.upper()}" for name in Config.model_fields if name != "trunk"]
    keys = [field.alias or name for name, field in TrunkSection.model_fields.items()]

    assert [] == [name for name in [*names, *keys] if f"`{name}`" not in text]
