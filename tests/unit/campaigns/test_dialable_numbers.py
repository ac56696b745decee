"""Numbers that are never dialed: by the gate as numbers, by the trunk as final strings."""

from __future__ import annotations

import phonenumbers
import pytest

from campaigns.model import TrunkKind
from campaigns.rules.dialable_numbers import (
    DialPlan,
    NumberFormat,
    NumberKind,
    Refusal,
    classify,
    dial_string,
    examine,
    is_emergency,
    is_fictional,
    refuse_dialed,
)


@pytest.mark.parametrize(
    "number",
    [
        "+12125550100",
        "+12125550199",
        "+14165550142",
        "+18765550150",
        "+442079460000",
        "+442079460999",
        "+33199000000",
        "+33199009999",
        "+493023125000",
        "+493023125999",
        "+61491570156",
        "+61491570157",
        "+61491570158",
        "+61491570159",
        "+61491570110",
    ],
)
def test_reserved_ranges_are_fiction_and_valid(number: str) -> None:
    """
    Every range reserved for fiction is known, and its numbers are ordinary ones.
    """
    assert is_fictional(number)
    assert NumberKind.ORDINARY is examine(number).kind


@pytest.mark.parametrize(
    "number",
    [
        "+12125550099",
        "+12125550200",
        "+12125551234",
        "+442079461000",
        "+442079459999",
        "+33199010000",
        "+493023124999",
        "+493023126000",
        "+61491570155",
        "+61491570160",
        "+61491570111",
        "12125550100",
        "+121255501000",
    ],
)
def test_neighbours_of_reserved_ranges_are_not_fiction(number: str) -> None:
    """
    One number beside a reserved range may be somebody's.
    """
    assert not is_fictional(number)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("+19005551234", NumberKind.PREMIUM),
        ("+12129761234", NumberKind.PREMIUM),
        ("+15005550100", NumberKind.PREMIUM),
        ("+17005551234", NumberKind.PREMIUM),
        ("+447012345678", NumberKind.PREMIUM),
        ("+979123456789", NumberKind.PREMIUM),
        ("+33899123456", NumberKind.PREMIUM),
        ("+499001123456", NumberKind.PREMIUM),
        ("+18005550100", NumberKind.TOLL_FREE),
        ("+18885550100", NumberKind.TOLL_FREE),
        ("+448001111111", NumberKind.TOLL_FREE),
        ("+80012345678", NumberKind.TOLL_FREE),
        ("+491805123456", NumberKind.SHARED_COST),
        ("+80812345678", NumberKind.SHARED_COST),
        ("+870773111632", NumberKind.SATELLITE),
        ("+881612345678", NumberKind.SATELLITE),
        ("+88216123456789", NumberKind.SATELLITE),
        ("+883510001234567", NumberKind.SATELLITE),
        ("+16005551234", NumberKind.SATELLITE),
        ("+61147101234", NumberKind.SATELLITE),
        ("+911", NumberKind.EMERGENCY),
        ("+112", NumberKind.EMERGENCY),
        ("+999", NumberKind.EMERGENCY),
        ("+1212555010", NumberKind.INVALID),
        ("", NumberKind.INVALID),
        ("+1212555o100", NumberKind.INVALID),
        ("2125550100", NumberKind.INVALID),
        ("+12125551234", NumberKind.ORDINARY),
        ("+14365551234", NumberKind.ORDINARY),
        ("+911123456789", NumberKind.ORDINARY),
        ("+443001234567", NumberKind.ORDINARY),
    ],
)
def test_kind_of_number(number: str, kind: NumberKind) -> None:
    """
    What costs, helps, orbits or is none is told from what may be called.
    """
    assert kind is examine(number).kind


@pytest.mark.parametrize(
    "dialed",
    ["911", "112", "999", "000", "9911", "0112", "00112", "011911", "9-1-1", "+112", "110"],
)
def test_emergency_numbers_are_known_behind_prefixes(dialed: str) -> None:
    """
    An emergency number stays one behind an outside-line digit or an international prefix.
    """
    assert is_emergency(dialed)


PLANS = {
    "e164": DialPlan(),
    "digits": DialPlan(NumberFormat.DIGITS, country="US"),
    "national US": DialPlan(NumberFormat.NATIONAL, country="US"),
    "national DE": DialPlan(NumberFormat.NATIONAL, country="DE"),
    "national GB": DialPlan(NumberFormat.NATIONAL, country="GB"),
    "prefix 9": DialPlan(NumberFormat.DIGITS, prefix="9", country="US"),
    "prefix 0": DialPlan(NumberFormat.NATIONAL, prefix="0", country="DE"),
    "tech prefix": DialPlan(NumberFormat.E164, prefix="1234#"),
}
FICTION = ("+12125550100", "+442079460001", "+33199001234", "+493023125123", "+61491570156")


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
@pytest.mark.parametrize("number", FICTION)
def test_harmless_number_passes_in_every_format(plan: DialPlan, number: str) -> None:
    """
    What the trunk writes for an ordinary number reads back as that number and may be dialed.
    """
    dialed = dial_string(number, plan)

    assert None is refuse_dialed(dialed, plan=plan, kind=TrunkKind.LAB, intended=number)


