# Rows read once for their targets: behind token_logprobs.

cdef int fill_whole(_c.fl_whole *whole, guesses, tops, sums, int64_t rows, int64_t groups) except -1:
    """Checked peaks of whole rows, and group sums of float32 [rows, groups] or float64 [rows, 2, groups]."""
    whole.guesses = <const double *>elements(guesses, cnp.NPY_DOUBLE, rows)
    whole.tops = <const double *>elements(tops, cnp.NPY_DOUBLE, rows)
    whole.groups = groups
    if sums.dtype == np.float32:
        whole.sums = <float *>elements(sums, cnp.NPY_FLOAT, rows * groups)
    else:
        whole.sums64 = <double *>elements(sums, cnp.NPY_DOUBLE, rows * 2 * groups)
    return 0


cdef class ScoresTask:
    """One checked call: rows along the last axis, results into the arrays given; `run` works on a block of them."""

    cdef Rows x
    cdef _c.fl_scores o
    cdef tuple owners

    def __init__(self, cnp.ndarray x not None, temperature not None, targets not None, *, logprobs not None,
                 status not None, given=None, given_logprobs=None, ranks=None, top_ids=None, top_logprobs=None,
                 best=None, entropies=None, varentropies=None, logsumexps=None, margins=None,
                 levels=None, rests=None, whole=None, sums=None):
        cdef int64_t rows, count = 0, top_n = 0
        cdef bint per_row = given is not None and given.ndim > 1
        fill_rows(&self.x, x, cnp.PyArray_NDIM(x) - 1, code_of(x))
        rows = self.x.rows.rows
        if given is not None:
            count = given.shape[given.ndim - 1]
        if top_ids is not None:
            top_n = top_ids.shape[1]
        self.owners = (x, temperature, targets, given, logprobs, status, given_logprobs, ranks, top_ids, top_logprobs,
                       best, entropies, varentropies, logsumexps, margins,
                       levels, rests, whole, sums)
        self.o.temperature = doubles_per_row(temperature, rows)
        self.o.targets = <const int64_t *>elements(targets, cnp.NPY_INT64, rows)
        self.o.given = <const int64_t *>elements(given, cnp.NPY_INT64, rows * count if per_row else count)
        self.o.count, self.o.given_step, self.o.top_n = count, count if per_row else 0, top_n
        self.o.logprobs = <double *>elements(logprobs, cnp.NPY_DOUBLE, rows)
        self.o.status = <int32_t *>elements(status, cnp.NPY_INT32, rows)
        self.o.given_logprobs = <double *>elements(given_logprobs, cnp.NPY_DOUBLE, rows * count)
        self.o.ranks = <int64_t *>elements(ranks, cnp.NPY_INT64, rows)
        self.o.top_ids = <int64_t *>elements(top_ids, cnp.NPY_INT64, rows * top_n)
        self.o.top_logprobs = <double *>elements(top_logprobs, cnp.NPY_DOUBLE, rows * top_n)
        self.o.best = <int64_t *>elements(best, cnp.NPY_INT64, rows)
        self.o.entropies = <double *>elements(entropies, cnp.NPY_DOUBLE, rows)
        self.o.varentropies = <double *>elements(varentropies, cnp.NPY_DOUBLE, rows)
        self.o.logsumexps = <double *>elements(logsumexps, cnp.NPY_DOUBLE, rows)
        self.o.margins = <double *>elements(margins, cnp.NPY_DOUBLE, rows)
        self.o.levels = <const double *>elements(levels, cnp.NPY_DOUBLE, rows)
        self.o.rests = <double *>elements(rests, cnp.NPY_DOUBLE, rows)
        if whole is not None:
            fill_whole(&self.o.whole, whole[0], whole[1], sums, rows, (self.x.rows.n + 255) // 256 * 16)
        if (count and self.o.given_logprobs is NULL) or (top_n and self.o.top_logprobs is NULL):
            raise ValueError("ids come with log-probs")

    def run(self, int64_t begin, int64_t end):
        """Rows begin .. end - 1."""
        cdef _c.fl_scratch *s = take_scratch()
        cdef int status
        if (end - begin) * self.x.rows.n >= NOGIL_MIN:
            with nogil:
                status = _c.fl_score(kernels, s, &self.x.rows, &self.o, begin, end)
        else:
            status = _c.fl_score(kernels, s, &self.x.rows, &self.o, begin, end)
        give_scratch(s)
        if status == _c.FL_NO_MEMORY:
            raise MemoryError()


def merge_rows(int dtype, temperature not None, tops not None, tails not None, shard_tops not None, rests not None, *,
               entropies=None, varentropies=None, whole_entropies=None, whole_varentropies=None, guesses=None, sums=None,
               own=None, beside=None):
    """-log p(top) of rows [R] into `tails`, from shards [R, S]; see fl_merging."""
    cdef _c.fl_merging m
    cdef int64_t rows = tops.shape[0]
    cdef int64_t shards = shard_tops.shape[1]
    cdef _c.fl_scratch *s
    cdef int status
    memset(&m, 0, sizeof(m))
    m.temperature = doubles_per_row(temperature, rows)
    m.shards, m.dtype = shards, dtype
    m.whole.tops = <const double *>elements(tops, cnp.NPY_DOUBLE, rows)
    m.tops = <const double *>elements(shard_tops, cnp.NPY_DOUBLE, rows * shards)
    m.rests = <const double *>elements(rests, cnp.NPY_DOUBLE, rows * shards)
    m.entropies = <const double *>elements(entropies, cnp.NPY_DOUBLE, rows * shards)
    m.varentropies = <const double *>elements(varentropies, cnp.NPY_DOUBLE, rows * shards)
    m.tails = <double *>elements(tails, cnp.NPY_DOUBLE, rows)
    m.whole_entropies = <double *>elements(whole_entropies, cnp.NPY_DOUBLE, rows)
    m.whole_varentropies = <double *>elements(whole_varentropies, cnp.NPY_DOUBLE, rows)
    if guesses is not None:
        fill_whole(&m.whole, guesses, tops, sums, rows, sums.shape[sums.ndim - 1])
        m.own = <const int64_t *>elements(own, cnp.NPY_INT64, rows)
        m.beside = <const double *>elements(beside, cnp.NPY_DOUBLE, rows * 16)
    s = take_scratch()
    with nogil:
        status = _c.fl_merge(kernels, s, &m, 0, rows)
    give_scratch(s)
    if status == _c.FL_NO_MEMORY:
        raise MemoryError()
