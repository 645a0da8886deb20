"""Formulas of the site as MathML, made when it is built: a reader's browser needs neither a script nor the network."""

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_) -> str:
    """Replace what pymdownx.arithmatex has marked, ``$...$`` and ``$$...$$`` in a page."""
    return FORMULA.sub(_mathml, content)


def _mathml(formula: re.Match) -> str:
    _, bracket, latex = formula.groups()
    return convert(html.unescape(latex), display="block" if bracket == "[" else "inline")
