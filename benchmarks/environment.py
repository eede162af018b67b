"""What a run was measured on and with."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

import jax
import torch

from benchmarks.eager_network import choose_device

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "torch")


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in _lines(information) if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def describe() -> dict[str, Any]:
    """Devices, threads and versions."""
    processors = len(os.sched_getaffinity(0))
    on_gpu = choose_device().type == "cuda"
    return {
        "device": jax.devices()[0].device_kind if jax.default_backend() != "cpu" else _processor(),
        "backend": jax.default_backend(),
        "torch_device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "processors": processors,
        "torch_threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
