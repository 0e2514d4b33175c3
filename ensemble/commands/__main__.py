"""`scroll-ensemble NAME ...`, which is `python -m ensemble.commands NAME ...`: any of the project's commands by its name."""

import difflib
import sys
from importlib import import_module

from ensemble.commands import COMMANDS
from scroll.errors import InputError
from scroll.runtime.command_line import PROGRAM, run_command


def main() -> None:
    """Run the command that is named and exit as it does; without a name, or with --help, list them all."""
    if sys.argv[1:2] in ([], ["-h"], ["--help"]):
        run_command(lambda: print(overview()))
    run_command(_run)


def overview() -> str:
    """Every command with what it does, in groups."""
    lines = [f"usage: {PROGRAM} COMMAND ...", f"       {PROGRAM} COMMAND --help"]
    for group, commands in COMMANDS.items():
        lines += ["", f"{group}:", *(f"  {name:<15} {about}" for name, (_, about) in commands.items())]
    return "\n".join(lines)


def _run() -> int | None:
    modules = {name: module for commands in COMMANDS.values() for name, (module, _) in commands.items()}
    name = sys.argv[1].replace("_", "-")
    if name not in modules:
        near = difflib.get_close_matches(name, modules, n=1, cutoff=0.4)
        meant = f"; did you mean '{near[0]}'?" if near else ""
        raise InputError(f"no command '{sys.argv[1]}'{meant} ('{PROGRAM} --help' lists them)")
    sys.argv[:2] = [f"{PROGRAM} {name}"]
    status: int | None = import_module(modules[name]).main()
    return status


if __name__ == "__main__":
    main()
