"""Presets: `preset=unet2015` replaces planned settings by those of a paper.

Each setting has a reason and can be used alone with any other network. User settings override the preset, which
overrides the plan. Settings that a preset leaves out are planned.
"""

from typing import Any

from pixelwise.errors import BadOption, nearest

Choices = dict[str, tuple[Any, str]]  # "section.setting" -> (value, reason)

# Ronneberger, Fischer, Brox 2015, doi 10.1007/978-3-319-24574-4_28: the network (figure 1), how it is trained
# (section 3) and how it is applied (section 4). The reason states where the paper gives no value.
UNET2015: Choices = {
    "network.name": ("unet2015", "valid convolutions; the image is padded by reflection"),
    "network.base": (64, "64 channels at the finest stage, 31 million parameters; smaller is faster"),
    "network.normalisation": ("none", "the paper has none"),
    "network.dropout": (0.5, "at the end of the contracting path"),
    "patches.height": (572, "a large tile is preferred over a large batch: 572 in, 388 out"),
    "patches.width": (572, "a large tile is preferred over a large batch: 572 in, 388 out"),
    "patches.batch": (1, "a single image per step; the high momentum averages over many"),
    "patches.foreground_share": (0.0, "tiles are drawn uniformly; the loss balances the classes"),
    "augmentation.rotation_share": (1.0, "every tile is rotated"),
    "augmentation.elastic_share": (1.0, "every tile is deformed, which matters most with few annotated images"),
    "augmentation.elastic_sd": (10.0, "displacements on a 3 x 3 grid, normal with sd 10 pixels, bicubic interpolation"),
    "augmentation.brightness_share": (0.5, "grey value variations; the paper does not state how much"),
    "augmentation.contrast_share": (0.5, "grey value variations; the paper does not state how much"),
    "augmentation.flip": (False, "not among the paper's augmentations"),
    "augmentation.upside_down": (False, "not among the paper's augmentations"),
    "augmentation.scale_share": (0.0, "not among the paper's augmentations"),
    "augmentation.gamma_share": (0.0, "not among the paper's augmentations"),
    "augmentation.noise_share": (0.0, "not among the paper's augmentations"),
    "augmentation.blur_share": (0.0, "not among the paper's augmentations"),
    "patches.low_res_fraction": (0.0, "not in the paper"),
    "target.separate": (1, "a border of background is cut between touching objects of label images"),
    "loss.cross_entropy": (1.0, "softmax and cross-entropy with a weight per pixel"),
    "loss.dice": (0.0, "not in the paper"),
    "loss.balanced": (True, "w_c of the weight map: equal total weight of all classes over the training pixels"),
    "loss.border_weight": (10.0, "w_0 of the weight map"),
    "loss.border_sigma": (5.0, "sigma of the weight map, in pixels"),
    "training.optimiser": ("sgd", "stochastic gradient descent"),
    "training.momentum": (0.99, "high, because a step uses one image"),
    "training.nesterov": (False, "the plain momentum of Caffe"),
    "training.learning_rate": (1e-3, "not stated; with momentum 0.99 a gradient has a hundredfold effect"),
    "training.schedule": ("constant", "the paper mentions no schedule"),
    "training.warmup_share": (0.0, "the paper mentions no warm-up"),
    "training.weight_decay": (0.0, "the paper mentions none"),
    "training.ema_fraction": (0.0, "no EMA weights"),
    "prediction.tta": (7, "test-time augmentation: the mean over seven rotated versions of the input"),
}

PRESETS: dict[str, Choices] = {"unet2015": UNET2015}


def preset_choices(name: str) -> Choices:
    """Return the settings of a preset with their reasons.

    Raises
    ------
    BadOption
        The preset is unknown; the closest one is suggested.
    """
    if name not in PRESETS:
        raise BadOption("a known preset", f"`{name}`", nearest(name, list(PRESETS)))
    return {key: (value, f"preset {name}: {why}.") for key, (value, why) in PRESETS[name].items()}
