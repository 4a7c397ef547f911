"""Drawn volumes with two structures, as files of every format, on grids that are turned, oblique and anisotropic."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

OBLIQUE = np.array(
    [
        [-0.93969262, 0.17101007, -0.59240396, 12.5],
        [-0.34202014, -0.46984631, 1.62759537, -7.25],
        [0.0, -0.8660254, -1.0, 31.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""LIP-like: a rotation about two axes, spacing 1 x 1 x 2, axes that run against the standard ones."""

_BODY = (30, 40, 36)


def draw(seed: int = 0, shape: tuple[int, int, int] = (12, 20, 16)) -> tuple[np.ndarray, np.ndarray]:
    """A noisy volume (depth, height, width) of int16 with a bright ball (1) and a dark box (2), and its labels."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    centre = np.array(shape) / 2 + rng.uniform(-1, 1, 3)
    labels = np.zeros(shape, np.uint8)
    labels[(z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 16] = 1
    labels[1:4, 2:7, 3 : 8 + seed % 3] = 2
    image = rng.normal(300, 20, shape) + np.array([0, 250, -200])[labels]
    return image.astype(np.int16), labels


def body(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright ellipsoid (1) beside a dark box (2), at places that differ, in smooth noise."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(_BODY)
    centre = np.array([12, 14, 22]) + rng.uniform(-4, 4, 3)
    labels = np.zeros(_BODY, np.uint8)
    labels[((z - centre[0]) / 6) ** 2 + ((y - centre[1]) / 8) ** 2 + ((x - centre[2]) / 5) ** 2 < 1] = 1
    corner = (np.array([16, 24, 6]) + rng.uniform(-3, 3, 3)).astype(int)
    box = tuple(slice(first, first + side) for first, side in zip(corner, (8, 9, 12), strict=True))
    labels[box] = np.where(labels[box], labels[box], 2)
    noise = ndimage.gaussian_filter(rng.standard_normal(_BODY), 1) * 120
    return (noise + 500 + np.array([0, 260, -220])[labels]).astype(np.int16), labels


def save_nifti(path: Path, volume: np.ndarray, affine: np.ndarray, codes: tuple[int, int] = (1, 2)) -> None:
    """Write (depth, height, width) as NIfTI whose indices x, y, z lie at `affine` (RAS+); codes of qform and sform."""
    import nibabel

    image: Any = nibabel.Nifti1Image(np.asfortranarray(volume.transpose(2, 1, 0)), None)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, codes[0])
    image.set_sform(affine, codes[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)


def save_itk(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    """Write (depth, height, width) with SimpleITK in the format of the suffix; `affine` is RAS+."""
    import SimpleITK as sitk

    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image: Any = sitk.GetImageFromArray(volume)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), useCompression=True)


def save_dicom(
    folder: Path, volume: np.ndarray, affine: np.ndarray, *, without: int | None = None, packed: str = ""
) -> None:
    """Write (depth, height, width) of int16 as the slices of a DICOM series, one of them left out if asked.

    `packed` is a compression, such as "JPEG2000".
    """
    import SimpleITK as sitk

    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    writer: Any = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    if packed:
        writer.UseCompressionOn()
        writer.SetCompressor(packed)
    for index, plane in enumerate(volume):
        if index == without:
            continue
        image: Any = sitk.GetImageFromArray(plane[None])
        image.SetSpacing(spacing.tolist())
        position = lps[:3, :3] @ np.array([0, 0, index]) + lps[:3, 3]
        tags = {
            "0008|0060": "MR",
            "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
            "0020|000e": "1.2.826.0.1.3680043.2.1125.2",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.3.{index + 1}",
            "0020|0013": str(index + 1),
            "0020|0032": "\\".join(f"{value:.10g}" for value in position),
            "0020|0037": "\\".join(f"{value:.10g}" for value in direction[:, :2].T.ravel()),
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"slice_{index:03}.dcm"))
        writer.Execute(image)


def save_zarr(path: Path, volume: np.ndarray, scale: tuple[float, float, float], unit: str = "micrometer") -> None:
    """Write (depth, height, width) as OME-Zarr of NGFF 0.5 with axes c, z, y, x."""
    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    array = group.create_array("full", shape=(1, *volume.shape), dtype=volume.dtype, chunks=(1, 8, 8, 8))
    array[...] = volume[None]
    space = [{"name": name, "type": "space", "unit": unit} for name in "zyx"]
    transforms = [{"type": "scale", "scale": [1.0, *scale]}, {"type": "translation", "translation": [0, 7.5, 2.0, 0]}]
    multiscale = {
        "axes": [{"name": "c", "type": "channel"}, *space],
        "datasets": [{"path": "full", "coordinateTransformations": transforms}],
    }
    group.attrs.update({"ome": {"version": "0.5", "multiscales": [multiscale]}})


def save_stack(path: Path, volume: np.ndarray, scale: tuple[float, float, float] | None = None) -> None:
    """Write (depth, height, width) as TIFF: of ImageJ with z, y, x in micrometres, or plain pages without a scale."""
    import tifffile

    path.parent.mkdir(parents=True, exist_ok=True)
    if scale is None:
        tifffile.imwrite(path, volume, photometric="minisblack", metadata=None)
        return
    metadata = {"axes": "ZYX", "spacing": scale[0], "unit": "um"}
    resolution = (1 / scale[2], 1 / scale[1])
    stored = volume.astype(np.uint16) if volume.dtype == np.int16 else volume
    tifffile.imwrite(path, stored, imagej=True, resolution=resolution, metadata=metadata)


def folders(root: Path, counts: tuple[int, int, int] = (4, 2, 2), affine: np.ndarray = OBLIQUE) -> Path:
    """Write train, val and test with images and masks as NIfTI; return the folder."""
    number = 0
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        for _ in range(count):
            image, labels = draw(number)
            save_nifti(root / split / "images" / f"case_{number:03}.nii.gz", image, affine)
            save_nifti(root / split / "masks" / f"case_{number:03}.nii.gz", labels, affine)
            number += 1
    return root


def world(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """The RAS+ coordinates (3, depth, height, width) of the voxels of an array."""
    z, y, x = np.indices(shape).astype(float)
    return np.einsum("ij,j...->i...", affine[:3, :3], np.stack([x, y, z])) + affine[:3, 3, None, None, None]
