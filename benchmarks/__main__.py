"""`python -m benchmarks`: the shipped pipeline against the original system's recipe, in one run.

Both run the same networks on the same phantom; the recipe is what differs: the original stretches
every scan to 1536 x 786 and looks at all four flips.
"""

import statistics
import sys
import time
from dataclasses import replace

from inference.ensemble import Ensemble, load_ensemble
from inference.preparation import ORIGINAL_PREPARATION
from inference.settings import read_settings
from inference.tta import FLIPS
from training.phantoms import make_phantom
from utils import Scan

REPEATS = {"shipped": 9, "original": 1}
SCAN_SIZE = (489, 400)


def main() -> int:
    """Time both and print their ratio."""
    shipped = load_ensemble(read_settings())
    recipes = {"shipped": shipped, "original": with_original_recipe(shipped)}
    scan = make_phantom(0, size=SCAN_SIZE).grey
    shipped.warm_up()
    medians = {name: median_seconds(ensemble, scan, REPEATS[name]) for name, ensemble in recipes.items()}
    for name, seconds in medians.items():
        views = len(recipes[name].tta_ops)
        print(f"{name}: {len(shipped.folds)} folds x {views} views, {seconds:.2f} s a scan")
    print(f"the shipped pipeline is {medians['original'] / medians['shipped']:.0f} times as fast")
    return 0


def with_original_recipe(ensemble: Ensemble) -> Ensemble:
    """Return the ensemble with the original system's preparation and flips."""
    folds = [
        replace(fold, metadata=fold.metadata.model_copy(update={"preparation": ORIGINAL_PREPARATION}))
        for fold in ensemble.folds
    ]
    return Ensemble(folds, tta_ops=tuple(FLIPS), threshold=ensemble.threshold)


def median_seconds(ensemble: Ensemble, scan: Scan, repeats: int) -> float:
    """Return the median time of a prediction."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        ensemble.predict(scan)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
