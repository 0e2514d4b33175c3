"""Where a file comes from, in words: the record in it, and whether the receipts that it names are still those there are."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from scroll.errors import InputError, MissingInputError
from scroll.redacted import redacted
from scroll.runtime.files import read_mapping
from scroll.runtime.manifest import MANIFEST, file_sum
from scroll.runtime.names import RULE
from scroll.runtime.receipt import NAME as RECEIPT
from scroll.volumes.ome_zarr import open_array, read_attributes
from scroll.volumes.read_record import read_record
from scroll.volumes.sharded.output import ABOUT

FIT, PLAN = "fit.json", "plan.json"
ABOVE = 6  # folders above a file in which a run's fit is looked for
SPOKEN_OF = ("member", "fragment", "cube", "volume", "run_dir")
GIVE_RUN = "give --run DIR, the folder of its run, or of what it predicted"


@dataclass(frozen=True)
class Receipt:
    """A receipt, a fit, a plan or the note of a mask at `path`, and what it holds."""

    path: Path
    content: Mapping[str, Any]

    @property
    def key(self) -> str:
        """By which files name it."""
        return str(self.content.get("made_from" if self.path.name == FIT else "key"))

    @property
    def names(self) -> set[str]:
        """How a record may call what it is of: by item and name, as predictions of sheets lie, or of cubes, or a cube's mask."""
        name, above = self.path.parent.name, self.path.parent.parent.name
        return {f"{above}/{name}", f"{name}/{above}", f"{self.path.stem}/{name}"}

    @cached_property
    def sums(self) -> list[list[int]]:
        """Sizes and checksums of the files that it speaks of."""
        held = self.content.get("holds", {})
        return [*(held.values() if isinstance(held, dict) else []), self.content.get("mask", [])]

    @property
    def written(self) -> str:
        """When, by its file's time."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")


def told(path: Path, run: Path | None) -> tuple[list[str], bool]:
    """Lines on where a file comes from, and whether its receipts are there and agree; looked for beside it, and below `run`.

    Raises:
        MissingInputError: it is not there; or it holds no record, and no receipt speaks of it.
        InputError: a folder that is no zarr, another kind of file, or a damaged one.
    """
    if path.is_dir() and any((path / name).is_file() for name in (".zattrs", ".zgroup", "zarr.json")):
        return _of_zarr(path, run)
    try:
        record = read_record(path)
    except MissingInputError:
        if not path.exists():
            raise
        for receipt in receipts_for(path, [], run):
            if list(file_sum(path)) in receipt.sums:
                return [f"{path}: holds no record, but a receipt knows it byte for byte", *_said_by(receipt)], True
        raise
    lines, is_same = _compared(record, list(receipts_for(path, record.get("items", []), run)), run)
    return [f"{path}: {_title(record)}", *_words(record), *lines], is_same


def _of_zarr(path: Path, run: Path | None) -> tuple[list[str], bool]:
    """Of a map: by its checksums, which its receipt holds; of a whole scroll's prediction by the key of its plan."""
    output = read_attributes(path).get(ABOUT)
    key = output.get("key") if isinstance(output, dict) else None
    made_with = key or open_array(path).attrs.get("made_with")
    if not made_with:
        raise MissingInputError(f"{path}: a zarr that says no key of ours; expected a map that this project wrote")
    found = list(receipts_for(path, [], run))
    for receipt in found:
        is_held = (path / MANIFEST).is_file() and list(file_sum(path / MANIFEST)) in receipt.sums
        if is_held or (key and receipt.path.name == PLAN and receipt.key == key):
            return [f"{path}: a map, made with key {made_with}", *_said_by(receipt)], True
    where = f"{len(found)} receipts {_where(run)} are of other maps" if found else f"no receipt {_where(run)}"
    return [f"{path}: a map, made with key {made_with}", f"  receipt    not found: {where}; {GIVE_RUN}"], False


def receipts_for(path: Path, items: Sequence[str], run: Path | None) -> Iterator[Receipt]:
    """The readable receipts, notes of masks, fits and plans that may speak of a file: those beside it, and all below `run`."""
    named = [item for item in items if RULE.fullmatch(item)]  # the record may be anybody's
    for place in sorted({*_beside(path.absolute(), named), *(_below(run.absolute()) if run else ())}):
        try:
            yield Receipt(place, read_mapping(place))
        except InputError as error:  # a damaged one is named, and the others are looked at
            print(str(error).partition(";")[0])


def _beside(path: Path, items: Sequence[str]) -> Iterator[Path]:
    folder, above = path.parent, path.parent.parent
    yield from (place for place in (folder / RECEIPT, above / RECEIPT) if place.is_file())
    yield from (place for name in (*items, path.stem) if (place := folder / f"{name}.json").is_file())
    yield from above.glob(f"*/{RECEIPT}")
    for item in items:
        for one in (folder, above):
            yield from (*one.glob(f"*/{item}/{RECEIPT}"), *one.glob(f"{item}/*/{RECEIPT}"))
    yield from (fit for top in path.parents[:ABOVE] if (fit := top / "ensemble" / FIT).is_file())
    yield from (plan for plan in [path.with_name(f"{path.name}.ledger") / PLAN] if plan.is_file())


