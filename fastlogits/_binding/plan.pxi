# The pipeline: `Plan` holds the steps as C reads them, `PlanTask` one checked call, `Plan.sample` the short way.

cdef enum:
    FL_IDLE = 1     # a step does nothing without a context
    FL_FORGETS = 2  # a step forgets what is drawn without a state
    NO_ROWS = -1     # no per-row values
    MIXED_ROWS = -2  # per-row values that must be spread first

IDLE, FORGETS = FL_IDLE, FL_FORGETS


cdef class Plan:
    """Prepared steps; `fastlogits.Sampler` inherits from it."""

    cdef _c.fl_plan plan
    cdef _c.fl_step *storage
    cdef bint random  # a step asks for randomness
    cdef int64_t needs  # the least row length that biases and masks fit
    cdef int reminders  # what calls are still to be warned of once: IDLE, FORGETS
    cdef int64_t rows   # rows of the per-row values, else NO_ROWS, or MIXED_ROWS
    cdef list owners    # of the memory that the steps point to
    cdef readonly tuple steps
    cdef readonly tuple prepared
    cdef readonly tuple beside  # arguments of a call: rows that the first step combines with the logits
    cdef readonly object shape  # outer shape of the per-row values: () without any, None where they must be spread

    def __dealloc__(self):
        PyMem_Free(self.storage)

    def _fill(self, tuple steps, tuple prepared, shape, int reminders=0):
        """Lays out ``prepared`` (of `fastlogits._prepare`); possible once."""
        cdef Py_ssize_t i
        cdef int64_t rows = NO_ROWS
        if self.storage is not NULL:
            raise TypeError(f"{type(self).__name__} is immutable")
        if len(prepared) > MAX_STEPS or len(steps) != len(prepared):
            raise ValueError(f"a plan has at most {MAX_STEPS} steps, each prepared, got {len(prepared)} of {len(steps)}")
        self.steps, self.prepared, self.shape, self.reminders = steps, prepared, shape, reminders
        self.beside = steps[0].beside if steps else ()
        self.storage = <_c.fl_step *>PyMem_Calloc(len(prepared) + 1, sizeof(_c.fl_step))
        if self.storage is NULL:
            raise MemoryError()
        self.owners = []
        for i, step in enumerate(prepared):
            self.owners.append(fill_step(&self.storage[i], step, &rows))
            self.needs = max(self.needs, <int64_t>step.needs, needs_of(&self.storage[i]))
            self.random = self.random or steps[i].random
        self.rows = rows
        self.plan.steps = self.storage
        # `draw` or `gumbel` stands last if at all, and says what the end of `sample` does.
        last = prepared[len(prepared) - 1].name if prepared else ""
        self.plan.count = len(prepared) - (1 if last in ("draw", "gumbel") else 0)
        self.plan.gumbel = last == "gumbel"

    @property
    def count(self):
        """Steps as C counts them, without a last Draw or Gumbel."""
        return self.plan.count

    def remember(self, cnp.ndarray observed not None, cnp.ndarray memory not None):
        """Brings memory [rows, count, MEMORY] up to date, in place: row r's token was observed[r], [rows, count]."""
        cdef const double *seen
        cdef double *kept
        cdef int64_t r, rows = cnp.PyArray_DIM(memory, 0) if last_axis(memory) else 0
        check_spread(self.rows, rows)
        seen = <const double *>elements(observed, cnp.NPY_DOUBLE, product(rows, self.plan.count))
        kept = <double *>results(memory, cnp.NPY_DOUBLE, product(rows, self.plan.count * _c.FL_MEMORY))
        for r in range(rows):
            _c.fl_plan_remember(&self.plan, r, seen + r * self.plan.count, kept + r * self.plan.count * _c.FL_MEMORY)

    def remind(self, context, state, bint draws):
        """Warns, once each, of steps that do nothing without a context, or forget what a call without a state draws."""
        cdef int due = (FL_IDLE if context is None else 0) | (FL_FORGETS if draws else 0)
        due &= self.reminders
        if due and state is None:
            self.reminders &= ~due
            self._warn(due)

    def fits(self, int64_t n):
        """Whether biases and masks fit a row of ``n`` values."""
        return self.needs <= n

    def run_tensor(self, tensor not None, context, prompt_length, seed, generator=None, bint column=False):
        """One row, [V] or [1, ..., V], of a plain tensor: the token drawn from it, [] or [1, ...], as a new tensor.

        With ``column`` in an axis of its own, [1] or [1, ..., 1]. ``seed`` is an integer, or a function that is called
        with the generator once nothing but the row's contents can be wrong; without one the processed logits, [V] or
        [1, ..., V]. Where that takes more than these arguments, or an error, None, or a seed that was asked for.
        """
        cdef DLTensor t
        cdef const Exchange *table
        cdef Owned *block
        cdef Rows rows
        cdef Rows target
        cdef _c.fl_inputs given
        cdef _c.fl_results results
        cdef _c.fl_where where
        cdef _c.fl_scratch *scratch
        cdef int64_t start = 0
        cdef int last, i
        cdef int64_t dims[MAX_AXES]
        found = None
        if (self.rows != NO_ROWS or companions(self.storage) or self.beside is not NO_AXES or (seed is None and self.random)
                or not plain_ids(context) or not int64_of(prompt_length, &start) or start < 0):
            return None
        table = viewed(tensor, &t)
        if table is NULL or t.ndim == 0 or t.data is NULL or element_of(t.dtype) == INT64:
            return None
        last = t.ndim - 1
        fill_tensor_rows(&rows, &t, last)
        if rows.rows.rows != 1 or not (self.needs if self.needs > 1 else 1) <= rows.rows.n <= MOST_VALUES:
            return None
        if self.reminders:
            self.remind(context, None, seed is not None)
        memset(&given, 0, sizeof(given))
        memset(&results, 0, sizeof(results))
        for i in range(last):
            dims[i] = 1
        if seed is None:
            dims[last] = rows.rows.n
            block = owned(dims, t.ndim, rows.rows.dtype)
            fill_tensor_rows(&target, &block.managed.tensor, last)
            results.logits = &target.rows
        else:
            if not PyLong_CheckExact(seed):
                seed = found = seed(generator)
            given.seed = seed
            dims[last] = 1
            block = owned(dims, t.ndim if column else last, INT64)
            results.ids = <int64_t *>block.managed.tensor.data
        if context is not None:
            given.context = <const int64_t *>cnp.PyArray_DATA(context)
            given.context_n = cnp.PyArray_DIM(context, 0)
        given.prompt_length.at = &start
        scratch = scratch_beside(block)
        if rows.rows.n >= NOGIL_MIN:
            with nogil:
                where = _c.fl_plan_run(kernels, scratch, &self.plan, &rows.rows, &given, &results, 0, 1)
        else:
            where = _c.fl_plan_run(kernels, scratch, &self.plan, &rows.rows, &given, &results, 0, 1)
        give_scratch(scratch)
        if where.status != _c.FL_OK:
            free(block)
            return found
        return given_away(table, block)

    def sample(self, logits, *, n=None, replacement=True, context=None, prompt_length=0, state=None, rng=None,
               position=None, keys=None, out_of_vocab="error", logprobs=None, logprobs_mode="processed", out=None,
               threads=None, on_error="raise", uncond=None, amateur=None, expert=None, anti=None):
        """Draw one token, or n of them, per row.

        Parameters
        ----------
        logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
            ndarray, torch CPU tensor, DLPack exporter or list; read in place, never written.
        n : int >= 1, optional
            Draw n tokens from each row, processed once; the first of them is the one drawn without `n`.
        replacement : bool, default True
            False: n different tokens, in the order in which they would be drawn one after the other, by Gumbel-max.
            Fewer than n left are an error; with ``on_error="status"`` such a row is padded with -1 and its status is
            TOO_FEW.
        context : token ids per row, optional
            One sequence, which all rows share; or one per row: an array [..., T], or sequences of any lengths in one
            list or in lists nested as the rows are (for logits [A, B, V] A lists of B sequences). The penalties count
            it. Its length is the position in the random stream, unless `position` is given.
        prompt_length : int >= 0 or one per row, default 0
            Frequency and presence penalty count ``context[prompt_length:]``.
        state : State, or a list with one per row, optional
            From `Sampler.state`; replaces context, prompt_length, position and keys. The call does not change it.
        rng : int, numpy.random.Generator, BitGenerator, SeedSequence or None, or a list or array of one seed per row
            An int >= 0 is a fixed seed, which repeats its random number: nothing advances but by the position. A
            Generator gives one 64-bit word to each call; None, random, takes entropy from the operating system.
            In a list or an integer array each row [..., V] of a batch has a seed of its own, an int or None, and gets
            the token that it would get alone with that seed. (`numpy.random.default_rng` makes one seed of a list.)
        position : int or one per row, optional
            The number of the stream (seed, key) that a row uses: by default the number of its context tokens, else 0.
        keys : one int per row, optional
            The random stream of each row: by default the row number, or 0 where `rng` holds one seed per row.
        out_of_vocab : "error" or "placeholder", default "error"
            What a context id outside [0, V) is: an error; or a placeholder, such as that of an image, which keeps its
            position and counts toward lengths and windows, but is no token: no penalty, bias or repeat is about it,
            and it equals no other placeholder.
        logprobs : int >= 0, optional
            Return a `SampleResult` with the log-probs of the drawn tokens and of the `logprobs` likeliest ones.
        logprobs_mode : "processed", "raw" or "both", default "processed"
            Whether log-probs, ranks and the likeliest tokens are those of the distribution that is drawn from, of the
            logits as they came, or both.
        out : int64 array [...] or [..., n], optional
            Receives the ids.
        threads : int >= 0, optional
            Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.
        on_error : "raise" or "status"
            With "status" a bad row gets id -1 (log-probs NaN) and the call returns (result, status), status holding
            one `fastlogits.Status` per row.
        uncond, amateur, expert, anti : array_like of the shape and type of logits
            Rows that the first step combines with the logits: `fastlogits.steps.Guidance` takes uncond, ``Contrastive``
            amateur, ``DExperts`` expert and anti.

        Returns
        -------
        int, or int64 array [...] or [..., n]
            The drawn ids; or a SampleResult; or (either, status) with ``on_error="status"``.

        Raises
        ------
        ValueError
            A row holds NaN or +inf, has no finite logit or no token left, a token id lies outside the row, or an
            argument is out of range. The message names row and argument.
        TypeError
            An argument is of a wrong type.

        Notes
        -----
        Draw rule: over the survivors in token-id order, masses in double, the first whose running mass exceeds
        u * total. u depends on (seed, key, position) and nothing else. `fastlogits.steps.Gumbel` is another rule.

        A fixed `rng` repeats its number: the same call gives the same token. **In a decoding loop pass the context**:
        its growing length is the position, so the loop moves by itself. A loop without context must pass `position` or a
        Generator, else each call repeats the same u. Passing a context changes u even where no penalty reads it.

        Examples
        --------
        >>> import fastlogits as fl
        >>> sampler = fl.Sampler(temperature=0.8, top_k=2)
        >>> ids = [3]
        >>> for _ in range(4):
        ...     ids.append(sampler.sample([1.0, 3.0, 2.0, 2.5], context=ids, rng=7))
        >>> all(i in (1, 3) for i in ids)
        True
        >>> sampler.sample([[1.0, 3.0, 2.0, 2.5], [9.0, 0.0, 0.0, 0.0]], rng=7).shape
        (2,)
        """
        cdef object drawn = None
        cdef uint64_t seed
        cdef bint seeded = False
        if (cnp.PyArray_CheckExact(logits) and n is None and replacement is True and logprobs is None and out is None
                and logprobs_mode is PROCESSED and threads is None and on_error is RAISE
                and (out_of_vocab is ERROR or (out_of_vocab is PLACEHOLDER and state is None))):
            drawn = self.draw(logits, context, prompt_length, state, rng, position, keys, uncond, amateur, expert, anti,
                              out_of_vocab is not ERROR, &seed, &seeded)
        if drawn is None:
            drawn = self._sample(logits, (n, replacement, logprobs, logprobs_mode, out), dict(
                context=context, prompt_length=prompt_length, state=state, rng=seed if seeded else rng,
                position=position, keys=keys, out_of_vocab=out_of_vocab, threads=threads, on_error=on_error,
                uncond=uncond, amateur=amateur, expert=expert, anti=anti))
        return drawn

    cdef object draw(self, logits, context, prompt_length, state, rng, position, keys, uncond, amateur, expert, anti,
                     bint placeholders, uint64_t *seed, bint *seeded):
        """One token of one row [V] with plain arguments; None where they are not.

        None also where ids are to become placeholders, once ``seed`` holds what rng gave.
        """
        cdef Rows rows
        cdef Rows beside[_c.FL_MOST_BESIDE]
        cdef _c.fl_inputs given
        cdef _c.fl_results results
        cdef _c.fl_where where
        cdef _c.fl_scratch *scratch
        cdef _c.fl_sequence own
        cdef double observed[MAX_STEPS]
        cdef int64_t one = -1, place = 0, key = 0, start = 0
        cdef bint blends = (self.beside is not NO_AXES or companions(self.storage) or uncond is not None
                            or amateur is not None or expert is not None or anti is not None)
        cdef int code = code_of(logits)
        memset(&given, 0, sizeof(given))
        if (self.rows != NO_ROWS or not int64_of(position, &place) or not int64_of(keys, &key)
                or not int64_of(prompt_length, &start) or start < 0
                or not self.plain_row(logits, code, context, prompt_length, state, position, keys)
                or (blends and not plain_beside(self.beside, (uncond, amateur, expert, anti), logits, code, beside,
                                                given.beside))):
            return None
        if small_int(rng):
            given.seed = rng
        else:  # Python code may run, after which the arguments may be others
            given.seed = self._seed(rng)
            if (code_of(logits) != code or not self.plain_row(logits, code, context, prompt_length, state, position, keys)
                    or (blends and not plain_beside(self.beside, (uncond, amateur, expert, anti), logits, code, beside,
                                                    given.beside))):
                raise ValueError("arguments must stay as they are while rng makes a seed")
        if self.reminders and state is None and (context is None or self.reminders & FL_FORGETS):
            self.remind(context, None, True)
        memset(&results, 0, sizeof(results))
        fill_rows(&rows, logits, 0, code)
        if state is not None:
            (<Sequence>state).fill(&own, 0)
            own.observed = NULL if (<Sequence>state).heard is NULL else observed
            given.sequences = &own
        elif context is not None:
            given.context = <const int64_t *>cnp.PyArray_DATA(context)
            given.context_n = cnp.PyArray_DIM(context, 0)
        given.prompt_length.at = &start
        given.position.at = NULL if position is None else &place
        given.keys.at = NULL if keys is None else &key
        results.ids = &one
        scratch = take_scratch()
        if rows.rows.n >= NOGIL_MIN:
            held = pins((logits, context, uncond, amateur, expert, anti))
            with nogil:
                where = _c.fl_plan_run(kernels, scratch, &self.plan, &rows.rows, &given, &results, 0, 1)
        else:
            where = _c.fl_plan_run(kernels, scratch, &self.plan, &rows.rows, &given, &results, 0, 1)
        give_scratch(scratch)
        if state is not None:
            _c.fl_history_free(own.history)
        if where.status != _c.FL_OK:
            if where.status == _c.FL_BAD_TOKEN and placeholders:
                seed[0], seeded[0] = given.seed, True
                return None
            self._refuse(where.row, (where.status, where.step, told(&where)), logits, (uncond, amateur, expert, anti))
        if state is not None and own.observed is not NULL:
            (<Sequence>state).hear(&one, 1, observed, self.plan.count, (<Sequence>state).length())
        return one

    cdef bint plain_row(self, logits, int code, context, prompt_length, state, position, keys) except -1:
        """Whether a row of that type, its context and its state can be read as they are."""
        return (cnp.PyArray_NDIM(logits) == 1 and code >= 0 and cnp.PyArray_DIM(logits, 0) <= MOST_VALUES
                and cnp.PyArray_DIM(logits, 0) >= (self.needs if self.needs > 1 else 1) and plain_ids(context)
                and plain_state(self, state, cnp.PyArray_DIM(logits, 0), context, prompt_length, position, keys))
