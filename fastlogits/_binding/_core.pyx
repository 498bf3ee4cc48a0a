# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The border between Python and C, and the only one: arrays become rows, steps a plan, a status an exception.

The modules that call it check arguments and name them in errors. What is checked again below keeps pointers within their
arrays, whoever calls: a class of this module is filled by ``__cinit__``, which nothing can leave out, and no Python code
runs between a check and what relies on it. The GIL is released around work on ``NOGIL_MIN`` values or more.
"""

import os

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.long cimport PyLong_AsLongLong, PyLong_AsUnsignedLongLong, PyLong_CheckExact
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport PyObject
from libc.float cimport DBL_MAX, FLT_MAX
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastlogits._binding cimport _c

cnp.import_array()

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #include <intrin.h>
    #define FL_SWAP(slot, value) _InterlockedExchangePointer((void *volatile *)(slot), (value))
    #define FL_FILL(slot, value) (_InterlockedCompareExchangePointer((void *volatile *)(slot), (value), NULL) == NULL)
    #else
    #define FL_SWAP(slot, value) __atomic_exchange_n((slot), (value), __ATOMIC_ACQ_REL)
    static inline int FL_FILL(void **slot, void *value) {
        void *empty = NULL;
        return __atomic_compare_exchange_n(slot, &empty, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    }
    #endif

    static const struct { int id; const char *name, *kind; } fl_step_list[] = {
    #define FL_STEP(id, name, kind, needs, off) {id, #name, #kind},
    #include "steps/steps.def"
    #undef FL_STEP
    };
    """
    void *FL_SWAP(void **slot, void *value) noexcept nogil
    bint FL_FILL(void **slot, void *value) noexcept nogil

    struct StepLine "":
        int id
        const char *name
        const char *kind

    const StepLine *fl_step_list


cdef extern from "numpy/ndarraytypes.h":
    enum: NPY_HALF, NPY_USERDEF

F32, F16, BF16, F64 = _c.FL_F32, _c.FL_F16, _c.FL_BF16, _c.FL_F64
DTYPE_NAMES = {F32: "float32", F16: "float16", BF16: "bfloat16", F64: "float64"}
TIES_KEEP, JOINT, PROMPT = _c.FL_TIES_KEEP, _c.FL_JOINT, _c.FL_PROMPT
RAW, STRICT, OUTPUT_ONLY = _c.FL_RAW, _c.FL_STRICT, _c.FL_OUTPUT_ONLY
MEMORY = _c.FL_MEMORY
STEP_KINDS = {fl_step_list[i].name.decode(): fl_step_list[i].kind.decode() for i in range(<int>_c.FL_OP_END)}
STEP_IDS = {fl_step_list[i].name.decode(): fl_step_list[i].id for i in range(<int>_c.FL_OP_END)}

# A record that carries the bits of bfloat16 through NumPy, which has no such type of its own.
BFLOAT16_BITS = np.dtype([("bfloat16", np.uint16)])

cdef enum:
    NOGIL_MIN = 4096
    MOST_VALUES = 1 << 21 # values that a call may work on before it answers a signal
    MAX_AXES = 64   # NPY_MAXDIMS of NumPy 2
    SLOTS = 64      # idle scratches kept
    MAX_STEPS = 64  # FL_MAX_STEPS
    MOST_TOKENS = 0x7fffffff  # values of a row: ids are int32 in the lists


# ---- instruction sets -------------------------------------------------------------------------------------------

cdef const _c.fl_kernels *kernels = NULL
cdef int isa_index = -1


def known_isas():
    """Names of all instruction sets, best first."""
    return tuple(_c.fl_isa_name(i).decode() for i in range(_c.fl_isa_count()))


def compiled_isas():
    """Names of the instruction sets that this build holds, best first."""
    return tuple(name for i, name in enumerate(known_isas()) if _c.fl_isa_compiled(i))


def isas():
    """Names of the instruction sets that this build holds and this machine offers, best first."""
    return tuple(name for i, name in enumerate(known_isas()) if _c.fl_isa_kernels(i) is not NULL)


def isa():
    """Name of the instruction set in use."""
    return _c.fl_isa_name(isa_index).decode()


def set_isa(name):
    """Use instruction set ``name`` in all calls from now on; a name not in `isas` is a ValueError."""
    global kernels, isa_index
    if name not in isas():
        reason = "is not supported on this machine" if name in known_isas() else "is unknown"
        raise ValueError(f"instruction set {name!r} {reason}; choices: {', '.join(isas())}")
    isa_index = known_isas().index(name)
    kernels = _c.fl_isa_kernels(isa_index)


cdef int default_thread_count = 1


def default_threads():
    """What ``threads=None`` means: FASTLOGITS_THREADS, else 1; 0 stands for all cores."""
    return default_thread_count


def _read_environment():
    """Instruction set and default thread count at import; a bad value is an ImportError."""
    global default_thread_count
    try:
        set_isa(os.environ.get("FASTLOGITS_ISA") or isas()[0])
    except ValueError as error:
        raise ImportError(f"FASTLOGITS_ISA: {error}") from None
    threads = os.environ.get("FASTLOGITS_THREADS") or "1"
    if not threads.isdecimal() or int(threads) > 1024:
        raise ImportError(f"FASTLOGITS_THREADS must be an integer in [0, 1024], got {threads!r}")
    default_thread_count = int(threads)


_read_environment()


# ---- scratch: idle ones wait in slots; a running thread holds one alone, so a fork at any moment is harmless ------

cdef void *idle[SLOTS]
memset(idle, 0, sizeof(idle))


