"""How far a whole-scroll prediction is, whether it runs or died: shards, rate, time left, failures, and each worker.

    python scripts/scroll_status.py prob.zarr
    python scripts/scroll_status.py prob.zarr --verify

Shards whose files are gone, cut off or emptied count as missing. With --verify every file is read and compared with the checksum
noted when it was written; what is damaged is listed and struck out of the ledger, so that the same prediction makes it again.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scroll.shards.ledger import Ledger
    from scroll.volumes.sharded.output import ShardOutput

SHOWN = 20  # damaged shards that are named


def main() -> int:
    """Print it; 0 where everything is done and whole, 3 where shards failed, else 1: something is left, or the output is gone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the output, or its ledger folder")
    parser.add_argument("--ledger", type=Path, help="where the ledger is (default: OUTPUT.ledger)")
    parser.add_argument("--verify", action="store_true", help="read everything and compare it with its checksums")
    arguments = parser.parse_args()
    from scroll.errors import InputError, MissingInputError
    from scroll.shards.ledger import PLAN, Ledger
    from scroll.shards.status import read_status
    from scroll.volumes.sharded.output import open_output
    from scroll.volumes.url import path_or_url

    beside = arguments.output.with_name(f"{arguments.output.name}.ledger")
    is_ledger = (arguments.output / PLAN).exists()
    folder = arguments.output if is_ledger else arguments.ledger or beside
    status = read_status(folder)
    place = path_or_url(folder.with_name(folder.name.removesuffix(".ledger")) if is_ledger else arguments.output)
    damaged = 0
    if any(level.done for level in status.levels):
        try:
            ledger = Ledger(folder, status.plan.key)
            damaged = look_through(ledger, open_output(place), status.plan.how.levels, arguments.verify)
        except MissingInputError:
            print("\n".join(status.lines()))
            print(f"{place}: not there; its output is gone: put it back, or delete {folder} to predict it all again")
            return 1
        except InputError as error:
            print(f"the output was not looked at: {error}")
            damaged = int(arguments.verify)
    status = read_status(folder) if arguments.verify else status
    print("\n".join(status.lines(damaged)))
    if any(level.failed for level in status.levels):
        return 3
    return 0 if status.is_complete and not damaged else 1


def look_through(ledger: "Ledger", output: "ShardOutput", levels: int, is_verified: bool) -> int:
    """Print the damaged shards, and strike them out where all was read; returns how many there are."""
    from scroll.shards import verify

    damaged = list(verify.damaged_in_size(ledger, output, levels))
    if is_verified:
        known = {(one.level, one.index) for one in damaged}
        more = verify.damaged_in_content(ledger, output, levels)
        damaged += [one for one in more if (one.level, one.index) not in known]
        old = verify.unverifiable(ledger, levels)
        if old:
            print(f"{old} shards were written before checksums were kept; they cannot be verified")
        verify.strike_out(ledger, damaged, levels)
        what = "struck out: run the same prediction again, which makes them again" if damaged else "all as written"
        print(f"verified: {len(damaged)} damaged shards; {what}")
    for one in damaged[:SHOWN]:
        print(f"  damaged: {one}")
    if len(damaged) > SHOWN:
        print(f"  and {len(damaged) - SHOWN} more")
    return len(damaged)
