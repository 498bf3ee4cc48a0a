"""The array functions: softmax, log_softmax, logsumexp, argmax, top_k."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jobs import ARRAYS, Job


@pytest.mark.parametrize("job", ARRAYS, ids=lambda job: job.name)
def test_array_function(job: Job, measured: Callable[[Job], None]) -> None:
    measured(job)
