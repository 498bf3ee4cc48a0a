# Arrays of known element type as pointers.

cdef int64_t product(int64_t a, int64_t b) except -1:
    """a b of numbers >= 0."""
    if a < 0 or b < 0 or (b and a > (<int64_t>1 << 60) // b):
        raise ValueError(f"sizes must be at least 0, and their product below 2^60, got {a} and {b}")
    return a * b


cdef void *elements(object array, int typenum, int64_t size) except? NULL:
    """The elements of a contiguous array of that type and at least that size; NULL for None."""
    cdef cnp.ndarray a
    if array is None:
        return NULL
    a = array
    if not (cnp.PyArray_EquivTypenums(cnp.PyArray_TYPE(a), typenum) and cnp.PyArray_ISCARRAY_RO(a)):
        raise TypeError(f"a contiguous array of another type is needed here, got {a.dtype}")
    if cnp.PyArray_SIZE(a) < size:
        raise ValueError(f"an array of {size} elements is needed here, got {cnp.PyArray_SIZE(a)}")
    return cnp.PyArray_DATA(a)


cdef void *results(object array, int typenum, int64_t size) except? NULL:
    """The same of an array to be written."""
    if array is not None:
        check_writeable(array)
    return elements(array, typenum, size)


cdef int64_t columns_of(cnp.ndarray array) except -1:
    """The second axis of an array of two."""
    if cnp.PyArray_NDIM(array) != 2:
        raise ValueError(f"an array of two axes is needed here, got {cnp.PyArray_NDIM(array)}")
    return cnp.PyArray_DIM(array, 1)


cdef int64_t size_of_array(cnp.ndarray array) except -1:
    """Its elements; a TypeError for anything that is no array."""
    if array is None:
        raise TypeError("an array is needed here, got None")
    return cnp.PyArray_SIZE(array)


cdef _c.fl_per_row doubles_per_row(object array, int64_t rows) except *:
    """float64, one value for all rows or one per row."""
    cdef _c.fl_per_row value
    value.step = 0 if array is None or size_of_array(array) == 1 else 1
    value.at = <const double *>elements(array, cnp.NPY_DOUBLE, rows if value.step else 0)
    return value


cdef _c.fl_per_row_i integers_per_row(object array, int64_t rows) except *:
    """int64, one value for all rows or one per row."""
    cdef _c.fl_per_row_i value
    value.step = 0 if array is None or size_of_array(array) == 1 else 1
    value.at = <const int64_t *>elements(array, cnp.NPY_INT64, rows if value.step else 0)
    return value


cdef extern from "Python.h":
    object PyWeakref_NewRef(object target, PyObject *callback)


cdef object pin(object array):
    """A weak reference to the ndarray that owns the memory of `array`: while there is one, NumPy resizes it in no way."""
    cdef PyObject *base
    while cnp.PyArray_Check(array):
        base = cnp.PyArray_BASE(<cnp.ndarray>array)
        if base is NULL:
            return PyWeakref_NewRef(array, NULL)
        array = <object>base
    return None


cdef list pins(tuple arrays):
    """The same of a caller's arrays, or None, which other threads may see while a task works on them."""
    return [pin(each) for each in arrays if each is not None]
