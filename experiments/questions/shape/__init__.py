"""Question 3: why does spectral regularization fail on white noise, and does robustness follow the spectrum?"""
