"""The code of a wavelength (DOFA, arXiv 2403.15356; GeoLangBind, arXiv 2503.06312)."""

from __future__ import annotations

import torch
from torch import Tensor

NANOMETRES = 1000.0
"""Wavelengths are given in µm and coded in nm."""
BASE = 10_000.0


def wavelength_code(wavelengths: Tensor, dim: int) -> Tensor:
    """Sines and cosines of wavelengths at geometrically spaced frequencies.

    Args:
        wavelengths: ``[C]`` µm.
        dim: Width of a code, even.

    Returns:
        ``[C, dim]``, sines first, in the dtype of ``wavelengths``; computed in float64, since radar has 55 465 µm.
    """
    frequency = BASE ** -(torch.arange(dim // 2, dtype=torch.float64, device=wavelengths.device) / (dim / 2))
    angle = (wavelengths.double() * NANOMETRES)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(wavelengths.dtype)
