"""From a name to the entries of a catalogue that bear it."""

import difflib
from collections.abc import Iterator

from scroll.catalogue.entries import Catalogue, ScanVolume, ScrollEntry, TracedSegment
from scroll.errors import InputError, MissingInputError
from scroll.runtime.scroll_names import folder_name

Hit = ScrollEntry | ScanVolume | TracedSegment
MOST_NAMED = 8


def hits(catalogue: Catalogue, name: str) -> list[Hit]:
    """What bears a name: a scroll, or a volume or segment as "scroll/name" or by its name alone, in letters of either case.

    A scroll goes before what is in others; a full id before a suffix that is the same.
    """
    scroll_part, slash, own = name.partition("/")
    if not slash:
        whole = catalogue.scroll(name)
        if whole is not None:
            return [whole]
        return _called(catalogue, name, list(catalogue.scrolls.values()))
    scroll = catalogue.scroll(scroll_part)
    return [] if scroll is None else _called(catalogue, own, [scroll])


def _called(catalogue: Catalogue, own: str, scrolls: list[ScrollEntry]) -> list[Hit]:
    entries = [entry for scroll in scrolls for entry in scroll.entries]
    by_id: list[Hit] = [entry for entry in entries if entry.id.casefold() == own.casefold()]
    if by_id:
        return by_id
    return [entry for entry in entries if own.casefold() in {name.casefold() for name in names_of(entry)}]


def names_of(entry: ScanVolume | TracedSegment) -> set[str]:
    """Every name by which an entry is found, and by which folders and files of it are called."""
    own = {entry.id, *entry.also}
    bare = {name.removeprefix(f"{entry.id}-") for name in own}
    return own | bare | {f"{entry.scroll}{sign}{name}" for name in own | bare for sign in ("-", "_")}


def the_hit(catalogue: Catalogue, name: str) -> Hit:
    """The one entry that bears a name.

    Raises:
        MissingInputError: none does; names what is near, and the part of the catalogue that could not be read.
        InputError: several do; names them.
    """
    found = hits(catalogue, name)
    if (
        len({_full_name(hit) for hit in found}) == 1
    ):  # a timestamp may be a segment's and its volume's: segments go first
        return found[0]
    if found:
        named = ", ".join(_full_name(hit) for hit in found[:MOST_NAMED])
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        raise InputError(f"'{name}' is the name of {len(found)}: {named}{more}; give one of these")
    raise MissingInputError(f"{catalogue.source}: no '{name}'{_passed_over(catalogue, name)}; {_near(catalogue, name)}")


def the_segment(catalogue: Catalogue, name: str) -> TracedSegment:
    """The one segment that bears a name.

    Raises:
        MissingInputError: none does.
        InputError: several do, or it is the name of a scroll or a volume.
    """
    found = [hit for hit in hits(catalogue, name) if isinstance(hit, TracedSegment)]
    if len(found) == 1:
        return found[0]
    hit = the_hit(catalogue, name)
    if isinstance(hit, TracedSegment):
        return hit
    what = "a scroll" if isinstance(hit, ScrollEntry) else "a volume"
    held = [
        segment.full_name
        for scroll in catalogue.scrolls.values()
        if scroll is hit
        for segment in scroll.segments.values()
    ]
    some = f", one of {', '.join(held[:MOST_NAMED])}" if held else ""
    raise InputError(f"'{name}' is {what}; expected a segment{some}: 'catalogue list {name}' lists them")


def folder_of(segment: TracedSegment, name: str) -> str:
    """The folder that a segment gets when it was asked for by this name: the scroll, and what the user calls the segment."""
    own = name.partition("/")[2] or name
    return folder_name(f"{segment.scroll}/{own}")


def _full_name(hit: Hit) -> str:
    return hit.id if isinstance(hit, ScrollEntry) else f"{hit.scroll}/{hit.id}"


def _passed_over(catalogue: Catalogue, name: str) -> str:
    own = name.rpartition("/")[2].casefold()
    fault = next((fault for fault in catalogue.faults if own in fault.where.casefold().split(".")), None)
    return f" that can be read ({fault})" if fault else ""


def _near(catalogue: Catalogue, name: str) -> str:
    known = dict.fromkeys(_known(catalogue))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    some = ", ".join(list(catalogue.scrolls)[:MOST_NAMED]) or "none"
    return f"its scrolls: {some}: 'catalogue list' lists what there is"


def _known(catalogue: Catalogue) -> Iterator[str]:
    for scroll in catalogue.scrolls.values():
        yield scroll.id
        for entry in scroll.entries:
            for own in (entry.id, *entry.also):
                yield own
                yield f"{scroll.id}/{own}"
