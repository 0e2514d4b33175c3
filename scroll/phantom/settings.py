"""What a phantom is made of, as frozen settings with their units, and the four presets."""

from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

VOXEL_UM = 7.91
MIXED_SIDE_DEGREES = (60.0, 120.0)
PRESETS = ("easy", "default", "hard", "zero")


@dataclass(frozen=True)
class SheetSettings:
    """One papyrus sheet and its neighbours; densities are relative to solid papyrus = 1, air = 0."""

    thickness_vox: float = 8.5
    thickness_sd_vox: float = 1.1
    pitch_vox: float = 21.0  # from recto to recto of neighbouring wraps; real median 21.9 (18.6-25.2) at 7.91 um
    pitch_sd_vox: float = 5.0
    crushed: bool = False  # wraps lie on one another: pitch below thickness + 4
    warp_vox: float = 2.8  # height of the recto face, sd, over about 260 px: wider than letters, so that it hides none
    wrinkle_vox: float = 0.9  # the same over about 80 px
    ripple_vox: float = 0.4  # the same over about 22 px
    fibre_contrast: float = 0.30  # density sd of the fibres
    fibre_relief_vox: float = 0.6  # height of fibres above the valleys between them, sd
    delamination_from_sd: float = 1.1  # the two fibre layers part where a unit field exceeds this
    fray_from_sd: float = 1.0  # the verso comes apart into strands where a unit field exceeds this
    scrap_share: float = 0.18  # of the area is under a scrap of the wrap above
    grains_per_vox: float = 3e-5

    def effective_pitch_vox(self) -> tuple[float, float]:
        """Mean and sd of the distance between neighbouring wraps, in voxels."""
        return (self.thickness_vox + 1.5, 1.5) if self.crushed else (self.pitch_vox, self.pitch_sd_vox)


@dataclass(frozen=True)
class InkSettings:
    """Carbon ink on the recto: a thin film that hardly differs from papyrus in density."""

    letter_height_px: float = 190.0
    stroke_px: float = 40.0  # 0.36 mm in fragment 1
    share: float = 0.18  # of the papyrus area that bears ink
    film_vox: float = 2.5
    relief_vox: float = 0.75  # how far the film raises the face
    extra_density: float = 0.12
    valley_fill: float = 0.8  # share of the fibre relief that ink levels out
    crack_cell_px: float = 24.0
    crack_width_px: float = 2.2


@dataclass(frozen=True)
class CtSettings:
    """The scanner: blur, phase-contrast edge, noise, rings, cupping. Amplitudes are relative to papyrus - air = 1."""

    blur_vox: float = 1.15
    edge_gain: float = 0.5
    edge_vox: float = 2.5
    noise_sd: float = 0.13
    noise_fine_vox: float = 1.2  # Gaussian width of the fine part ...
    noise_halo_vox: float = 1.6  # ... less a wider Gaussian: reconstruction noise is band-passed
    noise_halo_share: float = 0.9
    noise_coarse_knots_vox: float = 6.2  # lattice step of the coarse part
    noise_coarse_share: float = 0.3  # of the noise variance
    ring_amplitude: float = 0.03
    cupping: float = 0.04


@dataclass(frozen=True)
class FragmentSettings:
    """A flattened fragment in the layout of the ink competition; `size_zyx` in voxels."""

    size_zyx: tuple[int, int, int] = (65, 1024, 1024)
    voxel_um: float = VOXEL_UM
    sheet: SheetSettings = field(default_factory=SheetSettings)
    ink: InkSettings = field(default_factory=InkSettings)
    ct: CtSettings = field(default_factory=CtSettings)


@dataclass(frozen=True)
class LabelSettings:
    """How a human labels the recto faces of a cube: by a thin band that wanders, with gaps, on some of the wraps."""

    band_vox: float = 2.7
    depth_vox: float = -0.25  # where the band begins below the recto face, on average
    depth_sd_vox: float = 2.2  # real centre-lines lie at -3/+1/+4 voxels (10/50/90 %)
    depth_knots_vox: float = 40.0
    margin_vox: float = (
        6.0  # before a recto face, or half-way to it, begins what is said of its wrap: no band is cut along
    )
    missing_share: tuple[float, float] = (0.05, 0.15)  # least and most of the labelled wraps' area left out
    labelled_share: tuple[float, float] = (0.35, 0.65)  # least and most of the wraps that are labelled; 2 elsewhere


@dataclass(frozen=True)
class CubeSettings:
    """A cube out of a rolled scroll in the layout of the surface competition; `size_vox` is its edge."""

    size_vox: int = 320
    voxel_um: float = VOXEL_UM
    warp_vox: tuple[float, ...] = (7.0, 1.6, 0.7)  # sd of the spiral's distortion ...
    warp_knots_vox: tuple[float, ...] = (70.0, 28.0, 11.0)  # ... over these lengths
    wrap_warp_vox: float = 1.3  # distortion of each wrap alone, sd, over about 60 voxels
    touching_share: float = 0.12  # of the wraps lie on the one before
    side_degrees: tuple[float, float] = (0.0, 360.0)  # from the axis to the cube: least and most, 0 along x, 90 along y
    sheet: SheetSettings = field(default_factory=lambda: SheetSettings(thickness_vox=8.7, pitch_vox=23.0))
    ink: InkSettings = field(default_factory=InkSettings)
    ct: CtSettings = field(default_factory=CtSettings)
    label: LabelSettings = field(default_factory=LabelSettings)


