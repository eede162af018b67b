"""``torch.compile`` at its best: one graph without breaks, in the mode that a backpropagation step was fastest in."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from benchmarks.eager_network import choose_device, finished
from benchmarks.timing import Contestant, Part, Stopwatch

DEFAULT_MODE = "default"
ROUNDS = 5


def modes() -> tuple[str, ...]:
    """Those that may be the fastest on this device; CUDA graphs, which reduce-overhead adds, are a GPU's alone."""
    on_gpu = ("reduce-overhead",) if choose_device().type == "cuda" else ()
    return (DEFAULT_MODE, *on_gpu, "max-autotune")


def compiled(function: Callable[..., Any], mode: str | None = DEFAULT_MODE) -> Callable[..., Any]:
    """The function as one compiled graph, for the shapes it meets first; the compiler is loaded by the first call.

    What a CUDA graph returns is overwritten by its next replay, so that copies are handed on.

    Args:
        function: of tensors; numbers that vary must be tensors too, or every one of them is compiled anew.
        mode: of ``torch.compile``; None, which a benchmark without the compiler has, as the default.
    """
    compile_once = functools.cache(
        lambda: torch.compile(function, dynamic=False, fullgraph=True, mode=mode or DEFAULT_MODE)
    )
    if choose_device().type != "cuda" or mode in (None, DEFAULT_MODE):
        return lambda *arguments: compile_once()(*arguments)

    def replayed(*arguments: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        return pytree.tree_map_only(torch.Tensor, torch.Tensor.clone, compile_once()(*arguments))

    return replayed


def _step(hidden: int, inputs: int, batch_size: int, mode: str) -> Callable[[], Any]:
    """Loss and gradients of a network on random images, whose loss is compiled in this mode."""
    device = choose_device()
    network = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 10)).to(device)
    images, labels = torch.rand(batch_size, inputs, device=device), torch.arange(batch_size, device=device) % 10
    loss = compiled(lambda images, labels: functional.cross_entropy(network(images), labels), mode)

    def run() -> None:
        network.zero_grad()
        loss(images, labels).backward()

    return finished(run, device)


def steps(hidden: int, inputs: int, batch_size: int) -> dict[str, Callable[[], Any]]:
    """The step to choose by, in every mode."""
    return {mode: _step(hidden, inputs, batch_size, mode) for mode in modes()}


def choose_mode(stopwatch: Stopwatch, runs: Mapping[str, Callable[[], Any]]) -> tuple[str, dict[str, float | str]]:
    """The fastest mode by interleaved medians.

    Args:
        stopwatch: the clock.
        runs: a step in every mode, as :func:`steps` gives them.

    Returns:
        The mode, the default where the compiler fails in all of them; and by mode the median seconds, or its error.
    """
    report: dict[str, float | str] = {}
    contestants = {name: Contestant(name, (Part(run),)) for name, run in runs.items()}
    firsts = {}
    for name, contestant in contestants.items():
        try:
            firsts[name] = sum(stopwatch.first_call(contestant).seconds)
        except Exception as error:
            report[name] = failure(error)
    racing = {name: contestants[name] for name in firsts}
    timings = stopwatch._replace(rounds=ROUNDS).race(racing, firsts) if racing else {}
    medians = {name: timing.median for name, timing in timings.items()}
    return min(medians, key=lambda name: medians[name], default=DEFAULT_MODE), {**report, **medians}


def failure(error: Exception) -> str:
    """A compiler's error in a line."""
    return f"torch.compile failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
