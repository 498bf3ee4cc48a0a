# Rows read once for their targets: behind token_logprobs.

cdef class ScoresTask:
    """One checked call: rows along the last axis, results into the arrays given; `run` works on a block of them."""

    cdef Rows x
    cdef _c.fl_scores o
    cdef tuple owners

    def __init__(self, cnp.ndarray x not None, temperature not None, targets not None, *, logprobs not None,
                 status not None, given=None, given_logprobs=None, ranks=None, top_ids=None, top_logprobs=None,
                 best=None, entropies=None, varentropies=None, logsumexps=None, margins=None):
        cdef int64_t rows, count = 0, top_n = 0
        cdef bint per_row = given is not None and given.ndim > 1
        fill_rows(&self.x, x, cnp.PyArray_NDIM(x) - 1, code_of(x))
        rows = self.x.rows.rows
        if given is not None:
            count = given.shape[given.ndim - 1]
        if top_ids is not None:
            top_n = top_ids.shape[1]
        self.owners = (x, temperature, targets, given, logprobs, status, given_logprobs, ranks, top_ids, top_logprobs,
                       best, entropies, varentropies, logsumexps, margins)
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
