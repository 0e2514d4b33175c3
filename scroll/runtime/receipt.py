"""A small JSON beside every result: what it was made from, so that the next step can check and nothing is made twice."""

import hashlib
import json
import platform
import subprocess
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Required, TypedDict, cast

from scroll.errors import InputError
from scroll.runtime import manifest
from scroll.runtime.bounded import plain_file
from scroll.runtime.content import as_it_is, contents_of
from scroll.runtime.files import read_sealed, write_sealed
from scroll.runtime.json_fields import MayLack
from scroll.runtime.picture_meaning import meanings_of

NAME = "receipt.json"
FETCHED = "catalogue.json"  # beside fetched data: where they are from, and when they came
SURFACES = ("*/*.tif", "*/meta.json")  # of sheets: a folder each
PACKAGES = (
    "torch", "monai", "dynamic-network-architectures", "transformers", "segmentation-models-pytorch", "timm", "accelerate",
    "numpy", "scipy", "scikit-image", "zarr", "connected-components-3d", "numba",
)  # fmt: skip
SUM, SPAN = (int, int), (int, int)
FIELDS = {
    "holds": {str: SUM}, "source": str | list, "member": str, "fragment": str, "volume": str, "window": dict,
    "made_by": {"code": MayLack(dict), "packages": MayLack(dict)},
    "is_flipped": bool, "shift_layers": int, "normal_sign": int, "origin_zyx": (int, int, int), "depth": SPAN,
    "folds": [int], "parts": [(SPAN, [int])], "rows": {str: SPAN}, "sources": list | dict, "reach_vox": float,
}  # fmt: skip
MAY_HOLD = {name: MayLack(shape) for name, shape in FIELDS.items()}


Span = tuple[int, int]


class Code(TypedDict, total=False):
    """The package's version; the commit too, and whether files differ from it, where the code is in a git checkout."""

    version: Required[str]
    commit: str
    is_changed: bool


class MadeBy(TypedDict):
    """What decides a result beside its inputs: code, Python, machine, packages by name."""

    code: Code
    python: str
    machine: str
    packages: dict[str, str]


class Receipt(TypedDict, total=False):
    """What a receipt holds; which fields but the key, says the step that wrote it. Its shapes are those of `FIELDS`.

    `weights`: hashes by path of those that predicted; of a training the hash of its own. `source`: a folder, or several.
    """

    key: Required[str]
    data: str
    weights: dict[str, str] | str
    holds: dict[str, manifest.FileSum]
    made_by: MadeBy
    source: str | list[str]
    member: str
    fragment: str
    cube: str
    volume: str
    window: dict[str, object]
    is_flipped: bool
    shift_layers: int
    normal_sign: int
    origin_zyx: tuple[int, int, int]
    place: str
    level: int
    folds: list[int]
    parts: list[tuple[Span, list[int]]]
    rows: dict[str, Span]
    sources: list[str]
    reach_vox: float
    sheets: int
    started_from: object
    held_out: object


