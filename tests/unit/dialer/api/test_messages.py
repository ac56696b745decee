"""What a screen may say: read strictly, refused in words."""

from __future__ import annotations

import json

import pytest

from campaigns.model import Disposition
from dialer.api import messages
from dialer.api.messages import Dispose, Pause, Unreadable


def test_disposition_with_note() -> None:
    """
    A full message is read as what it says.
    """
    text = '{"type": "dispose", "disposition": "sale", "note": "call May"}'

    said = messages.read(text)

    assert Dispose(type="dispose", disposition=Disposition.SALE, note="call May") == said


def test_pause_has_a_reason_of_its_own() -> None:
    """
    A pause without a reason is a break.
    """
    assert Pause(type="pause", reason="break") == messages.read('{"type": "pause"}')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The message is not JSON."),
        ("[]", "The message must be a JSON object."),
        ("{}", "The message needs a type, one of hello,"),
        ('{"type": 7}', "The message needs a type, one of hello,"),
        ('{"type": "ready", "now": true}', "now: "),
        ('{"type": "dispose"}', "disposition must be one of none, sale,"),
        ('{"type": "dispose", "disposition": "sale", "attempt_id": "x"}', "attempt_id: "),
        (json.dumps({"type": "pause", "reason": "x" * 81}), "reason: "),
        (json.dumps({"type": "dispose", "disposition": "sale", "note": "x" * 2001}), "note: "),
        ('{"type": "hello", "token": ""}', "token: "),
    ],
)
def test_message_that_is_none(text: str, sentence: str) -> None:
    """
    What is no message of ours is refused with a sentence that names the part.
    """
    with pytest.raises(Unreadable) as refused:
        messages.read(text)

    assert str(refused.value).startswith(sentence)


def test_token_is_not_repeated() -> None:
    """
    A token in a malformed hello does not come back in the error.
    """
    with pytest.raises(Unreadable) as refused:
        messages.read('{"type": "hello", "token": "hush-hush", "extra": 1}')

    assert "hush" not in str(refused.value)
