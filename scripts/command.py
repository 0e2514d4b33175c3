"""What the files beside this one do: run a command of the clone, whether or not it is installed."""

import sys
from importlib import import_module
from pathlib import Path


def run(module: str) -> None:
    """Run the `main` of a module and exit as it does."""
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from scroll.runtime.command_line import run_command

    run_command(lambda: import_module(module).main())
