# The pipeline: `Plan` holds the steps as C reads them, `PlanTask` one checked call, `Plan.sample` the short way.

cdef enum:
    FL_IDLE = 1     # a step does nothing without a context
    FL_FORGETS = 2  # a step forgets what is drawn without a state

IDLE, FORGETS = FL_IDLE, FL_FORGETS


cdef class Plan:
    """Prepared steps; `fastlogits.Sampler` inherits from it."""

    cdef _c.fl_plan plan
    cdef _c.fl_step *storage
    cdef bint random  # a step asks for randomness
    cdef int64_t needs  # the least row length that biases and masks fit
    cdef int reminders  # what calls are still to be warned of once: IDLE, FORGETS
    cdef readonly tuple steps
    cdef readonly tuple prepared
    cdef readonly tuple beside  # arguments of a call: rows that the first step combines with the logits
    cdef readonly object shape  # outer shape of the per-row values: () without any, None where they must be spread

    def __dealloc__(self):
        PyMem_Free(self.storage)

    def _fill(self, tuple steps, tuple prepared, shape, int reminders=0):
        """Lays out ``prepared`` (of `fastlogits._prepare`); possible once."""
        cdef Py_ssize_t i
        if self.storage is not NULL:
            raise TypeError(f"{type(self).__name__} is immutable")
        self.steps, self.prepared, self.shape, self.reminders = steps, prepared, shape, reminders
        self.beside = steps[0].beside if steps else ()
        self.storage = <_c.fl_step *>PyMem_Calloc(len(prepared) + 1, sizeof(_c.fl_step))
        if self.storage is NULL:
            raise MemoryError()
        for i, step in enumerate(prepared):
            fill_step(&self.storage[i], step)
            self.needs = max(self.needs, <int64_t>step.needs)
            self.random = self.random or steps[i].random
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
        cdef int64_t r, rows = cnp.PyArray_DIM(memory, 0)
        seen = <const double *>elements(observed, cnp.NPY_DOUBLE, rows * self.plan.count)
        kept = <double *>elements(memory, cnp.NPY_DOUBLE, rows * self.plan.count * _c.FL_MEMORY)
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
        if (self.shape is not NO_AXES or self.beside is not NO_AXES or (seed is None and self.random)
                or not plain_ids(context) or not int64_of(prompt_length, &start) or start < 0):
            return None
        table = viewed(tensor, &t)
        if table is NULL or t.ndim == 0 or t.data is NULL or element_of(t.dtype) == INT64:
            return None
        last = t.ndim - 1
        fill_tensor_rows(&rows, &t, last)
        if rows.rows.rows != 1 or rows.rows.n < (self.needs if self.needs > 1 else 1):
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
               position=None, keys=None, logprobs=None, out=None, threads=None, on_error="raise", uncond=None,
               amateur=None, expert=None, anti=None):
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
            list or in lists nested as the rows are (for logits [A, B, V] A lists of B sequences). What the penalties
            count, and, unless `position` says otherwise, what moves the randomness on.
        prompt_length : int >= 0 or one per row, default 0
            Frequency and presence penalty count ``context[prompt_length:]``.
        state : State, or a list with one per row, optional
            What `Sampler.state` gives, in the place of context, prompt_length, position and keys; never changed here.
        rng : int, numpy.random.Generator, BitGenerator, SeedSequence or None
            An int >= 0 is a fixed seed, which repeats its random number: nothing advances but by the position. A
            Generator gives one 64-bit word to each call; None, random, takes entropy from the operating system.
        position : int or one per row, optional
            Which number of the stream (seed, key) a row uses; the number of its context tokens by default, else 0.
        keys : one int per row, optional
            Which stream a row uses; the row number by default.
        logprobs : int >= 0, optional
            Return a `SampleResult` with the log-probs of the drawn tokens and of the `logprobs` likeliest ones.
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
        cdef Rows rows
        cdef Rows beside[_c.FL_MOST_BESIDE]
        cdef _c.fl_inputs given
        cdef _c.fl_results results
        cdef _c.fl_where where
        cdef _c.fl_scratch *scratch
        cdef _c.fl_sequence own
        cdef double observed[MAX_STEPS]
        cdef int64_t one = -1, place = 0, key = 0, start = 0
        cdef int code
        if (not cnp.PyArray_CheckExact(logits) or n is not None or replacement is not True or logprobs is not None
                or out is not None or threads is not None or on_error is not RAISE
                or self.shape is not NO_AXES or cnp.PyArray_NDIM(logits) != 1):
            return self._sample(logits, n, replacement, context, prompt_length, state, rng, position, keys, logprobs,
                                out, threads, on_error, (uncond, amateur, expert, anti))
        code = code_of(logits)
        if (code < 0 or cnp.PyArray_DIM(logits, 0) < (self.needs if self.needs > 1 else 1)
                or not int64_of(position, &place) or not int64_of(keys, &key) or not int64_of(prompt_length, &start)
                or start < 0 or not plain_ids(context)
                or not plain_state(self, state, cnp.PyArray_DIM(logits, 0), context, prompt_length, position, keys)):
            return self._sample(logits, n, replacement, context, prompt_length, state, rng, position, keys, logprobs,
                                out, threads, on_error, (uncond, amateur, expert, anti))
        memset(&given, 0, sizeof(given))
        if self.beside is not NO_AXES or uncond is not None or amateur is not None or expert is not None \
                or anti is not None:
            if not plain_beside(self.beside, (uncond, amateur, expert, anti), logits, code, beside, given.beside):
                return self._sample(logits, n, replacement, context, prompt_length, state, rng, position, keys, logprobs,
                                    out, threads, on_error, (uncond, amateur, expert, anti))
        if self.reminders and state is None and (context is None or self.reminders & FL_FORGETS):
            self.remind(context, None, True)
        memset(&results, 0, sizeof(results))
        given.seed = PyLong_AsUnsignedLongLong(self._seed(rng) if not small_int(rng) else rng)
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
            with nogil:
                where = _c.fl_plan_run(kernels, scratch, &self.plan, &rows.rows, &given, &results, 0, 1)
        else:
            where = _c.fl_plan_run(kernels, scratch, &self.plan, &rows.rows, &given, &results, 0, 1)
        give_scratch(scratch)
        if state is not None:
            _c.fl_history_free(own.history)
        if where.status != _c.FL_OK:
            self._refuse((), where.row, where.status, where.step, told(&where), rows.rows.n,
                         (logits, uncond, amateur, expert, anti))
        if state is not None and own.observed is not NULL:
            (<Sequence>state).hear(&one, 1, observed, self.plan.count, (<Sequence>state).length())
        return one


