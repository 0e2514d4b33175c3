"""Which folders and files a command may write to: new ones, empty ones, and those that it made itself."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scroll.errors import InputError
from scroll.runtime.bounded import plain_file, read_text
from scroll.runtime.names import FILES

MOST_MARK_BYTES = 2**16
MARK = ".scroll-ensemble"  # in a folder that a command took: which kind it is, and who writes to it now
TRIFLES = {".DS_Store", ".gitkeep", "lost+found", ".ipynb_checkpoints"}


@dataclass(frozen=True)
class Kind:
    """What a folder may be taken for.

    Attributes:
        name: as messages and the mark call it.
        marks: patterns of what such a folder held before there was a mark, each with a text that the file holds ("": any, or a folder).
        only: what may stand in it at all, where the whole folder is replaced; empty: it is added to.
        is_replaced: it is made as a whole, and holds no mark of ours; its lock is beside it.
        is_loose: files beside what we write, such as a log or a configuration, are no hindrance.
    """

    name: str
    marks: tuple[tuple[str, str], ...]
    only: tuple[str, ...] = ()
    is_replaced: bool = False
    is_loose: bool = False


RUN = Kind(
    "run",
    (
        ("settings.yaml", "stage1:"), ("seed*/settings.yaml", "stage1:"), ("compare.json", '"seeds"'), ("predict/score.json", '"rows"'),
        ("stage1/*/fold*", ""), ("stage1/*/oof", ""), ("stage2/fold*", ""), ("joint/fold*", ""), ("ensemble/fit.json", ""),
    ),
    is_loose=True,
)  # fmt: skip
OF_A_RUN = ("stage1", "stage2", "joint", "ensemble", "sheets")  # what only the run's own commands write to
PREDICTION = Kind(
    "prediction",
    (("score.json", '"rows"'), ("placebo.json", '"fragments"'), ("audit.json", '"sheets"'),
     ("masks/*.json", '"key"'), ("*/ensemble/ink_prob.tif", ""),
     ("*/preflight.json", ""), ("*/*/receipt.json", '"key"'), ("*/*/.*.rows.part", ""), ("*/placebo/*", "")),
)  # fmt: skip
FLATTENED = Kind("flattened surface", (("receipt.json", "offsets_vox"), (".flat.zarr.*part", ""), (".tiles.part", "")))
BUNDLE = Kind(
    "bundle",
    (("bundle.json", '"competition"'),),
    only=(
        "bundle.json",
        "run",
        "wheels",
        "notebook.ipynb",
        "README.txt",
        "dataset-metadata.json",
        "kernel-metadata.json",
    ),
    is_replaced=True,
)
LEDGER = Kind("ledger", (("plan.json", '"key"'), ("locks/*", ""), ("done/*", "")))
POOLED = Kind("pooled stack", (("*/surface-volume.zarr", ""), ("*/.surface-volume.zarr.*part", "")), is_loose=True)
LABEL_ROUND = Kind(
    "label round",
    (("proposals.json", '"keep"'), ("ask/ask.json", '"patches"'), ("paint/*/sheet.json", '"sheet"'), ("taken.json", "")),
    is_loose=True,
)  # fmt: skip
PHANTOM = Kind("phantom", (("phantom.json", '"kind"'),), is_replaced=True)


def check_folder(folder: Path, kind: Kind, keep_off: Iterable[Path] = ()) -> None:
    """Refuse a folder that is not new, not empty and was not made as this kind before; it is left as it is.

    `keep_off` are the run and the inputs of the command: neither they nor what holds them may be written to.

    Raises:
        InputError: one of these, a file, the home folder or one above it.
    """
    place = folder.resolve()
    kept = {path.resolve(): f"{path}, which this command reads" for path in keep_off}
    for path, what in (kept | _home()).items():
        if place == path or place in path.parents:
            raise InputError(f"{folder}: is, or holds, {what}; give a folder of its own for the {kind.name}")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder for the {kind.name}")
    for run in place.parents:
        if place.relative_to(run).parts[0] in OF_A_RUN and _is_run(run):
            raise InputError(f"{folder}: belongs to the run {run}; give a folder of its own for the {kind.name}")
    if not folder.is_dir() or _is_of(folder, kind):
        return
    there = sorted(path.name for path in folder.iterdir() if kind.only or path.name not in TRIFLES)
    there = [
        name for name in there if name != MARK and not name.startswith(f"{MARK}.")
    ]  # taken by one of ours, a moment ago
    if kind.only and (folder / kind.marks[0][0]).exists():
        there = [name for name in there if name not in kind.only] or there
    if kind.is_loose:
        there = [name for name in there if name in FILES or (folder / name).is_dir()]
    if there:
        raise InputError(
            f"{folder}: holds {', '.join(there[:3])}{' and more' if len(there) > 3 else ''}, and was not made as a {kind.name} by this "
            "project; nothing was changed: give a new or an empty folder"
        )


def _home() -> dict[Path, str]:
    try:
        return {Path.home().resolve(): "your home folder"}
    except RuntimeError:  # a user without one, as in some containers; the root is always kept
        return {Path("/"): "the root of the disk"}


def _is_of(folder: Path, kind: Kind) -> bool:
    """Whether the folder was made as this kind, and as no other, and holds nothing else where all of it is replaced."""
    if kind.only and any(path.name not in (*kind.only, MARK) for path in folder.iterdir()):
        return False
    if "kind" in (mark := read_mark(folder / MARK)):
        return mark["kind"] == kind.name
    if kind is not RUN and _is_run(folder):  # its receipts look like those of a prediction
        return False
    return any(_holds(path, text) for pattern, text in kind.marks for path in folder.glob(pattern))


def _is_run(folder: Path) -> bool:
    """Whether it is surely a run: it says so, or holds the settings of one."""
    mark = read_mark(folder / MARK).get("kind", RUN.name)
    return mark == RUN.name and ((folder / MARK).is_file() or _holds(folder / "settings.yaml", "stage1:"))


def read_mark(path: Path) -> dict[str, str]:
    """What a mark says; nothing where there is none, or where it is damaged."""
    try:
        content = json.loads(read_text(path, MOST_MARK_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in content.items()} if isinstance(content, dict) else {}


def _holds(path: Path, text: str) -> bool:
    if not text:
        return True
    try:
        return text in plain_file(path).read_text(encoding="utf-8", errors="replace")
    except (OSError, InputError):
        return False


@dataclass(frozen=True)
class FileKind:
    """How a file begins that we write, and a text within its first bytes; or, in files of before, another."""

    name: str
    begins: bytes
    holds: bytes = b""
    or_holds: bytes | None = None

    def is_of(self, head: bytes) -> bool:
        """Whether a file with this beginning is of this kind."""
        has_text = self.holds in head or (self.or_holds is not None and self.or_holds in head)
        return head.startswith(self.begins) and has_text


DRAWN_BY = {"Software": "Scroll Ensemble"}  # stands in every picture that is drawn at a place of the user's choice
PICTURE = FileKind(  # by its keyword, for a mask's record may hold a run of that name
    "a picture of this project", b"\x89PNG", b"Software\0" + DRAWN_BY["Software"].encode()
)
OWN_PLACE_PICTURE = FileKind(  # at a place of our own choice, where those of before hold another name
    PICTURE.name, PICTURE.begins, PICTURE.holds, b"Matplotlib"
)
SUBMISSION_CSV = FileKind("a submission.csv", b"Id,Predicted")
SUBMISSION_ZIP = FileKind(
    "a submission.zip", b"PK\3\4\x14\0\0\0\0\0\0\0\x21\0", b".tif"
)  # stored on 1 January 1980, as all of ours
PLAN, TUNED = FileKind("a plan", b"# A plan for"), FileKind("settings of scripts/tune.py", b"# Measured for")
SCORES, TIMES = (
    FileKind("scores of this project", b"{", b'"mean"'),
    FileKind("times of this project", b"{", b'"device"'),
)
SCROLL_PLAN = FileKind("a plan of scripts/predict_scroll.py", b"{", b'"format"')
HEAD_BYTES = 4096


def check_file(path: Path, kind: FileKind, keep_off: Iterable[Path] = ()) -> None:
    """Refuse to write a file over a folder, over something of another kind, or over what the command reads (`keep_off`).

    Raises:
        InputError: one of these.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file")
    if not path.exists():
        return
    place = path.resolve()
    for kept in keep_off:
        if kept.resolve() in (place, *place.parents):
            raise InputError(f"{path}: belongs to {kept}, which this command reads; give another file")
    with plain_file(path).open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head and not kind.is_of(head):
        raise InputError(
            f"{path}: is there, and is not {kind.name}; nothing was changed: give another file, or move that one"
        )
