"""Log-probs of given tokens, texts, labels and completions; distributions compared; vocabulary shards."""

from fastlogits.scoring.targets import TokenLogprobs, token_logprobs

__all__ = ["TokenLogprobs", "token_logprobs"]
