"""Wheels for a notebook without internet: our own, built from the checkout, and others from a folder or, if asked, a registry."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ensemble.kaggle.stock import canonical
from scroll.errors import InputError, MissingInputError
from scroll.runtime.children import run_module

PACKAGES = ("scroll", "stage1_3d", "stage2_2d", "ensemble")
BESIDE = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")
PROJECT = "scroll_ensemble"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")  # of the notebooks' Linux


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the wheel of the checkout at `root` into `folder`; asks no registry and writes nothing into the checkout.

    Raises:
        InputError: the build failed; the message holds its last line.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        copy = Path(scratch) / "source"  # setuptools leaves build/ and an egg-info where it builds
        for name in PACKAGES:
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in BESIDE:
            shutil.copy2(root / name, copy / name)
        _pip("wheel", str(copy), "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder))
    return next(folder.glob(f"{PROJECT}-*.whl"))


def take_wheels(lacking: Mapping[str, str], source: Path, folder: Path) -> list[str]:
    """Copy from `source` the wheel of every package in `lacking` (name -> version) into `folder`; returns whose is not there.

    A wheel of another version than here is not taken. Of several for one version (for other Pythons) all are.

    Raises:
        MissingInputError: `source` is no folder.
    """
    if not source.is_dir():
        raise MissingInputError(f"{source}: no such folder; --wheels takes one with .whl files in it")
    folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for name, version in lacking.items():
        fitting = [path for path in sorted(source.glob("*.whl")) if _names(path) == (name, version)]
        for path in fitting:
            shutil.copy2(path, folder / path.name)
        missing += [] if fitting else [name]
    return missing


def _names(wheel: Path) -> tuple[str, str]:
    name, _, rest = wheel.name.partition("-")
    return canonical(name), rest.partition("-")[0]


def download_wheels(lacking: Mapping[str, str], python: str, folder: Path) -> None:
    """Download the wheels of `lacking` (name -> version) for Linux and that `python` ("3.12") into `folder`, from pip's registry.

    What is there as source alone is built here, which suits another Python where it is nothing but Python.

    Raises:
        InputError: one of them cannot be had, or has no wheel and is not pure Python.
    """
    platforms = [part for platform in PLATFORMS for part in ("--platform", platform)]
    for name, version in lacking.items():
        requirement = f"{name}=={version}"
        how = ["--no-deps", "--only-binary", ":all:", "--python-version", python, *platforms, "--dest", str(folder)]
        try:
            _pip("download", *how, requirement)
        except InputError:
            _build_pure(requirement, folder)


def _build_pure(requirement: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        _pip("wheel", "--no-deps", "--wheel-dir", scratch, requirement)
        (built,) = Path(scratch).glob("*.whl")
        if not built.name.endswith("-none-any.whl"):
            raise InputError(
                f"{requirement}: has no wheel for that Python, and is not pure Python; put one in with --wheels"
            )
        shutil.copy2(built, folder / built.name)


def _pip(*arguments: str) -> None:
    done = run_module("pip", "--quiet", "--disable-pip-version-check", *arguments)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        error = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
        raise InputError(f"pip {arguments[0]}: {error}")
