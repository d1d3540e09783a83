"""Speed-up of a whole network from its measured layers (Amdahl's law)."""

from __future__ import annotations

from dataclasses import dataclass

from lbc.latency.measurement import Measurement, Result, Time


@dataclass(frozen=True)
class NetworkSpeedup:
    """Speed-up of a whole network from its measured layers.

    ``today`` uses what torch supports: sparse linear layers and 1×1 convolutions, and unfolded
    sparse k×k convolutions, each if it is significantly faster than dense. ``kernels`` assumes in
    addition sparse k×k convolutions as fast as their products. ``measured`` is the fraction of the
    network's multiply-adds in measured layers, ``convolutions`` that in k×k convolutions; the rest
    is assumed to run dense at the mean speed of the measured layers. ``cpu`` is True for a
    measurement on a CPU, which says nothing about a GPU.
    """

    today: float
    kernels: float
    measured: float
    convolutions: float
    cpu: bool = False

    def describe(self) -> str:
        """Describe the speed-up in words."""
        where = "Whole network on this CPU, not on a GPU" if self.cpu else "Whole network"
        text = (
            f"{where}: about {self.today:.2f}× today. The measured layers have "
            f"{self.measured:.0%} of its multiply-adds; the rest counts as dense."
        )
        if self.convolutions:
            kind = "sparse" if self.cpu else "2:4"
            text += (
                f" torch has no {kind} kernel for k×k convolutions ({self.convolutions:.0%}); with "
                f"one as fast as the product alone, it would be {self.kernels:.2f}×."
            )
        return text


def network_speedup(measurement: Measurement) -> NetworkSpeedup | None:
    """Derive the speed-up of the whole network; None if the cases are not layers of a network.

    Amdahl's law: T_dense / T_sparse over the measured times of the layers.
    """
    layers = [r for r in measurement.results if r.share and r.dense() is not None]
    if not layers:
        return None
    dense = sum(layer.count * _dense_us(layer) for layer in layers)
    measured = min(1.0, sum(layer.share for layer in layers))
    rest = dense * (1 - measured) / measured
    today = sum(layer.count * _today_us(layer) for layer in layers)
    kernels = sum(
        layer.count * min(_today_us(layer), _faster_us(layer, layer.sparse())) for layer in layers
    )
    return NetworkSpeedup(
        today=(dense + rest) / (today + rest),
        kernels=(dense + rest) / (kernels + rest),
        measured=measured,
        convolutions=sum(layer.share for layer in layers if layer.convolution),
        cpu=measurement.backend == "cpu",
    )


def layers_us(measurement: Measurement) -> float | None:
    """Microseconds of all measured layers with what torch supports; None without any."""
    layers = [result for result in measurement.results if result.dense() is not None]
    return sum(layer.count * _today_us(layer) for layer in layers) if layers else None


def _dense_us(result: Result) -> float:
    """The dense time of a k×k convolution if it was measured, otherwise of its product."""
    dense = result.dense_convolution() or result.dense()
    assert dense is not None
    return dense.median_us


def _today_us(result: Result) -> float:
    return _faster_us(result, result.unfolded_sparse() if result.convolution else result.sparse())


def _faster_us(result: Result, sparse: Time | None) -> float:
    """The sparse time if its whole confidence interval is faster, otherwise the dense one."""
    ratio = result.ratio_of(sparse)
    if sparse is None or ratio is None or ratio.low <= 1:
        return _dense_us(result)
    return min(_dense_us(result), sparse.median_us)
