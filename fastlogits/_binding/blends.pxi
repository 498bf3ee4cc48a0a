# Rows combined with rows beside them, as arrays.


cdef class BlendTask:
    """One checked call of a step that combines rows, on whole rows along `axis`; `run` works on a block of them.

    The arrays have one shape and type, which `out` has too; it is one of them or shares no memory with them.
    """

    cdef _c.fl_step step
    cdef Rows rows[1 + _c.FL_MOST_BESIDE]
    cdef Rows out
    cdef tuple owners

    def __cinit__(self, step, tuple arrays not None, cnp.ndarray out not None, int axis):
        cdef int i
        cdef int64_t rows = NO_ROWS
        self.owners = (fill_step(&self.step, step, &rows), arrays, out, pins((*arrays, out)))
        if companions(&self.step) == 0 or len(arrays) != 1 + companions(&self.step):
            raise ValueError(f"{step.name} of {len(arrays)} arrays: the step must combine so many")
        for i in range(len(arrays)):
            fill_like(&self.rows[i], arrays[i], out, axis, False)
        fill_like(&self.out, out, out, axis, True)
        check_spread(rows, self.out.rows.rows)

    def run(self, int64_t begin, int64_t end, Stop stop=None):
        """Rows begin .. end - 1."""
        check_block(begin, end, self.out.rows.rows)
        cdef const _c.fl_rows *beside[_c.FL_MOST_BESIDE]
        cdef _c.fl_scratch *scratch = take_stoppable(stop)
        cdef int i, status
        for i in range(_c.FL_MOST_BESIDE):
            beside[i] = &self.rows[1 + i].rows if self.rows[1 + i].rows.base is not NULL else NULL
        with nogil:
            status = _c.fl_combine(kernels, scratch, &self.step, &self.rows[0].rows, beside, &self.out.rows, begin, end)
        give_scratch(scratch)
        if status == _c.FL_NO_MEMORY:
            raise MemoryError()
