"""Digest authentication of a caller (RFC 2617 with and without qop, MD5)."""

import hashlib
import re
import secrets

_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^,\s]+))')


def authorization(challenge: str, method: str, uri: str, username: str, password: str) -> str:
    """Return the Authorization value that answers a WWW- or Proxy-Authenticate *challenge*."""
    asked = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(challenge)}
    realm, nonce = asked.get("realm", ""), asked.get("nonce", "")
    secret = _md5(f"{username}:{realm}:{password}")
    action = _md5(f"{method}:{uri}")
    fields = [f'username="{username}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"']
    if "auth" in asked.get("qop", ""):
        cnonce = secrets.token_hex(8)
        response = _md5(f"{secret}:{nonce}:00000001:{cnonce}:auth:{action}")
        fields += ["qop=auth", "nc=00000001", f'cnonce="{cnonce}"']
    else:
        response = _md5(f"{secret}:{nonce}:{action}")
    if "opaque" in asked:
        fields.append(f'opaque="{asked["opaque"]}"')
    return "Digest " + ", ".join([*fields, f'response="{response}"', "algorithm=MD5"])


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
