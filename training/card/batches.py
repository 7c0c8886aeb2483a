"""A fold's batches, drawn on the card: which scans, how they are moved, what lesions they get."""

import numpy as np
import numpy.typing as npt
import torch

from training.card.config import CardConfig
from training.card.geometry import bend, crop_points, draw_affine, sample, scan_points, to_pixels, transform
from training.card.intensity import change_greys
from training.card.lesions import draw_lesions, paste, sample_lesions
from training.card.scans import CardScans
from training.fitting.changes import STRONG, Changes

DONOR_CHANGES = Changes(scale=(0.8, 1.25), shift=0.06, affine_p=0.9)
DONOR_BRIGHTNESS = (0.75, 1.15)
LESION_MARGIN = 0.15
"""A row of tumour that a crop is to show is at least this share of the crop's height from its edges."""


class CardBatches:
    """Inputs and tumour shares of a fold, each batch a pure function of its number."""

    def __init__(self, scans: CardScans, config: CardConfig, fold: int, *, changes: Changes = STRONG) -> None:
        self.scans, self.config, self.fold, self.changes = scans, config, fold, changes
        self.device = scans.uptake.device
        self.controls = config.controls_per_batch if scans.controls else 0
        self.points = crop_points(config.crop_size, self.device)
        self.generator = torch.Generator(self.device)

    @property
    def batch_size(self) -> int:
        """Return how many crops a batch has; patients come first."""
        return self.config.patients_per_batch + self.controls

    def draw(self, number: int, *, synthetic: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch: inputs and soft labels, both (B, 1, h, w) float32, the same for the same number."""
        config = self.config
        seeds = np.random.default_rng((config.seed, self.fold, number))
        self.generator.manual_seed(int(seeds.integers(2**62)))
        patients = self._cycled(self.scans.patients, config.patients_per_batch, number, "patients")
        controls = self._cycled(self.scans.controls, self.controls, number, "controls")
        chosen = torch.from_numpy(np.concatenate([patients, self.scans.patients + controls]))
        uptake, share, points = self._look(chosen.to(self.device, non_blocking=True))
        uptake, share = self._paste(uptake, share, points)
        if synthetic:
            uptake, share = self._draw_lesions(uptake, share)
        return change_greys(to_pixels(uptake), self.changes, self.generator), to_pixels(share)

    def _look(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Look at scans (B,): uptake and share (B, 1, h', w'), and the points (B, h', w', 2) in each scan."""
        sizes = self.scans.sizes[chosen]  # (B, 2): height, width
        centres = sizes.flip(1) / 2
        width = float(self.scans.uptake.shape[2])
        maps, shifts = draw_affine(len(chosen), self.changes, width, self.generator)
        corners = self._corners(chosen, sizes)
        points = scan_points(self.points, corners, centres, maps, shifts, self.config.input_scale)
        points = bend(points, self.changes.elastic_p, self.generator)
        uptake = sample(self.scans.uptake[chosen][:, None].float() / 255, points)
        patients = self.config.patients_per_batch
        labelled = (self.scans.lesions[chosen[:patients]] > 0)[:, None].float()
        share = torch.zeros_like(uptake)
        share[:patients] = sample(labelled, points[:patients])
        return uptake, share, points

    def _corners(self, chosen: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Draw where crops begin in the resized scans, (B, 2) px as (x, y); some show a row with tumour."""
        crop = torch.tensor(self.config.crop_size, dtype=torch.float32, device=self.device)
        room = sizes * self.config.input_scale - crop  # below 0 where a scan is padded
        anywhere = torch.rand(room.shape, generator=self.generator, device=self.device)
        corners = room * anywhere
        patients = self.config.patients_per_batch
        rows = self.scans.lesion_rows[chosen[:patients]]
        drawn = torch.rand(3, patients, generator=self.generator, device=self.device)
        at = (drawn[0] * rows.shape[1]).long()
        row = rows.gather(1, at[:, None])[:, 0] * self.config.input_scale
        shown_at = LESION_MARGIN + drawn[1] * (1 - 2 * LESION_MARGIN)
        top = (row - shown_at * crop[0]).clamp(min=0).minimum(room[:patients, 0])
        shows = (drawn[2] < self.config.lesion_rows) & (room[:patients, 0] > 0)
        corners[:patients, 0] = torch.where(shows, top, corners[:patients, 0])
        return corners.flip(1)

    def _paste(
        self, uptake: torch.Tensor, share: torch.Tensor, points: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give some scans the lesions of patients, each at about the place where they were."""
        given = self._share_of(self.config.lesion_paste_patients, self.config.lesion_paste)
        count = len(given)
        if not count:
            return uptake, share
        donors = torch.randint(self.scans.patients, (count,), generator=self.generator, device=self.device)
        centres = self.scans.sizes[donors].flip(1) / 2
        width = float(self.scans.uptake.shape[2])
        maps, shifts = draw_affine(count, DONOR_CHANGES, width, self.generator)
        there = transform(points[given], centres, maps, shifts)
        lesion, lesion_share = sample_lesions(self.scans, donors, there, self.generator)
        low, high = DONOR_BRIGHTNESS
        brightness = torch.rand(count, 1, 1, 1, generator=self.generator, device=self.device)
        lesion = (lesion * (brightness * (high - low) + low)).clamp(max=1)
        uptake[given], share[given] = paste(uptake[given], share[given], lesion, lesion_share)
        return uptake, share

    def _draw_lesions(self, uptake: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give some scans lesions that nobody had."""
        given = self._share_of(self.config.synthetic_lesions_patients, self.config.synthetic_lesions)
        if not len(given):
            return uptake, share
        lesion, marked = draw_lesions(uptake[given], self.points, self.config.input_scale, self.generator)
        uptake[given], share[given] = paste(uptake[given], share[given], lesion, marked)
        return uptake, share

    def _share_of(self, of_patients: float, of_controls: float) -> torch.Tensor:
        """Draw which crops of a batch get something; returns their indices."""
        shares = torch.full((self.batch_size,), of_controls, device=self.device)
        shares[: self.config.patients_per_batch] = of_patients
        drawn = torch.rand(self.batch_size, generator=self.generator, device=self.device)
        return (drawn < shares).nonzero()[:, 0]

    def _cycled(self, size: int, each: int, number: int, kind: str) -> npt.NDArray[np.int64]:
        """Return the scans of a kind that come to a batch: each comes once before any comes again."""
        if not each:
            return np.empty(0, dtype=np.int64)
        places = np.arange(number * each, (number + 1) * each)
        cycles = {int(cycle): self._order(size, int(cycle), kind) for cycle in np.unique(places // size)}
        return np.array([cycles[int(place) // size][int(place) % size] for place in places])

    def _order(self, size: int, cycle: int, kind: str) -> npt.NDArray[np.int64]:
        seed = (self.config.seed, self.fold, cycle, len(kind), size)
        return np.random.default_rng(seed).permutation(size)
