"""The paper's experiments, scripted: ``python -m experiments.reproduce --help``."""
