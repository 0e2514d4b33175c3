"""Every `python scripts/NAME.py` that is a link to this file is `scroll-ensemble NAME`, from a clone in which nothing is installed."""

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from scroll.runtime.command_line import run_command

    run_command(lambda: import_module(f"ensemble.commands.{Path(sys.argv[0]).stem}").main())
