"""A trunk's settings are checked when they are made, each mistake with its remedy."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.errors import UserError
from campaigns.rules.dialable_numbers import NumberFormat
from campaigns.trunks import Codec, parse_settings


def test_defaults_suit_a_plain_carrier() -> None:
    """
    Without settings a trunk speaks G.711, E.164, RFC 4733 and has session timers of 90 s.
    """
    found = parse_settings({}, trunk="acme")

    assert (Codec.PCMU, Codec.PCMA) == found.codecs
    assert (NumberFormat.E164, 90, 20) == (
        found.number_format,
        found.session_timer_s,
        found.ptime_ms,
    )
    assert not found.register_account


def test_dial_plan_follows_the_settings() -> None:
    """
    What formats and checks numbers is exactly what the user set.
    """
    found = parse_settings(
        {"number_format": "national", "country": "DE", "prefix": "0", "regions": ["DE", "AT"]},
        trunk="acme",
    ).dial_plan

    assert (NumberFormat.NATIONAL, "DE", "0") == (found.number_format, found.country, found.prefix)
    assert frozenset({"DE", "AT"}) == found.regions


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"prefix": "911"}, "prefix is '911': it holds an emergency number"),
        ({"prefix": "abc"}, "prefix is 'abc': use at most ten"),
        ({"number_format": "national"}, "needs country"),
        ({"country": "UK"}, "'UK' is no ISO 3166 region"),
        ({"regions": ["US", "XX"]}, "'XX' is no ISO 3166 region"),
        ({"codecs": []}, "name at least one codec"),
        ({"codecs": ["G729"]}, "codecs.0 is 'G729'"),
        ({"ptime_ms": 25}, "ptime_ms is 25: use 10, 20"),
        ({"session_timer_s": 30}, "session_timer_s is 30: use 0 for off, or 90"),
        ({"srtp": "dtls"}, "srtp is 'dtls'"),
        ({"from_user": "a\r\nVia: b"}, "control characters"),
        ({"keep_alive_s": -1}, "keep_alive_s is -1"),
        ({"prefx": "9"}, "no setting 'prefx'"),
    ],
)
def test_mistake_is_one_sentence(values: dict[str, Any], sentence: str) -> None:
    """
    A wrong setting names the trunk, the field, its value and what is allowed.
    """
    with pytest.raises(UserError) as failure:
        parse_settings(values, trunk="acme")

    said = str(failure.value)
    assert said.startswith("Trunk 'acme': ")
    assert sentence in said
    assert 1 == len(said.splitlines())


def test_settings_survive_the_database() -> None:
    """
    What is stored as JSON reads back as the same settings.
    """
    given = parse_settings({"register": True, "regions": ["US"], "srtp": "sdes"}, trunk="acme")

    stored = given.model_dump(mode="json", by_alias=True)

    assert given == parse_settings(stored, trunk="acme")
