"""The demo's weights: a filter bank that shows what is in a photograph, and mixtures of its maps.

No training is involved. The bank resembles what the first layer of a trained network comes to
(Krizhevsky et al., NIPS 2012, figure 3) and what Gabor filters model in the visual cortex
(Daugman, J. Opt. Soc. Am. A 2(7), 1985).
"""

from __future__ import annotations

import numpy as np

__all__ = ["filter_bank", "mixtures"]

_LUMINANCE = np.array([0.299, 0.587, 0.114])
_OPPONENT_AXES = np.array([[1.0, -1.0, 0.0], [-0.5, -0.5, 1.0]])
"""Red against green, and blue against yellow."""

_GABOR_SHARE, _BLOB_SHARE = 0.7, 0.85
"""Parts of the bank: 70 % oriented, 15 % blobs, the rest colours."""


def filter_bank(count: int, seed: int = 0) -> np.ndarray:
    """Return ``count`` 3x3 filters for RGB pictures, (count, 3, 3, 3) float32, each of norm 1.

    A seeded random choice from three families:

    - Gabor filters, a wave of random direction, phase, wavelength 3 to 6 pixels and colour under a
      Gaussian: phase 0 finds bars, phase pi/2 edges;
    - blobs, a narrow Gaussian minus its surround, bright on dark or dark on bright;
    - colours, a Gaussian that weighs red against green or blue against yellow.

    All but the colours sum to zero in each channel, so that even areas give nothing.
    """
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1:2, -1:2].astype(np.float64)
    bank = np.empty((count, 3, 3, 3))
    for filter_ in bank:
        sigma = random.uniform(0.7, 1.2)
        envelope = np.exp(-(x**2 + y**2) / (2 * sigma**2))
        axis = _OPPONENT_AXES[random.integers(2)] * random.choice([-1, 1])
        family = random.random()
        if family < _GABOR_SHARE:
            angle, phase = random.uniform(0, 2 * np.pi, 2)
            wave = np.cos(
                2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / random.uniform(3, 6) + phase
            )
            colour = _LUMINANCE if random.random() < 0.7 else axis
            filter_[:] = colour[:, None, None] * _without_mean(envelope * wave)
        elif family < _BLOB_SHARE:
            blob = _without_mean(envelope) * random.choice([-1, 1])
            filter_[:] = _LUMINANCE[:, None, None] * blob
        else:
            filter_[:] = axis[:, None, None] * envelope
        filter_ /= np.linalg.norm(filter_)
    return bank.astype(np.float32)


def mixtures(inputs: int, outputs: int, seed: int = 1) -> np.ndarray:
    """Return weights of a 1x1 layer, (outputs, inputs, 1, 1) float32: sparse mixtures of maps.

    Each output adds four input maps, chosen and weighted at random, and subtracts half of two
    others: it answers where the former meet and the latter are missing.
    """
    random = np.random.default_rng(seed)
    weight = np.zeros((outputs, inputs, 1, 1), np.float32)
    for row in weight[:, :, 0, 0]:
        chosen = random.choice(inputs, 6, replace=False)
        row[chosen[:4]] = random.dirichlet(np.ones(4))
        row[chosen[4:]] = -0.25
    return weight


def _without_mean(values: np.ndarray) -> np.ndarray:
    return values - values.mean()
