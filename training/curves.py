"""The learning curves of a run, as a picture."""

import csv
from pathlib import Path

from matplotlib.figure import Figure


def plot_curves(run_dir: Path) -> None:
    """Draw loss and held-out Dice against the epoch from `metrics.csv` into `curves.png`."""
    metrics = run_dir / "metrics.csv"
    if not metrics.exists():
        return
    with metrics.open() as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name, title in zip(
        panels, ("train_loss", "val_dice"), ("Training loss", "Held-out Dice, identity view"), strict=True
    ):
        points = [(int(row["epoch"]) + 1, float(row[name])) for row in rows if row.get(name)]
        axes.plot([epoch for epoch, _ in points], [value for _, value in points], marker=".")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    figure.savefig(run_dir / "curves.png", dpi=120)
