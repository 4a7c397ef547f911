"""Options of `predict`; a module of its own so that the command line can import it cheaply."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What `predict` writes, and how.

    The descriptions are also the help of the options on the command line.

    Attributes
    ----------
    probabilities : bool
        Also write class probabilities.
    overlays : bool
        Also write overlays with outlines.
    confidence : bool
        Also write uncertainty maps and the expected Dice.
    save : tuple of str
        Also write the objects for other programs: geojson (QuPath), imagej (ROI sets), coco, csv (physical units),
        polygons (GeoJSON in longitude and latitude for maps, and areas.csv), geopackage (in the CRS of the image).
    symmetries : bool
        Test-time augmentation over the four flips; for classification, the mirror image.
    tta : int, optional
        Test-time augmentation: average over 1, 4 (flips), 7 or 8 (flips and rotations) transformed inputs.
    device : str
        auto, cpu, cuda or mps.
    runtime : str
        auto, torch, onnx, openvino, torch-bf16, openvino-bf16 or torch-compile.
    overwrite : bool
        Replace existing results.
    tile : int, optional
        Side length of a tile in pixels, without its overlap.
    pages : int, optional
        Number of pages of a TIFF stack that are the channels of one image.
    nodata : str, optional
        Value of pixels without a measurement: a number, "nan" or "none"; by default as in training.
    tolerance : float, optional
        Use the smallest overlap of tiles with which no logit differs by more than this.
    format : str, optional
        Write all masks tile by tile, as "tiff" (tiled BigTIFF) or "zarr" (OME-Zarr). Of volumes the format of the
        labels, by default that of the image: "nifti", "nrrd", "mha", "tiff" or "zarr".
    compression : str, optional
        Compression of files that are written tile by tile: "deflate" or "zstd".
    sampled_intensities : bool
        Large images: estimate mean and standard deviation from samples.
    """

    probabilities: bool = False
    overlays: bool = False
    confidence: bool = False
    save: tuple[str, ...] = ()
    symmetries: bool = False
    tta: int | None = None
    device: str = "auto"
    runtime: str = "auto"
    overwrite: bool = False
    tile: int | None = None
    pages: int | None = None
    nodata: str | None = None
    tolerance: float | None = None
    format: Literal["tiff", "zarr", "nifti", "nrrd", "mha"] | None = None
    compression: Literal["deflate", "zstd"] | None = None
    sampled_intensities: bool = False
