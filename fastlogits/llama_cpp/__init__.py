"""For llama-cpp-python: a logits processor, our sampler instead of llama.cpp's chain, and log-probs without sorts.

>>> with fast_sampling(llama), fast_logprobs(llama):               # doctest: +SKIP
...     llama.create_chat_completion(messages, logprobs=True, top_logprobs=5)

Needs llama-cpp-python (``pip install llama-cpp-python``), which is imported when it is first used.
"""

from fastlogits.llama_cpp.logprobs import fast_logprobs
from fastlogits.llama_cpp.processor import LogitsProcessor
from fastlogits.llama_cpp.sampling import fast_sampling

__all__ = ["LogitsProcessor", "fast_logprobs", "fast_sampling"]
