"""One fold on the card: steps against the clock, a checkpoint to go on from, averaged weights at the end."""

import contextlib
import csv
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from training.card.batches import CardBatches
from training.card.config import CardConfig
from training.network.batch_statistics import recompute_batch_statistics
from training.network.losses import LOSSES

CHECKPOINT_FILE = "checkpoint.pt"
METRICS_FILE = "metrics.csv"
REPORT_EVERY = 20
FIRST_STATISTICS_BATCH = 10**9
"""Batches for the statistics at the end are none of those that were trained on."""


@dataclass
class FoldRun:
    """A network in training: `elapsed_s` of `seconds` are spent, over `step` steps.

    `forward` is what runs the network in a step: itself, or its compiled form.
    """

    config: CardConfig
    batches: CardBatches
    seconds: float
    network: nn.Module
    forward: Callable[[torch.Tensor], torch.Tensor]
    step: int = 0
    elapsed_s: float = 0.0

    def __post_init__(self) -> None:
        device = self.batches.device
        self.average = [parameter.detach().clone() for parameter in self.network.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=device.type == "cuda",
        )

    @property
    def progress(self) -> float:
        """Return the share of the fold's time that is spent."""
        return min(self.elapsed_s / self.seconds, 1.0)

    def train(self, run_dir: Path) -> None:
        """Train until the time is spent, and leave averaged weights with statistics of their own."""
        losses: list[torch.Tensor] = []
        began, saved_s = time.monotonic() - self.elapsed_s, self.elapsed_s
        self.network.train()
        with _metrics(run_dir / METRICS_FILE) as write_row:
            while self.progress < 1:
                losses.append(self.take_step())
                if self.step % REPORT_EVERY == 0 or self.batches.device.type == "cpu":
                    loss = float(torch.stack(losses).mean())  # waits for the card
                    write_row(
                        [self.step, f"{self.elapsed_s:.1f}", f"{self.learning_rate():.3g}", f"{loss:.4f}"]
                    )
                    losses.clear()
                self.elapsed_s = time.monotonic() - began
                if self.elapsed_s - saved_s > self.config.checkpoint_every_s:
                    self.save(run_dir / CHECKPOINT_FILE)
                    saved_s = self.elapsed_s
        self.save(run_dir / CHECKPOINT_FILE)
        self.close()

    def take_step(self) -> torch.Tensor:
        """Take one step and return its loss, which is still on the card."""
        synthetic = self.progress < self.config.synthetic_until
        inputs, labels = self.batches.draw(self.step, synthetic=synthetic)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        with self._half_precision():
            logits = self.forward(inputs.contiguous(memory_format=torch.channels_last))
        loss = LOSSES[self.config.loss](logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.step += 1
        decay = min(self.config.ema_decay, self.step / (self.step + 9))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.network.parameters()), 1 - decay)
        return loss.detach()

    def learning_rate(self) -> float:
        """Return the rate at this share of the time: a linear warm-up, and a cosine down to nothing."""
        warmup = self.config.warmup_share
        if self.progress < warmup:
            share = 0.04 + 0.96 * self.progress / warmup
        else:
            share = (1 + math.cos(math.pi * (self.progress - warmup) / (1 - warmup))) / 2
        return self.config.learning_rate * share

    def close(self) -> None:
        """Take the averaged weights, and compute the batch statistics that they never had."""
        with torch.no_grad():
            torch._foreach_copy_(list(self.network.parameters()), self.average)
        numbers = range(FIRST_STATISTICS_BATCH, FIRST_STATISTICS_BATCH + self.config.statistics_batches)
        with self._half_precision():
            recompute_batch_statistics(
                self.network, (self.batches.draw(number, synthetic=False)[0] for number in numbers)
            )
        self.network.eval()

    def save(self, path: Path) -> None:
        """Write what a resumed run goes on from, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(path, map_location=self.batches.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = list(state["average"])
        self.step, self.elapsed_s = int(state["step"]), float(state["elapsed_s"])

    def _half_precision(self) -> contextlib.AbstractContextManager[object]:
        device = self.batches.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")


@contextlib.contextmanager
def _metrics(path: Path) -> Iterator[Callable[[Sequence[object]], object]]:
    begun = path.exists() and path.stat().st_size > 0
    with path.open("a", newline="", buffering=1) as file:
        writer = csv.writer(file)
        if not begun:
            writer.writerow(["step", "seconds", "learning_rate", "loss"])
        yield writer.writerow