cdef object RAISE = "raise"
cdef object NO_AXES = ()


cdef bint small_int(object value) noexcept:
    """Whether `value` is an int in [0, 2^63)."""
    cdef int64_t v = -1
    return PyLong_CheckExact(value) and int64_of(value, &v) and v >= 0


cdef bint int64_of(object value, int64_t *to) noexcept:
    """An int that fits int64, or None, which leaves `to` as it is; else False."""
    cdef int overflow = 0
    if value is None:
        return True
    if not PyLong_CheckExact(value):
        return False
    to[0] = PyLong_AsLongLongAndOverflow(value, &overflow)
    return overflow == 0


cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow)


BESIDE = ("uncond", "amateur", "expert", "anti")


cdef bint plain_beside(tuple wanted, tuple rows, cnp.ndarray logits, int code, Rows *to,
                       const _c.fl_rows **beside) except *:
    """Whether `rows`, named as in BESIDE, are those wanted, ndarrays as the logits [V] are; lays them out."""
    cdef int i, n = 0
    for i in range(4):
        if (rows[i] is not None) != (BESIDE[i] in wanted):
            return False
        if rows[i] is None:
            continue
        if (not cnp.PyArray_CheckExact(rows[i]) or cnp.PyArray_NDIM(rows[i]) != 1 or code_of(rows[i]) != code
                or cnp.PyArray_DIM(rows[i], 0) != cnp.PyArray_DIM(logits, 0)):
            return False
        fill_rows(&to[n], rows[i], 0, code)
        beside[n] = &to[n].rows
        n += 1
    return True


cdef bint plain_ids(object context) noexcept:
    """Whether `context` is None or a contiguous int64 array of one axis."""
    return context is None or (
        cnp.PyArray_CheckExact(context) and cnp.PyArray_NDIM(context) == 1
        and cnp.PyArray_TYPE(context) == cnp.NPY_INT64 and cnp.PyArray_ISCARRAY_RO(context))


cdef bint plain_state(Plan plan, object state, int64_t n, context, prompt_length, position, keys):
    """Whether `state` is None, or is the plan's own, stands alone and knows that it fits logits of `n` tokens."""
    return state is None or (
        isinstance(state, Sequence) and (<Sequence>state).vocab == n and (<Sequence>state).plan is plan
        and context is None and position is None and keys is None and prompt_length is ZERO)


cdef object ZERO = 0


