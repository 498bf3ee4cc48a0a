# torch's CPU tensors in and out by the C functions of DLPack 1.2's exchange table, which every tensor type carries:
# a tenth of the time of `Tensor.numpy` and `torch.from_numpy`. None where a type has no such table.
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

cdef struct DLManagedTensorVersioned:
    uint32_t major
    uint32_t minor
    void *context
    void (*deleter)(DLManagedTensorVersioned *managed) noexcept nogil
    uint64_t flags
    DLTensor tensor

cdef struct Exchange:
    uint32_t major
    uint32_t minor
    void *previous
    void *allocate
    void *take
    int (*give)(DLManagedTensorVersioned *managed, PyObject **to) except -1
    int (*view)(void *object, DLTensor *to) except -1

cdef enum:
    DL_CPU = 1
    DL_INT = 0
    DL_FLOAT = 2

cdef extern from "numpy/arrayobject.h":
    object PyArray_NewFromDescr(type subtype, cnp.dtype descr, int nd, cnp.npy_intp *dims, cnp.npy_intp *strides,
                                void *data, int flags, PyObject *obj)


cdef const Exchange *exchange_of(kind) except? NULL:
    """The table of a tensor type; NULL if it has none of version 1."""
    cdef const Exchange *table
    capsule = getattr(kind, "__dlpack_c_exchange_api__", None)
    if not PyCapsule_IsValid(capsule, "dlpack_exchange_api"):
        return NULL
    table = <const Exchange *>PyCapsule_GetPointer(capsule, "dlpack_exchange_api")
    return table if table.major == 1 else NULL


cdef enum:
    INT64 = -1  # beside the numbers of fl_dtype


cdef int element_of(DLDataType t) noexcept:
    """The fl_dtype of an element type, INT64, or -2 for any other."""
    if t.lanes != 1:
        return -2
    if t.code == DL_FLOAT:
        return _c.FL_F32 if t.bits == 32 else _c.FL_F64 if t.bits == 64 else _c.FL_F16 if t.bits == 16 else -2
    if t.code == DL_BFLOAT:
        return _c.FL_BF16 if t.bits == 16 else -2
    return INT64 if t.code == DL_INT and t.bits == 64 else -2


cdef int64_t size_of(int element) noexcept:
    """Bytes of an element."""
    return 8 if element == INT64 or element == _c.FL_F64 else 4 if element == _c.FL_F32 else 2


cdef const Exchange *viewed(object tensor, DLTensor *t) except? NULL:
    """Lays out a plain CPU tensor of floats or int64 and gives its table; NULL for any other."""
    cdef const Exchange *table = exchange_of(type(tensor))
    if table is NULL or table.view is NULL or tensor.requires_grad or tensor.is_neg():
        return NULL
    try:
        table.view(<void *>tensor, t)
    except Exception:
        return NULL
    return table if t.device.device_type == DL_CPU and t.ndim <= MAX_AXES and element_of(t.dtype) != -2 else NULL


cdef object array_over(const DLTensor *t, object owner):
    """An array over a tensor of `viewed`, which `owner` keeps; None where it has elements and no memory."""
    cdef cnp.npy_intp dims[MAX_AXES]
    cdef cnp.npy_intp strides[MAX_AXES]
    cdef int element = element_of(t.dtype)
    cdef cnp.dtype descr
    cdef int64_t size = 1
    cdef int i
    for i in range(t.ndim):
        dims[i] = t.shape[i]
        strides[i] = t.strides[i] * size_of(element)
        size *= dims[i]
    if t.data is NULL and size:
        return None
    if element == _c.FL_BF16:
        descr = BFLOAT16_BITS
    else:
        descr = cnp.PyArray_DescrFromType(cnp.NPY_INT64 if element == INT64 else typenum_of(element))
    Py_INCREF(descr)  # the call keeps one
    # Without a pointer NumPy allocates: an empty array.
    array = PyArray_NewFromDescr(cnp.ndarray, descr, t.ndim, dims, strides,
                                 NULL if t.data is NULL else <char *>t.data + t.byte_offset,
                                 cnp.NPY_ARRAY_WRITEABLE, NULL)
    if t.data is not NULL:
        cnp.set_array_base(array, owner)
    return array


def tensor_array(tensor not None):
    """The memory of a plain CPU tensor of floats or int64 as an array, bfloat16 as BFLOAT16_BITS.

    None for any other: of another device, layout or type, that requires a gradient, is a negated view or has no memory.
    """
    cdef DLTensor t
    return None if viewed(tensor, &t) is NULL else array_over(&t, tensor)


cdef struct Owned:
    # One block of memory: this, then the elements from the next address that is a multiple of 64.
    DLManagedTensorVersioned managed
    int64_t shape[MAX_AXES]
    int64_t strides[MAX_AXES]


