"""Named sets of values for a training run, on top of which `--set` changes single ones."""

from inference.preparation import ORIGINAL_PREPARATION

ORIGINAL_CANVAS = (1536, 800)  # (height, width): 786 columns padded to the next multiple of 32

ORIGINAL: dict[str, object] = {
    "input_scale": None,
    "input_size": ORIGINAL_PREPARATION.input_size,
    "normalisation": ORIGINAL_PREPARATION.normalisation,
    "crop_size": ORIGINAL_CANVAS,
    "grown_labels": True,
    "augmentations": "original",
    "vertical_flips": 0.5,
    "patients_per_batch": 2,
    "controls_per_batch": 0,
    "lesion_paste": 0.0,
    "loss": "dice",
    "schedule": "cosine",
    "ema_decay": 0.0,
}
"""The original system's recipe, as far as it is documented.

Reproduced: patients alone; every scan stretched to 1536 x 786 whatever its shape, each scan's own
darkest to brightest as 0 to 1; labels stretched bilinearly and cut above zero, which grows them;
horizontal and vertical flips at one half each; brightness and contrast, Gaussian blur, noise, salt
and pepper; Dice loss; AdamW with cosine annealing and no warm-up; the last weights, not averaged
ones.

Not documented, and so this project's own: the strengths and shares of all augmentations but the
flips, batch size, learning rate, weight decay, number of epochs, and how the encoder starts (here as
in every run; `--encoder-weights` changes that). Not reproduced: the choice of the
best epoch, and of the best runs, by held-out Dice, which would flatter the score; the columns of
white that pad 786 to 800, which the network's strides ask for; batch statistics are recomputed at
the end, as for every run here.
"""

FURTHER: dict[str, object] = {"seed": 1, "epochs": 24, "learning_rate": 3e-4}
"""A second run that `start_from` the first's weights: another cycle, not as high, over other draws."""

RECIPES: dict[str, dict[str, object]] = {"default": {}, "further": FURTHER, "original": ORIGINAL}
