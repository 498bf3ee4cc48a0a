"""Pictures: reliability diagrams, token-by-token heat strips, what the steps of a Sampler do to a distribution.

Each function draws on Axes that it is given or on a new figure of pyplot, and returns the Axes; `save` writes PNG and
SVG. Needs matplotlib, ``pip install matplotlib``, which is imported by the first picture.
"""

from fastlogits.plots._axes import save
from fastlogits.plots._reliability import reliability_diagram
from fastlogits.plots._steps import step_distributions
from fastlogits.plots._strip import heat_strip
from fastlogits.report.scored import ScoredText

__all__ = ["ScoredText", "heat_strip", "reliability_diagram", "save", "step_distributions"]
