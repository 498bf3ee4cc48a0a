# Exact sums of doubles.


def exact_sum(cnp.ndarray values not None):
    """The sum of the finite float64 values in units of 2^-1074, and the sum of the others (0.0 if there are none)."""
    cdef const double *v = <const double *>elements(values, cnp.NPY_DOUBLE, 0)
    cdef int64_t n = cnp.PyArray_SIZE(values)
    cdef int64_t limbs[_c.FL_EXACT_LIMBS]
    cdef double others
    cdef int i
    memset(limbs, 0, sizeof(limbs))
    if n >= NOGIL_MIN:
        held = pin(values)
        with nogil:
            others = _c.fl_exact_add(v, n, limbs)
    else:
        others = _c.fl_exact_add(v, n, limbs)
    units = 0
    for i in reversed(range(<int>_c.FL_EXACT_LIMBS)):
        units = (units << 32) + limbs[i]
    return units, others
