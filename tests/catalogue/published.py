"""Made-up data in the shapes in which scrolls are published, and a server of them on this machine."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import numpy as np
import tifffile
import yaml
import zarr
from PIL import Image

from tests.volumes.web_server import Handler, WebServer

BUCKET = "vesuvius-challenge-open-data"
VOLUME, SEGMENT, OTHER = "20250101120000", "20260311000000", "20230827161847"
LAYERS_UM = 2.399
LABEL_LAYER, LABEL_DEPTH = 32, 65


class ListingHandler(Handler):
    """Shows a page of links for a folder, as the classic server does, and lists a bucket, as S3 does."""

    server: "ListingServer"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        folder, asked = self.server.folder / unquote(path).strip("/"), parse_qs(query)
        time.sleep(self.server.pause_s)
        if not self.server.lists or not folder.is_dir():
            super().do_GET()
        elif "list-type" in asked:
            listed = listing(folder, asked.get("prefix", [""])[0], "delimiter" in asked)
            self._answer(200, listed.encode(), {"Content-Type": "application/xml"})
        else:
            page = self.server.page
            names = [f"{path.name}/" if path.is_dir() else path.name for path in sorted(folder.iterdir())]
            rows = "".join(f'<a href="{name}">{name}</a>\n' for name in ["../", *names])
            page = page or f"<html><body><pre>{rows}</pre></body></html>".encode()
            self._answer(200, page, {"Content-Type": "text/html"})


def listing(bucket: Path, prefix: str, is_flat: bool) -> str:
    """What S3 answers of the keys that begin with `prefix`; `is_flat`: of what lies deeper only the folders."""
    keys = sorted(path.relative_to(bucket).as_posix() for path in bucket.rglob("*") if path.is_file())
    keys = [key for key in keys if key.startswith(prefix)]
    folders = sorted({prefix + key[len(prefix) :].partition("/")[0] + "/" for key in keys if "/" in key[len(prefix) :]})
    files = [key for key in keys if not is_flat or "/" not in key[len(prefix) :]]
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>&quot;a&quot;</ETag>"
        f"<Size>{(bucket / key).stat().st_size}</Size></Contents>"
        for key in files
    )
    common = "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in folders) if is_flat else ""
    return (
        f"<?xml version='1.0'?><ListBucketResult><IsTruncated>false</IsTruncated>{contents}{common}</ListBucketResult>"
    )


class ListingServer(WebServer):
    """A web server whose folders and buckets can be looked into, unless it does not `lists`; it answers after `pause_s` seconds.

    `page` is shown in the place of every folder.
    """

    lists, pause_s, page = True, 0.0, b""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.RequestHandlerClass = ListingHandler


def write_zarr(
    path: Path, levels: Iterable[np.ndarray], version: int = 2, voxel_um: float | None = None, chunk: int = 32
) -> Path:
    """An OME-Zarr of these levels (Z, Y, X), of format 2 or 3; scales are as the shapes say."""
    levels = list(levels)
    datasets = []
    for number, level in enumerate(levels):
        steps = [round(a / b) for a, b in zip(levels[0].shape, level.shape, strict=True)]
        scale = [float(step * (voxel_um or 1)) for step in steps]
        datasets.append({"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    unit = {"unit": "micrometer"} if voxel_um else {}
    entry = {
        "version": "0.4",
        "axes": [{"name": n, "type": "space", **unit} for n in "zyx"],
        "datasets": datasets,
        "name": path.stem,
    }
    ome = {"multiscales": [entry]}
    attributes = ome if version == 2 else {"ome": {"version": "0.5", **ome}}
    group = zarr.create_group(path, zarr_format=version, attributes=attributes)
    for number, level in enumerate(levels):
        group.create_array(
            str(number), data=level, chunks=tuple(min(chunk, n) for n in level.shape), fill_value=0,
            chunk_key_encoding={"name": "v2" if version == 2 else "default", "separator": "/"},
            config={"write_empty_chunks": False},
        )  # fmt: skip
    return path


def flat_pyramid(layers: np.ndarray, count: int = 3) -> list[np.ndarray]:
    """Levels that coarsen y and x only, as published surface volumes have them."""
    return [layers[:, :: 2**n, :: 2**n] for n in range(count)]


def even_pyramid(layers: np.ndarray, count: int = 3) -> list[np.ndarray]:
    """Levels that coarsen z, y and x."""
    return [layers[:: 2**n, :: 2**n, :: 2**n] for n in range(count)]


def write_label(path: Path, picture: np.ndarray, depth: int = LABEL_DEPTH) -> Path:
    """A label as a picture, or as a zarr that holds it in one of its layers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".zarr":
        Image.fromarray(picture.astype(np.uint8)).save(path)
        return path
    canvas = np.zeros((depth, *picture.shape), np.uint8)
    canvas[min(LABEL_LAYER, depth - 1)] = picture
    return write_zarr(path, flat_pyramid(canvas, 6))


def write_tifxyz(folder: Path, points_zyx: np.ndarray, scale: float = 0.05) -> Path:
    """A tifxyz of points (H, W, 3)."""
    folder.mkdir(parents=True)
    for n, axis in enumerate("zyx"):
        tifffile.imwrite(folder / f"{axis}.tif", points_zyx[..., n].astype(np.float32))
    (folder / "meta.json").write_text(
        json.dumps({"format": "tifxyz", "type": "seg", "uuid": "a", "scale": [scale, scale]})
    )
    return folder