def preset_ink(preset: str) -> InkSettings:
    """The ink of a preset; `zero` bears none, though its labels still show letters.

    Raises:
        ValueError: no such preset.
    """
    inks = {
        "easy": InkSettings(extra_density=0.45, relief_vox=1.2, film_vox=3.0),
        "default": InkSettings(),
        "hard": InkSettings(extra_density=0.03, relief_vox=0.30, valley_fill=0.1, crack_width_px=1.3),
        "zero": InkSettings(extra_density=0.0, relief_vox=0.0, film_vox=0.0, valley_fill=0.0),
    }
    if preset not in inks:
        raise ValueError(f"preset {preset!r} is unknown; expected one of {', '.join(PRESETS)}")
    return inks[preset]


def preset_ct(preset: str) -> CtSettings:
    """The scanner of a preset: `hard` is noisier, the others are alike."""
    return CtSettings(noise_sd=0.18) if preset == "hard" else CtSettings()


def fragment_settings(
    preset: str = "default",
    size_zyx: tuple[int, int, int] = (65, 1024, 1024),
    crushed: bool = False,
    letter_height_px: float | None = None,
    voxel_um: float = VOXEL_UM,
) -> FragmentSettings:
    """Settings of a preset for fragments of one size; the stroke keeps its proportion to `letter_height_px`.

    A scan of finer voxels shows the same papyrus and letters (whose height is given in pixels of 7.91 um) in more of them; its blur
    and noise are those of a scanner, so as many voxels wide as before.

    >>> fragment_settings("zero").ink.extra_density
    0.0
    """
    ink = preset_ink(preset)
    if letter_height_px is not None:
        scale = letter_height_px / ink.letter_height_px
        ink = replace(ink, letter_height_px=letter_height_px, stroke_px=ink.stroke_px * scale)
    sheet, finer = SheetSettings(crushed=crushed), VOXEL_UM / voxel_um
    if voxel_um != VOXEL_UM:
        sheet = replace(_longer(sheet, finer), grains_per_vox=sheet.grains_per_vox / finer**3)
        ink = _longer(ink, finer)
    return FragmentSettings(size_zyx, voxel_um, sheet, ink, preset_ct(preset))


Lengths = TypeVar("Lengths", SheetSettings, InkSettings)


def _longer(settings: Lengths, times: float) -> Lengths:
    """With all lengths in voxels and pixels so many times longer."""
    lengths = (
        one.name for one in fields(settings) if one.name.endswith(("_vox", "_px")) and not one.name.endswith("per_vox")
    )
    return replace(settings, **{name: getattr(settings, name) * times for name in lengths})


def scroll_settings(preset: str = "easy", size_vox: int = 256, letter_height_px: float = 112.0) -> CubeSettings:
    """Settings of a cube that is read for its ink: letters small enough that a wrap holds several, and every wrap traced."""
    cube = cube_settings(preset, size_vox)
    stroke = cube.ink.stroke_px * letter_height_px / cube.ink.letter_height_px
    ink = replace(cube.ink, letter_height_px=letter_height_px, stroke_px=stroke)
    return replace(cube, ink=ink, label=replace(cube.label, labelled_share=(1.0, 1.0)))


def cube_settings(preset: str = "default", size_vox: int = 320, crushed: bool = False) -> CubeSettings:
    """Settings of a preset for cubes of one size."""
    cube = CubeSettings(size_vox=size_vox, ink=preset_ink(preset), ct=preset_ct(preset))
    return replace(cube, sheet=replace(cube.sheet, crushed=crushed))


def mixed_scrolls(size_vox: int = 320, preset: str = "default") -> tuple[CubeSettings, CubeSettings, CubeSettings]:
    """Three scrolls that differ: one tightly wound, one loosely and scanned with more noise, and a damaged one.

    The damaged one comes last, to be held out: its pitch is between the others', but more of its versos are frayed,
    more of its sheets are delaminated, and more of its wraps touch than in either. All cubes come from one side of their
    scrolls: which face is the recto shows in a cube by texture alone, and that takes hours to learn, not minutes.
    """
    cube = replace(cube_settings(preset, size_vox), side_degrees=MIXED_SIDE_DEGREES)
    tight = replace(cube, touching_share=0.15, sheet=replace(cube.sheet, pitch_vox=19.0))
    noisier = replace(cube.ct, noise_sd=1.2 * cube.ct.noise_sd)
    loose = replace(cube, touching_share=0.10, sheet=replace(cube.sheet, pitch_vox=26.0), ct=noisier)
    damage = replace(cube.sheet, pitch_vox=22.0, fray_from_sd=0.7, delamination_from_sd=0.7)
    return tight, loose, replace(cube, touching_share=0.20, sheet=damage)
