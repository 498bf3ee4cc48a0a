# Two rows beside each other: behind kl_divergence and its neighbours.

cdef class ComparisonTask:
    """One checked call on rows of equal shape, measures into the arrays given; `run` works on a block of the rows."""

    cdef Rows a
    cdef Rows b
    cdef _c.fl_comparison c
    cdef readonly object status_a, status_b
    cdef tuple owners  # of all memory, that of the status arrays too

    def __cinit__(self, cnp.ndarray a not None, cnp.ndarray b not None, temperature not None, double beta, *, kl=None,
                  reverse_kl=None, js=None, total_variation=None, cross_entropy=None):
        cdef int64_t rows
        if not cnp.PyArray_SAMESHAPE(a, b):
            raise ValueError("rows of one shape are needed here")
        fill_rows(&self.a, a, last_axis(a), code_of(a))
        fill_rows(&self.b, b, last_axis(b), code_of(b))
        rows = self.a.rows.rows
        self.status_a, self.status_b = np.zeros(rows, np.int32), np.zeros(rows, np.int32)
        self.owners = (a, b, temperature, kl, reverse_kl, js, total_variation, cross_entropy, self.status_a,
                       self.status_b, pins((a, b)))
        self.c.temperature = doubles_per_row(temperature, rows)
        self.c.beta = beta
        self.c.status_a = <int32_t *>elements(self.status_a, cnp.NPY_INT32, rows)
        self.c.status_b = <int32_t *>elements(self.status_b, cnp.NPY_INT32, rows)
        self.c.measures[<int>_c.FL_KL] = <double *>results(kl, cnp.NPY_DOUBLE, rows)
        self.c.measures[<int>_c.FL_REVERSE_KL] = <double *>results(reverse_kl, cnp.NPY_DOUBLE, rows)
        self.c.measures[<int>_c.FL_JS] = <double *>results(js, cnp.NPY_DOUBLE, rows)
        self.c.measures[<int>_c.FL_TOTAL_VARIATION] = <double *>results(total_variation, cnp.NPY_DOUBLE, rows)
        self.c.measures[<int>_c.FL_CROSS_ENTROPY] = <double *>results(cross_entropy, cnp.NPY_DOUBLE, rows)

    def run(self, int64_t begin, int64_t end, Stop stop=None):
        """Rows begin .. end - 1."""
        check_block(begin, end, self.a.rows.rows)
        cdef _c.fl_scratch *s[2]
        cdef int status
        s[0] = take_stoppable(stop)
        try:
            s[1] = take_stoppable(stop)
        except MemoryError:
            give_scratch(s[0])
            raise
        if (end - begin) * self.a.rows.n >= NOGIL_MIN or stop is not None:
            with nogil:
                status = _c.fl_compare(kernels, s, &self.a.rows, &self.b.rows, &self.c, begin, end)
        else:
            status = _c.fl_compare(kernels, s, &self.a.rows, &self.b.rows, &self.c, begin, end)
        give_scratch(s[0])
        give_scratch(s[1])
        if status == _c.FL_NO_MEMORY:
            raise MemoryError()