cdef void release(DLManagedTensorVersioned *managed) noexcept nogil:
    """The tensor is gone; it may have gone in any thread, without the GIL."""
    free(managed)


cdef Owned *owned(const int64_t *shape, int ndim, int element) except NULL:
    """A contiguous tensor that has no owner yet."""
    cdef Owned *block = NULL
    cdef DLTensor *t
    cdef int64_t size = size_of(element), count = 1, step = 1
    cdef int i
    for i in range(ndim):
        if shape[i] and count > (<int64_t>1 << 60) // size // shape[i]:
            count = -1
            break
        count *= shape[i]
    if count >= 0:
        block = <Owned *>malloc(sizeof(Owned) + 63 + count * size)
    if block is NULL:
        raise MemoryError(f"no memory for a tensor of shape {[shape[i] for i in range(ndim)]}")
    memset(&block.managed, 0, sizeof(block.managed))
    block.managed.major = 1
    block.managed.deleter = release
    t = &block.managed.tensor
    t.data = <void *>((<uintptr_t>(block + 1) + 63) & ~<uintptr_t>63)
    t.device.device_type = DL_CPU
    t.dtype.code = DL_INT if element == INT64 else DL_BFLOAT if element == _c.FL_BF16 else DL_FLOAT
    t.dtype.bits = 8 * size
    t.dtype.lanes = 1
    t.ndim, t.shape, t.strides = ndim, block.shape, block.strides
    for i in range(ndim - 1, -1, -1):
        block.shape[i] = shape[i]
        block.strides[i] = step
        step *= shape[i] if shape[i] > 1 else 1
    return block


cdef _c.fl_scratch *scratch_beside(Owned *block) except NULL:
    """A scratch; without one the block is freed."""
    try:
        return take_scratch()
    except MemoryError:
        free(block)
        raise


cdef object given_away(const Exchange *table, Owned *block):
    """The tensor that owns a block from now on."""
    cdef PyObject *made = NULL
    table.give(&block.managed, &made)
    tensor = <object>made
    Py_DECREF(tensor)  # `made` was a reference of its own
    return tensor


def new_tensor(kind not None, shape, int code):
    """A new contiguous CPU tensor and the array over its memory; ``code`` an fl_dtype, -1 for int64.

    None where the type has no table.
    """
    cdef const Exchange *table = exchange_of(kind)
    cdef Owned *block
    cdef int64_t dims[MAX_AXES]
    cdef int i, ndim = len(shape)
    if table is NULL or ndim > MAX_AXES:
        return None
    if code != INT64 and not _c.FL_F32 <= code <= _c.FL_F64:
        raise ValueError(f"code must be -1 or that of a float type, got {code}")
    for i in range(ndim):
        dims[i] = shape[i]
        if dims[i] < 0:
            raise ValueError(f"shape must hold sizes >= 0, got {dims[i]}")
    block = owned(dims, ndim, code)
    tensor = given_away(table, block)
    return tensor, array_over(&block.managed.tensor, tensor)


cdef void fill_tensor_rows(Rows *r, const DLTensor *t, int axis) noexcept:
    """`fill_rows` of a tensor."""
    cdef int element = element_of(t.dtype)
    cdef int64_t size = size_of(element)
    cdef int i, j = 0
    r.rows.base = <char *>t.data + t.byte_offset
    r.rows.shape = r.shape
    r.rows.strides = r.strides
    r.rows.rows = 1
    r.rows.n = 1
    r.rows.stride = 0
    r.rows.dtype = element
    for i in range(t.ndim):
        if i == axis:
            r.rows.n = t.shape[i]
            r.rows.stride = t.strides[i] * size
        else:
            r.shape[j] = t.shape[i]
            r.strides[j] = t.strides[i] * size
            r.rows.rows *= t.shape[i]
            j += 1
    r.rows.ndim = j


