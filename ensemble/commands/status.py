"""What is finished in the folder of a run, and whether all of it is still as it was written.

    python scripts/status.py runs/demo
    python scripts/status.py runs/demo data/cache --verify

With --verify everything is read and compared with the checksums kept when it was written: maps, weights, training states, fits,
receipts, masks; in a folder of caches the working copies and labels. What is damaged is listed. Damaged maps are struck out, so that
the command that made them makes them, and nothing else, again. Of a whole-scroll prediction: scripts/scroll_status.py --verify.

Exit code 0: nothing is damaged; 1: something is.
"""

import argparse
from pathlib import Path


def main() -> int:
    """Print what is finished, then what is damaged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="+", help="a run's folder, or a folder of caches")
    parser.add_argument("--verify", action="store_true", help="read everything and compare it with its checksums")
    arguments = parser.parse_args()
    from scroll.errors import MissingInputError

    damaged = 0
    for folder in arguments.folder:
        if not folder.is_dir():
            raise MissingInputError(f"{folder}: no such folder; expected a run's, such as runs/demo")
        damaged += verified(folder) if arguments.verify else finished(folder)
    return 1 if damaged else 0


def finished(folder: Path) -> int:
    """Print what has a receipt, and maps with files lost or cut off; returns how many of those there are."""
    from scroll.runtime.manifest import is_whole, zarrs_below

    receipts = sorted(path.parent for path in folder.rglob("receipt.json") if ".part" not in str(path))
    for path in receipts:
        print(f"finished: {path}")
    for state in sorted(folder.rglob("resume.pt")):
        print(f"under way: {state.parent}")
    maps = list(zarrs_below(folder))
    broken = [path for path in maps if not is_whole(path)]
    for path in broken:
        print(f"damaged: {path}: files of it are lost or cut off; the command that made it makes it again")
    print(f"{folder}: {len(receipts)} finished, {len(maps)} maps, {len(broken)} damaged; --verify reads everything")
    return len(broken)


def verified(folder: Path) -> int:
    """Read everything; print what is damaged and what is to be done; returns how many things are."""
    from scroll.inference.read_back import read_back, strike_out

    sound, unknown, damaged = 0, 0, 0
    for found in read_back(folder):
        if found.why is None:
            sound, unknown = sound + found.is_known, unknown + (not found.is_known)
            continue
        damaged += 1
        print(f"damaged: {found.path}: {found.why}; {strike_out(found)}")
    old = f"; {unknown} were made before checksums were kept, and cannot be verified" if unknown else ""
    print(f"{folder}: {damaged} damaged, {sound} as written{old}")
    return damaged
