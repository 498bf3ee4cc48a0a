# `PlanTask`: one checked call of the pipeline for rows of any shape.

cdef int fill_context(_c.fl_inputs *to, object context, object offsets, bint placeholders, int64_t rows) except -1:
    """Token ids of all rows, and where those of each row begin."""
    to.placeholders = placeholders
    to.context = <const int64_t *>elements(context, cnp.NPY_INT64, 0)
    to.context_n = 0 if context is None else size_of_array(context)
    if offsets is not None:
        elements(offsets, cnp.NPY_INT64, rows + 1)
        to.context_offsets = rising(offsets, to.context_n, 0)
    return 0


cdef int fill_seed(_c.fl_inputs *to, object seed, int64_t rows) except -1:
    """The seed of all rows, or an array with one for each, mod 2^64."""
    if isinstance(seed, np.ndarray):
        to.seeds = integers_per_row(seed, rows)
    else:
        to.seed = seed
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

    def __cinit__(self, Plan plan not None, cnp.ndarray x not None, *, context=None, offsets=None, bint placeholders=False,
                  prompt_length=None, tuple states=None, bint mixed=False, seed=0, position=None, keys=None, memory=None,
                  int64_t offset=0, int64_t draws=1, bint distinct=False, ids=None, perturbed=None, bases=None,
                  logprobs=None, observed=None, raw_logprobs=None, ranks=None, cnp.ndarray top_ids=None, top_logprobs=None, probs=None,
                  logits=None, counts=None, status=None, trace=None, tuple beside=()):
        cdef int last = last_axis(x)
        cdef int64_t rows, steps = plan.plan.count
        fill_rows(&self.x, x, last, code_of(x))
        rows = self.x.rows.rows
        self.plan, self.failures, self.listings = plan, [], {}
        self.owners = (x, context, offsets, prompt_length, seed, position, keys, memory, ids, perturbed, bases, logprobs, observed,
                       raw_logprobs, ranks, top_ids, top_logprobs, probs, logits, counts, status, trace, beside,
                       pins((x, ids, probs, logits, *beside)) if product(rows, self.x.rows.n) >= NOGIL_MIN else None)
        if states is None:
            check_spread(plan.rows, rows)
        if plan.needs > self.x.rows.n:
            raise ValueError(f"biases and masks need rows of {plan.needs} values, got {self.x.rows.n}")
        if draws < 1 or offset < 0:
            raise ValueError(f"draws must be at least 1 and offset at least 0, got {draws} and {offset}")
        fill_context(&self.given, context, offsets, placeholders, rows)
        self.given.prompt_length = integers_per_row(prompt_length, rows)
        fill_seed(&self.given, seed, rows)
        self.given.position = integers_per_row(position, rows)
        self.given.keys = integers_per_row(keys, rows)
        self.given.memory = <const double *>elements(memory, cnp.NPY_DOUBLE, product(rows, steps * _c.FL_MEMORY))
        self.results.observed = <double *>results(observed, cnp.NPY_DOUBLE, product(rows, steps))
        self._combine(x, beside, mixed)
        if states is not None:
            self.sequences = Sequences(states, rows, 1, mixed, self.given.seeds.at is not NULL, self.x.rows.n, plan)
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
