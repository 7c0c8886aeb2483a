"""What one run of `fit` is called with."""

from dataclasses import dataclass
from pathlib import Path

from training.config import FitConfig
from training.scans.folds import Split


@dataclass(frozen=True)
class Plan:
    """What `fit` is called with; `resume` where the run's folder already holds a run."""

    config: FitConfig
    data_dir: Path
    split: Split
    run_dir: Path
    log_scans: bool = False

    @property
    def resume(self) -> bool:
        """Say whether the run has been begun before."""
        return (self.run_dir / "config.json").exists()
