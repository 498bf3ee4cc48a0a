"""A chat through llama-cpp-python, its sampling and log-probs by fastlogits: tokens per second before and after.

pip install llama-cpp-python
python examples/llama_cpp_chat.py MODEL.gguf ["What to ask"]
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import llama_cpp

from fastlogits.llama_cpp import fast_logprobs, fast_sampling


def ask(llama: Any, question: str, **options: Any) -> tuple[str, float]:
    """The answer, and its tokens per second."""
    llama.reset()
    begin = time.perf_counter()
    found = llama.create_chat_completion([{"role": "user", "content": question}], max_tokens=64, **options)
    return found["choices"][0]["message"]["content"], found["usage"]["completion_tokens"] / (
        time.perf_counter() - begin
    )


def main(model: str, question: str = "Tell me about the sea.") -> None:
    """Asks four times: with the client's own sampling and with ours, without log-probs and with them."""
    llama = llama_cpp.Llama(model, n_ctx=1024, logits_all=True, verbose=False, seed=7)
    ask(llama, question)
    for options in ({}, {"logprobs": True, "top_logprobs": 5}):
        for fast in (False, True):
            with contextlib.ExitStack() as stack:
                if fast:
                    stack.enter_context(fast_sampling(llama))
                    stack.enter_context(fast_logprobs(llama))
                text, rate = ask(llama, question, **options)
            who, what = "fastlogits" if fast else "client", "with" if options else "without"
            print(f"{who:10} {what} log-probs: {rate:6.1f} tokens/s")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
