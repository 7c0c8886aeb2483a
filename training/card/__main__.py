"""`python -m training.card`: pack and fit-card alone, on a machine that has little but PyTorch."""

import sys

from training.card.commands import app
from training.options import run

if __name__ == "__main__":
    sys.exit(run(app))
