"""The four ways to make a `Sampler` from what users already hold."""

from __future__ import annotations

from typing import Any, Self

from fastlogits import steps as s
from fastlogits._common.docs import shared
from fastlogits.sampling import systems as _systems
from fastlogits.sampling import systems_hf as _systems_hf
from fastlogits.sampling import systems_llama_cpp as _systems_llama_cpp


class Builders:
    """Base of `Sampler`, which is made of steps."""

    __slots__ = ()

    def __init__(self, *steps: s.Step) -> None: ...

    @classmethod
    @shared
    def from_openai(cls, fields: Any) -> Self:
        """The Sampler of an OpenAI request.

        Parameters
        ----------
        fields : mapping, or object with the fields as attributes
            A request's body or a client's object; no package is needed. What it does not hold is off.

        Returns
        -------
        Sampler

        Raises
        ------
        {errors of fields}

        Notes
        -----
        ===================== ==================================================================================
        temperature           [0, 2]; 0 is greedy
        top_p                 [0, 1]
        frequency_penalty     [-2, 2], counts the output: say ``prompt_length`` when you sample
        presence_penalty      [-2, 2], the same
        logit_bias            {id: bias in [-100, 100]}, ids may be strings of digits
        not supported         response_format other than text, tool_choice that forces one, best_of, prediction
        ===================== ==================================================================================

        Fields that do not concern the choice of a token (model, messages, max_tokens, stop, stream, n, ...) are
        accepted and left to the caller: pass ``top_logprobs`` as ``logprobs=`` and
        ``Sampler.rng_of(fields, "openai")`` as ``rng=`` of `sample`. OpenAI does not say which distribution its
        log-probs are of; servers of this interface mostly give those of ``logprobs_mode="raw"``.

        Examples
        --------
        >>> import fastlogits as fl
        >>> fl.Sampler.from_openai({"model": "m", "temperature": 0.7, "logit_bias": {"50256": -100}, "seed": 7})
        Sampler(LogitBias({50256: -100.0}), Temperature(0.7))
        """
        return cls(*_systems.from_openai(fields))

    @classmethod
    @shared
    def from_vllm(cls, fields: Any, *, eos_token_id: Any = None) -> Self:
        """The Sampler of vLLM's ``SamplingParams``, in vLLM's order.

        Parameters
        ----------
        fields : mapping, or object with the fields as attributes
            Keywords of ``SamplingParams`` or one of these; vLLM is not needed. What it does not hold is off, as there.
        eos_token_id : token id or ids, optional
            What ``min_tokens`` bans next to ``stop_token_ids``, where the object does not know it.

        Returns
        -------
        Sampler

        Raises
        ------
        {errors of fields}

        Notes
        -----
        ===================== ==================================================================================
        temperature           [0, 2]; 0 is greedy, values between 0 and 0.01 become 0.01 with a warning
        top_k                 0 and -1 are off; ties are kept
        top_p, min_p          (0, 1], [0, 1]
        repetition_penalty    > 0, prompt and output
        frequency_penalty     [-2, 2], output: say ``prompt_length`` when you sample
        presence_penalty      [-2, 2], the same
        logit_bias            clamped to [-100, 100], ids may be strings of digits
        allowed_token_ids     at least one
        bad_words             token ids from the object, or as bad_words_token_ids; matched with the output
        min_tokens            with stop_token_ids and eos_token_id
        not supported         structured_outputs, logits_processors, thinking_token_budget, trace_decode_token_ids
        ===================== ==================================================================================

        Fields that do not concern the choice of a token (n, stop, max_tokens, logprobs, ...) are accepted and left to
        the caller: pass ``rng=Sampler.rng_of(fields, "vllm")``, which is None for the seed -1. vLLM's log-probs and
        ranks are those of ``logprobs_mode="raw"`` unless its own ``logprobs_mode`` is "processed_logprobs".

        Examples
        --------
        >>> import fastlogits as fl
        >>> fl.Sampler.from_vllm({"temperature": 0.8, "top_k": -1, "top_p": 0.9, "min_p": 0.05, "max_tokens": 64})
        Sampler(Temperature(0.8), MinP(0.05), TopP(0.9))
        """
        return cls(*_systems.from_vllm(fields, eos_token_id))

    @classmethod
    @shared
    def from_hf(cls, fields: Any, *, encoder_ids: Any = None, prompt_length: int | None = None) -> Self:
        """The Sampler of transformers' ``GenerationConfig``, in transformers' order.

        Parameters
        ----------
        fields : mapping, or object with the fields as attributes
            Keywords of ``generate`` or a ``GenerationConfig``; transformers is not needed. What it does not hold is
            off, unless the object itself has defaults for what is None (``top_k=50`` of recent versions).
        encoder_ids : token ids or one sequence per row, optional
            What ``encoder_repetition_penalty`` looks at: the encoder's input, or the prompt of a decoder.
        prompt_length : int, optional
            Makes ``max_length`` of ``max_new_tokens`` for ``forced_eos_token_id``, and places ``begin_suppress_tokens``
            next to ``forced_bos_token_id``.

        Returns
        -------
        Sampler

        Raises
        ------
        {errors of fields}

        Notes
        -----
        ==================================== ===================================================================
        do_sample                            without it the maximum is taken and the next two lines do nothing
        temperature, top_k, top_p, min_p     temperature > 0; ties are kept
        typical_p, top_h, *_cutoff           epsilon and eta cutoff outside (0, 1) are off
        repetition_penalty                   the whole context
        sequence_bias, bad_words_ids         lone end-of-sequence tokens among bad words are dropped
        min_length, min_new_tokens           nothing without eos_token_id
        forced_bos_token_id                  where the context holds one token
        forced_eos_token_id                  with max_length
        suppress_tokens                      always; begin_suppress_tokens as the first of the output
        exponential_decay_length_penalty     with eos_token_id
        no_repeat_ngram_size                 the whole context; encoder_no_repeat_ngram_size with encoder_ids
        encoder_repetition_penalty           with encoder_ids
        remove_invalid_values                on the row as it comes
        renormalize_logits                   at the end
        guidance_scale                       1 is off; give ``uncond`` when you sample
        not supported                        watermarking_config, beams, contrastive search, DoLa
        ==================================== ===================================================================

        Fields that do not concern the choice of a token (use_cache, num_return_sequences, ...) are accepted and left to
        the caller. The scores that ``generate`` returns are processed, those of ``output_logits`` raw.

        Examples
        --------
        >>> import fastlogits as fl
        >>> fl.Sampler.from_hf({"do_sample": True, "temperature": 0.6, "top_k": 20, "repetition_penalty": 1.1})
        Sampler(RepetitionPenalty(1.1), Temperature(0.6), TopK(20, ties='keep'))
        >>> fl.Sampler.from_hf({"do_sample": False, "suppress_tokens": [3]})
        Sampler(SuppressTokens((3,)), Temperature(0.0))
        """
        return cls(*_systems_hf.from_hf(fields, encoder_ids, prompt_length))

    @classmethod
    @shared
    def from_llama_cpp(cls, fields: Any, *, eos_token_id: Any = None) -> Self:
        """The Sampler of llama.cpp's parameters, in llama.cpp's order or that of ``samplers``.

        Parameters
        ----------
        fields : mapping, or object with the fields as attributes
            Names of ``common_params_sampling``, of the server's requests or of llama-cpp-python; no package is needed.
            A mapping runs what it names: further parameters of a step have llama.cpp's defaults. What an object lacks
            has them altogether (temp 0.8, top_k 40, top_p 0.95, min_p 0.05).
        eos_token_id : token id or ids, optional
            What ``ignore_eos`` bans.

        Returns
        -------
        Sampler

        Raises
        ------
        {errors of fields}

        Notes
        -----
        ======================================= ================================================================
        temp, temperature                       at most 0 is greedy
        dynatemp_range, dynatemp_exponent       at most 0 is off
        top_k                                   at most 0 is off
        top_p; typ_p, typical_p                 1 and above are off
        min_p                                   at most 0 is off
        top_n_sigma                             at most 0 is off
        xtc_probability, xtc_threshold          a threshold above 0.5 is off
        penalty_last_n, repeat_last_n           64; 0 is off, -1 the whole context, prompt included
        penalty_repeat, repeat_penalty          1 is off
        penalty_freq, frequency_penalty         0 is off
        penalty_present, presence_penalty       0 is off
        mirostat, mirostat_tau, mirostat_eta    1 and 2: logit_bias, temp, mirostat alone
        adaptive_target, adaptive_decay         where samplers names adaptive_p; below 0 is off
        logit_bias                              {id: bias}, pairs or objects; False bans
        min_keep                                of typ_p, top_p, min_p and xtc
        samplers                                names in their order, or joined by semicolons
        dry_multiplier, dry_base, ...            0 is off; dry_sequence_breakers as sequences of token ids
        not supported                           grammar, json_schema, logits_processor, tfs_z
        ======================================= ================================================================

        Fields that do not concern the choice of a token (n_predict, stop, n_probs, ...) are accepted and left to the
        caller: pass ``rng=Sampler.rng_of(fields, "llama.cpp")``, which is None for the seeds -1 and 4294967295. Its
        penalties count the prompt. Its log-probs are those of ``logprobs_mode="raw"``, or with ``post_sampling_probs``
        of "processed".

        Examples
        --------
        >>> import fastlogits as fl
        >>> fl.Sampler.from_llama_cpp({"temp": 0.7, "top_k": 40, "typ_p": 1.0, "repeat_penalty": 1.1, "seed": 3})
        Sampler(RepetitionPenalty(1.1, window=64), TopK(40), Temperature(0.7))
        >>> fl.Sampler.from_llama_cpp({"temp": 0.7, "top_k": 40, "samplers": ["temperature", "top_k"]})
        Sampler(Temperature(0.7), TopK(40))
        """
        return cls(*_systems_llama_cpp.from_llama_cpp(fields, eos_token_id))

    @staticmethod
    def rng_of(fields: Any, system: str) -> int | None:
        """The seed of a request as ``rng=`` of `sample`: None where the system takes the seed for "random".

        Parameters
        ----------
        fields : mapping, or object with the field ``seed``, or a seed
            What ``from_openai`` and so on take; or the seed itself, an int or None.
        system : "openai", "vllm" or "llama.cpp"
            Whose seed it is. Without a seed the draw is random in all of them, with -1 in vLLM and llama.cpp, with
            4294967295 in llama.cpp. OpenAI's and vLLM's seeds are taken mod 2^64, llama.cpp's mod 2^32.

        Returns
        -------
        int or None

        Raises
        ------
        ValueError, TypeError
            An unknown system; a seed that is no integer.

        Examples
        --------
        >>> import fastlogits as fl
        >>> fl.Sampler.rng_of({"seed": 7}, "vllm"), fl.Sampler.rng_of({"seed": -1}, "vllm")
        (7, None)
        >>> fl.Sampler.rng_of(4294967295, "llama.cpp") is None
        True
        """
        return _systems.rng_of(fields, system)
