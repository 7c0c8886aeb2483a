"""Weights & Biases, where the user has it."""

import os


def wandb_is_configured() -> bool:
    """Say whether runs are to be logged to Weights & Biases: a key is set, or offline mode asked for."""
    return bool(os.environ.get("WANDB_API_KEY")) or os.environ.get("WANDB_MODE") == "offline"
