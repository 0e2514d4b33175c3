"""OME-Zarr over HTTP(S) and S3: patient with a busy server, never quietly wrong; imported only once a URL is opened.

Of what a server answers, 429, 408, 5xx and broken connections are asked for again, waiting longer and longer, at random
within bounds so that many readers do not come back together; obstore does this, and a body cut short is asked for again
here. 404 means that nothing is stored, which in zarr is a chunk of the fill value. Anything else is an `InputError`.
"""

import asyncio
import hashlib
import json
import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.storage import ObjectStore

from scroll.errors import InputError
from scroll.volumes.chunk_cache import LIMIT_BYTES
from scroll.volumes.chunk_files import METADATA as OF_METADATA
from scroll.volumes.chunk_files import check_metadata_size, most_bytes_of
from scroll.volumes.disk_cache import DiskCache
from scroll.volumes.http_answers import MOST_BYTES, body_of
from scroll.volumes.lru import LruCache
from scroll.volumes.url import Url

if TYPE_CHECKING:
    from obstore.store import S3Config

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
OF_ARRAY = (".zarray", "zarr.json")
NOTHING = hashlib.sha256(b"").hexdigest()
BACKOFF_BASE = 3.0  # a wait is up to this many times the one before
INDEX_BYTES = 2**24  # of shard indices that a store keeps: without, every chunk in a shard costs two requests
LATER = "come back later, or check the address and the network"
CAUSES = (  # what the client's error holds -> what that means, and what to do
    ("NoSuchBucket", "no such bucket", "check the spelling of the address"),
    ("dns error", "no such host", "check the spelling of the address, and the network"),
    ("ConnectionRefused", "connection refused", "check the address and its port, and that the server runs"),
    ("kind: Timeout", "no answer in time", "check the network, or come back later"),
    ("RangeNotSupported", "the server sends no parts of files", "use a server that does: a sharded zarr needs it"),
    ("without LOCATION", "a redirect to nowhere, S3's answer for a bucket in another region", "set AWS_REGION"),
    ("code: 401", "", "use a public address; for S3, set AWS_SKIP_SIGNATURE=false and your AWS keys"),
    ("code: 403", "", "check the spelling; for S3 that is not public, set AWS_SKIP_SIGNATURE=false and your AWS keys"),
)
_runtime_owner: int | None = None  # the process whose threads serve obstore


@dataclass(frozen=True)
class RemoteSettings:
    """How patiently a remote volume is read, and how much of it is kept in memory.

    As they are, a server that keeps failing is asked nine times within about half a minute, and one that only swallows
    requests is given up after a few minutes.

    Attributes:
        retries: how many times a request is made again.
        first_wait_s: the shortest wait before that, in seconds.
        longest_wait_s: no wait is longer.
        give_up_s: seconds after the first request from when it is not made again.
        connect_timeout_s: seconds to reach the server.
        silence_timeout_s: seconds without a byte after which an answer counts as lost.
        cache_bytes: bytes of decoded chunks that an open volume may keep.
        disk: where what was fetched is kept for other processes and later runs; None: nowhere.

    Raises:
        ValueError: one of them is negative, or a time is 0.
    """

    retries: int = 8
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    give_up_s: float = 120.0
    connect_timeout_s: float = 10.0
    silence_timeout_s: float = 30.0
    cache_bytes: int = LIMIT_BYTES
    disk: DiskCache | None = None

    def __post_init__(self) -> None:
        times = (self.first_wait_s, self.longest_wait_s, self.give_up_s, self.connect_timeout_s, self.silence_timeout_s)
        if self.retries < 0 or self.cache_bytes < 0 or min(times) <= 0:
            raise ValueError(f"need counts of 0 or more and times above 0 s, got {self}")


WRITING = RemoteSettings(silence_timeout_s=300.0)  # a server says nothing until all that is sent to it has arrived


