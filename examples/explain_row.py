"""What each step of a Sampler does to a row of a real model: as text, as numbers and as a picture.

Run it with ``python examples/explain_row.py [picture.svg]``; the picture needs matplotlib.
"""

from __future__ import annotations

import sys

import fastlogits as fl
from fastlogits.bench import bundled

SAMPLER = fl.Sampler(repetition_penalty=1.2, temperature=0.9, typical_p=0.95, eta_cutoff=1e-3, min_p=0.02)


def main(picture: str | None = None) -> None:
    """Explains row 3 of the rows that the package carries."""
    text = bundled.load()
    context = text.context[: text.first + 3]
    explained = SAMPLER.explain(text.logits[3], context=context)
    print(explained)
    least = min(explained.steps, key=lambda step: step.kept)
    print(f"{least.name} took most: {1 - least.kept:.1%} of the probability, {least.survived:,} tokens are left")
    if picture:
        from fastlogits import plots

        ax = plots.step_distributions(SAMPLER, text.logits[3], context=context, pieces=text.pieces)
        plots.save(ax, picture)


if __name__ == "__main__":
    main(*sys.argv[1:2])