def _below(run: Path) -> Iterator[Path]:
    """Below a run; what lies inside of zarrs, often millions of files, is not looked at."""
    for here, folders, files in os.walk(run):
        folders[:] = [name for name in folders if not name.endswith((".zarr", ".part"))]
        notes = [name for name in files if name.endswith(".json")] if Path(here).name == "masks" else []
        yield from (Path(here) / name for name in {RECEIPT, FIT, PLAN, *notes} & set(files))


def _compared(record: Mapping[str, Any], found: Sequence[Receipt], run: Path | None) -> tuple[list[str], bool]:
    """Whether the receipts that a record names are there: line by line, and in all."""
    wanted = record.get("receipts", {})
    here = {receipt.key: receipt for receipt in found}
    same = {name: here[key] for name, key in wanted.items() if key in here}
    other = {name: one for name in wanted if name not in same for one in found if name in one.names}
    lost = [name for name in wanted if name not in same and name not in other]
    lines = []
    if not wanted:
        lines.append("none is named in it, so nothing can be compared")
    elif len(same) == len(wanted):
        first = next(iter(same.values()))
        lines.append(f"the same prediction: {', '.join(same)}; {first.path}, written {first.written}")
    elif same:
        lines.append(f"the same for {', '.join(same)}")
    lines += [f"another prediction of {name} now: {one.path} has key {one.key}" for name, one in other.items()]
    if lost:
        lines.append(f"not found {_where(run)}: that of {', '.join(lost)}; {GIVE_RUN}")
    fits = sorted((one for one in found if one.path.name == FIT), key=lambda one: one.key != record.get("fit"))
    if fits and "fit" in record:
        is_same_fit = fits[0].key == record["fit"]
        other |= {} if is_same_fit else {FIT: fits[0]}
        lines.append(f"{'the same fit' if is_same_fit else 'another fit now'}: {fits[0].path}")
    elif "fit" in record:
        lines.append(f"its fit was not compared, for none is {_where(run)}; {GIVE_RUN}")
    return [f"  receipt    {line}" for line in lines], bool(wanted) and not other and not lost


def _where(run: Path | None) -> str:
    return f"beside it or below {run}" if run else "beside it"


def _said_by(receipt: Receipt) -> list[str]:
    """What a receipt says of a file that tells nothing itself."""
    about = {**receipt.content, **(about if isinstance(about := receipt.content.get("about"), dict) else {})}
    said = [f"{name} {Path(redacted(str(about[name]))).name}" for name in SPOKEN_OF if name in about]
    return [f"  receipt    {', '.join([*said, f'key {receipt.key}'])}; {receipt.path}, written {receipt.written}"]


def _title(record: Mapping[str, Any]) -> str:
    items = ", ".join(record.get("items", []))
    named = f"the run '{run}'" if (run := record.get("run")) else "a run without a name"
    return f"{record.get('what', 'an output')} ({record.get('kind', 'data')} {items}), by {named}"


def _words(record: Mapping[str, Any]) -> Iterator[str]:
    """What else the record holds, a line each."""
    for name, one in record.get("members", {}).items():
        weights = f", weights {one['hash']}" if "hash" in one else ""
        views = f", {record['views'][name]} views" if name in record.get("views", {}) else ""
        yield f"  member     {name}: {one['weight']:.4g} in the blend{weights}{views}"
    if "fit" in record:
        least = f", smallest part {record['min_area_um2']:g} um2" if record.get("min_area_um2") else ""
        route = f", {record['route']}" if "route" in record else ""
        yield f"  fit        {record['fit']}{route}; threshold {record.get('threshold', float('nan')):.4g}{least}"
    if record.get("chain"):
        yield f"  chain      {', '.join(f'{name} {value:g}' for name, value in record['chain'].items())}"
    if "depth_layers" in record:
        first, end = record["depth_layers"]
        turned = "turned round" if record.get("is_flipped") else "as they are stored"
        shift, sign = record.get("shift_layers", 0), record.get("normal_sign", 1)
        yield f"  layers     {first} to {end} about the sheet, {turned}, shifted by {shift}; normal_sign {sign}"
    if "voxel_um" in record:
        yield f"  voxel      {record['voxel_um']:g} um"
    for stage, how in record.get("window", {}).items():
        yield f"  windows    {stage}: {', '.join(f'{name} {value}' for name, value in how.items())}"
    yield f"  made by    {_made_by(record.get('made_by', {}))}"
    if record.get("not_told"):
        yield f"  shortened  {record['not_told']} more entries did not fit into it"


def _made_by(made_by: Mapping[str, Any]) -> str:
    code = made_by.get("code", {})
    commit = f", commit {code['commit']}{' and changes' if code.get('is_changed') else ''}" if "commit" in code else ""
    packages = ", ".join(f"{name} {number}" for name, number in made_by.get("packages", {}).items())
    return f"version {code.get('version', 'unknown')}{commit}; python {made_by.get('python', 'unknown')}, {packages}"
