"""The lab's number plan: which number does what."""

from collections import Counter
from pathlib import Path

import phonenumbers
import pytest

from siplab import number_plan, plan_table
from siplab.number_plan import (
    BY_LAST_TWO,
    COUNTRIES,
    DEMO_MIX,
    NASTY,
    PEOPLE,
    Behaviour,
    UnknownNumberError,
    behaviour_of,
    numbers,
    plan_numbers,
)
from siplab.plan_table import COURSES, Pace


def test_every_two_digits_have_a_behaviour_and_every_behaviour_a_number() -> None:
    """
    The plan covers 00 to 99, and no behaviour is out of reach.
    """
    planned = set(BY_LAST_TWO.values()) | set(number_plan.AUSTRALIA.values())

    assert list(range(100)) == sorted(BY_LAST_TWO)
    assert set(Behaviour) == planned


def test_every_behaviour_has_a_course() -> None:
    """
    The carrier knows how each behaviour of the plan runs.
    """
    assert set(Behaviour) == set(COURSES)


def test_plan_looks_like_a_campaign() -> None:
    """
    About a third of the numbers do not answer, as many are people, every seventh is voicemail.
    """
    counted = Counter(BY_LAST_TWO.values())
    people = sum(n for behaviour, n in counted.items() if behaviour in PEOPLE)
    busy = sum(n for behaviour, n in counted.items() if behaviour.value.startswith("busy"))

    assert 28 <= people <= 33
    assert 28 <= counted[Behaviour.NO_ANSWER] + counted[Behaviour.NO_ANSWER_480] <= 36
    assert 15 == counted[Behaviour.VOICEMAIL] + counted[Behaviour.VOICEMAIL_SHORT_WORD]
    assert 6 <= busy <= 9


@pytest.mark.parametrize("behaviour", sorted(NASTY))
def test_nasty_behaviours_sit_on_one_number_in_a_hundred(behaviour: Behaviour) -> None:
    """
    What no ordinary campaign meets has a single pair of digits and no place in the demo's mix.
    """
    assert 1 == list(BY_LAST_TWO.values()).count(behaviour)
    assert behaviour not in DEMO_MIX


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_number_is_valid_and_reserved(country: str) -> None:
    """
    The plan holds only numbers reserved for fiction, and phonenumbers finds them valid.
    """
    for number in list(plan_numbers(country))[::37]:
        assert number_plan.is_reserved(number)
        parsed = phonenumbers.parse(number)
        assert phonenumbers.is_valid_number(parsed)
        if country not in {"US", "CA"}:
            assert country == phonenumbers.region_code_for_number(parsed)


@pytest.mark.parametrize("number", ["+12125551234", "+447911123456", "+12025550200", "12025550100"])
def test_numbers_of_real_people_are_refused(number: str) -> None:
    """
    A number outside the reserved ranges has no behaviour, and the error does not repeat it.
    """
    with pytest.raises(UnknownNumberError) as refused:
        behaviour_of(number)

    assert number not in str(refused.value)


def test_last_two_digits_decide_in_every_range() -> None:
    """
    The same digits do the same in New York, London, Paris and Berlin.
    """
    same = ["+12125550145", "+442079460945", "+33199007745", "+493023125045"]

    assert {Behaviour.BUSY} == {behaviour_of(number) for number in same}


def test_same_seed_gives_the_same_list() -> None:
    """
    A list is a function of its seed, without duplicates.
    """
    first, second = numbers(7, 500), numbers(7, 500)

    assert first == second
    assert 500 == len(set(first))
    assert first != numbers(8, 500)


def test_default_list_avoids_the_nasty_ones() -> None:
    """
    A demo's list meets people, voicemail and silence, but no fraud and no broken trunk.
    """
    assert not NASTY & {behaviour_of(number) for number in numbers(1, 1000)}


def test_mix_is_followed() -> None:
    """
    A list holds only what its mix names.
    """
    mix = {Behaviour.PERSON: 3.0, Behaviour.BUSY: 1.0}
    counted = Counter(behaviour_of(number) for number in numbers(3, 400, mix=mix))

    assert set(mix) == set(counted)
    assert 250 <= counted[Behaviour.PERSON] <= 350


def test_too_long_a_list_says_how_far_it_reaches() -> None:
    """
    Asking for more numbers than exist is one clear error.
    """
    with pytest.raises(ValueError, match="only 1 numbers of this mix exist in AU"):
        numbers(1, 5, ["AU"], {Behaviour.PERSON: 1.0})


def test_table_has_one_row_per_key_and_every_route(tmp_path: Path) -> None:
    """
    The carrier's table tells all reserved numbers apart by their last six digits.
    """
    plan_table.write(tmp_path / "plan.csv", Pace())
    rows = [line.split(";") for line in (tmp_path / "plan.csv").read_text().splitlines()[2:]]
    keys = [row[0] for row in rows]

    assert len(keys) == len(set(keys))
    for country in COUNTRIES:
        for number in list(plan_numbers(country))[::53]:
            row = rows[keys.index(number[-6:])]
            assert behaviour_of(number).value == row[9]


def test_talk_times_average_to_the_mean() -> None:
    """
    Talk times vary from number to number around the mean asked for.
    """
    drawn = [number_plan.timing_of(number, ring=4, talk=100).talk for number in plan_numbers("FR")]

    assert 95 <= sum(drawn) / len(drawn) <= 105
    assert min(drawn) < 45
    assert max(drawn) > 250