cdef int fill_step(_c.fl_step *to, step) except -1:
    """One prepared step; its arrays must outlive `to`."""
    to.op = STEP_IDS[step.name]
    to.value = doubles_per_row(step.value, 0)
    to.second = doubles_per_row(step.second, 0)
    to.third = doubles_per_row(step.third, 0)
    to.min_keep = integers_per_row(step.min_keep, 0)
    to.flags = integers_per_row(step.flags, 0)
    to.window = integers_per_row(step.window, 0)
    if step.lists is not None:
        _, ids, offsets, values, lists_of_rows = step.lists
        to.lists.count = len(ids) if offsets is None else len(offsets) - 1
        to.lists.ids = <const int64_t *>elements(ids, cnp.NPY_INT64, 0)
        to.lists.offsets = <const int64_t *>elements(offsets, cnp.NPY_INT64, 0)
        to.lists.values = <const double *>elements(values, cnp.NPY_DOUBLE, to.lists.count)
        to.lists.rows = <const int64_t *>elements(lists_of_rows, cnp.NPY_INT64, 0)
    if step.words is not None:
        # [W], or [rows, W] with any distance between rows; elements of a row lie side by side.
        to.words = <const uint32_t *>cnp.PyArray_DATA(step.words)
        to.words_n = cnp.PyArray_DIM(step.words, cnp.PyArray_NDIM(step.words) - 1)
        to.words_step = cnp.PyArray_STRIDE(step.words, 0) // 4 if cnp.PyArray_NDIM(step.words) > 1 else 0
    return 0


cdef object told(const _c.fl_where *where):
    """The value of a failure: the bits of the steps that ban where every token is banned."""
    return where.banned if where.status == _c.FL_ALL_BANNED else where.value


cdef class PlanTask:
    """One checked call of the pipeline; `run` works on a block of its rows."""

    cdef Plan plan
    cdef Rows x
    cdef Rows dense
    cdef Rows beside[4]  # as many as BESIDE has names
    cdef _c.fl_inputs given
    cdef _c.fl_results results
    cdef tuple owners
    cdef readonly list failures  # (row, status, step, value) of each block that met a bad row; value as told() makes it
    cdef readonly dict listings  # first row of a block -> (ids, logits, logprobs)
    cdef bint listed
    cdef Sequences sequences

    def __init__(self, Plan plan not None, cnp.ndarray x not None, *, context=None, offsets=None, prompt_length=None,
                 states=None, bint mixed=False, seed=0, position=None, keys=None, memory=None, offset=0, draws=1,
                 distinct=False, ids=None, perturbed=None, bases=None, logprobs=None, observed=None, raw_logprobs=None, ranks=None,
                 top_ids=None, top_logprobs=None, probs=None, logits=None, counts=None, status=None, trace=None,
                 tuple beside=()):
        cdef int i, last = cnp.PyArray_NDIM(x) - 1
        cdef int64_t rows
        fill_rows(&self.x, x, last, code_of(x))
        rows = self.x.rows.rows
        self.plan, self.failures, self.listings = plan, [], {}
        self.owners = (x, context, offsets, prompt_length, position, keys, memory, ids, perturbed, bases, logprobs, observed,
                       raw_logprobs, ranks, top_ids, top_logprobs, probs, logits, counts, status, trace, beside)
        for i in range(len(beside)):
            if beside[i] is not None:
                fill_rows(&self.beside[i], beside[i], last, code_of(beside[i]))
            if not mixed:
                self.given.beside[i] = &self.beside[i].rows
        self.given.context = <const int64_t *>elements(context, cnp.NPY_INT64, 0)
        self.given.context_n = 0 if context is None else len(context)
        self.given.context_offsets = <const int64_t *>elements(offsets, cnp.NPY_INT64, rows + 1)
        self.given.prompt_length = integers_per_row(prompt_length, rows)
        self.given.seed = seed
        self.given.position = integers_per_row(position, rows)
        self.given.keys = integers_per_row(keys, rows)
        self.given.memory = <const double *>elements(memory, cnp.NPY_DOUBLE, rows * plan.plan.count * _c.FL_MEMORY)
        self.results.observed = <double *>elements(observed, cnp.NPY_DOUBLE, rows * plan.plan.count)
        if states is not None:
            self.sequences = Sequences(states, rows, 1, mixed)
            self.given.sequences = self.sequences.at
        if mixed and beside:
            self._share_out(states)
        self.given.offset = offset
        self.results.draws, self.results.distinct = draws, distinct
        self.results.ids = <int64_t *>elements(ids, cnp.NPY_INT64, rows * draws)
        self.results.perturbed = <double *>elements(perturbed, cnp.NPY_DOUBLE, rows * draws)
        self.results.bases = <double *>elements(bases, cnp.NPY_DOUBLE, rows)
        self.results.logprobs = <double *>elements(logprobs, cnp.NPY_DOUBLE, rows * draws)
        self.results.raw_logprobs = <double *>elements(raw_logprobs, cnp.NPY_DOUBLE, rows * draws)
        self.results.ranks = <int64_t *>elements(ranks, cnp.NPY_INT64, rows * draws)
        if top_ids is not None:
            self.results.top_n = top_ids.shape[1]
            self.results.top_ids = <int64_t *>elements(top_ids, cnp.NPY_INT64, rows * self.results.top_n)
            self.results.top_logprobs = <double *>elements(top_logprobs, cnp.NPY_DOUBLE, rows * self.results.top_n)
        if probs is not None:
            fill_rows(&self.dense, probs, last, code_of(probs))
            self.results.probs = &self.dense.rows
        if logits is not None:
            fill_rows(&self.dense, logits, last, code_of(logits))
            self.results.logits = &self.dense.rows
        self.listed = counts is not None
        self.results.counts = <int64_t *>elements(counts, cnp.NPY_INT64, rows)
        self.results.status = <int32_t *>elements(status, cnp.NPY_INT32, rows)
        self.results.trace = <_c.fl_trace *>elements(trace, cnp.NPY_UINT8, rows * sizeof(_c.fl_trace))

    def _share_out(self, tuple states):
        """The rows beside, in the order of BESIDE, to the sequences whose plans combine them."""
        cdef int64_t r
        for r in range(len(states)):
            for i, name in enumerate(states[r].plan.beside):
                self.sequences.at[r].beside[i] = &self.beside[<int>BESIDE.index(name)].rows

    def tell(self, int64_t vocab):
        """All rows have run: their states hear of it."""
        self.sequences.tell(self.results.ids, self.results.draws, vocab)

    def run(self, int64_t begin, int64_t end):
        """Rows begin .. end - 1, up to the first bad one unless a status is wanted."""
        cdef _c.fl_results results = self.results
        cdef _c.fl_listing listing
        cdef _c.fl_where where
        cdef _c.fl_scratch *scratch
        memset(&listing, 0, sizeof(listing))
        if self.listed:
            results.listing = &listing
        scratch = take_scratch()
        try:
            if (end - begin) * self.x.rows.n >= NOGIL_MIN:
                with nogil:
                    where = _c.fl_plan_run(kernels, scratch, &self.plan.plan, &self.x.rows, &self.given, &results,
                                           begin, end)
            else:
                where = _c.fl_plan_run(kernels, scratch, &self.plan.plan, &self.x.rows, &self.given, &results,
                                       begin, end)
            if where.status == _c.FL_NO_MEMORY:
                raise MemoryError()
            if where.status != _c.FL_OK and self.results.status is NULL:
                self.failures.append((where.row, where.status, where.step, told(&where)))
            elif self.listed:
                self.listings[begin] = copied(&listing)
        finally:
            give_scratch(scratch)
            _c.fl_listing_free(&listing)

    def trace(self, int64_t row):
        """(mode, passes, edited, collected, floor) of a row; needs ``trace``."""
        cdef _c.fl_trace *t = &self.results.trace[row]
        return t.mode, t.passes, t.edited, t.collected, t.floor


