"""What is wrong with a setting, in a user's words."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from campaigns.complaints import first_complaint
from campaigns.model import CampaignSettings


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"nope": 1}, "there is no setting 'nope'; check its spelling."),
        ({"weekdays": 9}, "weekdays is 9: it must be a list, such as [0, 1]."),
        ({"ratio": "nan"}, "ratio is 'nan': it must be a number."),
        ({"ratio": 99}, "ratio is 99: it must be 10 or less."),
        ({"max_attempts": "many"}, "max_attempts is 'many': it must be a whole number."),
        ({"screening": "maybe"}, "screening is 'maybe': it must be 'off' or 'on'."),
    ],
)
def test_each_complaint(given: dict[str, object], sentence: str) -> None:
    """The field, what it was and what it may be, without pydantic's words."""
    with pytest.raises(ValidationError) as caught:
        CampaignSettings.model_validate(given)

    assert sentence == first_complaint(caught.value)
