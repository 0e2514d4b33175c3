"""A stack with a thin film laid onto its sheet, as carbon ink would lie there, added as it is read."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from scroll.errors import InputError
from scroll.volumes.changed import Changed
from scroll.volumes.volume import Volume

FloatArray = NDArray[np.float32]


def film_share(below_face_vox: NDArray[np.floating], film_vox: float, blur_vox: float) -> FloatArray:
    """How much of a film of brightness 1 shows at depths below the face it is on: a box of `film_vox`, blurred by a Gaussian.

    >>> film_share(np.array([-9.0, 1.0, 9.0]), film_vox=2.0, blur_vox=0.01).tolist()
    [0.0, 1.0, 0.0]
    """
    below = np.asarray(below_face_vox, dtype=np.float32)
    return np.asarray(ndtr(below / blur_vox) - ndtr((below - film_vox) / blur_vox), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class PlantedFilm(Changed):
    """A lazy (Z, Y, X) array: `volume` and a film on top.

    `film` (Y, X) is what the film adds in grey levels, 0 where there is none; `face` (Y, X) the layer on which it is,
    fractional, film filling the layers behind it. Whole types are rounded and stay within their range.
    """

    film: FloatArray
    face: FloatArray
    film_vox: float
    blur_vox: float

    def __post_init__(self) -> None:
        """Refuse maps of another size.

        Raises:
            InputError: film or face are not the volume's (Y, X).
        """
        if not self.film.shape == self.face.shape == self.volume.shape[1:]:
            raise InputError(
                f"{self.volume.path}: a film of {self.film.shape} on a face of {self.face.shape}; expected {self.volume.shape[1:]}"
            )

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """The block of three slices with positive steps inside the shape."""
        bare, film = np.asarray(self.volume[box]), self.film[box[1:]]
        if not film.any():
            return bare
        depths = np.arange(self.shape[0], dtype=np.float32)[box[0], None, None]
        inked = bare + film * film_share(depths - self.face[box[1:]], self.film_vox, self.blur_vox)
        if self.dtype.kind in "ui":
            bounds = np.iinfo(self.dtype)
            inked = np.clip(np.rint(inked), bounds.min, bounds.max)
        return inked.astype(self.dtype)


def planted_film(volume: Volume, film: FloatArray, face: FloatArray, film_vox: float, blur_vox: float) -> Volume:
    """The same volume with a film on its sheet; its path and voxel size stay."""
    return replace(volume, array=PlantedFilm(volume, film, face, film_vox, blur_vox))