def data_entry(
    kind: str, path: str, root: str = f"s3://{BUCKET}/", usage: str = "public-read", **more: Any
) -> dict[str, Any]:
    """One entry of `data`, as the open-data catalogue writes it."""
    kept_off = {"type": "s3", "url": "s3://private-root/", "usage": "internal"}
    roots = [kept_off, {"type": root.partition(":")[0], "url": root, "usage": usage}]
    return {"type": kind, "origins": [{"path": path, "access_roots": roots}], **more}


def open_data(root: str = f"s3://{BUCKET}/") -> dict[str, Any]:
    """A catalogue of two scrolls: one traced in a volume at 2.4 um, one as the classic server has it."""
    base = f"PHerc0139/segments/{SEGMENT}"
    segment = {
        "long_id": f"{SEGMENT}-w016", "suffix": "w016", "original_volume_id": VOLUME, "width": 96, "height": 96,
        "created_at": "2026-03-11T00:00:00Z", "properties": {"original_volume_downscale": 4},
        "data": [
            data_entry("tifxyz", f"{base}/tifxyz", root),
            data_entry("layers_zarr", f"{base}/surface-volumes/{LAYERS_UM}um-volume-{VOLUME}.zarr/", root),
            data_entry("ink_detection", f"{base}/ink-detection/{LAYERS_UM}um.jpg", root),
            data_entry("labels", f"{base}/labels", root),
        ],
    }  # fmt: skip
    volume = {
        "scan_id": VOLUME, "suffix": "masked", "pixel_size_um": LAYERS_UM, "data_format": "zarr",
        "data": [data_entry("zarr", f"PHerc0139/volumes/{VOLUME}-{LAYERS_UM}um-78keV-masked.zarr", root)],
    }  # fmt: skip
    paris = {
        "volumes": {"20230205180739": {"scan_id": "20230205180739", "pixel_size_um": 7.91, "data": []}},
        "segments": {
            OTHER: {
                "original_volume_id": "20230205180739",
                "data": [
                    data_entry("layers-zarr", f"PHercParis4/segments/{OTHER}/7.91um-volume-20230205180739.zarr", root)
                ],
            }
        },
    }
    scans = {VOLUME: {"created_at": "2025-01-01T12:00:00Z"}}
    samples = {
        "PHerc0139": {"scans": scans, "volumes": {VOLUME: volume}, "segments": {SEGMENT: segment}},
        "PHercParis4": paris,
    }
    return {"metadata": {"samples": samples}}


def classic(address: str) -> dict[str, Any]:
    """The classic server's list."""
    volume = f"{address}/full-scrolls/Scroll1/PHercParis4.volpkg/volumes_zarr_standardized/54keV_7.91um_Scroll1A.zarr/"
    segment = f"{address}/other/dev/scrolls/1/segments/54keV_7.91um/{OTHER}.zarr/"
    return {"1": {"54": {"7.91": {"volume": volume, "segments": {OTHER: segment}}}}}


def write_served(folder: Path, layers: np.ndarray, ink: np.ndarray) -> None:
    """What the catalogues above name: surface volumes of both formats and pyramids, a surface, labels in every place they are kept."""
    bucket, base = folder / BUCKET, folder / BUCKET / "PHerc0139" / "segments" / SEGMENT
    write_zarr(base / "surface-volumes" / f"{LAYERS_UM}um-volume-{VOLUME}.zarr", flat_pyramid(layers), 3, LAYERS_UM)
    write_zarr(
        bucket / "PHerc0139" / "volumes" / f"{VOLUME}-{LAYERS_UM}um-78keV-masked.zarr",
        even_pyramid(layers),
        2,
        LAYERS_UM,
    )
    paris = bucket / "PHercParis4" / "segments" / OTHER / "7.91um-volume-20230205180739.zarr"
    write_zarr(paris, even_pyramid(layers), 2, 7.91)
    write_label(paris.parent / f"{OTHER}_inklabels.png", ink)
    rows, columns = np.mgrid[0:4, 0:4]  # five voxels apart, of a volume four times as coarse
    write_tifxyz(base / "tifxyz", np.stack([rows * 0 + 3.0, 5 * rows + 1.0, 5 * columns + 2.0], axis=-1), scale=0.2)
    write_label(base / "labels" / "w016_inklabels_v1.png", ink // 2)
    write_label(base / "labels" / "w016_inklabels_v2.zarr", ink)
    write_label(base / "labels" / "w016_supervision_mask_v1.png", np.full_like(ink, 255))
    write_label(base / "labels" / "w016_validation_mask_v3.tif", np.zeros_like(ink))
    write_label(base / "labels" / "w017_inklabels_v9.png", ink)
    segments = folder / "other" / "dev" / "scrolls" / "1" / "segments" / "54keV_7.91um"
    write_zarr(segments / f"{OTHER}.zarr", even_pyramid(layers), 2, 7.91)
    write_label(segments / f"{OTHER}.zarr" / f"{OTHER}_inklabels.png", ink)
    write_label(segments / f"{OTHER}.zarr" / f"{OTHER}_mask.png", np.full_like(ink, 255))
    tree = folder / "ink_9um" / "labels" / "aligned-scrollprizeorg-21slices" / "pherc0139-w016"
    write_label(tree / "pherc0139-w016_inklabels.zarr", ink, 21)
    write_label(tree / "pherc0139-w016_supervision_mask.zarr", np.full_like(ink, 255), 21)
    (bucket / "metadata.json").write_text(json.dumps(open_data()))
    (folder / "scrolls.yaml").write_text(yaml.safe_dump(classic("@ADDRESS@")))
