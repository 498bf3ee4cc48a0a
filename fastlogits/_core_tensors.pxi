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


cdef cnp.dtype descr_of(DLDataType t):
    """NumPy's name for an element type: floats and int64; None for others."""
    if t.lanes != 1:
        return None
    if t.code == DL_FLOAT:
        if t.bits == 32:
            return cnp.PyArray_DescrFromType(cnp.NPY_FLOAT)
        if t.bits == 64:
            return cnp.PyArray_DescrFromType(cnp.NPY_DOUBLE)
        return cnp.PyArray_DescrFromType(NPY_HALF) if t.bits == 16 else None
    if t.code == DL_BFLOAT:
        return BFLOAT16_BITS if t.bits == 16 else None
    return cnp.PyArray_DescrFromType(cnp.NPY_INT64) if t.code == DL_INT and t.bits == 64 else None


cdef object array_over(const DLTensor *t, object owner):
    """An array over a tensor's CPU memory, which `owner` keeps; None where no array can be."""
    cdef cnp.npy_intp dims[MAX_AXES]
    cdef cnp.npy_intp strides[MAX_AXES]
    cdef cnp.dtype descr = descr_of(t.dtype)
    cdef int64_t size = 1, step = t.dtype.bits // 8
    cdef int i
    if descr is None or t.device.device_type != DL_CPU or t.ndim > MAX_AXES:
        return None
    for i in range(t.ndim):
        dims[i] = t.shape[i]
        strides[i] = t.strides[i] * step
        size *= dims[i]
    if t.data is NULL and size:
        return None
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
    cdef const Exchange *table = exchange_of(type(tensor))
    cdef DLTensor t
    if table is NULL or table.view is NULL or tensor.requires_grad or tensor.is_neg():
        return None
    try:
        table.view(<void *>tensor, &t)
    except Exception:
        return None
    return array_over(&t, tensor)


cdef struct Owned:
    # One block of memory: this, then the elements from the next address that is a multiple of 64.
    DLManagedTensorVersioned managed
    int64_t shape[MAX_AXES]
    int64_t strides[MAX_AXES]


cdef void release(DLManagedTensorVersioned *managed) noexcept nogil:
    """The tensor is gone; it may have gone in any thread, without the GIL."""
    free(managed)


def new_tensor(kind not None, shape, int code):
    """A new contiguous CPU tensor and the array over its memory; ``code`` an fl_dtype, -1 for int64.

    None where the type has no table.
    """
    cdef const Exchange *table = exchange_of(kind)
    cdef Owned *block
    cdef DLTensor *t
    cdef int64_t size = 8 if code < 0 or code == _c.FL_F64 else 4 if code == _c.FL_F32 else 2
    cdef int64_t n, step = 1
    cdef PyObject *made = NULL
    cdef int i, ndim = len(shape)
    if table is NULL or ndim > MAX_AXES:
        return None
    for i in range(ndim):
        n = shape[i]
        if n and step > (<int64_t>1 << 60) // size // n:
            raise MemoryError(f"no memory for a tensor of shape {tuple(shape)}")
        step *= n
    block = <Owned *>malloc(sizeof(Owned) + 63 + step * size)
    if block is NULL:
        raise MemoryError(f"no memory for a tensor of shape {tuple(shape)}")
    memset(&block.managed, 0, sizeof(block.managed))
    block.managed.major = 1
    block.managed.deleter = release
    t = &block.managed.tensor
    t.data = <void *>((<uintptr_t>(block + 1) + 63) & ~<uintptr_t>63)
    t.device.device_type = DL_CPU
    t.dtype.code = DL_INT if code < 0 else DL_BFLOAT if code == _c.FL_BF16 else DL_FLOAT
    t.dtype.bits = 8 * size
    t.dtype.lanes = 1
    t.ndim, t.shape, t.strides = ndim, block.shape, block.strides
    step = 1
    for i in range(ndim - 1, -1, -1):
        block.shape[i] = shape[i]
        block.strides[i] = step
        step *= block.shape[i] if block.shape[i] > 1 else 1
    table.give(&block.managed, &made)
    tensor = <object>made
    Py_DECREF(tensor)  # `made` was a reference of its own
    return tensor, array_over(t, tensor)
