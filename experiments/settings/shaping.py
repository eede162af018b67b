"""Settings of networks whose spectra a penalty shapes."""

from dataclasses import dataclass

from experiments.settings.groups import SpectralSettings


@dataclass(frozen=True)
class ShapingSettings(SpectralSettings):
    """A penalty on the shape of spectra, at the pace of the spectral regularizer; no scale is asked for."""

    on: tuple[str, ...] = ("images",)
    """Which spectra: on images, on noise."""
    last: int = 100
    """Last eigenvalue that is pulled."""
    copied: bool = False
    """Whether they are to be those of another layer, rather than power laws."""
