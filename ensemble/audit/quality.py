"""Whether a sheet can be looked at as the networks were trained, before it is: place, direction, sharpness of its layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.preflight import laid_as_trained
from scroll.config.schema import Settings
from scroll.data.fragments import Fragment
from scroll.errors import InputError, UnreadableError
from scroll.preflight.depth_profile import FREQUENCIES, DepthProfile, look
from scroll.preflight.training_span import Preflight, read_reference
from scroll.runtime.files import read_mapping

NOT_CHECKED = "direction, depth and sharpness of its layers were not compared with the training's"


@dataclass(frozen=True)
class Placed:
    """A fragment as it is to be asked about, or why it cannot be; and its finest texture's power beside the training's, None: not known."""

    fragment: Fragment
    unusable: str = ""
    texture: float | None = None
    note: str = ""


def reference_of(settings: Settings) -> dict[str, object] | None:
    """What stage one noted of the layers it was trained on; None where there is none, or nobody wants to look."""
    path = settings.folder.reference
    return read_mapping(path) if settings.preflight.mode != "off" and path.exists() else None


def placed(settings: Settings, fragment: Fragment, reference: Mapping[str, object] | None, output: Path) -> Placed:
    """Turn and shift it as ensemble/predict.py would, or say why nothing could be found in it; leaves preflight.json as that does."""
    note, turned, unusable, texture = NOT_CHECKED, fragment, "", None
    if reference is not None:
        try:
            result, turned = laid_as_trained(settings, fragment, reference, output)
            note, unusable = f"layers: {result.verdict}: {result.why}", _uncorrected(settings, result)
            if result.finding is not None:
                texture = texture_beside(fragment, read_reference(reference), settings.preflight.windows)
        except UnreadableError:  # that is the network's or the disk's, not the sheet's
            raise
        except InputError as error:
            return Placed(fragment, f"It cannot be looked at as the networks were trained: {error}.")
    try:
        _ = turned.layers
    except InputError as error:
        return Placed(turned, f"The layers that the networks look at are not in it: {error}.", texture, note)
    return Placed(turned, unusable, texture, note)


def _uncorrected(settings: Settings, result: Preflight) -> str:
    """What was clearly found to be off and left as it is, for the settings say so; a sheet that is still within the window is not."""
    finding = result.finding
    if finding is None or result.verdict != "doubtful" or not finding.is_sound:
        return ""
    first, end = settings.stage1.flatten.window or settings.data.depth
    learnt = (first + end - 1) / 2 + finding.offset_layers  # where the ink now is, about the centre layer
    is_beyond = not settings.data.depth[0] <= learnt < settings.data.depth[1]
    if not (finding.is_flipped or finding.is_scaled or is_beyond):
        return ""
    return f"It does not lie as the networks were trained, and preflight.mode leaves it so: {finding}."


def texture_beside(fragment: Fragment, reference: DepthProfile, windows: int) -> float | None:
    """Power of the finest octave of texture that the networks see, noise taken off, as a part of the training's; each its best layer."""
    found = look(fragment.stack, fragment.full_mask, windows, str(fragment.folder)).mean()
    finest = min(0.5 / fragment.data.bin_yx, float(FREQUENCIES[-1]))
    octave = (finest / 2 <= FREQUENCIES) & (finest >= FREQUENCIES)
    if not octave.any():
        return None
    own, training = (_power(one, octave) for one in (found, reference))
    return round(own / training, 4) if training > 0 else None


def _power(profile: DepthProfile, octave: np.ndarray) -> float:
    power = np.exp(np.asarray(profile.log_power)[:, :, octave]) - np.asarray(profile.noise)[octave]
    return float(np.maximum(power.mean(axis=(1, 2)), 0).max())
