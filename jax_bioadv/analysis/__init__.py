"""Measurements on a trained network: covariance spectra, Jacobian norms, landscapes on planes, and robustness."""
