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
                or self.rows != NO_ROWS or cnp.PyArray_NDIM(logits) != 1 or cnp.PyArray_DIM(logits, 0) > MOST_VALUES):
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
        if small_int(rng):
            given.seed = rng
        else:  # Python code may run, after which the arguments may be others
            given.seed = self._seed(rng)
            if (code_of(logits) != code or cnp.PyArray_NDIM(logits) != 1
                    or cnp.PyArray_DIM(logits, 0) < (self.needs if self.needs > 1 else 1) or not plain_ids(context)
                    or not plain_state(self, state, cnp.PyArray_DIM(logits, 0), context, prompt_length, position,
                                       keys)):
                raise ValueError("arguments must stay as they are while rng makes a seed")
        if self.beside is not NO_AXES or companions(self.storage) or uncond is not None or amateur is not None \
                or expert is not None or anti is not None:
            if not plain_beside(self.beside, (uncond, amateur, expert, anti), logits, code, beside, given.beside):
                return self._sample(logits, n, replacement, context, prompt_length, state, rng, position, keys, logprobs,
                                    out, threads, on_error, (uncond, amateur, expert, anti))
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


cdef int companions(const _c.fl_step *first) noexcept:
    """How many rows the first step combines with the logits."""
    if first is NULL:
        return 0
    return 2 if first.op == D_EXPERTS else 1 if first.op == GUIDANCE or first.op == CONTRASTIVE else 0


cdef int check_spread(int64_t rows, int64_t wanted) except -1:
    """Refuses steps whose values of `rows` rows are none for `wanted` rows."""
    if rows != NO_ROWS and rows != wanted:
        raise ValueError(f"the steps must be prepared for {wanted} rows")
    return 0


cdef int32_t GUIDANCE = STEP_IDS["guidance"], CONTRASTIVE = STEP_IDS["contrastive"], D_EXPERTS = STEP_IDS["d_experts"]
cdef frozenset IN_LISTS = frozenset(map(STEP_IDS.get, ("sequence_bias", "bad_words", "dry")))
cdef frozenset WITH_VALUES = frozenset(map(STEP_IDS.get, (
    "logit_bias", "sequence_bias", "bad_words", "suppress_tokens", "begin_suppress_tokens", "min_length",
    "min_new_tokens",
)))


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


cdef list fill_step(_c.fl_step *to, step, int64_t *rows):
    """One prepared step, and the owners of its memory. `rows`: see `Plan`."""
    cdef cnp.ndarray words
    cdef list owners = [step.value, step.second, step.third, step.min_keep, step.flags, step.window, step.words]
    to.op = STEP_IDS[step.name]
    to.value = doubles_per_row(owners[0], 0)
    to.second = doubles_per_row(owners[1], 0)
    to.third = doubles_per_row(owners[2], 0)
    to.min_keep = integers_per_row(owners[3], 0)
    to.flags = integers_per_row(owners[4], 0)
    to.window = integers_per_row(owners[5], 0)
    for array in owners[:6]:
        if array is not None and size_of_array(array) != 1:
            add_rows(rows, size_of_array(array))
    if step.lists is not None:
        owners += fill_lists(to, step.lists, rows)
    words = owners[6]
    if words is not None:
        # [W], or [rows, W] with any distance between rows; elements of a row lie side by side.
        if not cnp.PyArray_EquivTypenums(cnp.PyArray_TYPE(words), cnp.NPY_UINT32) or not 1 <= cnp.PyArray_NDIM(words) <= 8 \
                or not cnp.PyArray_ISALIGNED(words) or not cnp.PyArray_ISNOTSWAPPED(words):
            raise TypeError(f"{step.name} needs packed words of uint32, got {words.dtype}")
        to.words_n = cnp.PyArray_DIM(words, cnp.PyArray_NDIM(words) - 1)
        if to.words_n > 1 and cnp.PyArray_STRIDE(words, cnp.PyArray_NDIM(words) - 1) != 4:
            raise ValueError(f"{step.name} needs words side by side")
        to.words = <const uint32_t *>cnp.PyArray_DATA(words)
        if cnp.PyArray_NDIM(words) > 2:
            rows[0] = MIXED_ROWS
        elif cnp.PyArray_NDIM(words) == 2:
            add_rows(rows, cnp.PyArray_DIM(words, 0))
            to.words_step = cnp.PyArray_STRIDE(words, 0) // 4
            if to.words_step * 4 != cnp.PyArray_STRIDE(words, 0):
                rows[0] = MIXED_ROWS
    return owners


cdef void add_rows(int64_t *rows, int64_t count) noexcept:
    """Values of so many rows, too."""
    rows[0] = count if rows[0] == NO_ROWS or rows[0] == count else MIXED_ROWS


