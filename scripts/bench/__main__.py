"""Measure what the hot paths cost on this machine, each beside its yardstick: `python scripts/bench.py all`."""

import argparse
from importlib import import_module

from scripts.bench import BENCHES
from scripts.bench.options import OF
from scroll.runtime.command_line import run_command


def main() -> None:
    """Read the command line and run one measurement, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="bench", required=True, metavar="|".join([*BENCHES, "all"]))
    everything = commands.add_parser("all", help="all of them, with their defaults")
    for name, about in BENCHES.items():
        for one in (commands.add_parser(name, help=about, description=about), everything):
            OF[name](one)
    arguments = parser.parse_args()
    for name in BENCHES if arguments.bench == "all" else [arguments.bench]:
        import_module(f"scripts.bench.{name}").run(arguments)


if __name__ == "__main__":
    run_command(main)
