"""What the list of N:M says beside each: density, and the estimated gain on the chosen card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale
from PySide6.QtWidgets import QComboBox, QStyledItemDelegate

from lbc.sparsity.pattern import Pattern
from lbc_gui.settings import EstimateChoice

if TYPE_CHECKING:
    from lbc.models.layer_cost import LayerRow


@dataclass(frozen=True)
class GainEstimator:
    """The speed-up of the sparse ``layers`` of a model, under any N:M, on the chosen card."""

    layers: Sequence[LayerRow]
    choice: EstimateChoice

    def describe(self, pattern: Pattern) -> str:
        """Like "2:4 · 50 % · about 1.52× on A100 (1.34 to 1.73)", or the density alone."""
        density = f"{pattern} · {pattern.density:.0%}".replace("%", " %")
        gain = self.gain(pattern)
        return f"{density} · {gain}" if gain else density

    def gain(self, pattern: Pattern) -> str:
        """Like "about 1.52× on A100 (1.34 to 1.73)"; "" if there is no estimate."""
        if not self.layers:
            return ""
        # Imported here: nothing of it is on screen when the window opens.
        from lbc.latency.cases import Case
        from lbc.latency.estimate import EstimateError, estimate_cases, estimate_network, find_card

        cases = [
            Case(
                row.plan.name, m=row.plan.shape[0],
                n=self.choice.batch * row.cost.positions // row.cost.calls,
                k=row.plan.weights // row.plan.shape[0],
                pattern=row.plan.pattern if row.plan.overridden else pattern, share=row.share,
            )
            for row in self.layers
            if row.plan.pattern is not None and row.cost.calls
        ]  # fmt: skip
        try:
            card = find_card(self.choice.cards[0])
            found = estimate_cases(card.model(self.choice.dtype), cases)
        except (EstimateError, IndexError):
            return ""
        whole = estimate_network(found)
        if whole is None:
            return ""
        return f"about {whole.speedup:.2f}× on {card.name} ({whole.low:.2f} to {whole.high:.2f})"


class GainDelegate(QStyledItemDelegate):
    """Shows the density and gain of each N:M in the list of ``box``, each found once."""

    def __init__(self, box: QComboBox, choice: Callable[[], EstimateChoice]) -> None:
        super().__init__(box)
        self.choice, self.enabled = choice, False
        """What estimates need is not imported before the window is complete."""
        self._layers: Sequence[LayerRow] = ()
        self._texts: dict[tuple[str, EstimateChoice], str] = {}
        box.setItemDelegate(self)

    def show_layers(self, layers: Sequence[LayerRow]) -> None:
        """Estimate the gain for the sparse ones among ``layers``."""
        self._layers = layers
        self._texts.clear()

    def describe(self, text: str) -> str:
        """What the list shows for an N:M; for any other text the text itself."""
        key = text, self.choice()
        if key not in self._texts:
            try:
                pattern = Pattern.parse(text)
            except ValueError:
                return text
            layers = self._layers if self.enabled else ()
            text = GainEstimator(layers, key[1]).describe(pattern)
            if not layers:
                return text
            self._texts[key] = text
        return self._texts[key]

    def displayText(self, value: object, locale: QLocale | QLocale.Language) -> str:
        return self.describe(str(value))
