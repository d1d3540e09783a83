"""Formulas as MathML, which browsers show without a script, and so without the network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

log = logging.getLogger(__name__)


def _write(writer: Any, node: nodes.Element, block: bool) -> None:
    try:
        writer.body.append(tex2mathml(node.astext(), as_block=block))
    except MathError as error:
        log.warning("%s in: %s", error, node.astext(), location=node)


def write_inline(writer: Any, node: nodes.math) -> None:
    """Write a formula in a line of text. Raises nodes.SkipNode: its text is written here."""
    _write(writer, node, block=False)
    raise nodes.SkipNode


def write_block(writer: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own. Raises nodes.SkipNode."""
    writer.body.append('<div class="math">')
    _write(writer, node, block=True)
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
