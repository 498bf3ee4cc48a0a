# Rows at several inverse temperatures: the one read behind fit_temperature and the figures of calibration.

TEMPERATURES, MIDDLE = <int>_c.FL_TEMPERATURES, <int>_c.FL_MIDDLE

cdef class TemperaturesTask:
    """One checked call: rows along the last axis at (power + k) * step; `run` works on a block of them."""

    cdef Rows x
    cdef _c.fl_tempered t
    cdef readonly object tops, ids, tails, means, status, targets_at
    cdef tuple owners

    def __cinit__(self, cnp.ndarray x not None, double step, int power, int count, targets=None):
        cdef int64_t rows
        fill_rows(&self.x, x, last_axis(x), code_of(x))
        rows = self.x.rows.rows
        if not (0 < step < INFINITY):
            raise ValueError(f"step must be finite and > 0, got {step}")
        if power != 1 and power != 4:
            raise ValueError(f"power must be 1 or 4, got {power}")
        if not 1 <= count <= <int>_c.FL_TEMPERATURES:
            raise ValueError(f"count must be in [1, {TEMPERATURES}], got {count}")
        self.tops, self.ids = np.empty(rows), np.empty(rows, np.int64)
        self.tails, self.means = np.empty((rows, count)), np.empty(rows)
        self.status = np.zeros(rows, np.int32)
        self.targets_at = None if targets is None else np.empty(rows)
        self.owners = (x, targets, self.tops, self.ids, self.tails, self.means, self.status, self.targets_at,
                       pins((x,)))
        self.t.step, self.t.power, self.t.count = step, power, count
        self.t.targets = <const int64_t *>elements(targets, cnp.NPY_INT64, rows)
        self.t.targets_at = <double *>elements(self.targets_at, cnp.NPY_DOUBLE, rows)
        self.t.tops = <double *>elements(self.tops, cnp.NPY_DOUBLE, rows)
        self.t.ids = <int64_t *>elements(self.ids, cnp.NPY_INT64, rows)
        self.t.tails = <double *>elements(self.tails, cnp.NPY_DOUBLE, rows * count)
        self.t.means = <double *>elements(self.means, cnp.NPY_DOUBLE, rows)
        self.t.status = <int32_t *>elements(self.status, cnp.NPY_INT32, rows)

    def run(self, int64_t begin, int64_t end, Stop stop=None):
        """Rows begin .. end - 1."""
        check_block(begin, end, self.x.rows.rows)
        cdef _c.fl_scratch *s = take_stoppable(stop)
        cdef int status
        if (end - begin) * self.x.rows.n >= NOGIL_MIN or stop is not None:
            with nogil:
                status = _c.fl_temperatures(kernels, s, &self.x.rows, &self.t, begin, end)
        else:
            status = _c.fl_temperatures(kernels, s, &self.x.rows, &self.t, begin, end)
        give_scratch(s)
        if status == _c.FL_NO_MEMORY:
            raise MemoryError()
