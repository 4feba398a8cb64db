"""Random changes to a patch. Probabilities come from the settings; strengths are those of Phitidis et al. 2026."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandBiasField,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandKSpaceSpikeNoise,
    RandScaleIntensity,
    RandScaleIntensityFixedMean,
    RandSimulateLowResolution,
)
from monai.utils import MAX_SEED
from scipy.spatial.transform import Rotation
from SimpleITK import ProcessObject
from torch import Tensor
from torchio import RandomGhosting, RandomMotion, ScalarImage

from flairflow.config.models import AugmentationSettings


class Augmentation:
    """Changes cubic patches; equal seeds give equal changes."""

    def __init__(self, settings: AugmentationSettings, patch: int) -> None:
        self.settings = settings
        # torchio's defaults; its 10 mm are a sixteenth of the paper's patch, and are that of smaller ones too.
        self.artefacts = (
            (settings.motion, RandomMotion(degrees=10, translation=patch / 16)),
            (settings.ghosting, RandomGhosting(num_ghosts=(4, 10), intensity=(0.5, 1))),
        )
        # torchio moves images by SimpleITK, which else would start a thread per core in each of the loader's workers.
        ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        blur = (0.5, 1.5)
        # A single point of k-space with this log magnitude is a wave of 0.1 to 0.5 (brain sd) in the patch.
        spike = (math.log(0.1 * patch**3), math.log(0.5 * patch**3))
        self.intensity = Compose(
            [
                RandBiasFieldAboveMinimum(prob=settings.bias_field, coeff_range=(-0.1, 0.1)),
                RandKSpaceSpikeNoise(prob=settings.spike, intensity_range=spike),
                RandGaussianNoise(prob=settings.noise, std=0.316, sample_std=True),
                RandGaussianSmooth(prob=settings.blur, sigma_x=blur, sigma_y=blur, sigma_z=blur),
                RandScaleIntensity(prob=settings.brightness, factors=(-0.3, 0.3)),
                RandScaleIntensityFixedMean(prob=settings.contrast, factors=(-0.35, 0.5), preserve_range=True),
                RandSimulateLowResolution(prob=settings.low_resolution, zoom_range=(0.25, 1.0)),
                RandAdjustContrast(prob=settings.gamma, gamma=(0.7, 1.5)),
            ]
        )
        # Gives each of them a generator of its own: before, they share one.
        self.intensity.set_random_state(seed=0)

    def __call__(self, images: Tensor, masks: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Images, float32 (C, X, Y, Z), and masks, uint8 (M, X, Y, Z) with X = Y = Z, the brain first: moved together
        (masks by nearest neighbour, zero where the patch has no data), then the images' intensities changed: artefacts
        of the acquisition first, for each sequence by itself, then the rest, for all sequences alike."""
        rng = np.random.default_rng(seed)
        affine = self._random_affine(rng)
        if affine is not None:
            grid = F.affine_grid(affine[None], [1, 1, *images.shape[1:]], align_corners=False)
            images = F.grid_sample(images[None], grid, mode="bilinear", align_corners=False)[0]
            masks = F.grid_sample(masks[None].float(), grid, mode="nearest", align_corners=False)[0].to(torch.uint8)
        axes = [axis for axis in (1, 2, 3) if rng.random() < self.settings.flip]
        images, masks = images.flip(axes), masks.flip(axes)
        images = self._with_artefacts(images, masks[0] > 0, int(rng.integers(2**63)))
        self._seed_intensity(seed)
        return torch.as_tensor(self.intensity(images)), masks

    def _seed_intensity(self, seed: int) -> None:
        # As Compose.set_random_state does, but that makes new generators, which takes longer than reading a patch.
        self.intensity.R.seed(seed)
        for change in self.intensity.transforms:
            change.R.seed(self.intensity.R.randint(MAX_SEED, dtype="uint32"))

    def _with_artefacts(self, images: Tensor, brain: Tensor, seed: int) -> Tensor:
        # Sequences are acquired one after the other: who moves in one may lie still in the next.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return torch.stack([self._with_artefacts_in_one(image, brain) for image in images])

    def _with_artefacts_in_one(self, image: Tensor, brain: Tensor) -> Tensor:
        for probability, artefact in self.artefacts:
            if torch.rand(()) >= probability:
                continue
            # As for a bias field, the minimum is the signal's zero: what moves or ghosts is a bright brain in the dark.
            lowest = image.min()
            signal = torch.where(brain, image - lowest, 0)[None]
            # The world's origin is what torchio turns an image around.
            middle = np.eye(4)
            middle[:3, 3] = [(1 - size) / 2 for size in image.shape]
            changed = artefact(ScalarImage(tensor=signal, affine=middle)).data[0]
            image = torch.where(brain, changed + lowest, 0)
        return image

    def _random_affine(self, rng: np.random.Generator) -> Tensor | None:
        # One matrix for both, so that voxels are interpolated once; MONAI's RandAffine knows no probability for each.
        rotated = rng.random() < self.settings.rotation
        scaled = rng.random() < self.settings.scaling
        if not rotated and not scaled:
            return None
        matrix = np.eye(3)
        if rotated:
            matrix = Rotation.from_euler("xyz", rng.uniform(-90.0, 90.0, 3), degrees=True).as_matrix()
        if scaled:
            matrix = matrix / rng.uniform(0.7, 1.4)
        return torch.from_numpy(np.hstack([matrix, np.zeros((3, 1))]).astype(np.float32))


class RandBiasFieldAboveMinimum(RandBiasField):  # type: ignore[misc]
    """A bias field multiplies signal, which has a zero; z-scores have none, so the patch's minimum takes its place."""

    def __call__(self, image: Tensor, randomize: bool = True) -> Tensor:
        lowest = image.min()
        return torch.as_tensor(super().__call__(image - lowest, randomize)) + lowest
