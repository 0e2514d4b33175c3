"""Where a volume is: a path on this machine, or the address of a remote one."""

from pathlib import Path
from urllib.parse import urlsplit

from scroll.errors import InputError

SCHEMES = ("http", "https", "s3")


class Url(str):
    """The address of a remote volume, as text that has a `name` and goes further down with `/`, as a path does.

    >>> (Url("s3://bucket/a/54keV_7.91um.zarr") / "0").name, Url("s3://bucket/a").name
    ('0', 'a')
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The last part, which for a bare host or bucket is the host or the bucket."""
        return self.rsplit("/", 1)[-1]

    def __truediv__(self, part: str) -> "Url":
        return Url(f"{self}/{part}")


def path_or_url(where: str | Path) -> Path | Url:
    """What begins with http://, https:// or s3:// as a `Url` without a slash at its end, anything else as a `Path`.

    A `Path` made of an address has lost one of its two slashes; it is taken for the address where no such file exists.

    Raises:
        InputError: an address without a host, or with a password, a query or a fragment, which chunks cannot inherit.
    """
    if isinstance(where, Url):
        return where
    scheme, colon, rest = str(where).partition(":/")
    scheme = scheme.lower()
    is_address = bool(colon) and scheme in SCHEMES and (rest.startswith("/") or isinstance(where, Path))
    if not is_address or (isinstance(where, Path) and where.exists()):
        return Path(where)
    url = f"{scheme}://{rest.removeprefix('/').rstrip('/')}"
    _check(url)
    return Url(url)


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{url}: no address ({error}); expected for example https://host/folder/name.zarr") from None
    if "@" in parts.netloc:  # the address is printed, pickled and kept in receipts
        place = parts.netloc.rpartition("@")[2]
        raise InputError(
            f"{parts.scheme}://...@{place}: holds a user name or a password; expected an address without: leave it out"
        )
    if not host or parts.query or parts.fragment:
        raise InputError(
            f"{url}: no address of a folder; expected a host and a path, without '?' and '#', for example "
            "https://host/folder/name.zarr"
        )
