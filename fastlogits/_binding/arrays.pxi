# The array functions. `dense`, `argmax` and `top_k` are the short way for plain arguments and answer None for all
# others; `ArrayTask` is the way for every checked argument, block by block.
from libc.math cimport INFINITY, isfinite

cdef enum Dense:
    DENSE_SOFTMAX
    DENSE_LOG_SOFTMAX
    DENSE_LOGSUMEXP
    DENSE_ARGMAX
    DENSE_TOP_K

SOFTMAX, LOG_SOFTMAX, LOGSUMEXP = <int>DENSE_SOFTMAX, <int>DENSE_LOG_SOFTMAX, <int>DENSE_LOGSUMEXP
ARGMAX, TOP_K = <int>DENSE_ARGMAX, <int>DENSE_TOP_K

cdef struct Call:
    int which
    _c.fl_per_row temperature
    int64_t top
    void *values
    int64_t *ids


cdef int dispatch(const Call *c, _c.fl_scratch *s, const _c.fl_rows *x, const _c.fl_rows *out, int64_t begin,
                  int64_t end) noexcept nogil:
    if c.which == DENSE_SOFTMAX:
        return _c.fl_softmax(kernels, s, x, out, c.temperature, begin, end)
    if c.which == DENSE_LOG_SOFTMAX:
        return _c.fl_log_softmax(kernels, s, x, out, c.temperature, begin, end)
    if c.which == DENSE_LOGSUMEXP:
        return _c.fl_logsumexp(kernels, s, x, out, c.temperature, begin, end)
    if c.which == DENSE_ARGMAX:
        return _c.fl_argmax(kernels, s, x, c.ids, begin, end)
    return _c.fl_top_k(kernels, s, x, c.top, c.values, c.ids, begin, end)


cdef int call(const Call *c, const _c.fl_rows *x, const _c.fl_rows *out, int64_t begin, int64_t end,
             Stop stop) except -1:
    """Rows begin .. end - 1 with a scratch of their own."""
    cdef _c.fl_scratch *s = take_stoppable(stop)
    cdef int status
    if (end - begin) * x.n >= NOGIL_MIN:
        with nogil:
            status = dispatch(c, s, x, out, begin, end)
    else:
        status = dispatch(c, s, x, out, begin, end)
    give_scratch(s)
    if status == _c.FL_NO_MEMORY:
        raise MemoryError()
    return 0


cdef class ArrayTask:
    """One checked call of an array function; `run` works on a block of its rows."""

    cdef Rows x
    cdef Rows out
    cdef Call c
    cdef tuple owners

    def __cinit__(self, int which, cnp.ndarray x not None, int axis, temperature=None, cnp.ndarray out=None,
                  cnp.ndarray values=None, ids=None, int64_t top=1):
        cdef int64_t rows
        fill_rows(&self.x, x, axis, code_of(x))
        rows = self.x.rows.rows
        self.owners = (x, temperature, out, values, ids, pins((x, out)))
        self.c.which = which
        self.c.top = top
        if 0 <= which <= <int>DENSE_LOGSUMEXP:
            self.c.temperature = doubles_per_row(temperature, rows)
            if out is None or self.c.temperature.at is NULL:
                raise TypeError("out and temperature are needed here")
            check_writeable(out)
            fill_rows(&self.out, out, axis, code_of(out))
            if self.out.rows.rows != rows or self.out.rows.n != (1 if which == DENSE_LOGSUMEXP else self.x.rows.n):
                raise ValueError("out must have the shape of the result")
            return
        if which == DENSE_TOP_K:
            if values is None or not 1 <= top <= self.x.rows.n:
                raise ValueError(f"top must be in [1, {self.x.rows.n}], with values, got {top}")
            if cnp.PyArray_ITEMSIZE(values) != cnp.PyArray_ITEMSIZE(x):
                raise TypeError("values must have the type of the rows")
            self.c.values = results(values, cnp.PyArray_TYPE(values), rows * top)
        elif which != DENSE_ARGMAX or top != 1:
            raise ValueError(f"which must be one of five functions, got {which}")
        self.c.ids = <int64_t *>results(ids, cnp.NPY_INT64, rows * top)
        if self.c.ids is NULL:
            raise TypeError("ids are needed here")

    def run(self, int64_t begin, int64_t end, Stop stop=None):
        """Rows begin .. end - 1."""
        check_block(begin, end, self.x.rows.rows)
        call(&self.c, &self.x.rows, &self.out.rows, begin, end, stop)


cdef int plain(object x, object axis, object threads) except -2:
    """The fl_dtype of an ndarray whose last axis is wanted and whose rows one thread works on, else -1."""
    cdef int ndim
    if not cnp.PyArray_CheckExact(x) or threads is not None or not PyLong_CheckExact(axis):
        return -1
    ndim = cnp.PyArray_NDIM(x)
    if ndim == 0 or cnp.PyArray_DIM(x, ndim - 1) == 0 or cnp.PyArray_SIZE(x) > MOST_VALUES or not (axis == -1 or axis == ndim - 1):
        return -1
    return -1 if ndim > 1 and default_thread_count != 1 else code_of(x)


