"""From a row of logits to a token: Sampler, State, Batch and the functions."""
