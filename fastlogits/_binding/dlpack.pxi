# bfloat16 by DLPack, which NumPy's own reader refuses. The structs are DLPack's ABI before version 1.0.
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_SetName
from cpython.ref cimport Py_INCREF

cdef struct DLDevice:
    int32_t device_type
    int32_t device_id

cdef struct DLDataType:
    uint8_t code
    uint8_t bits
    uint16_t lanes

cdef struct DLTensor:
    void *data
    DLDevice device
    int32_t ndim
    DLDataType dtype
    int64_t *shape
    int64_t *strides  # in elements; NULL means C order
    uint64_t byte_offset

cdef struct DLManagedTensor:
    DLTensor tensor
    void *context
    void (*deleter)(DLManagedTensor *managed) noexcept

cdef enum:
    DL_BFLOAT = 4


cdef class _Imported:
    """Owner of a tensor taken out of its capsule: the base of the array made from it."""

    cdef DLManagedTensor *managed

    def __dealloc__(self):
        if self.managed is not NULL and self.managed.deleter is not NULL:
            self.managed.deleter(self.managed)


def dlpack_bfloat16(capsule):
    """A read-only array of BFLOAT16_BITS over the tensor in a DLPack capsule; None if it holds another type."""
    cdef DLManagedTensor *managed
    cdef DLTensor *t
    cdef cnp.npy_intp dims[MAX_AXES]
    cdef cnp.npy_intp strides[MAX_AXES]
    cdef cnp.npy_intp step = 2
    cdef int i
    if not PyCapsule_IsValid(capsule, "dltensor"):
        return None
    managed = <DLManagedTensor *>PyCapsule_GetPointer(capsule, "dltensor")
    t = &managed.tensor
    if t.dtype.code != DL_BFLOAT or t.dtype.bits != 16 or t.dtype.lanes != 1 or t.ndim > MAX_AXES:
        return None
    for i in range(t.ndim - 1, -1, -1):
        dims[i] = t.shape[i]
        strides[i] = step if t.strides is NULL else t.strides[i] * 2
        step *= dims[i]
    owner = _Imported()
    array = cnp.PyArray_New(cnp.ndarray, t.ndim, dims, cnp.NPY_UINT16, strides,
                            <char *>t.data + t.byte_offset, 0, 0, <object>NULL)
    PyCapsule_SetName(capsule, "used_dltensor")
    owner.managed = managed
    cnp.set_array_base(array, owner)
    return array.view(BFLOAT16_BITS)
