"""Fit on out-of-fold predictions of sheets: weights, thresholds, and what speaks for them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble.ink.evidence import evidence, judged, without_each
from ensemble.ink.fit_record import InkFit
from ensemble.ink.held_out import held_out_scores, print_held_out
from ensemble.ink.left_out import fitted_weights, left_out_gain, part_of
from ensemble.ink.predictors import END_TO_END, ENSEMBLE, EQUAL, MEMBERS_MEAN, blend_weights, flat_map, predictor_names
from ensemble.ink.weights import equal_weights
from ensemble.others import fitted_on, with_equal_shares
from scroll.config.schema import Settings
from scroll.data.kinds import kind_of
from scroll.data.members.others import of_others
from scroll.data.sheets import Sheet, labelled_by_people, training_sheets
from scroll.errors import InputError
from scroll.metrics.bootstrap import BLOCK_UM, block_edge_um, blocks_of, known_um2, resampled
from scroll.runtime.files import read_sealed
from scroll.runtime.receipt import file_hash, key_of
from scroll.runtime.record import as_record, kept_record, write_record
from stage2_2d.stack import checked_receipt

MAX_PIXELS = 1_000_000  # that the weights are fitted on, spread over all fragments
OF_DATA = {"kind", "depth", "bin_yx", "voxel_um", "level", "normal_sign", "label_versions", "grey_labels"}
HINT = "run 'make stage1 CONFIG=...' and 'make stage2 CONFIG=...' first"
END_TO_END_HINT = "run 'make end-to-end CONFIG=...' first, or remove end_to_end from the settings"


def calibrate(settings: Settings) -> InkFit:
    """Fit weights and thresholds, write them to ensemble/fit.json and return them.

    Weights are fitted at working resolution, thresholds maximise F0.5 over all fragments at full resolution. Figures of what was fitted
    are of the same data and so are a little too good; "left_out" says what fitting gains on data that it did not see.

    Raises:
        MissingInputError: an out-of-fold prediction is not there.
        InputError: it was made from other data or weights than those that are there now.
    """
    settings, fragments = fitted_on(settings, training_sheets(settings.data))
    for fragment in fragments:
        for name in predictor_names(settings):
            folder = settings.folder.oof(name, fragment.id)
            checked_receipt(folder, fragment, END_TO_END_HINT if name == END_TO_END else HINT)
    before = kept_record(settings.folder.fit, "fitted", InkFit)
    if before and before.made_from == calibration_key(settings) and before.evidence:
        return read_fit(settings)
    fit = _fitted(settings, fragments)
    write_record(settings.folder.fit, fit)
    return fit


def _fitted(settings: Settings, fragments: Sequence[Sheet]) -> InkFit:
    """Weights, then threshold, F0.5 and its interval of each predictor and blend, what the weights gain, and evidence.

    All of it speaks of what people labelled alone, whatever else is trained on.
    """
    people = _of_people(fragments)
    everyone, given = predictor_names(settings), settings.ensemble.threshold
    maps = {f.id: [flat_map(settings.folder.oof(name, f.id), name, HINT) for name in everyone] for f in fragments}
    parts = [part_of(fragment, maps[fragment.id]) for fragment in people]
    is_fitted = settings.ensemble.weights == "fitted"
    shares = fitted_weights(parts, MAX_PIXELS) if is_fitted else equal_weights(len(everyone))
    weights = dict(zip(everyone, map(float, shares), strict=True))
    names = [*everyone, ENSEMBLE, EQUAL, MEMBERS_MEAN]
    edge_um = block_edge_um(known_um2([~f.full_human_label.ignore for f in people], [f.pixel_um for f in people]))
    vectors = {name: _vector(blend_weights(settings, weights, name), everyone) for name in names}
    found = {name: judged(settings, fragments, maps, vector, edge_um) for name, vector in vectors.items()}
    drawn = resampled(np.stack([one.blocks for one in found.values()]))
    return InkFit(
        made_from=calibration_key(settings),
        fragments=[f.id for f in people],
        weights=with_equal_shares(settings, weights),
        thresholds={name: one.threshold for name, one in found.items()},
        oof_f05={name: one.f05 for name, one in found.items()},
        oof_interval={name: drawn.interval(i) for i, name in enumerate(names)},
        gain_where_fitted=drawn.gain(names.index(ENSEMBLE), names.index(EQUAL)),
        blocks=blocks_of(edge_um, drawn.count),
        evidence=evidence(found),
        without=without_each(settings, fragments, maps, parts, found[ENSEMBLE], edge_um),
        best_member=max(settings.stage1.fitted, key=lambda name: found[name].f05),
        left_out=left_out_gain(parts, None if given == "fitted" else float(given)) if is_fitted else None,
        held_out=held_out_scores(
            settings, fragments, maps, {name: (vectors[name], found[name].threshold) for name in names}
        ),
    )


def _of_people(sheets: Sequence[Sheet]) -> list[Sheet]:
    """The sheets that people labelled; says which are left out, for there all is proposed.

    Raises:
        InputError: there is none.
    """
    people = labelled_by_people(sheets)
    if not people:
        raise InputError(
            f"{sheets[0].folder}: all labels here, and of every training sheet, are proposed; expected some that a person gave, to fit "
            "weights and thresholds on: label a part of one by hand, and leave it out of its proposed_mask"
        )
    if out := [sheet.id for sheet in sheets if sheet.full_label.is_only_proposed]:
        print(f"left out of the fit: {', '.join(out)}, where nobody labelled anything and all is proposed")
    return people


def _vector(weights: Mapping[str, float], names: Sequence[str]) -> NDArray[np.float64]:
    return np.array([weights.get(name, 0.0) for name in names])


def print_fit(fit: InkFit) -> None:
    """Print what was fitted: weights, thresholds, out-of-fold F0.5 with its 95 % interval, and what fitting gained."""
    for name, (low, high) in fit.oof_interval.items():
        weight = f"weight {fit.weights[name]:.3f}" if name in fit.weights else " " * 12
        print(f"{name:<16} {weight}  threshold {fit.thresholds[name]:.3f}  out-of-fold F0.5 {fit.oof_f05[name]:.4f} "
              f"({low:.3f} to {high:.3f})")  # fmt: skip
    if fit.blocks:
        print(f"95 % intervals over {fit.blocks.count} blocks of {fit.blocks.edge_um / 1000:.1f} mm")
    for where, gain in (("where they were fitted", fit.gain_where_fitted), ("left out", fit.left_out)):
        if gain is not None:
            print(f"fitted weights over equal ones, {where}: {gain.in_words}")
    if fit.held_out is not None:
        print_held_out(fit.held_out)


def calibration_key(settings: Settings) -> str:
    """Hash of the weights files that the fit speaks of, and of the settings that shape it."""
    folds = range(settings.folds.count)
    paths = [settings.folder.fold(name, k) for name in predictor_names(settings) for k in folds]
    hashes = [
        file_hash(path / "weights.safetensors") if (path / "weights.safetensors").exists() else None for path in paths
    ]
    data = settings.data.model_dump(include=OF_DATA)
    windows = [settings.stage1.window.model_dump(), settings.stage2.window.model_dump()]
    how = [BLOCK_UM, settings.ensemble.weights, settings.ensemble.threshold, settings.stage1.flatten.model_dump()]
    elsewhere = [
        [name, file_hash(other.path), "fitted" if name in settings.stage1.fitted else "equal_share"]
        for name, other in of_others(settings).items()
    ]
    return key_of([hashes, data, windows, how, *elsewhere])


def read_fit(settings: Settings) -> InkFit:
    """The fit of this run.

    Raises:
        MissingInputError: it was never made.
        InputError: it was made for other weights or settings.
    """
    path = settings.folder.fit
    last = "stage2" if settings.end_to_end is None else "end-to-end"
    command = f"run 'make {last} CONFIG=...' (or python -m ensemble.calibrate CONFIG)"
    content = read_sealed(path, f"weights and thresholds are fitted on out-of-fold predictions: {command}")
    fit = as_record(path, content, InkFit)
    if fit.made_from != calibration_key(settings):
        raise InputError(
            f"{path}: was fitted for other weights or settings than those in {settings.run_dir}; {command}"
        )
    return fit


def fitted_threshold(settings: Settings, name: str) -> float | None:
    """From which probability on a member calls ink, as this run fitted it; None where it was not fitted for the weights that are there."""
    path = settings.folder.fit
    if not kind_of(settings.data).has_sheets or not path.exists():
        return None
    fit = kept_record(path, "fitted", InkFit)
    return dict(fit.thresholds).get(name) if fit and fit.made_from == calibration_key(settings) else None
