"""What a recorded announcement must say under a law, found in its words (MSG-1, UK-2, TCPA-3).

A text can be checked for what it must contain, not for being free of marketing: a person signs for
that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"\+?\d[\d\s().-]{5,}\d")
# In Britain the number to decline calls must cost no more than a geographic one (UK-2).
_BASIC_RATE = re.compile(r"(?:\+44|0)\s*(?:80|1|2|3)")
_PREMIUM = re.compile(r"(?:\+?1[\s(-]*)?900\b|(?:\+44|0)\s*9|\+1\s*976")

_WORDS = {
    "seller_name": "on whose behalf the call is made ({seller})",
    "org_name": "on whose behalf the call is made ({seller})",
    "seller_phone": "the seller's telephone number",
    "org_phone": "the caller's telephone number",
    "dnc_phone": "a number that takes do-not-call requests and is no premium one",
    "optout_phone": "a number at basic rate to decline further calls (080, 01, 02, 03)",
    "telemarketing_purpose": 'that the call was for "telemarketing purposes"',
    "dtmf_optout": "which key to press not to be called again",
}


def unsaid(text: str, elements: Sequence[str], *, seller: str) -> tuple[str, ...]:
    """Return what *text* does not say of the *elements* a law wants, in words."""
    return tuple(
        dict.fromkeys(_WORDS[element] for element in elements if not _says(text, element, seller))
    )


def _says(text: str, element: str, seller: str) -> bool:
    folded = text.casefold()
    numbers = [match[0] for match in _NUMBER.finditer(text)]
    match element:
        case "seller_name" | "org_name":
            return "{seller}" in text or seller.casefold() in folded
        case "seller_phone" | "org_phone":
            return bool(numbers)
        case "dnc_phone":
            return any(not _PREMIUM.match(number) for number in numbers)
        case "optout_phone":
            return any(_is_basic(number) for number in numbers)
        case "telemarketing_purpose":
            return "telemarketing" in folded
        case "dtmf_optout":
            return re.search(r"\bpress\b|\bkey\b", folded) is not None
        case _:
            raise ValueError(f"no announcement element {element!r}")


def _is_basic(number: str) -> bool:
    """Say whether a British number is at basic rate; other countries' numbers are taken as such."""
    is_british = number.startswith(("+44", "0"))
    return not is_british or _BASIC_RATE.match(number) is not None
