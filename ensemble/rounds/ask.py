"""What a person is asked about in a round: ask.json, a page to look at, and folders to paint in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ensemble.ink.fit_record import InkFit
from ensemble.ink.predictors import FullSize, flat_map
from ensemble.rounds.labels import at_full_size, held_out_of, labelled_by_people
from ensemble.rounds.maps import AGAIN, Source
from ensemble.rounds.place import LabelRound
from ensemble.rounds.propose import Proposals, proposer_of
from ensemble.rounds.rank import Place, ranked
from scroll.data.labels import Label
from scroll.data.sheets import Sheet
from scroll.report.ask_page import AskedPatch as PatchOnPage
from scroll.report.ask_page import AskedSheet, AskPage, write_ask_page
from scroll.rounds.marks import NAME as MARKS
from scroll.rounds.marks import Mark, read_marks, seconds_each
from scroll.rounds.paint_folder import write_paint_folder
from scroll.rounds.painting import canvas
from scroll.rounds.proposals import together
from scroll.rounds.ranking import Asked
from scroll.rounds.to_paint import BRIGHTEST_PERCENT, DARKEST_PERCENT, ToPaint
from scroll.rounds.voices import Voices
from scroll.runtime.files import read_sealed
from scroll.runtime.record import Record, Versioned, as_record, write_record

NAME, PAGE = "ask.json", "index.html"
THUMBNAIL_PX = 512
DEPTHS = 5  # layers that are shown, spread over the depth window


class AskedPatch(Record):
    """A square in full-size pixels, and the nats by which networks contradict each other there."""

    sheet: str
    y: int
    x: int
    edge_px: int
    nats: float


class AskedPatches(Versioned):
    """ask.json: the patches of a round, the most telling first."""

    round: int
    patches: tuple[AskedPatch, ...] = Field(())

    @property
    def asked(self) -> list[Asked]:
        """As tuples."""
        return [Asked(**one.model_dump()) for one in self.patches]


def ask(a_round: LabelRound, fit: InkFit, found: Sequence[Source], proposals: Proposals) -> AskedPatches:
    """Rank the patches, and write ask.json, the page, and <round>/paint/<sheet>/ of each sheet that is asked about."""
    bin_yx = a_round.base.data.bin_yx
    coarse = ranked(a_round, fit, found, passed_over(a_round))
    patches = [
        AskedPatch(sheet=one.sheet, y=one.y * bin_yx, x=one.x * bin_yx, edge_px=one.edge_px * bin_yx, nats=one.nats)
        for one in coarse
    ]
    asked = AskedPatches(round=a_round.number, patches=tuple(patches))
    by_number: dict[int, PatchOnPage] = {}
    sheets: dict[str, AskedSheet] = {}
    for source in found:
        if any(one.sheet == source.sheet.id for one in patches):
            exported = _to_paint(a_round, fit, source, proposals, asked.asked)
            write_paint_folder(a_round.folder / "paint", exported)
            sheets[source.sheet.id] = AskedSheet(_thumbnail(source.sheet), source.sheet.shape_yx, source.sheet.pixel_um)
            by_number |= {number: _on_page(one, source, exported) for number, one in exported.numbered.items()}
    page = AskPage(
        a_round.number, [by_number[number] for number in sorted(by_number)], sheets, seconds_last_time(a_round)
    )
    write_ask_page(a_round.folder / "ask" / PAGE, page)
    write_record(a_round.folder / "ask" / NAME, asked)
    return asked


def read_asked(a_round: LabelRound) -> AskedPatches:
    """What was asked for in a round.

    Raises:
        MissingInputError: nothing was yet.
    """
    path = a_round.folder / "ask" / NAME
    return as_record(path, read_sealed(path, f"run 'make round CONFIG=... N={a_round.number}' first"), AskedPatches)


def marks_of(a_round: LabelRound) -> list[Mark]:
    """What a person marked on the page of a round, in full-size pixels; nothing where no marks.json was saved.

    Raises:
        InputError: it is of another round, or damaged.
    """
    path = a_round.folder / "ask" / MARKS
    return read_marks(path, a_round.number, read_asked(a_round).asked) if path.exists() else []


def passed_over(a_round: LabelRound) -> list[Place]:
    """The patches that a person skipped in earlier rounds, at working resolution."""
    found, earlier, bin_yx = [], a_round.before, a_round.base.data.bin_yx
    while earlier is not None:
        found += [(one.sheet, one.y // bin_yx, one.x // bin_yx) for one in marks_of(earlier) if one.mark == "skip"]
        earlier = earlier.before
    return found


def seconds_last_time(a_round: LabelRound) -> float | None:
    """What a patch took in the last round that says so."""
    earlier = a_round.before
    while earlier is not None:
        took = seconds_each(marks_of(earlier))
        if took is not None:
            return took
        earlier = earlier.before
    return None


def layers_on_page(sheet: Sheet) -> list[int]:
    """Layers of its stack that are shown: spread over the depth window, those that there are."""
    first, end = sheet.data.depth
    requested = np.rint(sheet.middle_layer + np.linspace(first, end - 1, DEPTHS)).astype(int)
    return sorted({int(z) for z in np.clip(requested, 0, sheet.stack.shape[0] - 1)})


def _to_paint(
    a_round: LabelRound, fit: InkFit, source: Source, proposals: Proposals, asked: Sequence[Asked]
) -> ToPaint:
    sheet, proposer = source.sheet, proposer_of(fit, proposals)
    human, held_out = labelled_by_people(source), held_out_of(source)
    proposal = proposer.of(source).thinned(proposals.keep, proposer.trust.threshold)
    suggested = together(human, at_full_size(proposal, sheet))
    voices = Voices.of(one for _, one in source.by_network())
    return ToPaint(
        sheet=sheet.id, round=a_round.number, pixel_um=sheet.pixel_um, label=Label(human.ink, human.ignore),
        papyrus=sheet.full_mask, held_out=np.zeros(sheet.shape_yx, bool) if held_out is None else ~held_out.ignore,
        ct=sheet.stack, layers=layers_on_page(sheet),
        probability=_full(proposer.platt.at(source.blend(fit)), sheet), disagreement=_full(voices.disagreement, sheet),
        asked=asked, proposed=Label(suggested.target >= proposals.threshold, suggested.ignore) if proposals.keep else None,
    )  # fmt: skip


def _full(coarse: NDArray[np.float32], sheet: Sheet) -> FullSize:
    return FullSize(coarse, sheet.data.bin_yx, sheet.shape_yx)


def _thumbnail(sheet: Sheet) -> NDArray[np.uint8]:
    """The whole sheet in grey, every so many pixels."""
    step = max(1, max(sheet.shape_yx) // THUMBNAIL_PX)
    picture = np.asarray(sheet.picture()[::step, ::step], np.float32)
    return _as_bytes(picture, _window(picture))


def _window(values: NDArray[np.float32]) -> tuple[float, float]:
    low, high = np.percentile(values, (DARKEST_PERCENT, BRIGHTEST_PERCENT))
    return float(low), float(high)


def _as_bytes(values: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    return np.asarray(np.clip((values - low) * (255 / max(1e-6, high - low)), 0, 255), np.uint8)


def _on_page(one: Asked, source: Source, exported: ToPaint) -> PatchOnPage:
    """A patch with all that is drawn of it, at full size, as far as it is on the sheet."""
    sheet = source.sheet
    y, x = (slice(at, min(at + one.edge_px, n)) for at, n in zip((one.y, one.x), sheet.shape_yx, strict=True))
    layers = np.stack([np.asarray(sheet.stack[z : z + 1, y, x], np.float32)[0] for z in exported.layers])
    of_members = {name: _full(flat_map(folder, name, AGAIN), sheet)[y, x] for name, folder in source.folders.items()}
    return PatchOnPage(
        asked=one, ct=_as_bytes(layers, _window(layers)), layers=exported.layers,
        maps={"blend": exported.probability[y, x], **of_members}, disagreement=exported.disagreement[y, x],
        known=canvas(exported.label, exported.papyrus, exported.held_out)[y, x],
    )  # fmt: skip
