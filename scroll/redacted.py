"""Addresses without what opens them: passwords, signatures and tokens, before anything is printed, raised or stored."""

import re
from urllib.parse import unquote

SECRETS = (
    "sig", "policy", "code", "sv", "se", "sp", "st", "skoid", "sktid", "jwt", "sessionid", "googleaccessid", "keypairid", "hdnea", "hdnts",
)  # fmt: skip
ENDS_SECRET = (
    "key", "keyid", "token", "signature", "secret", "password", "passwd", "pass", "pwd", "pw", "auth", "authorization", "credential",
    "credentials", "hmac", "sas", "session",
)  # fmt: skip
ANYWHERE = (
    "secret",
    "password",
    "accesskey",
    "accountkey",
    "securitytoken",
    "accesstoken",
)  # outside of an address too
HIDDEN = "..."
SCHEME = r"(?P<scheme>\b(?:[a-z][a-z0-9+.-]{0,30}:/{1,2}|(?:https?|s3|gs):))"
USER = re.compile(
    rf"{SCHEME}(?:[^\s/?#'\"<>|]*|[^\s/?#:@\[]+:(?!\d{{1,5}}(?:[/?#]|$))[^\s@]{{0,300}})@",  # a password may hold a slash; a port is none
    re.IGNORECASE,
)
PARAMETER = re.compile(
    r"(?P<before>[?&;#]|%3f|%26|^|[\s'\"({,])(?P<name>[\w.~%-]{1,64}?)(?P<sign>\s?=|%3d)(?P<value>(?:(?!%3f|%26)[^\s&;#'\"<>|])+)",
    re.IGNORECASE,
)
HEADER = re.compile(
    r"\b(?P<name>(?:proxy-)?authorization|x-[a-z-]{0,40}(?:token|key)|(?:set-)?cookie)(?P<sign>['\"]?\s*[:=]\s*['\"]?)"
    r"(?:(?:bearer|basic|digest|token|aws4-hmac-sha256)\s+)?[^\s,;'\"]+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text, with "..." in the place of user names and passwords, and of what signs an address.

    >>> redacted("https://me:word@host/a.zarr?X-Amz-Signature=12ab&versionId=7: not there")
    'https://...@host/a.zarr?X-Amz-Signature=...&versionId=7: not there'
    """
    if "@" in text:
        text = USER.sub(rf"\g<scheme>{HIDDEN}@", text)
    if "=" in text or "%3" in text:
        text = PARAMETER.sub(_parameter, text)
    return HEADER.sub(rf"\g<name>\g<sign>{HIDDEN}", text)


def _parameter(found: re.Match[str]) -> str:
    is_in_address = found["before"] in "?&;#" if found["before"] else False
    is_hidden = _is_secret(found["name"], is_in_address or found["before"].startswith("%"))
    return f"{found['before']}{found['name']}{found['sign']}{HIDDEN}" if is_hidden else found[0]


def _is_secret(name: str, is_in_address: bool) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", unquote(name).lower())
    if not is_in_address:
        return any(word in plain for word in ANYWHERE)
    return plain in SECRETS or plain.startswith(("xamz", "xgoog")) or plain.endswith(ENDS_SECRET)
