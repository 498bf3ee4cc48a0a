# Rows read once for their targets: behind token_logprobs.

cdef int fill_whole(_c.fl_whole *whole, guesses, tops, cnp.ndarray sums, int64_t rows, int64_t groups) except -1:
    """Checked peaks of whole rows, and group sums of float32 [rows, groups] or float64 [rows, 2, groups]."""
    if guesses is None or tops is None or sums is None:
        raise TypeError("guesses, tops and sums come together")
    whole.guesses = <const double *>elements(guesses, cnp.NPY_DOUBLE, rows)
    whole.tops = <const double *>elements(tops, cnp.NPY_DOUBLE, rows)
    whole.groups = groups
    if cnp.PyArray_TYPE(sums) == cnp.NPY_FLOAT:
        whole.sums = <float *>results(sums, cnp.NPY_FLOAT, product(rows, groups))
    else:
        whole.sums64 = <double *>results(sums, cnp.NPY_DOUBLE, product(rows, 2 * groups))
    return 0


cdef class ScoresTask:
    """One checked call: rows along the last axis, results into the arrays given; `run` works on a block of them."""

    cdef Rows x
    cdef _c.fl_scores o
    cdef tuple owners

    def __cinit__(self, cnp.ndarray x not None, temperature not None, targets not None, *, logprobs not None,
                  status not None, cnp.ndarray given=None, given_logprobs=None, ranks=None, cnp.ndarray top_ids=None,
                  top_logprobs=None, best=None, entropies=None, varentropies=None, logsumexps=None, margins=None,
                  levels=None, rests=None, tuple whole=None, sums=None):
        cdef int64_t rows, count = 0, top_n = 0
        cdef bint per_row = given is not None and cnp.PyArray_NDIM(given) > 1
        fill_rows(&self.x, x, last_axis(x), code_of(x))
        rows = self.x.rows.rows
        if given is not None:
            count = cnp.PyArray_DIM(given, last_axis(given))
        if top_ids is not None:
            top_n = columns_of(top_ids)
        self.owners = (x, temperature, targets, given, logprobs, status, given_logprobs, ranks, top_ids, top_logprobs,
                       best, entropies, varentropies, logsumexps, margins,
                       levels, rests, whole, sums, pins((x,)) if product(rows, self.x.rows.n) >= NOGIL_MIN else None)
        self.o.temperature = doubles_per_row(temperature, rows)
        self.o.targets = <const int64_t *>elements(targets, cnp.NPY_INT64, rows)
        self.o.given = <const int64_t *>elements(given, cnp.NPY_INT64, product(rows, count) if per_row else count)
        self.o.count, self.o.given_step, self.o.top_n = count, count if per_row else 0, top_n
        self.o.logprobs = <double *>results(logprobs, cnp.NPY_DOUBLE, rows)
        self.o.status = <int32_t *>results(status, cnp.NPY_INT32, rows)
        self.o.given_logprobs = <double *>results(given_logprobs, cnp.NPY_DOUBLE, product(rows, count))
        self.o.ranks = <int64_t *>results(ranks, cnp.NPY_INT64, rows)
        self.o.top_ids = <int64_t *>results(top_ids, cnp.NPY_INT64, product(rows, top_n))
        self.o.top_logprobs = <double *>results(top_logprobs, cnp.NPY_DOUBLE, product(rows, top_n))
        self.o.best = <int64_t *>results(best, cnp.NPY_INT64, rows)
        self.o.entropies = <double *>results(entropies, cnp.NPY_DOUBLE, rows)
        self.o.varentropies = <double *>results(varentropies, cnp.NPY_DOUBLE, rows)
        self.o.logsumexps = <double *>results(logsumexps, cnp.NPY_DOUBLE, rows)
        self.o.margins = <double *>results(margins, cnp.NPY_DOUBLE, rows)
        self.o.levels = <const double *>elements(levels, cnp.NPY_DOUBLE, rows)
        self.o.rests = <double *>results(rests, cnp.NPY_DOUBLE, rows)
        if whole is not None:
            if len(whole) != 2:
                raise ValueError(f"whole must hold guesses and tops, got {len(whole)} arrays")
            fill_whole(&self.o.whole, whole[0], whole[1], sums, rows, (self.x.rows.n + 255) // 256 * 16)
        if (count and self.o.given_logprobs is NULL) or (top_n and self.o.top_logprobs is NULL):
            raise ValueError("ids come with log-probs")

    def run(self, int64_t begin, int64_t end, Stop stop=None):
        """Rows begin .. end - 1."""
        check_block(begin, end, self.x.rows.rows)
        cdef _c.fl_scratch *s = take_stoppable(stop)
        cdef int status
        if (end - begin) * self.x.rows.n >= NOGIL_MIN or stop is not None:
            with nogil:
                status = _c.fl_score(kernels, s, &self.x.rows, &self.o, begin, end)
        else:
            status = _c.fl_score(kernels, s, &self.x.rows, &self.o, begin, end)
        give_scratch(s)
        if status == _c.FL_NO_MEMORY:
            raise MemoryError()


def merge_rows(int dtype, temperature not None, cnp.ndarray tops not None, tails not None,
               cnp.ndarray shard_tops not None, rests not None, *, entropies=None, varentropies=None,
               whole_entropies=None, whole_varentropies=None, guesses=None, cnp.ndarray sums=None,
               cnp.ndarray own=None, beside=None):
    """-log p(top) of rows [R] into `tails`, from shards [R, S]; see fl_merging."""
    cdef _c.fl_merging m
    cdef int64_t r, rows = cnp.PyArray_SIZE(tops)
    cdef int64_t shards = columns_of(shard_tops), places = product(rows, shards)
    cdef _c.fl_scratch *s
    cdef int status
    memset(&m, 0, sizeof(m))
    m.temperature = doubles_per_row(temperature, rows)
    m.shards, m.dtype = shards, dtype
    m.whole.tops = <const double *>elements(tops, cnp.NPY_DOUBLE, rows)
    m.tops = <const double *>elements(shard_tops, cnp.NPY_DOUBLE, places)
    m.rests = <const double *>elements(rests, cnp.NPY_DOUBLE, places)
    m.entropies = <const double *>elements(entropies, cnp.NPY_DOUBLE, places)
    m.varentropies = <const double *>elements(varentropies, cnp.NPY_DOUBLE, places)
    m.tails = <double *>results(tails, cnp.NPY_DOUBLE, rows)
    m.whole_entropies = <double *>results(whole_entropies, cnp.NPY_DOUBLE, rows)
    m.whole_varentropies = <double *>results(whole_varentropies, cnp.NPY_DOUBLE, rows)
    if (entropies is None) != (whole_entropies is None) or (varentropies is None) != (whole_varentropies is None) \
            or (varentropies is not None and entropies is None):
        raise TypeError("entropies of shards come with those of the whole")
    if guesses is not None:
        if own is None or beside is None or sums is None:
            raise TypeError("guesses come with sums, own and beside")
        own = own.copy()
        fill_whole(&m.whole, guesses, tops, sums, rows, cnp.PyArray_DIM(sums, last_axis(sums)))
        m.own = <const int64_t *>elements(own, cnp.NPY_INT64, rows)
        m.beside = <const double *>elements(beside, cnp.NPY_DOUBLE, product(rows, 16))
        for r in range(rows):
            if isfinite(m.whole.tops[r]) and not 0 <= m.own[r] < m.whole.groups:
                raise ValueError(f"own[{r}] must be in [0, {m.whole.groups}), got {m.own[r]}")
    s = take_scratch()
    with nogil:
        status = _c.fl_merge(kernels, s, &m, 0, rows)
    give_scratch(s)
    if status == _c.FL_NO_MEMORY:
        raise MemoryError()
