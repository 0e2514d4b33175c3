"""Addresses without what opens them: passwords, signatures and tokens, before anything is printed, raised or stored."""

import re

SECRETS = (
    "x-amz-signature", "x-amz-credential", "x-amz-security-token", "x-goog-signature", "x-goog-credential", "awsaccesskeyid",
    "googleaccessid", "signature", "sig", "policy", "key-pair-id", "token", "access_token", "id_token", "refresh_token", "auth",
    "authorization", "api_key", "apikey", "key", "secret", "client_secret", "password", "passwd", "pwd", "credential", "code",
    "sv", "se", "sp", "st", "skoid", "sktid", "jwt", "session", "sessionid",
)  # fmt: skip
HIDDEN = "..."
USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*:/{1,2})[^\s/?#'\"<>|]*@", re.IGNORECASE)
PARAMETER = re.compile(r"(?P<name>(?<=[?&;#])[\w.~%-]+)=[^\s&;#'\"<>|]+", re.IGNORECASE)
HEADER = re.compile(
    r"\b(?P<name>authorization|x-amz-security-token)(?P<sign>['\"]?\s*[:=]\s*)(?:(?:bearer|basic|aws4-hmac-sha256)\s+)?[^\s,;'\"]+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text, with "..." in the place of user names and passwords, and of what signs an address.

    >>> redacted("https://me:word@host/a.zarr?X-Amz-Signature=12ab&versionId=7: not there")
    'https://...@host/a.zarr?X-Amz-Signature=...&versionId=7: not there'
    """
    if "@" in text:
        text = USER.sub(rf"\g<scheme>{HIDDEN}@", text)
    if "=" in text:
        text = PARAMETER.sub(_parameter, text)
    return HEADER.sub(rf"\g<name>\g<sign>{HIDDEN}", text)


def _parameter(found: re.Match[str]) -> str:
    name = found["name"]
    return f"{name}={HIDDEN}" if _is_secret(name.lower()) else found[0]


def _is_secret(name: str) -> bool:
    return (
        name in SECRETS
        or name.startswith(("x-amz-", "x-goog-"))
        or name.endswith(("token", "signature", "secret", "password"))
    )