class Key(str):
    """A key that also equals the one that the same content had under an older rule (`before`), so that old receipts stay current.

    >>> Key("new", "old") == "new", Key("new", "old") == "old", "old" != Key("new", "old"), Key("new", "old") == "other"
    (True, True, False, False)
    """

    before: str | None

    def __new__(cls, value: str, before: str | None = None) -> "Key":
        """The key as it is written today, and as it was."""
        key = super().__new__(cls, value)
        key.before = before
        return key

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True or (self.before is not None and str(self.before) == other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __reduce__(self) -> Any:
        return Key, (str(self), self.before)


def key_of(content: Any, before: Any = None) -> Key:
    """A short hash of anything JSON can hold; the same content gives the same key on every machine.

    Keys in the content that were others under an older rule make this one such a key too. `before` is what the content
    was under an older rule, where that is more than other keys.

    >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    True
    """
    key, old = _hash_of_json(content), _hash_of_json(_as_before(content if before is None else before))
    return Key(key, None if old == key else old)


def _hash_of_json(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_before(content: Any) -> Any:
    """The same content with all keys in it as they were under the older rule."""
    if isinstance(content, Key):
        return str(content) if content.before is None else content.before
    if isinstance(content, dict):
        return {name: _as_before(value) for name, value in content.items()}
    return [_as_before(value) for value in content] if isinstance(content, list | tuple) else content


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, first 16 hex digits; a file that stays as it is is read once."""
    return _hash_of(path, *as_it_is(path))


@lru_cache(maxsize=256)
def _hash_of(path: Path, *_as_it_is: int) -> str:
    with plain_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def fingerprint(folder: Path) -> Key:
    """Hash of the names and contents of the files below a folder (or of one file), wherever it is and whenever it was touched.

    Contents as `scroll.runtime.content` knows them. Receipts of before know sources by names, sizes and modification times. What was
    noted of where and when it was fetched (`catalogue.json`) is no part of it.
    """
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file() and p.name != FETCHED)
    names = [str(p.relative_to(folder.parent)) for p in files]
    meanings = meanings_of(files)
    times = [
        [name, p.stat().st_size, p.stat().st_mtime_ns, *also]
        for name, p, also in zip(names, files, meanings, strict=True)
    ]
    now = [[name, content, *also] for name, content, also in zip(names, contents_of(files), meanings, strict=True)]
    return key_of(now, before=times)


def write_receipt(folder: Path, key: str, **content: Any) -> None:
    """Leave a receipt in `folder`: the key of its inputs and settings, what the folder holds (`holdings`), the code and packages, and
    what else the next reader wants."""
    write_sealed(folder / NAME, {"key": key, **content, "holds": holdings(folder), "made_by": made_by()})


def holdings(folder: Path) -> dict[str, manifest.FileSum]:
    """Size and checksum of the surfaces below a folder, and of the manifests of its zarrs, which speak of their own files."""
    files = [zarr / manifest.MANIFEST for zarr in manifest.zarrs_below(folder)]
    files += [path for pattern in SURFACES for path in sorted(folder.glob(pattern))]
    return {path.relative_to(folder).as_posix(): manifest.file_sum(path) for path in files if path.is_file()}


def check_holdings(folder: Path, receipt: Receipt, hint: str) -> None:
    """Refuse a folder whose surfaces, or whose zarrs, are not those that its receipt speaks of; old receipts say nothing.

    Raises:
        InputError: names the file; `hint` names the command that makes it again.
    """
    for name, was in receipt.get("holds", {}).items():
        path = folder / name
        if not path.is_file() or list(manifest.file_sum(path)) != list(was):
            raise InputError(f"{path}: is lost or damaged since it was written; delete {folder}, and {hint}")


def _is_whole(folder: Path, receipt: Receipt) -> bool:
    """Whether what a folder holds is there in its size; which of its own zarrs it needs, the caller knows."""
    sizes = {folder / name: was[0] for name, was in receipt.get("holds", {}).items()}
    lost = [
        path for path in sizes if not path.is_file() and (path.parent.parent.parent != folder or path.parent.exists())
    ]
    changed = [path for path, size in sizes.items() if path.is_file() and path.stat().st_size != size]
    broken = [zarr for zarr in manifest.zarrs_below(folder) if not manifest.is_whole(zarr)]
    for path in [*lost, *changed, *broken][:1]:
        print(f"{path}: lost or damaged since it was written; made again")
    return not (lost or changed or broken)


@cache
def made_by() -> MadeBy:
    """Version and commit of this code, Python, machine, and the packages whose arithmetic decides a result."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"code": _code(), "python": platform.python_version(), "machine": platform.machine(), "packages": packages}


def _code() -> Code:
    try:
        number = version("scroll-ensemble")
    except PackageNotFoundError:
        number = "not installed"
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {"version": number}
    try:
        commit = _git(root, "rev-parse", "HEAD")
        is_changed = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):  # no git here, or a checkout of another user
        return {"version": number}
    return {"version": number, "commit": commit, "is_changed": is_changed}


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def is_current(folder: Path, key: str) -> bool:
    """Whether `folder` was finished from exactly these inputs and settings, and all that it holds is there in its size."""
    if not (folder / NAME).exists():
        return False
    receipt = read_receipt(folder, "")
    return bool(receipt.get("key") == key) and _is_whole(folder, receipt)


def read_receipt(folder: Path, hint: str) -> Receipt:
    """Read the receipt in `folder`.

    Raises:
        MissingInputError: there is none; `hint` says which command makes it.
    """
    receipt = read_sealed(folder / NAME, hint, **MAY_HOLD)
    weights = receipt.get("weights", {})
    is_sound = isinstance(weights, str) or (
        isinstance(weights, dict) and all(isinstance(one, str) for one in weights.values())
    )
    if not isinstance(receipt.get("key"), str) or not is_sound:
        missing = "no hashes of weights" if isinstance(receipt.get("key"), str) else "no key"
        raise InputError(f"{folder / NAME}: holds {missing}; delete the folder and run the step that made it again")
    return cast(Receipt, receipt)


def weights_in(receipt: Receipt) -> dict[str, str]:
    """Hashes of the weights that predicted, by their path; none in the receipt of a training."""
    weights = receipt.get("weights")
    return weights if isinstance(weights, dict) else {}