cdef _c.fl_scratch *take_scratch() except NULL:
    """An idle scratch or a new one."""
    cdef int i
    cdef void *found
    for i in range(SLOTS):
        if idle[i] is not NULL:
            found = FL_SWAP(&idle[i], NULL)
            if found is not NULL:
                return <_c.fl_scratch *>found
    found = _c.fl_scratch_new()
    if found is NULL:
        raise MemoryError()
    return <_c.fl_scratch *>found


PIECE = <int>MOST_VALUES


@cython.auto_pickle(False)
cdef class Stop:
    """What another thread uses to end a long call; given to the `run` of a task."""

    cdef int32_t asked

    def stop(self):
        """The call ends at its next pass over a row, or before its next draw, as if there were no memory."""
        self.asked = 1


cdef _c.fl_scratch *take_stoppable(Stop stop) except NULL:
    """A scratch whose calls end once `stop` says so, unless it is None."""
    cdef _c.fl_scratch *scratch = take_scratch()
    if stop is not None:
        _c.fl_scratch_stop(scratch, &stop.asked)
    return scratch


cdef void give_scratch(_c.fl_scratch *scratch) noexcept:
    """Back into a free slot."""
    cdef int i
    _c.fl_scratch_stop(scratch, NULL)
    for i in range(SLOTS):
        if idle[i] is NULL and FL_FILL(&idle[i], scratch):
            return
    _c.fl_scratch_free(scratch)


# ---- arrays as rows ---------------------------------------------------------------------------------------------

cdef struct Rows:
    # The pointers of `rows` lead into the same struct: it must stay where it was filled.
    _c.fl_rows rows
    ptrdiff_t shape[MAX_AXES]
    ptrdiff_t strides[MAX_AXES]

cdef int bfloat16_typenum = -1  # of ml_dtypes' type, known once an array of it has been seen


cdef int code_of(cnp.ndarray a) except -2:
    """The fl_dtype of an array, -1 for any other type or byte order."""
    global bfloat16_typenum
    cdef int t = cnp.PyArray_TYPE(a)
    if not cnp.PyArray_ISNOTSWAPPED(a):
        return -1
    if t == cnp.NPY_FLOAT:
        return _c.FL_F32
    if t == cnp.NPY_DOUBLE:
        return _c.FL_F64
    if t == NPY_HALF:
        return _c.FL_F16
    if t == cnp.NPY_VOID:
        return _c.FL_BF16 if a.dtype == BFLOAT16_BITS else -1
    if t > NPY_USERDEF - 1 and bfloat16_typenum < 0 and a.dtype.name == "bfloat16":
        bfloat16_typenum = t
    return _c.FL_BF16 if t == bfloat16_typenum else -1


def dtype_code(cnp.ndarray array not None):
    """F32, F16, BF16 or F64 for an array whose elements the kernels read directly, -1 for any other."""
    return code_of(array)


cdef int refuse_length(int64_t n) except -1:
    raise ValueError(f"a row must have at most {<int64_t>MOST_TOKENS} values, got {n}")


cdef int fill_rows(Rows *r, cnp.ndarray a, int axis, int code) except -1:
    """Rows along `axis` in [0, ndim); with axis = ndim every element is a row of its own."""
    cdef int i, j = 0, ndim = cnp.PyArray_NDIM(a)
    cdef cnp.npy_intp *dims = cnp.PyArray_DIMS(a)
    cdef cnp.npy_intp *steps = cnp.PyArray_STRIDES(a)
    if code < 0:
        raise TypeError(f"rows must be float32, float16, bfloat16 or float64, got {a.dtype}")
    if not 0 <= axis <= ndim:
        raise ValueError(f"axis must be in [0, {ndim}], got {axis}")
    if axis < ndim and dims[axis] > MOST_TOKENS:
        refuse_length(dims[axis])
    r.rows.base = cnp.PyArray_BYTES(a)
    r.rows.shape = r.shape
    r.rows.strides = r.strides
    r.rows.rows = 1
    r.rows.n = 1
    r.rows.stride = 0
    r.rows.dtype = code
    for i in range(ndim):
        if i == axis:
            r.rows.n = dims[i]
            r.rows.stride = steps[i]
        else:
            r.shape[j] = dims[i]
            r.strides[j] = steps[i]
            r.rows.rows *= dims[i]
            j += 1
    r.rows.ndim = j
    return 0


cdef int last_axis(cnp.ndarray a) except -1:
    if cnp.PyArray_NDIM(a) == 0:
        raise ValueError("rows must have at least one axis, got a scalar")
    return cnp.PyArray_NDIM(a) - 1


cdef int fill_like(Rows *r, cnp.ndarray a, cnp.ndarray x, int axis, bint written) except -1:
    """Rows of the shape and type of `x`."""
    if not cnp.PyArray_SAMESHAPE(a, x) or code_of(a) != code_of(x):
        raise ValueError("arrays of one shape and type are needed here")
    if written:
        check_writeable(a)
    return fill_rows(r, a, axis, code_of(a))


cdef int check_writeable(cnp.ndarray a) except -1:
    if not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError("a writeable array is needed here, got a read-only one")
    return 0


cdef int check_block(int64_t begin, int64_t end, int64_t rows) except -1:
    """Refuses a block that is none of `rows` rows."""
    if not 0 <= begin <= end <= rows:
        raise ValueError(f"a block must lie in rows 0 to {rows}, got {begin} to {end}")
    return 0


include "elements.pxi"
include "dlpack.pxi"
include "arrays.pxi"
include "tensors.pxi"
include "scores.pxi"
include "temperatures.pxi"
include "exact.pxi"
include "comparison.pxi"
include "state.pxi"
include "sequences.pxi"
include "plain_arguments.pxi"
include "plan_steps.pxi"
include "plan.pxi"
include "plan_task.pxi"
include "blends.pxi"
include "verify.pxi"
