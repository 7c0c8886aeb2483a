"""Where the service's ensemble comes from, and how it is asked: in this process, or somewhere else."""

from typing import Protocol

from anyio.to_thread import run_sync

from inference.deadline import Deadline
from inference.ensemble import Ensemble, Prediction, load_ensemble
from inference.settings import Settings
from utils import Scan


class Provider(Protocol):
    """Gives the service an ensemble, and runs it."""

    async def load(self, settings: Settings) -> Ensemble:
        """Return the ensemble that the settings name; raises whatever keeps the service from starting."""
        ...

    async def warm_up(self, ensemble: Ensemble) -> None:
        """Raise where the ensemble cannot segment a blank scan."""
        ...

    async def predict(self, ensemble: Ensemble, scan: Scan, deadline: Deadline) -> Prediction:
        """Segment a scan, grey (H, W) or RGB (H, W, 3) uint8; to be cancelled where nobody waits for it.

        Raises `Refusal` where the scan's turn does not come in time.
        """
        ...


class InProcessProvider:
    """The ensemble of this process, whose threads it runs in."""

    async def load(self, settings: Settings) -> Ensemble:
        """Load the folds that the settings name."""
        return await run_sync(load_ensemble, settings)

    async def warm_up(self, ensemble: Ensemble) -> None:
        """Segment a blank scan."""
        await run_sync(ensemble.warm_up, abandon_on_cancel=True)

    async def predict(self, ensemble: Ensemble, scan: Scan, deadline: Deadline) -> Prediction:
        """Segment a scan; where nobody waits for it any more, its thread goes on alone."""
        return await run_sync(ensemble.predict, scan, deadline, abandon_on_cancel=True)