def tensor_call(int which, tensor not None, axis, int64_t top=1):
    """An array function of a plain tensor along an axis, in a new tensor, of TOP_K in two; else None.

    Results have the tensor's type; TOP_K takes the last axis alone.
    """
    cdef DLTensor t
    cdef const Exchange *table
    cdef Owned *block
    cdef Owned *second = NULL
    cdef int64_t dims[MAX_AXES]
    cdef int i, at, ndim, element
    cdef double one = 1.0
    cdef Rows rows
    cdef Rows target
    cdef Call c
    if not PyLong_CheckExact(axis) or not 0 <= which <= <int>DENSE_TOP_K:
        return None
    table = viewed(tensor, &t)
    if table is NULL or t.ndim == 0 or t.data is NULL or not -t.ndim <= axis < t.ndim:
        return None
    ndim, at, element = t.ndim, axis % t.ndim, element_of(t.dtype)
    fill_tensor_rows(&rows, &t, at)
    if element == INT64 or rows.rows.n == 0 or rows.rows.rows * rows.rows.n > MOST_VALUES or rows.rows.rows == 0 \
            or (rows.rows.rows > 1 and default_thread_count != 1):
        return None
    for i in range(ndim):
        dims[i] = t.shape[i]
    if which == DENSE_TOP_K:
        if at != ndim - 1 or not 1 <= top <= rows.rows.n:
            return None
        dims[at] = top
        second = owned(dims, ndim, INT64)
    elif which == DENSE_LOGSUMEXP or which == DENSE_ARGMAX:
        ndim -= 1
        for i in range(at, ndim):
            dims[i] = dims[i + 1]
    try:
        block = owned(dims, ndim, INT64 if which == DENSE_ARGMAX else element)
    except MemoryError:
        free(second)
        raise
    c.which, c.top = which, top
    c.temperature.at, c.temperature.step = &one, 0
    c.values = block.managed.tensor.data
    c.ids = <int64_t *>(block if second is NULL else second).managed.tensor.data
    fill_tensor_rows(&target, &block.managed.tensor, ndim if which == DENSE_LOGSUMEXP else at)
    try:
        call(&c, &rows.rows, &target.rows, 0, rows.rows.rows, None)
    except MemoryError:
        free(block)
        free(second)
        raise
    if second is NULL:
        return given_away(table, block)
    return given_away(table, block), given_away(table, second)


def tensor_logprobs(logits not None, index not None):
    """Log-probs of one token per row: float64 for float64 logits, else float32, in a new tensor of index's shape.

    None where a tensor is not plain, shapes do not match, an id lies outside the row or a row is a bad one.
    """
    cdef DLTensor t
    cdef DLTensor ids
    cdef const Exchange *table = viewed(logits, &t)
    cdef Owned *block
    cdef Rows rows
    cdef _c.fl_scores o
    cdef _c.fl_scratch *s
    cdef double one = 1.0
    cdef int64_t r, step = 1, bad = 0
    cdef int i, status
    if table is NULL or viewed(index, &ids) is NULL or ids.ndim != t.ndim - 1 or t.data is NULL or ids.data is NULL \
            or element_of(ids.dtype) != INT64 or element_of(t.dtype) == INT64:
        return None
    for i in range(ids.ndim - 1, -1, -1):
        if ids.shape[i] != t.shape[i] or (ids.shape[i] > 1 and ids.strides[i] != step):
            return None
        step *= ids.shape[i]
    fill_tensor_rows(&rows, &t, t.ndim - 1)
    if rows.rows.rows == 0 or rows.rows.rows * rows.rows.n > MOST_VALUES or (rows.rows.rows > 1 and default_thread_count != 1):
        return None
    memset(&o, 0, sizeof(o))
    o.targets = <const int64_t *>(<char *>ids.data + ids.byte_offset)
    for r in range(rows.rows.rows):
        if not 0 <= o.targets[r] < rows.rows.n:
            return None
    block = owned(ids.shape, ids.ndim, _c.FL_F64)
    o.logprobs = <double *>block.managed.tensor.data
    o.status = <int32_t *>PyMem_Calloc(rows.rows.rows, sizeof(int32_t))
    if o.status is NULL:
        free(block)
        raise MemoryError()
    o.temperature.at = &one
    try:
        s = scratch_beside(block)
    except MemoryError:
        PyMem_Free(o.status)
        raise
    if rows.rows.rows * rows.rows.n >= NOGIL_MIN:
        with nogil:
            status = _c.fl_score(kernels, s, &rows.rows, &o, 0, rows.rows.rows)
    else:
        status = _c.fl_score(kernels, s, &rows.rows, &o, 0, rows.rows.rows)
    give_scratch(s)
    for r in range(rows.rows.rows):
        bad |= o.status[r]
    PyMem_Free(o.status)
    if bad or status == _c.FL_NO_MEMORY:
        free(block)
        return None
    if rows.rows.dtype != _c.FL_F64:
        narrow_in_place(block, rows.rows.rows)
    return given_away(table, block)


cdef void narrow_in_place(Owned *block, int64_t count) noexcept:
    """A block of doubles becomes one of floats, rounded as `single` does."""
    cdef char *data = <char *>block.managed.tensor.data
    cdef uint64_t saved = _c.fl_env_enter()
    cdef double value
    cdef float rounded
    cdef int64_t i
    for i in range(count):  # a float never lies behind the doubles that are still to be read
        memcpy(&value, data + 8 * i, 8)
        rounded = <float>(-FLT_MAX if -DBL_MAX <= value < -FLT_MAX else value)
        memcpy(data + 4 * i, &rounded, 4)
    _c.fl_env_leave(saved)
    block.managed.tensor.dtype.bits = 32
