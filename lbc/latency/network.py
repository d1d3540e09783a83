"""What the layers' speed-ups come to for the whole network (Amdahl's law)."""

from __future__ import annotations

from dataclasses import dataclass

from lbc.latency.measurement import Measurement, Result


@dataclass(frozen=True)
class Estimate:
    """Speed-up of a whole network from its measured layers.

    ``today``: what torch can run, linear layers and 1×1 convolutions by 2:4 where that is faster,
    k×k convolutions dense. ``kernels``: k×k convolutions too, if a 2:4 convolution were as fast as
    its product alone. Shares are parts of the network's multiply-adds: ``measured`` of all layers
    with a time, ``convolutions`` of k×k convolutions; the rest is taken to be as fast, dense, as
    the measured layers are in the mean.
    """

    today: float
    kernels: float
    measured: float
    convolutions: float

    def sentence(self) -> str:
        """The estimate in words."""
        text = (
            f"Whole network: about {self.today:.2f}× today. The measured layers are "
            f"{self.measured:.0%} of its multiply-adds; the rest counts as dense."
        )
        if self.convolutions:
            text += (
                f" k×k convolutions ({self.convolutions:.0%}) have no 2:4 kernel in torch and "
                f"count as dense; as fast as their products alone it would be {self.kernels:.2f}×."
            )
        return text


def estimate(measurement: Measurement) -> Estimate | None:
    """The whole network's speed-up, None where the cases are not a network's layers.

    Amdahl: T_dense / T_sparse over the layers' times, weighted as they were measured.
    """
    layers = [r for r in measurement.results if r.share and r.dense() is not None]
    if measurement.backend == "cpu" or not layers:
        return None
    dense = sum(_dense_us(layer) for layer in layers)
    measured = min(1.0, sum(layer.share for layer in layers))
    rest = dense * (1 - measured) / measured
    today = sum(_dense_us(at) if at.convolution else _faster_us(at) for at in layers)
    kernels = sum(_faster_us(layer) for layer in layers)
    return Estimate(
        today=(dense + rest) / (today + rest),
        kernels=(dense + rest) / (kernels + rest),
        measured=measured,
        convolutions=sum(layer.share for layer in layers if layer.convolution),
    )


def _dense_us(result: Result) -> float:
    dense = result.dense()
    assert dense is not None
    return dense.median_us


def _faster_us(result: Result) -> float:
    sparse = result.sparse()
    return min(_dense_us(result), sparse.median_us) if sparse is not None else _dense_us(result)
