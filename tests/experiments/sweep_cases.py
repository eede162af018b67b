"""Small sweeps on the digits, and what they found."""

import contextlib
import csv
import io

import numpy as np

from experiments import sweep
from experiments.engine.ledger import Ledger
from experiments.images import Images
from experiments.members import members_of
from experiments.settings.grid import parse_grid
from jax_bioadv import data

SMALL = [
    *("--preset", "smoke", "--hidden", "12", "--layer.epochs", "3", "--decoder.epochs", "3", "--backprop.epochs", "3"),
    *("--spectra.first", "2", "--spectra.last-on-images", "12", "--spectra.last-on-noise", "12"),
    *("--spectra.noise-images", "50"),
    *("--attacks.images", "6", "--attacks.epsilons", "5", "--attacks.pgd-steps", "2", "--attacks.method", "search"),
]

# The budget is a part of what a program is made for: by default it is half of the memory that is free at the moment.
BUDGET = ("--memory-gib", "1")


def run_sweep(directory, *arguments):
    """The exit code, and what the user was told besides what there is to do and how far it is."""
    errors, log = io.StringIO(), directory / "log.txt"
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
        code = sweep.main([*SMALL, "--out", str(directory), *arguments])
    written = log.read_text().splitlines() if log.exists() else []
    ordinary = {line.partition(" INFO ")[2] for line in written if " INFO " in line}
    told = [line for line in errors.getvalue().splitlines() if line not in ordinary and " spent, about " not in line]
    return code, "".join(f"{line}\n" for line in told)


class Found:
    """A sweep's folder, read again by the command that made it."""

    def __init__(self, directory, *arguments, measure=()):
        command, grid = sweep.parse([*SMALL, *arguments])
        images = Images(data.load("digits"), command.settings.norm)
        self.members = members_of(command.settings, images, grid or parse_grid([], command.settings))
        self.measure, self.ledger = measure, Ledger(directory, many_settings=True)
        self.directory = directory

    def tasks(self, member):
        return member.stages(self.measure)

    def outcome(self, task):
        found = self.ledger.find(task)
        assert found is not None, task.name
        return found

    def alone(self, task):
        """What the task finds by itself, as ``experiments.reproduce`` runs it, on what the sweep found before it."""
        return self.ledger.compute(task, {short: self.outcome(other) for short, other in task.needs.items()})

    @property
    def table(self):
        with (self.directory / "sweep.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    @property
    def log(self):
        return (self.directory / "log.txt").read_text()


def stamps(directory):
    return {
        path.relative_to(directory): path.stat().st_mtime_ns
        for name in ("stages", "arrays", "models")
        for path in (directory / name).glob("*")
    }


def furthest_apart(found, wanted):
    """The largest difference of two outcomes' arrays, by each array's largest element; 0 only where all bits agree."""
    assert set(found.arrays) == set(wanted.arrays)
    apart = 0.0
    for name, array in found.arrays.items():
        other = wanted.arrays[name]
        assert (array.shape, array.dtype) == (other.shape, other.dtype), name
        if array.tobytes() == np.ascontiguousarray(other).tobytes():
            continue
        assert np.array_equal(np.isfinite(array), np.isfinite(other)), name
        finite = np.isfinite(other)
        difference = np.abs(array[finite].astype(float) - other[finite].astype(float)).max(initial=0.0)
        apart = max(apart, difference / np.abs(other[finite].astype(float)).max(initial=1e-30), 1e-30)
    return apart