cdef bint apart_or_same(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether two contiguous arrays of equal shape are the same memory or share none."""
    cdef char *p = cnp.PyArray_BYTES(a)
    cdef char *q = cnp.PyArray_BYTES(b)
    if p == q:
        return cnp.PyArray_NBYTES(a) == cnp.PyArray_NBYTES(b)
    return p + cnp.PyArray_NBYTES(a) <= q or q + cnp.PyArray_NBYTES(b) <= p


def dense(int which, x, axis, temperature, out, dtype, threads):
    """softmax, log_softmax or logsumexp of plain arguments, else None."""
    cdef int code = plain(x, axis, threads), result = code, ndim
    cdef double t
    cdef Rows rows
    cdef Rows target
    cdef Call c
    if code < 0 or code == _c.FL_BF16 or dtype is not None or type(temperature) is not float \
            or not 0 <= which <= <int>DENSE_LOGSUMEXP:
        return None
    t = temperature
    ndim = cnp.PyArray_NDIM(x)
    if not (t > 0 and isfinite(t)):
        return None
    if which != DENSE_SOFTMAX and code == _c.FL_F16:
        result = _c.FL_F32
    if which == DENSE_LOGSUMEXP:
        out = cnp.PyArray_SimpleNew(ndim - 1, cnp.PyArray_DIMS(x), typenum_of(result))
    elif out is None:
        out = cnp.PyArray_SimpleNew(ndim, cnp.PyArray_DIMS(x), typenum_of(result))
    elif not (cnp.PyArray_CheckExact(out) and cnp.PyArray_ISCARRAY(out) and cnp.PyArray_ISCARRAY_RO(x)
              and code_of(out) == result and cnp.PyArray_SAMESHAPE(x, out) and apart_or_same(x, out)):
        return None
    fill_rows(&rows, x, ndim - 1, code)
    fill_rows(&target, out, ndim - 1, result)
    c.which = which
    c.temperature.at = &t
    c.temperature.step = 0
    held = (pin(x), pin(out)) if cnp.PyArray_SIZE(x) >= NOGIL_MIN else None
    call(&c, &rows.rows, &target.rows, 0, rows.rows.rows, None)
    return out[()] if which == DENSE_LOGSUMEXP and ndim == 1 else out


cdef int typenum_of(int code) noexcept:
    """NumPy's type number of an fl_dtype that NumPy knows."""
    return cnp.NPY_FLOAT if code == _c.FL_F32 else NPY_HALF if code == _c.FL_F16 else cnp.NPY_DOUBLE


def argmax(x, axis, threads):
    """fastlogits.argmax of plain arguments, else None."""
    cdef int code = plain(x, axis, threads), ndim
    cdef int64_t one = 0
    cdef Rows rows
    cdef Call c
    if code < 0:
        return None
    ndim = cnp.PyArray_NDIM(x)
    fill_rows(&rows, x, ndim - 1, code)
    c.which = DENSE_ARGMAX
    held = pin(x) if cnp.PyArray_SIZE(x) >= NOGIL_MIN else None
    if ndim == 1:
        c.ids = &one
        call(&c, &rows.rows, NULL, 0, 1, None)
        return one
    ids = cnp.PyArray_SimpleNew(ndim - 1, cnp.PyArray_DIMS(x), cnp.NPY_INT64)
    c.ids = <int64_t *>cnp.PyArray_DATA(ids)
    call(&c, &rows.rows, NULL, 0, rows.rows.rows, None)
    return ids


def top_k(x, k, axis, threads):
    """Values and indices of fastlogits.top_k of plain arguments, else None."""
    cdef int code = plain(x, axis, threads), ndim, i
    cdef int64_t top
    cdef cnp.npy_intp dims[MAX_AXES]
    cdef Rows rows
    cdef Call c
    if code < 0 or code == _c.FL_BF16 or not PyLong_CheckExact(k):
        return None
    ndim = cnp.PyArray_NDIM(x)
    if not 1 <= k <= cnp.PyArray_DIM(x, ndim - 1):
        return None
    top = k
    for i in range(ndim - 1):
        dims[i] = cnp.PyArray_DIM(x, i)
    dims[ndim - 1] = top
    values = cnp.PyArray_SimpleNew(ndim, dims, typenum_of(code))
    ids = cnp.PyArray_SimpleNew(ndim, dims, cnp.NPY_INT64)
    fill_rows(&rows, x, ndim - 1, code)
    c.which = DENSE_TOP_K
    c.top = top
    held = pin(x) if cnp.PyArray_SIZE(x) >= NOGIL_MIN else None
    c.values = cnp.PyArray_DATA(values)
    c.ids = <int64_t *>cnp.PyArray_DATA(ids)
    call(&c, &rows.rows, NULL, 0, rows.rows.rows, None)
    return values, ids


def read_once(cnp.ndarray x not None):
    """The largest value of a contiguous float32 row by the plain scan alone: the unit of the benchmarks."""
    cdef const float *row = <const float *>elements(x, cnp.NPY_FLOAT, 1)
    cdef int64_t n = cnp.PyArray_SIZE(x)
    return _c.fl_read_once(kernels, row, n)


def uniform(uint64_t seed, uint64_t key, uint64_t position):
    """The u in [0, 1) of (seed, key, position)."""
    return _c.fl_uniform(seed, key, position, 0, 0)
