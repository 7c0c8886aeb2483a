"""The plots of the evaluation report, and pictures as they stand in a page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from training.judging.blanking import BlankPoint
from training.judging.statistics import Sample

PLOT_INCHES = (5.2, 3.8)
RELIABILITY_BINS = 10
PICTURE_WIDTH_PX = 1000


def as_data_url(figure: Figure, dpi: int = 90) -> str:
    """Return a figure as the address of a picture that stands in the page itself."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return _address(buffer)


def picture_url(picture: npt.NDArray[np.uint8]) -> str:
    """Return a picture, (H, W, 3) uint8, as an address that holds it.

    A page holds many, so it is made smaller where it is wider than 1000 px.
    """
    buffer = io.BytesIO()
    shown = Image.fromarray(picture)
    shown.thumbnail((PICTURE_WIDTH_PX, shown.height))
    shown.save(buffer, format="PNG", compress_level=9)
    return _address(buffer)


def _address(png: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")


def plot_distribution(dice: Sample) -> Figure:
    """Draw how many patients have which Dice."""
    figure = Figure(figsize=PLOT_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.hist(dice, bins=np.linspace(0, 1, 21).tolist(), color="tab:blue")
    axes.axvline(float(dice.mean()), color="tab:red", label=f"mean {dice.mean():.3f}")
    axes.axvline(float(np.median(dice)), color="black", ls=":", label=f"median {np.median(dice):.3f}")
    axes.set(xlabel="Dice", ylabel="patients")
    axes.legend()
    return figure


def plot_against(values: Sample, dice: Sample, label: str, *, logarithmic: bool = False) -> Figure:
    """Draw every patient's Dice against another figure of theirs."""
    figure = Figure(figsize=PLOT_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.scatter(values, dice, s=14, alpha=0.7)
    axes.set(xlabel=label, ylabel="Dice", ylim=(-0.02, 1.02), xscale="log" if logarithmic else "linear")
    axes.grid(alpha=0.3)
    return figure


def plot_reliability(patients: npt.NDArray[np.bool_], probabilities: Sample) -> Figure:
    """Draw the share of patients against the probability, in bins of equal width."""
    share, mean = calibration_curve(patients, probabilities, n_bins=RELIABILITY_BINS)
    figure = Figure(figsize=PLOT_INCHES, layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    axes.plot((0, 1), (0, 1), color="grey", ls=":")
    axes.plot(mean, share, marker="o")
    axes.set(ylabel="share of patients", ylim=(-0.02, 1.02))
    bins = np.linspace(0, 1, RELIABILITY_BINS + 1).tolist()
    below.hist([probabilities[patients], probabilities[~patients]], bins, label=["patients", "controls"])
    below.set(xlabel="tumour probability", ylabel="scans")
    below.legend()
    return figure


def plot_roc(patients: npt.NDArray[np.bool_], probabilities: Sample) -> Figure:
    """Draw sensitivity against false alarms."""
    false_alarms, sensitivity, _ = roc_curve(patients, probabilities)
    figure = Figure(figsize=PLOT_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="grey", ls=":")
    axes.plot(false_alarms, sensitivity)
    axes.set(xlabel="false alarms (1 - specificity)", ylabel="sensitivity")
    axes.grid(alpha=0.3)
    return figure


def plot_blanking(curve: Sequence[BlankPoint], chosen: BlankPoint) -> Figure:
    """Draw the share of blank controls against what it costs patients."""
    figure = Figure(figsize=PLOT_INCHES, layout="constrained")
    axes = figure.subplots()
    shown = [point for point in curve if point.dice_lost <= 0.05]
    axes.step([p.dice_lost for p in shown], [p.blank_controls for p in shown], where="post")
    axes.plot(chosen.dice_lost, chosen.blank_controls, "o", label=f"chosen: below {chosen.below:g}")
    axes.set(xlabel="mean Dice lost", ylabel="blank controls", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
