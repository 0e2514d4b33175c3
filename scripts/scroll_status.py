"""How far a whole-scroll prediction is, whether it runs or died: shards, rate, time left, failures, and each worker.

python scripts/scroll_status.py prob.zarr
"""

import argparse
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from scroll.command_line import run_door


def main() -> int:
    """Print it; 0 where everything is done, 3 where shards failed, else 1: something is left, or the output is gone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the output, or its ledger folder")
    parser.add_argument("--ledger", type=Path, help="where the ledger lies (default: OUTPUT.ledger)")
    arguments = parser.parse_args()
    from scroll.shards.ledger import PLAN
    from scroll.shards.status import read_status
    from scroll.volumes.url import path_or_url

    beside = arguments.output.with_name(f"{arguments.output.name}.ledger")
    folder = arguments.output if (arguments.output / PLAN).exists() else arguments.ledger or beside
    status = read_status(folder)
    print("\n".join(status.lines()))
    place = path_or_url(arguments.output)
    if status.levels[0].done and isinstance(place, Path) and not place.exists():
        print(f"{place}: not there; its output is gone: put it back, or delete {folder} to predict it all again")
        return 1
    if any(level.failed for level in status.levels):
        return 3
    return 0 if status.is_complete else 1


if __name__ == "__main__":
    run_door(main)
