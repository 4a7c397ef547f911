"""The task-specific steps of an export, for one model card.

Segmentation compares random tiles and scores the mean IoU; classification compares whole crops and scores the accuracy.
Both tasks have the same methods and these attributes:

* `counted`: what is classified, "pixels", "voxels" or "images";
* `score_name`: the name of the score, from 0 to 1;
* `exact`: the limits of exports in float32;
* `quantised`: the limits of exports in int8;
* `most_samples`: the maximum number of images of the parity check;
* `calibration_images`: the number of calibration images of a quantisation;
* `min_dynamic_side`: the smallest side of dynamic sizes; None if the graph has a static size.

Logits and probabilities are (batch, classes, *output_size), classes as `decide` returns them (batch, *output_size).
Entry (i, j) of the confusion matrix of `count` counts true class i, predicted class j. The first batch of
`make_parity_batches` has the default size.
"""

from pixelwise.exporters.classification_export import ClassificationExport
from pixelwise.exporters.segmentation_export import SegmentationExport
from pixelwise.model_file.model_card import ModelCard

ExportTask = SegmentationExport | ClassificationExport


def export_task_of(model_card: ModelCard) -> ExportTask:
    """Return the export task of a segmentation or classification model."""
    if model_card.view is None:
        return SegmentationExport(model_card)
    return ClassificationExport(model_card, model_card.view)
