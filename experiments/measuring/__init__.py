"""The measuring tasks: spectra, attacks, threats, smoothness, boundaries."""
