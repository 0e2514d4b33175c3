"""A small JSON beside every result: what it was made from, so that the next step can check and nothing is made twice."""

import hashlib
import json
import platform
import subprocess
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from scroll import manifest
from scroll.errors import InputError
from scroll.files import read_sealed, write_sealed

NAME = "receipt.json"
SURFACES = ("*/*.tif", "*/meta.json")  # of sheets: a folder each
PACKAGES = (
    "torch", "monai", "dynamic-network-architectures", "transformers", "segmentation-models-pytorch", "timm", "accelerate",
    "numpy", "scipy", "scikit-image", "zarr", "connected-components-3d", "numba",
)  # fmt: skip


def key_of(content: Any) -> str:
    """A short hash of anything JSON can hold; the same content gives the same key on every machine.

    >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, first 16 hex digits; a file that stays as it is is read once."""
    stat = path.stat()
    return _hash_of(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=256)
def _hash_of(path: Path, *_as_it_is: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def fingerprint(folder: Path) -> str:
    """Hash of the names, sizes and modification times of the files below a folder (or of one file); reads no data."""
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    return key_of([[str(p.relative_to(folder.parent)), p.stat().st_size, p.stat().st_mtime_ns] for p in files])


def write_receipt(folder: Path, key: str, **content: Any) -> None:
    """Leave a receipt in `folder`: the key of its inputs and settings, what the folder holds (`holdings`), the code and packages, and
    what else the next reader wants."""
    write_sealed(folder / NAME, {"key": key, **content, "holds": holdings(folder), "made_by": made_by()})


def holdings(folder: Path) -> dict[str, manifest.FileSum]:
    """Size and checksum of the surfaces below a folder, and of the manifests of its zarrs, which speak of their own files."""
    files = [zarr / manifest.MANIFEST for zarr in manifest.zarrs_below(folder)]
    files += [path for pattern in SURFACES for path in sorted(folder.glob(pattern))]
    return {path.relative_to(folder).as_posix(): manifest.file_sum(path) for path in files if path.is_file()}


def check_holdings(folder: Path, receipt: dict[str, Any], hint: str) -> None:
    """Refuse a folder whose surfaces, or whose zarrs, are not those that its receipt speaks of; old receipts say nothing.

    Raises:
        InputError: names the file; `hint` names the command that makes it again.
    """
    for name, was in receipt.get("holds", {}).items():
        path = folder / name
        if not path.is_file() or list(manifest.file_sum(path)) != list(was):
            raise InputError(f"{path}: is lost or damaged since it was written; delete {folder}, and {hint}")


def _is_whole(folder: Path, receipt: dict[str, Any]) -> bool:
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
def made_by() -> dict[str, Any]:
    """Version and commit of this code, Python, machine, and the packages whose arithmetic decides a result."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"code": _code(), "python": platform.python_version(), "machine": platform.machine(), "packages": packages}


def _code() -> dict[str, Any]:
    """The package's version; the commit too, and whether files differ from it, where the code lies in a git checkout."""
    try:
        number = version("scroll-ensemble")
    except PackageNotFoundError:
        number = "not installed"
    root = Path(__file__).resolve().parent.parent
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


def read_receipt(folder: Path, hint: str) -> dict[str, Any]:
    """Read the receipt in `folder`.

    Raises:
        MissingInputError: there is none; `hint` says which command makes it.
    """
    receipt = read_sealed(folder / NAME, hint)
    if not isinstance(receipt, dict) or "key" not in receipt:
        raise InputError(f"{folder / NAME}: holds no key; delete the folder and run the step that made it again")
    return receipt
