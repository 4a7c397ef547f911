"""Whole presets by one word: `preset=unet2015` puts the settings of a paper in place of the plan's.

Each setting bears the reason why it belongs to the preset, and can be used alone with any other network. What the user
sets stands above the preset, and the preset above the plan. Settings that a preset leaves out are planned around it.
"""

from typing import Any

from pixelwise.errors import BadOption, nearest

Choices = dict[str, tuple[Any, str]]  # "section.setting" -> (value, reason)

# Ronneberger, Fischer, Brox 2015, doi 10.1007/978-3-319-24574-4_28: the network (figure 1), how it is trained
# (section 3) and how it is applied (section 4). What the paper does not tell is said so in the reason.
UNET2015: Choices = {
    "network.name": ("unet2015", "valid convolutions: context beyond the image is mirrored"),
    "network.base": (64, "64 channels at the finest stage, 31 million weights; smaller is faster"),
    "network.normalisation": ("none", "the paper has none"),
    "network.dropout": (0.5, "at the end of the contracting path"),
    "patches.height": (572, "a large tile is preferred over a large batch: 572 in, 388 out"),
    "patches.width": (572, "a large tile is preferred over a large batch: 572 in, 388 out"),
    "patches.batch": (1, "a single image a step; the high momentum looks back over many"),
    "patches.foreground_share": (0.0, "tiles are drawn anywhere; the class balance is in the loss"),
    "augmentation.rotation_share": (1.0, "every tile is turned by an angle"),
    "augmentation.elastic_share": (1.0, "every tile is deformed: the key to few annotated images"),
    "augmentation.elastic_sd": (10.0, "displacements on a 3 x 3 grid, normal with 10 pixels, bicubic in between"),
    "augmentation.brightness_share": (0.5, "grey values vary; the paper does not say how much"),
    "augmentation.contrast_share": (0.5, "grey values vary; the paper does not say how much"),
    "augmentation.flip": (False, "not among the paper's changes"),
    "augmentation.upside_down": (False, "not among the paper's changes"),
    "augmentation.scale_share": (0.0, "not among the paper's changes"),
    "augmentation.gamma_share": (0.0, "not among the paper's changes"),
    "augmentation.noise_share": (0.0, "not among the paper's changes"),
    "augmentation.blur_share": (0.0, "not among the paper's changes"),
    "patches.low_res_fraction": (0.0, "not in the paper"),
    "target.separate": (1, "a border of background is cut between touching objects of label images"),
    "loss.cross_entropy": (1.0, "softmax and cross-entropy, each pixel with its weight"),
    "loss.dice": (0.0, "not in the paper"),
    "loss.balanced": (True, "w_c of the weight map: classes weigh alike over all training pixels"),
    "loss.border_weight": (10.0, "w_0 of the weight map"),
    "loss.border_sigma": (5.0, "sigma of the weight map, in pixels"),
    "training.optimiser": ("sgd", "stochastic gradient descent"),
    "training.momentum": (0.99, "high, because a step sees one image"),
    "training.nesterov": (False, "the plain momentum of Caffe"),
    "training.learning_rate": (1e-3, "not told; with momentum 0.99 a gradient counts a hundredfold"),
    "training.schedule": ("constant", "the paper tells of no schedule"),
    "training.warmup_share": (0.0, "the paper tells of no warm-up"),
    "training.weight_decay": (0.0, "the paper tells of none"),
    "training.ema_fraction": (0.0, "no averaged weights"),
    "prediction.tta": (7, "the mean over seven turned versions of the input"),
}

PRESETS: dict[str, Choices] = {"unet2015": UNET2015}


def preset_choices(name: str) -> Choices:
    """Return the settings of a preset with their reasons as the plan shows them.

    Raises
    ------
    BadOption
        There is no such preset; the nearest one is named.
    """
    if name not in PRESETS:
        raise BadOption("a known preset", f"`{name}`", nearest(name, list(PRESETS)))
    return {key: (value, f"preset {name}: {why}.") for key, (value, why) in PRESETS[name].items()}
