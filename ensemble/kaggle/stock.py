"""Which packages a stock notebook has, and which of those that we need it lacks."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from scroll.errors import InputError, MissingInputError
from scroll.runtime.bounded import read_text
from scroll.runtime.reading import reading

# What the image of a GPU notebook has of what we need, with the version seen in the middle of 2026. Kaggle's image is built
# on Colab's (Kaggle/docker-python), whose packages are published (googlecolab/backend-info, pip-freeze.gpu.txt). It has
# torch for its own driver, and everything built against that: none of these may be replaced from a wheel of ours, so they
# are never bundled, even where it is older than what we ask for: what a prediction needs of them, all of these have.
STOCK = {
    "torch": "2.11.0", "torchvision": "0.26.0",  # for the driver of the T4s
    "numpy": "2.0.2", "scipy": "1.16.3", "scikit-image": "0.25.2", "numba": "0.60.0",  # compiled against each other
    "transformers": "5.9.0", "timm": "1.0.27", "accelerate": "1.13.0", "einops": "0.8.2", "safetensors": "0.7.0",  # torch's
    "tifffile": "2026.4.11", "pillow": "11.3.0", "pyyaml": "6.0.3", "pydantic": "2.12.3", "rich": "13.9.4",
    "packaging": "26.2", "typing-extensions": "4.15.0", "tqdm": "4.67.3", "huggingface-hub": "1.17.0",
    "google-crc32c": "1.8.0",  # of Google's own clients; zarr wants it
    "flatbuffers": "25.12.19", "protobuf": "5.29.6",  # TensorFlow's; onnxruntime wants both
    "scikit-learn": "1.6.1", "matplotlib": "3.10.0", "jinja2": "3.1.6", "tensorboard": "2.20.0",  # not for a prediction
}  # fmt: skip
# So it lacks zarr (with donfig and numcodecs), monai, dynamic-network-architectures, segmentation-models-pytorch,
# connected-components-3d and imagecodecs: some 40 MB of wheels.
MOST_FREEZE_BYTES = 2**22
FREEZE = re.compile(r"^([A-Za-z0-9][\w.-]*)\s*(?:==\s*([\w.+!-]+)|@\s.*)$")


def canonical(name: str) -> str:
    """A package's name as registries compare it.

    >>> canonical("Segmentation_Models.PyTorch")
    'segmentation-models-pytorch'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def read_freeze(path: Path) -> dict[str, str]:
    """Version by package of what `pip freeze` printed in a notebook; "" where it was installed from a file.

    Raises:
        MissingInputError: no such file.
        InputError: no line of it names a package.
    """
    if not path.is_file():
        raise MissingInputError(
            f"{path}: not there; run '!pip freeze > stock.txt' in a notebook and download that file"
        )
    with reading(path, "what 'pip freeze' prints, in UTF-8", "download it again"):
        lines = [FREEZE.match(line.strip()) for line in read_text(path, MOST_FREEZE_BYTES).splitlines()]
    found = {canonical(line[1]): line[2] or "" for line in lines if line}
    if not found:
        raise InputError(f"{path}: names no package; expected lines such as torch==2.11.0, as 'pip freeze' prints them")
    return found


def project_requirements(root: Path, optional: Iterable[str] = ()) -> list[str]:
    """What the project at `root` asks for, from its pyproject.toml, and those of its optional packages that are named.

    Raises:
        MissingInputError: `root` is no checkout of the project.
    """
    path = root / "pyproject.toml"
    if not path.is_file():
        raise MissingInputError(f"{path}: not there; bundle from a checkout of the project: its wheel is built from it")
    with reading(path, "the project's pyproject.toml", "restore it with git"):
        content = tomllib.loads(read_text(path, MOST_FREEZE_BYTES))
        required = list(content["project"]["dependencies"])
        names = {canonical(name) for name in optional}
        extras = content["project"].get("optional-dependencies", {}).values() if names else ()
        required += [text for texts in extras for text in texts if canonical(Requirement(text).name) in names]
        return [text for text in required if Requirement(text)]


def lacking(required: Iterable[str], stock: Mapping[str, str]) -> dict[str, str]:
    """Version by package of what `required` needs, directly or through another package, and `stock` has not at all.

    The versions are those installed here, which are the ones that the run was made with; sorted by name.

    Raises:
        InputError: one of them is not installed here, so that nothing tells its version.
    """
    found: dict[str, str] = {}
    waiting = [Requirement(text) for text in required]
    while waiting:
        requirement = waiting.pop()
        name = canonical(requirement.name)
        is_needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not is_needed or name in stock or name in found:
            continue
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            raise InputError(f"{name}: is not installed here, so its version is not known; run 'make setup'") from None
        waiting += [Requirement(text) for text in requires(name) or []]
    return dict(sorted(found.items()))
