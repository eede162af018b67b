"""Covariance spectrum and Jacobian landscape."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import eager_analysis
from benchmarks.eager_network import EagerNetwork, choose_device, finished, loader, tensor
from benchmarks.floors import Work
from benchmarks.rows import Check, Results, Row, Stage, present, relative, share_different
from benchmarks.timing import Contestant, Part
from benchmarks.torch_compile import compiled
from benchmarks.workload import CLASSES, Workload, weights_of
from jax_bioadv.analysis import boundaries, spectra

CHECKED_POINTS = 4


def build_spectrum(workload: Workload) -> Row:
    sizes, device = workload.sizes, choose_device()
    network = workload.trained_network
    images, kernel = jnp.asarray(workload.test_images), network.encoder.kernel[...]
    theirs = EagerNetwork(weights_of(network), device).requires_grad_(False)
    their_images = tensor(workload.test_images, device)
    batches = loader(their_images, their_images[:, 0], sizes.batch_size)

    def ours() -> np.ndarray:
        hidden = np.asarray(jnp.matmul(images, kernel, precision="highest"))
        return spectra.covariance_spectrum(spectra.covariance(hidden))

    contestants = {
        "eager": Contestant(
            "eager PyTorch", (Part(finished(lambda: eager_analysis.covariance_spectrum(theirs, batches), device)),)
        ),
        "same": Contestant(
            "PyTorch without batches",
            (Part(finished(lambda: eager_analysis.lean_covariance_spectrum(theirs.kernel, their_images), device)),),
        ),
        "ours": Contestant("ours", (Part(ours),)),
    }

    def agree(results: Results) -> list[Check]:
        first, checks = results["ours"][0], []
        for name in present(results, "eager", "same"):
            second = results[name][0].cpu().numpy()
            # Float32 rounding of the features is an error of some 1e-7·λ_1 in every eigenvalue.
            checks.append(Check(f"eigenvalues, {name}", float(np.abs(first - second).max() / second[0]), 1e-5))
        return checks

    hidden, samples = float(sizes.hidden), float(sizes.test_images)
    # In float64: the covariance, and 4/3·H³ for the reduction to tridiagonal form. The features are in float32.
    operations = samples * hidden**2 + 4.0 / 3.0 * hidden**3
    work = Work(operations, 4.0 * samples * (sizes.inputs + hidden) + 8.0 * hidden**2, "float64")
    note = (
        "Float64 on both sides; ours on the host. Eager PyTorch uses the eigenvalue routine for symmetric matrices, "
        "where the published code calls the general one, which is far slower."
    )
    return Row(contestants, agree, work, note)


def build_landscape(workload: Workload) -> Row:
    sizes, device = workload.sizes, choose_device()
    network, image = workload.trained_network, jnp.asarray(workload.test_images[0])
    directions = boundaries.random_plane(jax.random.key(7), sizes.inputs)
    theirs = EagerNetwork(weights_of(network), device)
    coordinates = boundaries.plane_coordinates(20.0, sizes.resolution)
    geometry = [tensor(array, device) for array in (image, directions, coordinates)]
    points = eager_analysis.plane(*geometry)
    fixed = EagerNetwork(weights_of(network), device).requires_grad_(False)

    def same(*geometry: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return eager_analysis.on_a_plane(fixed, *geometry)

    fused = compiled(same, workload.compile_mode)
    rows = min(sizes.timed_rows, sizes.hidden)
    some = torch_points(len(points))

    def eager() -> Any:
        return eager_analysis.squared_jacobian_rows(theirs, points, range(rows))

    def lean() -> Any:
        return eager_analysis.lean_squared_jacobian(theirs, points).sqrt()

    contestants = {
        "eager": Contestant(
            "eager PyTorch, automatic differentiation for every row",
            (Part(finished(eager, device), sizes.hidden / rows),),
            f"{rows} of {sizes.hidden} rows of the Jacobian, at all points",
        ),
        "lean": Contestant("lean PyTorch, the closed form at every point", (Part(finished(lean, device)),)),
        "same": Contestant(
            "PyTorch with our algorithm: an affine plane, class and confidence too",
            (Part(finished(lambda: same(*geometry), device)),),
        ),
        "compiled": Contestant("the same under torch.compile", (Part(finished(lambda: fused(*geometry), device)),)),
        "ours": Contestant(
            "ours", (Part(lambda: boundaries.landscape(network, image, directions, 20.0, sizes.resolution)),)
        ),
    }

    def agree(results: Results) -> list[Check]:
        landscape, theirs_by_name = results["ours"][0], {"lean": results["lean"][0]}
        ours = landscape.jacobian_norm.ravel()
        checks = []
        for name in present(results, "same", "compiled"):
            theirs_by_name[name], classes, confidence = results[name][0]
            different = share_different(landscape.predicted_class.ravel(), classes.cpu().numpy())
            checks += [
                Check(f"share of the classes that differ, {name}", different, 1e-3),
                Check(f"confidence, {name}", relative(landscape.confidence.ravel(), confidence.cpu().numpy()), 1e-3),
            ]
        rows_of_some = eager_analysis.squared_jacobian_rows(theirs, points[some], range(sizes.hidden))
        at_some = relative(ours[some], rows_of_some.sqrt().cpu().numpy())
        # A unit at its threshold, up to rounding, is on for one side and off for the other.
        return [
            *checks,
            *(
                Check(f"norms at all points, {name}", relative(ours, norms.cpu().numpy()), 1e-3)
                for name, norms in theirs_by_name.items()
            ),
            Check(f"norms at {len(some)} points, eager", at_some, 1e-3),
        ]

    points_count = float(sizes.resolution**2)
    operations = 6.0 * sizes.inputs * sizes.hidden + points_count * sizes.hidden * (2.0 * CLASSES + 4.0)
    work = Work(operations, 4.0 * sizes.inputs * sizes.hidden + 12.0 * points_count)
    note = (
        f"{sizes.resolution} × {sizes.resolution} points. Our algorithm also gives the predicted class and the "
        "confidence; eager and lean PyTorch do the Jacobian norm alone."
    )
    return Row(contestants, agree, work, note)


def torch_points(count: int) -> np.ndarray:
    """Indices of the points at which all rows are compared."""
    return np.unique(np.linspace(0, count - 1, CHECKED_POINTS).astype(int))


STAGES = {
    "covariance_spectrum": Stage("covariance spectrum", build_spectrum),
    "landscape": Stage("Jacobian landscape", build_landscape),
}
