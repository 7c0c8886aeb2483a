"""What the notebook needs beyond `fit`: the key, the data, and where its run goes."""

import os
import sys
from pathlib import Path

from dotenv import load_dotenv
from loguru import logger

from training.config import FitConfig
from training.fitting.plan import Plan
from training.phantoms.drawing import write_phantoms
from training.scans.dataset import DEFAULT_DATA_DIR, find_cases, read_cases
from training.scans.folds import read_split, split_scans

REHEARSAL_DIR = Path("results/notebook")
REHEARSAL_FOLDS = 4


def load_key() -> None:
    """Take `WANDB_API_KEY` from `.env` or from Colab's secrets; without one the run is not logged to W&B."""
    load_dotenv()
    if "google.colab" in sys.modules and not os.environ.get("WANDB_API_KEY"):
        from google.colab import userdata

        try:
            os.environ["WANDB_API_KEY"] = userdata.get("WANDB_API_KEY")
        except (userdata.SecretNotFoundError, userdata.NotebookAccessError):
            logger.info("Colab has no secret WANDB_API_KEY that this notebook may read: no logging to W&B")


def plan(fold: int) -> Plan:
    """Plan the run of a fold: on the data in `TUMOR_DATA_DIR` or its usual place, else on phantoms.

    On phantoms it is a rehearsal: two epochs at a fifth of the scans' size, to see that all works.
    """
    named = os.environ.get("TUMOR_DATA_DIR")
    data_dir = Path(named or DEFAULT_DATA_DIR)
    if named or data_dir.exists():
        return Plan(FitConfig(fold=fold), data_dir, read_split(), Path("runs") / f"fold{fold}")
    logger.info("there is no data in {}: rehearsing on phantoms for two epochs", data_dir)
    return _rehearsal(fold)


def _rehearsal(fold: int) -> Plan:
    config = FitConfig(
        fold=fold,
        epochs=2,
        validate_every=1,
        input_scale=0.2,
        crop_size=(64, 64),
        patients_per_batch=2,
        controls_per_batch=1,
    )
    data_dir = REHEARSAL_DIR / "data"
    write_phantoms(data_dir, patients=2 * REHEARSAL_FOLDS, controls=REHEARSAL_FOLDS)
    split = split_scans(read_cases(find_cases(data_dir)), folds=REHEARSAL_FOLDS)
    return Plan(config, data_dir, split, REHEARSAL_DIR / f"fold{fold}")
