"""Measure what the hot paths cost on this machine, each beside its yardstick: `python scripts/bench.py all`."""

import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
from importlib import import_module

from scroll.runtime.command_line import run_command

# name -> the module that measures it, with `add_arguments(parser)` and `run(arguments)`
BENCHES = {
    "storage": "scripts.bench_storage",
    "flatten": "scripts.bench_flatten",
    "window": "scripts.bench_window",
    "score": "scripts.bench_score",
    "training": "scripts.bench_training",
    "memory": "scripts.bench_memory",
    "scale": "scripts.bench_scale",
}


def main() -> None:
    """Read the command line and run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="bench", required=True, metavar="|".join([*BENCHES, "all"]))
    for name, module in BENCHES.items():
        bench = import_module(module)
        about = (bench.__doc__ or "").strip().splitlines()[0]
        bench.add_arguments(commands.add_parser(name, help=about, description=about))
    everything = commands.add_parser("all", help="all of them, with their defaults")
    for module in BENCHES.values():
        import_module(module).add_arguments(everything)
    arguments = parser.parse_args()
    for name in BENCHES if arguments.bench == "all" else [arguments.bench]:
        import_module(BENCHES[name]).run(arguments)


if __name__ == "__main__":
    run_command(main)
