"""What the layers' speed-ups come to for the whole network (Amdahl's law)."""

from __future__ import annotations

from dataclasses import dataclass

from lbc.latency.measurement import Measurement, Result, Time


@dataclass(frozen=True)
class Estimate:
    """Speed-up of a whole network from its measured layers.

    ``today``: what torch can run: linear layers and 1×1 convolutions sparse, k×k convolutions
    unfolded and sparse, each where that is faster for certain and dense elsewhere. ``kernels``:
    k×k convolutions too, if a sparse convolution were as fast as its product alone. Shares are
    parts of the network's multiply-adds: ``measured`` of all layers with a time, ``convolutions``
    of k×k convolutions; the rest is taken to be as fast, dense, as the measured layers are in the
    mean. ``processor``: measured on one, which says nothing about a GPU.
    """

    today: float
    kernels: float
    measured: float
    convolutions: float
    processor: bool = False

    def sentence(self) -> str:
        """The estimate in words."""
        where = (
            "Whole network on this processor, not on a GPU" if self.processor else ("Whole network")
        )
        text = (
            f"{where}: about {self.today:.2f}× today. The measured layers are "
            f"{self.measured:.0%} of its multiply-adds; the rest counts as dense."
        )
        if self.convolutions:
            what = "sparse" if self.processor else "2:4"
            text += (
                f" k×k convolutions ({self.convolutions:.0%}) have no {what} kernel in torch; were "
                f"one as fast as the product alone, it would be {self.kernels:.2f}×."
            )
        return text


def estimate(measurement: Measurement) -> Estimate | None:
    """The whole network's speed-up, None where the cases are not a network's layers.

    Amdahl: T_dense / T_sparse over the layers' times, weighted as they were measured.
    """
    layers = [r for r in measurement.results if r.share and r.dense() is not None]
    if not layers:
        return None
    dense = sum(_dense_us(layer) for layer in layers)
    measured = min(1.0, sum(layer.share for layer in layers))
    rest = dense * (1 - measured) / measured
    today = sum(_today_us(layer) for layer in layers)
    kernels = sum(min(_today_us(layer), _faster_us(layer, layer.sparse())) for layer in layers)
    return Estimate(
        today=(dense + rest) / (today + rest),
        kernels=(dense + rest) / (kernels + rest),
        measured=measured,
        convolutions=sum(layer.share for layer in layers if layer.convolution),
        processor=measurement.backend == "cpu",
    )


def _dense_us(result: Result) -> float:
    """Of a k×k convolution itself where it was measured, else of its product."""
    dense = result.dense_convolution() or result.dense()
    assert dense is not None
    return dense.median_us


def _today_us(result: Result) -> float:
    return _faster_us(result, result.unfolded_sparse() if result.convolution else result.sparse())


def _faster_us(result: Result, sparse: Time | None) -> float:
    """The sparse time where its whole interval is faster; noise is no gain."""
    ratio = result.ratio_of(sparse)
    if sparse is None or ratio is None or ratio.low <= 1:
        return _dense_us(result)
    return min(_dense_us(result), sparse.median_us)