class RemoteStore(ObjectStore):  # type: ignore[misc, unused-ignore]
    """One zarr at a URL, read-only. It travels to another process as its URL; keys never travel.

    Raises:
        InputError: obstore is not installed.
    """

    supports_listing = False  # a web server lists nothing
    supports_writes = False
    supports_deletes = False

    def __init__(self, url: Url, settings: RemoteSettings, seen: Mapping[str, str] | None = None) -> None:
        super().__init__(connection(url, settings), read_only=True)
        self.url, self.settings = url, settings
        self._seen = dict(seen or {})  # metadata -> hash of what they said when they were read
        self._indices: LruCache[bytes | None] = LruCache(INDEX_BYTES, _cost)

    def __reduce__(self) -> Any:
        return RemoteStore, (self.url, self.settings, self._seen)

    def __str__(self) -> str:
        return str(self.url)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """The bytes under `key`, or the part of them asked for; None where the server has nothing there.

        Raises:
            InputError: the server cannot be reached, refuses, or keeps failing, or what it has there is empty.
        """
        check_process(self.url)
        is_index = isinstance(byte_range, SuffixByteRequest)  # zarr reads the end of a file for nothing else
        body = await (self._index if is_index else self._kept_body)(key, byte_range)
        return None if body is None else prototype.buffer.from_bytes(body)

    async def exists(self, key: str) -> bool:
        """Whether the server has something under `key`."""
        from zarr.core.buffer import default_buffer_prototype

        return await self.get(key, default_buffer_prototype()) is not None

    async def _index(self, key: str, byte_range: Any) -> bytes | None:
        """The index at the end of a shard, kept for the shard's next chunk."""
        try:
            return self._indices.get(key, _nothing_kept)
        except KeyError:
            body = await self._kept_body(key, byte_range)
            return self._indices.get(key, lambda: body)

    async def _kept_body(self, key: str, byte_range: Any) -> bytes | None:
        """The same from the disk, where it was fetched before; metadata are always asked for, and say which chunks are meant."""
        if key.endswith((*OF_METADATA, ".json")):
            body = await self._body(key, byte_range)
            self._seen[key] = hashlib.sha256(body or b"").hexdigest()
            return body
        disk, version = self.settings.disk, self._version(key)
        if disk is None or version is None:
            return await self._body(key, byte_range)
        return await disk.get(f"{self.url / key} {version} {_range(byte_range)}", lambda: self._body(key, byte_range))

    def _version(self, key: str) -> str | None:
        """Hash of the metadata of the array that a chunk is of; None where they were not read."""
        parts = key.split("/")
        for end in range(len(parts) - 1, -1, -1):
            for name in OF_ARRAY:
                found = self._seen.get("/".join([*parts[:end], name]))
                if found not in (None, NOTHING):
                    return found
        return None

    async def _body(self, key: str, byte_range: Any) -> bytes | None:
        from obstore.exceptions import BaseError

        try:
            body = await self._received(key, _range(byte_range))
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise InputError(complaint(self.url / key, error)) from None
            return None
        except BaseError as error:
            raise InputError(complaint(self.url / key, error)) from None
        if body == b"":  # zarr would take it for a shard that is not there
            raise InputError(f"{self.url / key}: empty; expected metadata or voxels: write it again on the server")
        return body

    async def _received(self, key: str, part: Any) -> bytes:
        """obstore asks again until an answer begins; if the answer then breaks off, this asks again."""
        import obstore
        from obstore.exceptions import BaseError

        settings, wait_s = self.settings, self.settings.first_wait_s
        last_call = time.monotonic() + settings.give_up_s
        retries = 0
        while True:
            answer = await obstore.get_async(self.store, key, options=part)
            try:
                check_metadata_size(self.url / key, key, answer.meta["size"])
                body = bytes(await answer.bytes_async())
                most = most_bytes_of(key, MOST_BYTES)
                return body_of(self.url / key, body, answer.attributes, part is not None, most)
            except BaseError:
                if retries == settings.retries or time.monotonic() > last_call:
                    raise InputError(
                        f"{self.url / key}: the answer broke off ({retries} retries); expected all its bytes: {LATER}"
                    ) from None
            await asyncio.sleep(wait_s)
            wait_s = min(random.uniform(settings.first_wait_s, BACKOFF_BASE * wait_s), settings.longest_wait_s)
            retries += 1


def json_at(store: RemoteStore, name: str) -> Any:
    """The JSON called `name` beside a remote volume's metadata; None where there is none.

    Raises:
        InputError: it is no JSON, or the server fails.
    """
    content = _bytes_at(store, name)
    try:
        return None if content is None else json.loads(content)
    except ValueError as error:
        raise InputError(f"{store.url / name}: not readable as JSON ({error}); mend it on the server") from None


