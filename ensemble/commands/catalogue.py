"""Published scrolls by name: what there is, what belongs together, and folders to train on.

    python scripts/catalogue.py list [PATTERN]
    python scripts/catalogue.py show PHerc0139/w016
    python scripts/catalogue.py add PHerc0139/w016 Scroll1/20230827161847 --to data/scrolls/train --accept-terms

A name is a scroll (PHerc0139, Scroll1), a segment in it (PHerc0139/w016), or a timestamp alone. The catalogue is the open-data one
unless --source names a file or an address: metadata.json, or the classic server's YAML. Only these commands ask the network.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scroll.runtime.command_line import number, whole

if TYPE_CHECKING:
    from scroll.catalogue.entries import Catalogue

MOST_FAULTS = 20


def main() -> None:
    """List, show or add."""
    arguments = _parsed()
    from scroll.catalogue.entries import DEFAULT_SOURCE
    from scroll.catalogue.read import read_catalogue

    catalogue = read_catalogue(arguments.source or DEFAULT_SOURCE)
    arguments.run(catalogue, arguments)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = argparse.ArgumentParser(add_help=False)
    source.add_argument(
        "--source", help="path or address of a catalogue; default: metadata.json of the open-data bucket"
    )
    tree = argparse.ArgumentParser(add_help=False)
    tree.add_argument("--labels", help="folder or address that holds <segment>/<segment>_inklabels.zarr (.tif, .png)")
    tree.add_argument("--label-version", type=whole(0, 10**6), help="of ink and supervision; default: the greatest")
    below = parser.add_subparsers(required=True, metavar="list|show|add")
    one = below.add_parser("list", parents=[source], help="scrolls, volumes, segments, surface volumes and labels")
    one.add_argument("pattern", nargs="?", help="part of a name, or a pattern with * and ?")
    one.add_argument("--json", action="store_true", help="for machines")
    one.set_defaults(run=_list)
    one = below.add_parser("show", parents=[source, tree], help="everything that belongs to a name")
    one.add_argument("name", help="such as PHerc0139, Scroll1, PHerc0139/w016 or a timestamp")
    one.add_argument("--json", action="store_true", help="for machines")
    one.set_defaults(run=_show)
    one = below.add_parser("add", parents=[source, tree], help="make folders that a configuration trains on")
    one.add_argument("names", nargs="+", metavar="name", help="segments, such as PHerc0139/w016")
    one.add_argument("--to", type=Path, required=True, help="folder of training items, such as data/scrolls/train")
    one.add_argument(
        "--accept-terms", action="store_true", help="accept the terms of use of the data, which are shown once"
    )
    one.add_argument("--surface", action="store_true", help="the traced surface and its volume (data.kind: segments)")
    one.add_argument("--voxel-um", type=number(0.01, 1e4), help="which of several surface volumes: edge of its voxels")
    one.set_defaults(run=_add)
    return parser.parse_args()


def _list(catalogue: "Catalogue", arguments: argparse.Namespace) -> None:
    import json

    from scroll.catalogue.table import matching, plain, table
    from scroll.errors import MissingInputError

    _tell_faults(catalogue)
    found = matching(catalogue, arguments.pattern)
    if not found:
        raise MissingInputError(
            f"{catalogue.source}: nothing fits '{arguments.pattern or '*'}'; 'catalogue list' lists all there is"
        )
    print(json.dumps(plain(catalogue, found), indent=2) if arguments.json else table(found))


def _show(catalogue: "Catalogue", arguments: argparse.Namespace) -> None:
    import json

    from scroll.catalogue.entries import TracedSegment
    from scroll.catalogue.find import the_hit
    from scroll.catalogue.labels import labels_of
    from scroll.catalogue.table import entry_text, plain_entry

    hit = the_hit(catalogue, arguments.name)
    _tell_faults(catalogue, f"{hit.where}.")
    found = labels_of(hit, arguments.labels, arguments.label_version) if isinstance(hit, TracedSegment) else []
    if arguments.json:
        print(json.dumps(plain_entry(catalogue, hit, found), indent=2))
    else:
        print(entry_text(catalogue, hit, found))


def _add(catalogue: "Catalogue", arguments: argparse.Namespace) -> None:
    from scroll.catalogue.add import Request, add
    from scroll.catalogue.find import the_segment

    request = Request(
        arguments.to, arguments.accept_terms, arguments.surface, arguments.voxel_um, arguments.label_version, arguments.labels
    )  # fmt: skip
    segments = [the_segment(catalogue, name) for name in arguments.names]  # before the first one is fetched
    for name, segment in zip(arguments.names, segments, strict=True):
        _tell_faults(catalogue, f"{segment.where}.")
        add(catalogue, name, request)


def _tell_faults(catalogue: "Catalogue", below: str = "") -> None:
    """What of the catalogue was passed over, on standard error."""
    import sys

    faults = [fault for fault in catalogue.faults if fault.where.startswith(below)]
    for fault in faults[:MOST_FAULTS]:
        print(f"warning: {catalogue.source}: {fault}", file=sys.stderr)
    if len(faults) > MOST_FAULTS:
        print(f"warning: {catalogue.source}: {len(faults) - MOST_FAULTS} more parts are passed over", file=sys.stderr)
