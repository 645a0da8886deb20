"""What the site does with a page beyond its plugins: formulas as MathML, references in docstrings as links.

Both happen while the site is built: a reader's browser needs neither a script nor the network for a formula.
"""

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
"""What pymdownx.arithmatex has made of ``$...$`` and ``$$...$$``."""
ROLE = re.compile(r":(?:class|func|meth|mod):<code>([\w.]+)</code>")
"""A reference in numpydoc, ``:func:`mnn.network```."""


def on_page_content(content: str, **_) -> str:
    """Rewrite the HTML of a page."""
    content = ROLE.sub(r'<autoref identifier="\1" optional><code>\1</code></autoref>', content)
    return FORMULA.sub(_mathml, content)


def _mathml(formula: re.Match) -> str:
    _, bracket, latex = formula.groups()
    return convert(html.unescape(latex), display="block" if bracket == "[" else "inline")
