"""Who may use the carrier: its digest challenge and its registrar, as parts of the scenario."""

from siplab.setting import Credentials, Setting
from siplab.sipp_xml import goto, quoted, reply, send


def verify(setting: Setting) -> str:
    """Return the action that sets ``authorised`` if the INVITE carries the right credentials.

    SIPp computes the digest of Authorization only; of Proxy-Authorization the user is compared.
    """
    wanted = setting.credentials
    if wanted is None:
        return ""
    if wanted.challenge == 407:
        pattern = f'Proxy-Authorization: Digest.*username="{wanted.username}".*response="[0-9a-f]+'
        return f'<ereg regexp={quoted(pattern)} search_in="msg" assign_to="authorised"/>'
    name, password = quoted(wanted.username), quoted(wanted.password)
    return f'<verifyauth assign_to="authorised" username={name} password={password}/>'


def challenge(credentials: Credentials, first_invite: str) -> list[str]:
    """Return the digest challenge of an INVITE: once, then 403.

    *first_invite* is the receive that takes the INVITE, here its second version.
    """
    return [
        goto("authorised", "authorised"),
        send(_challenging_reply(credentials), retrans=True),
        '<recv request="ACK"/>',
        first_invite,
        goto("authorised", "authorised"),
        send(reply("403 Forbidden"), retrans=True),
        '<recv request="ACK"/>',
        goto("end"),
        '<label id="authorised"/>',
    ]


def _challenging_reply(credentials: Credentials) -> list[str]:
    by_proxy = credentials.challenge == 407
    status = "407 Proxy Authentication Required" if by_proxy else "401 Unauthorized"
    header = "Proxy-Authenticate" if by_proxy else "WWW-Authenticate"
    value = f'Digest realm="{credentials.realm}", nonce="siplab[pid]n[call_number]", algorithm=MD5'
    return reply(status, f"{header}: {value}")


def receive_registration(setting: Setting, attributes: str = "") -> str:
    """Return the receive of a REGISTER."""
    expires = '<ereg regexp=".*" search_in="hdr" header="Expires:" assign_to="expires"/>'
    actions = f"<action>{expires}{verify(setting)}</action>"
    return f'<recv request="REGISTER" {attributes}>{actions}</recv>'


def registration(setting: Setting) -> list[str]:
    """Return the registrar: challenged like calls are, granted for as long as asked."""
    parts = ['<label id="register"/>']
    if setting.credentials is not None:
        parts += [
            goto("registered", "authorised"),
            send(_challenging_reply(setting.credentials)),
            receive_registration(setting),
            goto("registered", "authorised"),
            send(reply("403 Forbidden"), then="end"),
            '<label id="registered"/>',
        ]
    granted = ("[last_Contact:]", "Expires:[$expires]"), ("[last_Contact:]", "Expires: 300")
    return [
        *parts,
        goto("registered_as_asked", "expires"),
        send(reply("200 OK", *granted[1]), then="end"),
        '<label id="registered_as_asked"/>',
        send(reply("200 OK", *granted[0]), then="end"),
    ]
