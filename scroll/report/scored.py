"""What the scores of ink and of surfaces have in common: heading, the worst and best patches, and the commands that make them again."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from scroll.config.schema import Settings
from scroll.data.members.new_items import Item
from scroll.data.windows import windows_in_words, windows_mm
from scroll.phantom.dataset import COMMAND_FILE
from scroll.runtime.bounded import read_text
from scroll.runtime.command_line import as_typed
from scroll.runtime.reading import reading
from scroll.runtime.receipt import made_by

MOST_COMMAND_BYTES = 2**16
ROOT = Path(__file__).resolve().parents[2]
SHOWN = 3  # patches that are shown as worst, and as best
PHANTOM_NOTE = (
    "Scored on a phantom: this shows that the pipeline works. It is no evidence about real scrolls, and no architecture "
    "may be ranked by it."
)
Ranked = TypeVar("Ranked")


def heading(settings: Settings, items: Sequence[Item], piece: str, remarks: Sequence[str]) -> dict[str, str]:
    """Title and note of a score on held-out fragments, segments or cubes, as `piece` says; `remarks`: of members of others."""
    title = f"{settings.run_dir.name}: {len(items)} held-out {piece}{'s' if len(items) > 1 else ''}"
    notes = [PHANTOM_NOTE] if (settings.data.root / "phantom.json").exists() else []
    notes += [*remarks, windows_in_words(windows_mm(settings, items[0]))]
    return {"title": title, "note": " ".join(notes)}


def worst_and_best(ranked: Sequence[Ranked]) -> list[tuple[str, Ranked]]:
    """The first and the last few of what is ranked, worst first; none is both.

    >>> worst_and_best("abc")
    [('worst', 'a'), ('best', 'c')]
    """
    count = min(SHOWN, len(ranked) // 2)
    return [
        *(("worst", one) for one in ranked[:count]),
        *(("best", one) for one in ranked[len(ranked) - count :][::-1]),
    ]


def rebuild_commands(settings: Settings, command: Sequence[str]) -> list[str]:
    """Checkout, setup, data where it was drawn, every training, and `command`, which predicted and scored (as in sys.argv).

    The trainings take the run's own settings.yaml, in which everything that was overridden is written out.
    """
    config = str(settings.run_dir / "settings.yaml")
    code, drawn = made_by()["code"], settings.data.root / COMMAND_FILE
    lines = []
    if "commit" in code:
        lines.append(f"git checkout {code['commit']}" + ("  # files were changed since" if code["is_changed"] else ""))
    lines.append("make setup && . .venv/bin/activate")
    if drawn.exists():
        with reading(drawn, "the command that drew the data", "delete it"):
            lines.append(read_text(drawn, MOST_COMMAND_BYTES).strip())
    steps = [
        "stage1_3d.train",
        "stage2_2d.train",
        *(["ensemble.end_to_end.train"] if settings.end_to_end else []),
        "ensemble.calibrate",
    ]
    lines += [shlex.join(["python", "-m", step, config]) for step in steps]
    return [*lines, shlex.join(as_typed([_in_the_repository(command[0]), *command[1:]]))]


def _in_the_repository(program: str) -> str:
    """The program as it is called from the root of a clone."""
    path = Path(program).parent.resolve() / Path(program).name
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else program
