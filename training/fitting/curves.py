"""The learning curves of a run, as a picture."""

import csv
from pathlib import Path

from matplotlib.figure import Figure

METRICS_DIR = "metrics"
PANELS = {"train_loss": "Training loss", "val_dice": "Held-out Dice, identity view"}


def read_metrics(run_dir: Path, name: str) -> dict[int, float]:
    """Return a metric by epoch, counted from 1; what a resumed run did again replaces what it had done."""
    values: dict[int, float] = {}
    versions = (run_dir / METRICS_DIR).glob("version_*/metrics.csv")
    for path in sorted(versions, key=lambda path: int(path.parent.name.removeprefix("version_"))):
        with path.open() as file:
            values |= {
                int(row["epoch"]) + 1: float(row[name]) for row in csv.DictReader(file) if row.get(name)
            }
    return values


def plot_curves(run_dir: Path) -> None:
    """Draw loss and held-out Dice against the epoch into `curves.png`."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        values = read_metrics(run_dir, name)
        axes.plot(list(values), list(values.values()), marker=".")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    figure.savefig(run_dir / "curves.png", dpi=120)