cdef list fill_lists(_c.fl_step *to, lists, int64_t *rows):
    """The tokens that a step names; copies of the arrays, which hold indices, and so their owners."""
    cdef const int64_t *ids
    cdef int64_t i, size
    _, ids_given, offsets_given, values, rows_given = lists
    cdef list owners = [None if each is None else np.array(each, np.int64)
                        for each in (ids_given, offsets_given, rows_given)]
    size = size_of_array(owners[0])
    to.lists.count = size if owners[1] is None else size_of_array(owners[1]) - 1
    to.lists.ids = ids = <const int64_t *>elements(owners[0], cnp.NPY_INT64, 0)
    for i in range(size):
        if not 0 <= ids[i] < MOST_TOKENS:
            raise ValueError(f"token ids must be in [0, {<int64_t>MOST_TOKENS}), got {ids[i]}")
    if owners[1] is not None:
        to.lists.offsets = rising(owners[1], size, 1)
    elif size and to.op in IN_LISTS:
        raise ValueError("sequences of tokens come with offsets")
    if values is None and size and to.op in WITH_VALUES:
        raise ValueError("biases come with values")
    to.lists.values = <const double *>elements(values, cnp.NPY_DOUBLE, to.lists.count)
    if owners[2] is not None:
        to.lists.rows = rising(owners[2], to.lists.count, 0)
        add_rows(rows, size_of_array(owners[2]) - 1)
    return [*owners, values]


cdef const int64_t *rising(object array, int64_t most, int64_t least) except NULL:
    """Offsets from 0 to `most`, each at least so far behind the one before."""
    cdef int64_t i, size = size_of_array(array)
    cdef const int64_t *at = <const int64_t *>elements(array, cnp.NPY_INT64, 1)
    if at[0] < 0 or at[size - 1] > most:
        raise ValueError(f"offsets must lie in [0, {most}]")
    for i in range(size - 1):
        if at[i + 1] - at[i] < least or at[i + 1] > most:
            raise ValueError(f"offsets must rise by {least} at least")
    return at


cdef int64_t needs_of(const _c.fl_step *step) noexcept:
    """One more than the largest token id that the step names."""
    cdef int64_t i, size, most = -1
    size = step.lists.count if step.lists.offsets is NULL else step.lists.offsets[step.lists.count]
    for i in range(size):
        most = max(most, step.lists.ids[i])
    return most + 1


