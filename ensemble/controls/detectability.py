"""What a run would have missed: letters of known contrast planted where it found nothing, and which of them it then finds.

Every place is given every contrast once. In one pass neighbouring places bear different ones, so that all contrasts are
predicted under the same conditions: as many letters on the fragment, the same bare papyrus between them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensemble.controls.asked import Asked, Predicted
from ensemble.controls.copies import Planted, changed
from ensemble.controls.planting import (
    LETTER_UM,
    Cells,
    face_layer,
    film_of,
    free_cells,
    learnt_layer,
    letter_height_um,
    letters_at,
)
from ensemble.controls.psychometric import HalfFound, half_found, least_found, wilson
from ensemble.ink.predictors import ENSEMBLE
from scroll.data.fragments import Fragment, training_fragments
from scroll.data.labels import share_in_blocks
from scroll.errors import InputError
from scroll.phantom.settings import CtSettings, InkSettings
from scroll.runtime.receipt import key_of

CONTRASTS = (0.125, 0.25, 0.5, 1.0, 2.0)
FOUND_SHARE = 0.5  # of a letter's pixels have to be in the mask
SEED = 1


@dataclass(frozen=True)
class Planting:
    """What is planted: rising `contrasts` in robust spreads of the fragment's grey values, letters `letter_um` high (None: as in the
    labels), a film `film_vox` thick.
    """

    contrasts: tuple[float, ...] = CONTRASTS
    letter_um: float | None = None
    film_vox: float = InkSettings.film_vox


@dataclass(frozen=True)
class Detectability:
    """Which planted letters were found: `is_found` (P, K) over places and rising contrasts.

    `grey_levels` (K,) is what each contrast adds; `letter_px` and `cells` are at working resolution; `face` (Y, X) the layer of
    the window that the film was laid on. `by_name` (P, K): the same as `is_found` of each that is asked, at its own threshold, and not
    where it called the place ink before. `gained` (K,) of each: share of a letter's pixels that it calls ink, less that share before.
    """

    contrasts: NDArray[np.float64]
    grey_levels: NDArray[np.float64]
    is_found: NDArray[np.bool_]
    cells: Cells
    letter_um: float
    film_vox: float
    face: NDArray[np.float32]
    by_name: dict[str, NDArray[np.bool_]]
    gained: dict[str, NDArray[np.float64]]

    @property
    def half(self) -> HalfFound:
        """The contrast of which half is found."""
        return half_found(self.contrasts, self.is_found)

    @property
    def least(self) -> NDArray[np.float64]:
        """Each place's least contrast found, (P,); infinite where none was."""
        return least_found(self.contrasts, self.is_found)

    def rows(self) -> list[dict[str, float]]:
        """For the table: a row a contrast."""
        rows = []
        for number, contrast in enumerate(self.contrasts):
            found, planted = int(self.is_found[:, number].sum()), len(self.is_found)
            low, high = wilson(found, planted)
            rows.append(
                {
                    "contrast": float(contrast),
                    "grey_levels": round(float(self.grey_levels[number]), 1),
                    "planted": planted,
                    "found": found,
                    "share": round(found / planted, 4),
                    "low": round(low, 4),
                    "high": round(high, 4),
                }
            )
        return rows


def check_contrasts(contrasts: tuple[float, ...]) -> None:
    """Refuse what cannot be planted.

    Raises:
        InputError: fewer than two, one not above 0, or not rising.
    """
    if len(contrasts) < 2 or min(contrasts) <= 0 or list(contrasts) != sorted({*contrasts}):
        raise InputError(
            f"contrasts {list(contrasts)}: expected two or more above 0, rising, in spreads of the papyrus' grey values, "
            f"such as {CONTRASTS}"
        )


