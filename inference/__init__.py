"""From a MIP-PET scan to a tumour mask: settings, weights, preparation, flips, folds, findings.

    from inference import predict

    prediction = predict("scan.png")
    prediction.save_mask("mask.png")

Nothing is loaded before it is used.
"""

from typing import TYPE_CHECKING, Any

from inference.version import __version__

if TYPE_CHECKING:
    from inference.ensemble import load_ensemble
    from inference.predictor import predict

__all__ = ["__version__", "load_ensemble", "predict"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: a program that wants the version alone waits for no library."""
    if name == "load_ensemble":
        from inference.ensemble import load_ensemble

        return load_ensemble
    if name == "predict":
        from inference.predictor import predict

        return predict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