def state(url: Url, settings: RemoteSettings | None = None) -> str:
    """Hash of the metadata of the zarr at `url`: a few requests, no voxels.

    What is published is taken to stay: chunks that change under the same metadata are not noticed.
    """
    store = RemoteStore(url, settings or RemoteSettings())
    return hashlib.sha256(repr([_bytes_at(store, name) for name in METADATA]).encode()).hexdigest()[:16]


def _bytes_at(store: RemoteStore, name: str) -> bytes | None:
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    content = sync(store.get(name, default_buffer_prototype()))
    return None if content is None else bytes(content.to_bytes())


def connection(url: Url, settings: RemoteSettings) -> Any:
    """An obstore client of everything below `url`; nothing is sent yet.

    Raises:
        InputError: obstore is not installed, or `url` is none.
    """
    try:
        from obstore.store import HTTPStore, S3Store
    except ImportError:
        raise InputError(
            f"{url}: reading over the network needs the package obstore; expected it to be installed: run "
            "pip install 'scroll-ensemble[remote]'"
        ) from None
    waits = {
        "init_backoff": timedelta(seconds=settings.first_wait_s),
        "max_backoff": timedelta(seconds=settings.longest_wait_s),
        "base": BACKOFF_BASE,
    }
    patience: Any = {
        "max_retries": settings.retries,
        "retry_timeout": timedelta(seconds=settings.give_up_s),
        "backoff": waits,
    }
    client: Any = {
        "connect_timeout": timedelta(seconds=settings.connect_timeout_s),
        "read_timeout": timedelta(seconds=settings.silence_timeout_s),
        "timeout": timedelta(hours=1),  # of a whole answer: a slow line is no error, a silent one is
    }
    try:
        if not url.startswith("s3://"):
            return HTTPStore(url, client_options=client | {"allow_http": True}, retry_config=patience)
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        client |= {"allow_http": (endpoint or "").startswith("http://")}
        config = _s3_config(endpoint)
        return S3Store(bucket, prefix=prefix or None, config=config, client_options=client, retry_config=patience)
    except ValueError as error:
        raise InputError(f"{url}: no address ({error}); expected for example s3://bucket/folder/name.zarr") from None


def _s3_config(endpoint: str | None) -> "S3Config":
    """Anonymous unless AWS_SKIP_SIGNATURE=false: keys that lie in the environment for other work are not used unasked."""
    given = os.environ
    config: S3Config = {
        "region": given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION") or "us-east-1",
        "skip_signature": given.get("AWS_SKIP_SIGNATURE", "true").lower() not in ("false", "0", "no"),
        "virtual_hosted_style_request": False,  # a bucket's name may hold dots, which certificates do not cover
    }
    if endpoint:
        config["endpoint"] = endpoint
    return config


def _nothing_kept() -> bytes:
    raise KeyError


def _cost(index: bytes | None) -> int:
    return 64 + len(index or b"")  # that a shard is not there is worth remembering too


def _range(asked: Any) -> Any:
    if isinstance(asked, RangeByteRequest):
        return {"range": (asked.start, asked.end)}
    if isinstance(asked, OffsetByteRequest):
        return {"range": {"offset": asked.offset}}
    if isinstance(asked, SuffixByteRequest):
        return {"range": {"suffix": asked.suffix}}
    return None


def check_process(url: Url) -> None:
    """obstore's threads do not survive a fork: in the child every request would wait for ever.

    Raises:
        InputError: this process was forked from one that had used them.
    """
    global _runtime_owner
    if _runtime_owner is None:
        _runtime_owner = os.getpid()
    if _runtime_owner != os.getpid():
        raise InputError(
            f"{url}: read in a process forked from one that had read a remote volume; expected a fresh one: set "
            "start_method to auto, or make a working copy first"
        )


def complaint(url: Url, error: Exception, expected: str = "its bytes") -> str:
    """One line out of the client's many: what the server said, that `expected` was expected, and what to do."""
    text = str(error)
    status = re.search(r"status code: (\d{3}[ \w]*)", text)
    message = f"the server answered {status[1].strip()}" if status else " ".join(text.split("\n\n")[0].split())[:200]
    advice = LATER
    for mark, meaning, what_to_do in CAUSES:
        if mark in text:
            message, advice = meaning or message, what_to_do
            break
    tries = re.search(r"after (\d+) retries", text)
    return f"{url}: {message}{f' ({tries[1]} retries)' if tries else ''}; expected {expected}: {advice}"