def detectability(asked: Asked, fragment: Fragment, folder: Path, real: Predicted, planting: Planting) -> Detectability:
    """Plant, predict into `folder`/planted-<k>, and look which letters are found; `real` says where nothing was found before.

    The folder above `folder` holds the prediction of the fragment itself.

    Raises:
        InputError: there is no free place, or the contrasts make no curve.
    """
    check_contrasts(planting.contrasts)
    letter_um, bin_yx = planting.letter_um or _learnt_height_um(asked), fragment.data.bin_yx
    letter_px = max(3, round(letter_um / (fragment.pixel_um * bin_yx)))
    cells = free_cells(fragment.mask, share_in_blocks(real.mask, bin_yx) > 0, letter_px)
    cover, number = letters_at(cells, fragment.mask.shape, SEED)
    face = face_layer(fragment, learnt_layer(fragment, asked.settings.stage1.flatten.window))
    contrasts = np.array(planting.contrasts)
    grey_levels = contrasts * fragment.grey_scale[1]
    turn = _turns(len(cells.corner_px), len(contrasts))
    shares_at = {name: np.zeros((len(turn), len(contrasts))) for name in asked.names}
    blur_vox = CtSettings.blur_vox
    for shift in range(len(contrasts)):
        picked = (turn + shift) % len(contrasts)  # (P,) which contrast a place bears in this pass
        film = film_of(cover, number, grey_levels[picked], blur_vox / bin_yx, SEED)
        key = key_of(
            [cells.corner_px.tolist(), letter_px, grey_levels[picked].tolist(), planting.film_vox, blur_vox, SEED]
        )
        ink = Planted(film, face, planting.film_vox, blur_vox, key)
        copy = changed(fragment, ink, f"with planted ink {shift + 1}/{len(contrasts)}")
        for name, shares in _shares_found(asked, copy, folder / f"planted-{shift + 1}", number).items():
            shares_at[name][np.arange(len(turn)), picked] = shares
    before = {ENSEMBLE: np.zeros(len(turn))} | _shares_of_members(asked, folder.parent, number)
    judged = {name: because_of_ink(one, before[name]) for name, one in shares_at.items()}
    is_found, gained = {name: one[0] for name, one in judged.items()}, {name: one[1] for name, one in judged.items()}
    return Detectability(
        contrasts, grey_levels, is_found[ENSEMBLE], cells, letter_um, planting.film_vox, face, is_found, gained
    )


def because_of_ink(
    shares_at: NDArray[np.float64], before: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which letters are found that were not called ink before, (P, K), and what more of them is on average, (K,).

    `shares_at` (P, K): share of each letter's pixels called ink, by contrast; `before` (P,): the same of the bare place.

    >>> because_of_ink(np.array([[0.2, 0.9], [1.0, 1.0]]), np.array([0.1, 1.0]))[0].tolist()
    [[False, True], [False, False]]
    """
    is_found = (shares_at >= FOUND_SHARE) & (before < FOUND_SHARE)[:, None]
    return is_found, np.asarray((shares_at - before[:, None]).mean(axis=0))


def _learnt_height_um(asked: Asked) -> float:
    """As high as the letters that the run learned from; members alone know of none."""
    return LETTER_UM if asked.is_alone else letter_height_um(training_fragments(asked.settings.data))


def _shares_found(
    asked: Asked, copy: Fragment, folder: Path, number: NDArray[np.int32]
) -> dict[str, NDArray[np.float64]]:
    """How much of every planted letter each of those that are asked finds, (P,); the blend's as it would be submitted."""
    mask = asked.predicted(copy, folder).mask
    found = {ENSEMBLE: found_share(share_in_blocks(mask, copy.data.bin_yx), number)}
    return found | _shares_of_members(asked, folder, number)


def _shares_of_members(asked: Asked, folder: Path, number: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
    """How much of every letter's pixels each of them, and stage two, calls ink in what was predicted into `folder`, (P,)."""
    return {
        name: found_share((asked.map_of(folder, name) >= asked.threshold(name)).astype(np.float32), number)
        for name in asked.names[:-1]
    }


def _turns(places: int, contrasts: int) -> NDArray[np.int64]:
    """Which contrast each place begins with, (P,): all equally often, in no order that follows rows or columns."""
    turn = np.arange(places) % contrasts
    return np.random.default_rng(SEED).permutation(turn)


def found_share(mask_share: NDArray[np.float32], number: NDArray[np.int32]) -> NDArray[np.float64]:
    """How much of every letter is in a mask, (P,): `mask_share` (Y, X) of each working pixel, `number` (Y, X) of letters from 1."""
    inside = np.bincount(number.ravel(), weights=mask_share.ravel(), minlength=int(number.max()) + 1)
    return np.asarray(inside[1:] / np.maximum(np.bincount(number.ravel())[1:], 1))
