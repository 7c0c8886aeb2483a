"""`python -m training fit --folds`: several folds, one after another or side by side on a Ray cluster."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dotenv import load_dotenv

from inference.cli.ray.installation import require_ray
from inference.errors import SegmentationError
from training.fitting.plan import Plan
from training.options import console
from training.scans.dataset import DataError


@dataclass(frozen=True)
class Outcome:
    """What became of a fold: the file of its weights, or why there is none."""

    fold: int
    weights: Path | None
    reason: str = ""


def parse_folds(listed: str) -> list[int]:
    """Return the folds of a list such as `0,2,3`; raises `DataError`."""
    try:
        folds = [int(part) for part in listed.split(",")]
    except ValueError:
        raise DataError(f"--folds {listed} is no list of folds: write them like 0,2,3") from None
    if len(set(folds)) < len(folds) or min(folds) < 0:
        raise DataError(f"--folds {listed} must name different folds, from 0 on")
    return folds


def fit_folds(plans: Sequence[Plan], *, resume: bool, on_ray: bool) -> int:
    """Train folds and say what became of each; returns the exit status, 1 where one failed.

    With `resume` those that were begun go on, and the others begin. Raises `DataError` before anything is
    trained where a run would be written over another.
    """
    for plan in plans:
        if not resume and plan.run_dir.exists() and any(plan.run_dir.iterdir()):
            raise DataError(
                f"{plan.run_dir} already holds a run: go on with --resume, or name another --run-dir"
            )
    if on_ray:
        require_ray("training fit")
    failed = 0
    for outcome in (fit_on_ray if on_ray else fit_one_after_another)(plans):
        failed += outcome.weights is None
        said = outcome.reason if outcome.weights is None else f"trained weights: {outcome.weights}"
        console.print(f"fold {outcome.fold}: {said}", markup=False, highlight=False)
    if failed:
        console.print(f"{failed} of {len(plans)} folds failed: --resume goes on with them")
    return 1 if failed else 0


def fit_one_after_another(plans: Sequence[Plan]) -> Iterator[Outcome]:
    """Train the folds in this process; where one fails, the others are trained all the same."""
    for plan in plans:
        yield _outcome(plan, partial(train, plan))


def fit_on_ray(plans: Sequence[Plan]) -> Iterator[Outcome]:
    """Train each fold as a task of a Ray cluster, and yield them as they end.

    A fold gets a GPU of its own where the cluster has any, else its part of the cores. One whose machine
    is lost goes on elsewhere from its newest checkpoint: data and runs have to lie where all machines
    see them. The cluster is that of `RAY_ADDRESS`, or one that is started on this machine.
    """
    import ray

    with ray.init(logging_level="ERROR"):
        share = _share([node["Resources"] for node in ray.nodes() if node["Alive"]], len(plans))
        task = ray.remote(max_retries=3, **share)(train)
        running = {task.remote(plan): plan for plan in plans}
        while running:
            ended, _ = ray.wait(list(running), num_returns=1)
            plan = running.pop(ended[0])
            yield _outcome(plan, partial(ray.get, ended[0]))


def _share(machines: Sequence[dict[str, float]], folds: int) -> dict[str, int]:
    """Return what a fold asks Ray for; no machine is asked for more cores than it has."""
    if any(machine.get("GPU") for machine in machines):
        return {"num_gpus": 1, "num_cpus": 1}
    cores = [math.floor(machine.get("CPU", 0)) for machine in machines]
    return {"num_gpus": 0, "num_cpus": max(1, min(sum(cores) // folds, max(cores, default=1)))}


def train(plan: Plan) -> Path:
    """Train a fold, from where its run's folder leaves off; W&B's key is that of the machine it is on."""
    load_dotenv()
    from training.fitting.fit import fit  # imports Lightning, which no other command needs

    return fit(
        plan.config,
        data_dir=plan.data_dir,
        split=plan.split,
        run_dir=plan.run_dir,
        resume=plan.resume,
        log_scans=plan.log_scans,
    )


def _outcome(plan: Plan, result: Callable[[], Path]) -> Outcome:
    fold = plan.config.fold
    try:
        return Outcome(fold, result())
    except Exception as error:
        cause = getattr(error, "cause", None) or error  # of a task, what was raised in it
        known = isinstance(cause, SegmentationError)
        return Outcome(fold, None, str(cause) if known else f"{type(cause).__name__}: {cause}")
