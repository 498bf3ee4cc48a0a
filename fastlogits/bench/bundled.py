"""The rows of a real model that the package carries (data/README.md says whose they are)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PATH = Path(__file__).resolve().parent.parent / "data" / "smollm2_rows.npz"
MODEL = "SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class Bundled:
    """Consecutive rows of one generation.

    Attributes
    ----------
    logits : float16 [9, 49152]
    context : int64 [first + 9]
        Ids of the text; row i was computed after ``context[: first + i]`` and followed by ``context[first + i]``.
    prompt_length : int
        How many of them are the prompt.
    first : int
        Length of the text before row 0.
    pieces : dict
        The text of each id that is likely in one of the rows or part of the text.
    """

    logits: NDArray[np.float16]
    context: NDArray[np.int64]
    prompt_length: int
    first: int
    pieces: dict[int, str]

    def piece(self, token: int) -> str:
        """The text of a token; its number in angle brackets if it is not among the pieces."""
        return self.pieces.get(int(token), f"<{int(token)}>")

    def text(self, tokens: Any) -> str:
        """The text of several tokens."""
        return "".join(map(self.piece, tokens))


def load() -> Bundled:
    """Read the bundled rows."""
    with np.load(PATH, allow_pickle=False) as file:
        pieces = dict(zip(file["token_ids"].tolist(), file["pieces"].tolist(), strict=True))
        return Bundled(
            file["logits"], file["context"].astype(np.int64), int(file["prompt_length"]), int(file["first"]), pieces
        )
