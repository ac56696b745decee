"""What becomes of errors at the root of a process."""

import pytest

from campaigns.errors import UserError
from dialer.supervision import supervised


async def test_a_sentence_for_the_user() -> None:
    """
    A UserError of a supervised task leaves as itself, so that the user reads its sentence.
    """

    async def fail() -> None:
        raise UserError("SIP port 5060 cannot be opened: set DIALER_SIP_PORT.")

    with pytest.raises(UserError, match="set DIALER_SIP_PORT"):
        async with supervised(signals=()) as supervisor:
            supervisor.spawn("failing", fail())


async def test_any_other_error() -> None:
    """
    What nobody wrote a sentence for keeps its group, and with it every trace.
    """

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        async with supervised(signals=()) as supervisor:
            supervisor.spawn("failing", fail())