@pytest.mark.parametrize(
    ("number", "plan", "expected"),
    [
        ("+12125550100", DialPlan(), "+12125550100"),
        ("+12125550100", PLANS["digits"], "12125550100"),
        ("+12125550100", PLANS["national DE"], "0012125550100"),
        ("+493023125123", PLANS["national DE"], "03023125123"),
        ("+442079460001", PLANS["national US"], "011442079460001"),
        ("+442079460001", PLANS["prefix 9"], "9442079460001"),
    ],
)
def test_dialed_string_is_what_the_trunk_wants(number: str, plan: DialPlan, expected: str) -> None:
    """
    Formats and prefixes come out as dialed by hand in that country.
    """
    assert expected == dial_string(number, plan)


@pytest.mark.parametrize(
    ("dialed", "plan", "refusal"),
    [
        ("911", PLANS["digits"], Refusal.EMERGENCY),
        ("9911", PLANS["prefix 9"], Refusal.EMERGENCY),
        ("9112", PLANS["prefix 9"], Refusal.EMERGENCY),
        ("+112", DialPlan(), Refusal.EMERGENCY),
        ("1234#999", PLANS["tech prefix"], Refusal.EMERGENCY),
        ("91112125550100", PLANS["digits"], Refusal.EMERGENCY),
        ("11212125550100", DialPlan(NumberFormat.DIGITS), Refusal.EMERGENCY),
        ("99912125550100", DialPlan(NumberFormat.DIGITS, country="GB"), Refusal.EMERGENCY),
        ("11012345678", DialPlan(NumberFormat.NATIONAL, country="DE"), Refusal.EMERGENCY),
        ("411", PLANS["digits"], Refusal.EMERGENCY),
        ("22456", PLANS["digits"], Refusal.SHORT),
        ("19005551234", PLANS["digits"], Refusal.KIND),
        ("9005551234", PLANS["national US"], Refusal.KIND),
        ("0019005551234", PLANS["national DE"], Refusal.KIND),
        ("09001234567", PLANS["national DE"], Refusal.KIND),
        ("011881612345678", PLANS["national US"], Refusal.KIND),
        ("+870773111632", DialPlan(), Refusal.KIND),
        ("18005550100", PLANS["digits"], Refusal.KIND),
        ("sip:+12125550100@x", DialPlan(), Refusal.MALFORMED),
        ("+1212555\r\n0100", DialPlan(), Refusal.MALFORMED),
        ("12125550100", DialPlan(), Refusal.MALFORMED),
        ("12125550100", PLANS["prefix 9"], Refusal.MALFORMED),
        ("+12125551234", DialPlan(), Refusal.NOT_FICTIONAL),
        ("+12125550100", DialPlan(regions=frozenset({"GB"})), Refusal.REGION),
    ],
)
def test_dangerous_string_is_refused_by_the_trunk(
    dialed: str, plan: DialPlan, refusal: Refusal
) -> None:
    """
    Whatever asked for it, a string that reaches no ordinary number of this trunk never leaves.
    """
    found = refuse_dialed(dialed, plan=plan, kind=TrunkKind.LAB)

    # 411 is directory enquiries in the US and an emergency number elsewhere: refused either way.
    assert refusal is found or {refusal, found} <= {Refusal.EMERGENCY, Refusal.SHORT}


def test_real_trunk_refuses_fiction() -> None:
    """
    A real trunk given a number reserved for fiction does not dial it.
    """
    found = refuse_dialed("+12125550100", plan=DialPlan(), kind=TrunkKind.REAL)

    assert Refusal.FICTIONAL is found


def test_string_that_reaches_somebody_else_is_refused() -> None:
    """
    A format that would turn the lead's number into another one is found out.
    """
    found = refuse_dialed(
        "+12125550101", plan=DialPlan(), kind=TrunkKind.LAB, intended="+12125550100"
    )

    assert Refusal.OTHER_NUMBER is found


def test_delhi_is_reachable_from_india() -> None:
    """
    +91 11… begins like an emergency call elsewhere, and is an ordinary one on an Indian trunk.
    """
    plan = DialPlan(NumberFormat.DIGITS, country="IN")

    assert None is refuse_dialed("911123456789", plan=plan, kind=TrunkKind.REAL)


def _examples() -> list[phonenumbers.PhoneNumber]:
    found = [
        phonenumbers.example_number_for_type(region, kind)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for kind in phonenumbers.PhoneNumberType.values()
    ]
    found += [
        phonenumbers.example_number_for_non_geo_entity(code)
        for code in sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
    ]
    return [number for number in found if number is not None]


def test_numbers_of_the_world_are_judged_as_the_library_reads_them() -> None:
    """
    Every example number of every country is the same to us as when the library parses it.
    """
    numbers = {
        phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        for example in _examples()
    }
    # Iran's shortest are too short for us to call.
    numbers -= {number for number in numbers if len(number) < len("+1234567")}

    assert len(numbers) > 1000
    assert {n: classify(phonenumbers.parse(n, None), n) for n in numbers} == {
        n: examine(n) for n in numbers
    }


def test_number_with_its_trunk_prefix_left_in_is_invalid() -> None:
    """
    A zero after the country code is dialed as written and reaches nobody, but in Italy.
    """
    assert NumberKind.INVALID is examine("+4402079460123").kind
    assert NumberKind.ORDINARY is examine("+390669881234").kind