cdef int fill_context(_c.fl_inputs *to, object context, object offsets, int64_t rows) except -1:
    """Token ids of all rows, and where those of each row begin."""
    to.context = <const int64_t *>elements(context, cnp.NPY_INT64, 0)
    to.context_n = 0 if context is None else size_of_array(context)
    if offsets is not None:
        elements(offsets, cnp.NPY_INT64, rows + 1)
        to.context_offsets = rising(offsets, to.context_n, 0)
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

    def __cinit__(self, Plan plan not None, cnp.ndarray x not None, *, context=None, offsets=None, prompt_length=None,
                  tuple states=None, bint mixed=False, uint64_t seed=0, position=None, keys=None, memory=None,
                  int64_t offset=0, int64_t draws=1, bint distinct=False, ids=None, perturbed=None, bases=None,
                  logprobs=None, observed=None, raw_logprobs=None, ranks=None, cnp.ndarray top_ids=None, top_logprobs=None, probs=None,
                  logits=None, counts=None, status=None, trace=None, tuple beside=()):
        cdef int last = last_axis(x)
        cdef int64_t rows, steps = plan.plan.count
        fill_rows(&self.x, x, last, code_of(x))
        rows = self.x.rows.rows
        self.plan, self.failures, self.listings = plan, [], {}
        self.owners = (x, context, offsets, prompt_length, position, keys, memory, ids, perturbed, bases, logprobs, observed,
                       raw_logprobs, ranks, top_ids, top_logprobs, probs, logits, counts, status, trace, beside)
        if states is None:
            check_spread(plan.rows, rows)
        if plan.needs > self.x.rows.n:
            raise ValueError(f"biases and masks need rows of {plan.needs} values, got {self.x.rows.n}")
        if draws < 1 or offset < 0:
            raise ValueError(f"draws must be at least 1 and offset at least 0, got {draws} and {offset}")
        fill_context(&self.given, context, offsets, rows)
        self.given.prompt_length = integers_per_row(prompt_length, rows)
        self.given.seed = seed
        self.given.position = integers_per_row(position, rows)
        self.given.keys = integers_per_row(keys, rows)
        self.given.memory = <const double *>elements(memory, cnp.NPY_DOUBLE, product(rows, steps * _c.FL_MEMORY))
        self.results.observed = <double *>results(observed, cnp.NPY_DOUBLE, product(rows, steps))
        self._combine(x, beside, mixed)
        if states is not None:
            self.sequences = Sequences(states, rows, 1, mixed, self.x.rows.n, plan)
            self.given.sequences = self.sequences.at
            if mixed:
                self._share_out(states)
        elif mixed:
            raise TypeError("rows that follow plans of their own come with states")
        self.given.offset = offset
        self.results.draws, self.results.distinct = draws, distinct
        self.results.ids = <int64_t *>results(ids, cnp.NPY_INT64, product(rows, draws))
        self.results.perturbed = <double *>results(perturbed, cnp.NPY_DOUBLE, product(rows, draws))
        self.results.bases = <double *>results(bases, cnp.NPY_DOUBLE, rows)
        self.results.logprobs = <double *>results(logprobs, cnp.NPY_DOUBLE, product(rows, draws))
        self.results.raw_logprobs = <double *>results(raw_logprobs, cnp.NPY_DOUBLE, product(rows, draws))
        self.results.ranks = <int64_t *>results(ranks, cnp.NPY_INT64, product(rows, draws))
        if top_ids is not None:
            self.results.top_n = columns_of(top_ids)
            self.results.top_ids = <int64_t *>results(top_ids, cnp.NPY_INT64, product(rows, self.results.top_n))
            self.results.top_logprobs = <double *>results(top_logprobs, cnp.NPY_DOUBLE,
                                                          product(rows, self.results.top_n))
            if self.results.top_logprobs is NULL:
                raise TypeError("top_ids come with top_logprobs")
        self._write(x, probs, logits)
        self.listed = counts is not None
        self.results.counts = <int64_t *>results(counts, cnp.NPY_INT64, rows)
        self.results.status = <int32_t *>results(status, cnp.NPY_INT32, rows)
        self.results.trace = <_c.fl_trace *>results(trace, cnp.NPY_UINT8, product(rows, sizeof(_c.fl_trace)))

    cdef int _combine(self, cnp.ndarray x, tuple beside, bint mixed) except -1:
        """The rows beside the logits: those of the plan, or with `mixed` as many as BESIDE has names, or None."""
        cdef int i
        if len(beside) > (4 if mixed else _c.FL_MOST_BESIDE) \
                or (not mixed and len(beside) < companions(self.plan.storage)):
            raise ValueError(f"the first step combines {companions(self.plan.storage)} rows, got {len(beside)}")
        for i in range(len(beside)):
            if beside[i] is not None:
                fill_like(&self.beside[i], beside[i], x, last_axis(x), False)
            elif not mixed:
                raise TypeError("rows beside the logits are needed here, got None")
            if not mixed:
                self.given.beside[i] = &self.beside[i].rows
        return 0

    cdef int _write(self, cnp.ndarray x, cnp.ndarray probs, cnp.ndarray logits) except -1:
        """A dense result, of any float type."""
        cdef cnp.ndarray target = logits if probs is None else probs
        if target is None:
            return 0
        if (probs is not None and logits is not None) or not cnp.PyArray_SAMESHAPE(target, x):
            raise ValueError("one of probs and logits can be written, in the shape of the logits")
        check_writeable(target)
        fill_rows(&self.dense, target, last_axis(x), code_of(target))
        if probs is None:
            self.results.logits = &self.dense.rows
        else:
            self.results.probs = &self.dense.rows
        return 0

    cdef int _share_out(self, tuple states) except -1:
        """The rows beside, in the order of BESIDE, to the sequences whose plans combine them."""
        cdef int64_t r
        cdef int at
        for r in range(len(states)):
            for i, name in enumerate((<Sequence>states[r]).plan.beside[:_c.FL_MOST_BESIDE]):
                at = BESIDE.index(name)
                if self.beside[at].rows.base is not NULL:
                    self.sequences.at[r].beside[<int>i] = &self.beside[at].rows
        return 0

    def tell(self, int64_t vocab):
        """All rows have run: their states hear of it."""
        if self.sequences is None or vocab != self.x.rows.n:
            raise ValueError(f"states of rows of {self.x.rows.n} values are needed here, got vocab {vocab}")
        self.sequences.tell(self.results.ids, self.results.draws, vocab)

    def run(self, int64_t begin, int64_t end, Stop stop=None):
        """Rows begin .. end - 1, up to the first bad one unless a status is wanted."""
        cdef _c.fl_results results = self.results
        cdef _c.fl_listing listing
        cdef _c.fl_where where
        cdef _c.fl_scratch *scratch
        check_block(begin, end, self.x.rows.rows)
        memset(&listing, 0, sizeof(listing))
        if self.listed:
            results.listing = &listing
        scratch = take_stoppable(stop)
        try:
            if (end - begin) * self.x.rows.n >= NOGIL_MIN or stop is not None:
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
        if self.results.trace is NULL or not 0 <= row < self.x.rows.rows:
            raise ValueError(f"a row in [0, {self.x.rows.rows}) with a trace is needed here, got {row}")
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
