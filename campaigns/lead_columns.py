"""Which column of a file means what: guessed from names and contents, overridden by the user."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from campaigns.csv_files import Table, is_phone_like
from campaigns.errors import UserError

_SAMPLES = 3
_MOST_PHONES = 9

# Column names people use, folded to lower-case letters and digits.
_WORDS: dict[str, tuple[str, ...]] = {
    "phone": (
        "phone", "phonenumber", "telephone", "telephonenumber", "tel", "telno", "number", "mobile",
        "mobilephone", "mobilenumber", "cell", "cellphone", "cellnumber", "homephone", "workphone",
        "businessphone", "contactnumber", "msisdn", "e164", "telefon", "telefonnummer", "handy",
        "mobil", "mobiltelefon", "rufnummer", "festnetz", "nummer", "telefono", "movil", "celular",
        "numerodetelefono", "telefone", "telemovel", "telephonefixe", "numero", "portable",
        "mobiel", "telefoonnummer", "cellulare", "altphone", "alternatephone", "phoneno",
        "primaryphone", "secondaryphone", "dayphone", "eveningphone", "landline",
    ),
    "name": (
        "name", "fullname", "customer", "customername", "contact", "contactname", "client",
        "clientname", "lead", "leadname", "kunde", "kundenname", "nom", "nomcomplet",
        "nombre", "nombrecompleto", "nome", "naam", "ansprechpartner",
    ),
    "first_name": (
        "firstname", "first", "forename", "givenname", "vorname", "prenom", "primernombre",
        "nomedebatismo", "voornaam",
    ),
    "last_name": (
        "lastname", "last", "surname", "familyname", "nachname", "nomdefamille", "apellido",
        "apellidos", "sobrenome", "cognome", "achternaam",
    ),
    "country": (
        "country", "countrycode", "iso", "isocountry", "land", "laendercode", "pays", "pais",
        "paese", "nation",
    ),
    "zone": ("zone", "timezone", "tz", "zeitzone", "fuseauhoraire", "zonahoraria"),
    "state": ("state", "statecode", "province", "usstate", "addressstate"),
    "postcode": ("postcode", "postalcode", "zip", "zipcode", "plz", "postleitzahl", "codepostal"),
    "line_type": ("linetype", "phonetype", "numbertype", "landline"),
    "debt": ("debt", "debtid", "debtnumber", "accountindebt"),
    "consent": ("consent", "optin", "consentgiven", "einwilligung", "consentement"),
    "consent_date": ("consentdate", "optindate", "consentat", "consentgivenat"),
    "consent_source": ("consentsource", "optinsource", "consenturl", "consentform"),
    "person": ("personid", "customerid", "customernumber", "kundennummer", "subjectid"),
    "priority": ("priority", "prio", "rank", "prioritaet", "prioritat", "priorite", "prioridad"),
}  # fmt: skip
ROLES = tuple(_WORDS)


@dataclass(frozen=True, slots=True)
class Columns:
    """Indexes of the columns that mean something; the others are kept with the lead as they are."""

    phones: tuple[int, ...]
    name: int | None = None
    first_name: int | None = None
    last_name: int | None = None
    country: int | None = None
    zone: int | None = None
    state: int | None = None
    postcode: int | None = None
    line_type: int | None = None
    debt: int | None = None
    consent: int | None = None
    consent_date: int | None = None
    consent_source: int | None = None
    person: int | None = None
    priority: int | None = None

    def used(self) -> frozenset[int]:
        """Return every index that has a meaning."""
        single = (getattr(self, role) for role in ROLES[1:])
        return frozenset(index for index in (*self.phones, *single) if index is not None)

    def meaning(self, index: int) -> str:
        """Return what the column means: a role, `phone2` for the second number, or `kept`."""
        if index in self.phones:
            place = self.phones.index(index) + 1
            return "phone" if place == 1 else f"phone{place}"
        for role in ROLES[1:]:
            if getattr(self, role) == index:
                return role
        return "kept"


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """One column as it is shown to the user before an import."""

    header: str
    meaning: str
    samples: tuple[str, ...]


def parse_mapping(text: str) -> dict[str, str]:
    """Return `phone=Telefon,name=Kunde` as a mapping from meaning to column name or number.

    A meaning without a column (`name=`) takes the guess away. Raises `UserError`.
    """
    found: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        role, mark, column = part.partition("=")
        if not mark:
            raise UserError(
                f"The mapping {part!r} is not written as meaning=column, such as phone=Telefon."
            )
        found[_role(role.strip())] = column.strip()
    return found


def _role(text: str) -> str:
    role = text.casefold().replace("-", "_")
    if role in ROLES or re.fullmatch(rf"phone[2-{_MOST_PHONES}]", role):
        return role
    known = ", ".join(("phone", f"phone2 to phone{_MOST_PHONES}", *ROLES[1:]))
    raise UserError(f"A column cannot mean {text!r}: choose among {known}.")


def choose(
    table: Table, mapping: Mapping[str, str] | None = None
) -> tuple[Columns, tuple[ColumnUse, ...]]:
    """Return what each column means, and the same to show; raises `UserError` without a phone."""
    rows = table.sample()
    if not rows:
        raise UserError(f"{table.path.name} has a header and no row below it.")
    wished = {_role(role): column for role, column in (mapping or {}).items()}
    fixed = {role: _find(table, column) if column else None for role, column in wished.items()}
    taken = {index for index in fixed.values() if index is not None}
    guessed = _guess(table.header, rows, taken, has_header=table.has_header)
    columns = _combine(table, guessed, fixed)
    uses = tuple(
        ColumnUse(header, columns.meaning(index), _samples(rows, index))
        for index, header in enumerate(table.header)
    )
    return columns, uses


def _find(table: Table, column: str) -> int:
    """Return the index of a column by its name or its number, counted from 1."""
    names = [name.casefold() for name in table.header]
    if column.casefold() in names:
        return names.index(column.casefold())
    number = column.removeprefix("#")
    if number.isdecimal() and 1 <= int(number) <= len(names):
        return int(number) - 1
    known = ", ".join(repr(name) for name in table.header[:20])
    raise UserError(f"{table.path.name} has no column {column!r}: it has {known}.")


def _fold(header: str) -> str:
    plain = unicodedata.normalize("NFKD", header.replace("ß", "ss"))
    return re.sub(r"[^a-z0-9]", "", plain.casefold())


def _guess(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    taken: set[int],
    *,
    has_header: bool,
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {role: [] for role in ROLES}
    free = [index for index in range(len(header)) if index not in taken]
    if has_header:
        for index in free:
            role = _meaning_of(header[index])
            if role == "phone" and not _share(rows, index):
                continue
            if role is not None and (role == "phone" or not found[role]):
                found[role].append(index)
    if not found["phone"]:
        # No name tells: the column whose cells look like numbers most often is the phone.
        shares = {index: _share(rows, index) for index in free}
        best = max(shares, key=lambda index: (shares[index], -index), default=None)
        if best is not None and shares[best] >= 0.5:
            found["phone"].append(best)
    if not has_header and not found["name"]:
        words = [index for index in free if index not in found["phone"] and _is_text(rows, index)]
        found["name"] = words[:1]
    return found


def _meaning_of(header: str) -> str | None:
    folded = _fold(header)
    bare = folded.rstrip("0123456789")
    for role, words in _WORDS.items():
        if folded in words or (role == "phone" and bare in words):
            return role
    return None


def _share(rows: Sequence[Sequence[str]], index: int) -> float:
    """Return which share of the filled cells of a column look like telephone numbers."""
    cells = [row[index] for row in rows if index < len(row) and row[index].strip()]
    return sum(map(is_phone_like, cells)) / len(cells) if cells else 0.0


def _is_text(rows: Sequence[Sequence[str]], index: int) -> bool:
    cells = [row[index] for row in rows if index < len(row) and row[index].strip()]
    letters = [cell for cell in cells if any(character.isalpha() for character in cell)]
    return bool(cells) and len(letters) * 2 > len(cells)


def _combine(
    table: Table, guessed: Mapping[str, list[int]], fixed: Mapping[str, int | None]
) -> Columns:
    chosen = {role: fixed.get(role, next(iter(guessed[role]), None)) for role in ROLES[1:]}
    named = [role for role in fixed if role.startswith("phone")]
    if named:
        # Who names the numbers names all of them, in order.
        order = sorted(named, key=lambda role: int(role.removeprefix("phone") or 1))
        phones = [fixed[role] for role in order]
    else:
        phones = list(guessed["phone"][:_MOST_PHONES])
    kept = [index for index in phones if index is not None]
    if not kept:
        columns = ", ".join(repr(name) for name in table.header[:20])
        raise UserError(
            f"No column of {table.path.name} looks like telephone numbers (its columns, divided by "
            f"{table.delimiter_name}, are {columns}): say which one is, such as phone=COLUMN."
        )
    return Columns(
        tuple(dict.fromkeys(kept)),
        **{role: index for role, index in chosen.items() if index not in kept},
    )


def _samples(rows: Sequence[Sequence[str]], index: int) -> tuple[str, ...]:
    cells = (row[index].strip() for row in rows if index < len(row))
    return tuple(dict.fromkeys(cell[:40] for cell in cells if cell))[:_SAMPLES]
