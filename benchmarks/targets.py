"""What each stage is judged against, on a CPU at 2000 hidden units, 3072 inputs and batches of 1000."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Target(NamedTuple):
    """``whole seconds of versus / whole seconds of ours`` must be at least ``ratio``."""

    ratio: float
    versus: str = "eager"

    def words(self) -> str:
        versus = "published" if self.versus == "eager" else self.versus
        return f"≤ {1 / self.ratio:.3g}× {versus}" if self.ratio < 1 else f"≥ {self.ratio:g}× {versus}"


TARGETS = {
    "kh_step": Target(1 / 1.4, "bare product"),
    "kh_epoch": Target(2.0),
    "bp_epoch": Target(1.5),
    "l2_epoch": Target(1.5),
    "jacobian_epoch": Target(6.0),
    "spectral_epoch": Target(2.5),
    "spectral_epoch_published_refresh": Target(2.5),
    "spectral_schedule": Target(1 / 1.3, "backpropagation"),
    "decoder_epoch": Target(20.0),
    "fgsm_sweep": Target(4.0),
    "pgd_sweep": Target(1.8),
    "pgd_critical": Target(20.0),
    "landscape": Target(500.0),
}


def verdict(name: str, medians: Mapping[str, float]) -> dict[str, Any] | None:
    """The target of a stage, what was reached, and whether that is enough; None for a stage without a target.

    Where several contestants' names begin as the target's rival does, the fastest of them counts.
    """
    target = TARGETS.get(name)
    rivals = [seconds for other, seconds in medians.items() if target and other.startswith(target.versus)]
    if target is None or not rivals:
        return None
    reached = min(rivals) / medians["ours"]
    return {**target._asdict(), "reached": reached, "met": reached >= target.ratio}
