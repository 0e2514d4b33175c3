"""What the next training sees of a sheet: what people said, what is proposed beside it, and what is held out for ever."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ensemble.ink.fit_record import InkFit
from ensemble.rounds.maps import Source
from ensemble.rounds.place import LabelRound
from ensemble.rounds.propose import Proposals, proposer_of
from scroll.data.kinds import kind_of
from scroll.data.labels import Label
from scroll.data.sheets import Sheet
from scroll.rounds.proposals import Proposal, together
from scroll.runtime.files import written_aside
from scroll.volumes.masks import INK, PROPOSED, SUPERVISION, VALIDATION, newest_version

Mask = NDArray[np.bool_]


def write_labels(
    a_round: LabelRound, fit: InkFit, found: Sequence[Source], proposals: Proposals, painted: Mapping[str, Label]
) -> None:
    """Write <round>/labels/<sheet>/ of every sheet of which anything is known, and link its CT below <round>/data.

    `painted`: by sheet, all that people say of it by now, (Y, X) at full resolution; of the others it is what they said before.
    """
    proposer, links = proposer_of(fit, proposals), a_round.folder / "data" / kind_of(a_round.base.data).train
    known = set()
    for source in found:
        sheet = source.sheet
        human = with_painted(labelled_by_people(source), painted.get(sheet.id))
        proposal = at_full_size(proposer.of(source).thinned(proposals.keep, proposer.trust.threshold), sheet)
        label = together(human, proposal)
        if label.ignore.all() and not source.is_trained_on:
            print(f"{sheet.id}: nothing is known of it yet; it is not trained on in this round")
            continue
        version = 1 + newest_version([sheet.labels_folder], sheet.id)
        _write(a_round.folder / "labels" / sheet.id, sheet, label, held_out_of(source), version)
        if sheet.id in painted:
            _write(a_round.folder / "painted" / sheet.id, sheet, human, None, version)
        _link(sheet.folder, links / sheet.id)
        known.add(sheet.id)
    for link in links.iterdir():  # of an attempt that was stopped
        if link.name not in known:
            link.unlink()
    _link(a_round.base.data.root / "phantom.json", a_round.folder / "data" / "phantom.json")


def with_painted(known: Label, painted: Label | None) -> Label:
    """What people say by now, (Y, X): what was painted, and where that is as it was, the soft target of before."""
    if painted is None:
        return known
    is_same = (painted.ignore == known.ignore) & (painted.ink == known.ink)
    return Label(np.where(is_same, known.target, painted.target), painted.ignore)


def labelled_by_people(source: Source) -> Label:
    """(Y, X) at full resolution; nothing of a sheet without labels."""
    if source.is_trained_on:
        return source.sheet.full_label.human
    return Label(np.zeros(source.sheet.shape_yx, bool), np.ones(source.sheet.shape_yx, bool))


def held_out_of(source: Source) -> Label | None:
    """(Y, X) at full resolution; None where no validation mask is."""
    return source.sheet.held_out_label if source.is_trained_on else None


def at_full_size(proposal: Proposal, sheet: Sheet) -> Proposal:
    """Each working pixel as the pixels that it was made of, so that binning gives it back."""
    edge, (height, width) = sheet.data.bin_yx, sheet.shape_yx

    def full(one: NDArray[Any]) -> NDArray[Any]:
        return one.repeat(edge, axis=0)[:height].repeat(edge, axis=1)[:, :width]

    return Proposal(full(proposal.prob), full(proposal.kept) & sheet.full_mask, proposal.shares)


def _write(folder: Path, sheet: Sheet, label: Label, held_out: Label | None, version: int) -> None:
    known, target = ~label.ignore, label.target.astype(np.float32)
    pictures: dict[str, NDArray[Any]] = {f"{SUPERVISION}_v{version}": known}
    if label.proposed is not None and label.proposed.any():
        pictures[f"{PROPOSED}_v{version}"] = label.proposed
    if held_out is not None:
        target = np.where(held_out.ignore, target, held_out.target)
        pictures[VALIDATION] = ~held_out.ignore
    pictures[f"{INK}_v{version}"] = target
    with written_aside(folder) as aside:
        aside.mkdir()
        for name, picture in pictures.items():
            grey = np.rint(sheet.on_canvas(picture.astype(np.float32)) * 255).astype(np.uint8)
            Image.fromarray(grey).save(aside / f"{sheet.id}_{name}.png")


def _link(source: Path, place: Path) -> None:
    """A link to what is there, made again where it leads elsewhere."""
    if not source.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    place.symlink_to(source.resolve())