TRACE_SIZE = sizeof(_c.fl_trace)


cdef tuple copied(const _c.fl_listing *listing):
    """The candidates of a block as arrays."""
    cdef cnp.npy_intp n = listing.count
    ids = cnp.PyArray_SimpleNew(1, &n, cnp.NPY_INT64)
    logits = cnp.PyArray_SimpleNew(1, &n, cnp.NPY_DOUBLE)
    logprobs = cnp.PyArray_SimpleNew(1, &n, cnp.NPY_DOUBLE)
    if n:
        memcpy(cnp.PyArray_DATA(ids), listing.ids, n * sizeof(int64_t))
        memcpy(cnp.PyArray_DATA(logits), listing.logits, n * sizeof(double))
        memcpy(cnp.PyArray_DATA(logprobs), listing.logprobs, n * sizeof(double))
    return ids, logits, logprobs


def single(cnp.ndarray values not None, bint above=False):
    """float32 of a contiguous float64 array, rounded to nearest whatever the caller's rounding mode.

    Finite values below the float range, with ``above`` also those above it, become the largest finite ones.
    """
    cdef const double *source = <const double *>elements(values, cnp.NPY_DOUBLE, 0)
    cdef cnp.npy_intp i, n = cnp.PyArray_SIZE(values)
    cdef double value
    cdef float *target
    cdef uint64_t saved
    result = cnp.PyArray_SimpleNew(cnp.PyArray_NDIM(values), cnp.PyArray_DIMS(values), cnp.NPY_FLOAT)
    target = <float *>cnp.PyArray_DATA(result)
    saved = _c.fl_env_enter()
    for i in range(n):
        value = source[i]
        if above and DBL_MAX >= value > FLT_MAX:
            value = FLT_MAX
        elif -DBL_MAX <= value < -FLT_MAX:
            value = -FLT_MAX
        target[i] = <float>value
    _c.fl_env_leave(saved)
    return result
