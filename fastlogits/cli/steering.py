"""From the options of the command line to a Sampler and its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

import fastlogits
from fastlogits.cli import UserError, load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class FileRow:
    """One row of a user's file and the context it goes with."""

    file: str
    number: int
    logits: NDArray[Any]
    context: NDArray[np.int64]

    def before(self, options: argparse.Namespace) -> dict[str, Any]:
        """The context of the row, as inputs of a call."""
        length, outside = options.prompt_length, options.out_of_vocab
        return {"context": self.context, "prompt_length": length, "out_of_vocab": outside}

    def ask(self, question: Callable[[FileRow], Answer]) -> Answer:
        """The library's answer about this row; what it refuses is told with file and row."""
        try:
            return question(self)
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{self.file}: row {self.number}: {error}") from None


def sampler_of(options: argparse.Namespace) -> fastlogits.Sampler:
    """The Sampler of the options; a parameter out of range is the user's error."""
    try:
        return fastlogits.Sampler(
            repetition_penalty=options.repetition_penalty,
            frequency_penalty=options.frequency_penalty,
            presence_penalty=options.presence_penalty,
            logit_bias=tuple(zip(*options.logit_bias, strict=True)) if options.logit_bias else None,
            temperature=0.0 if options.greedy else options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            min_p=options.min_p,
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(error) from None


def rows_of(options: argparse.Namespace) -> Iterator[FileRow]:
    """The chosen rows of all files, one after the other."""
    contexts = load.read_contexts(options.context)
    for path in options.files:
        array = load.read_logits(path, options.key)
        rows = array.reshape(-1, array.shape[-1])
        contexts.check(len(rows), path)
        for number in load.chosen_rows(options.row, len(rows), path):
            try:
                context = np.array(contexts.of_row(number), np.int64)
            except OverflowError:
                raise UserError("--context: a token id is beyond 64 bits") from None
            load.check_length(path, array)
            yield FileRow(path, number, rows[number], context)
