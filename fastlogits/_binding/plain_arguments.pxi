# Which arguments of a call can be read as they are.

cdef object RAISE = "raise", ERROR = "error", PLACEHOLDER = "placeholder", PROCESSED = "processed"
cdef object NO_AXES = ()


cdef bint small_int(object value) noexcept:
    """Whether `value` is an int in [0, 2^63)."""
    cdef int64_t v = -1
    return PyLong_CheckExact(value) and int64_of(value, &v) and v >= 0


cdef bint int64_of(object value, int64_t *to) noexcept:
    """An int that fits int64, or None, which leaves `to` as it is; else False."""
    cdef int overflow = 0
    if value is None:
        return True
    if not PyLong_CheckExact(value):
        return False
    to[0] = PyLong_AsLongLongAndOverflow(value, &overflow)
    return overflow == 0


cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow)


BESIDE = ("uncond", "amateur", "expert", "anti")


cdef int companions(const _c.fl_step *first) noexcept:
    """How many rows the first step combines with the logits."""
    if first is NULL:
        return 0
    return 2 if first.op == D_EXPERTS else 1 if first.op == GUIDANCE or first.op == CONTRASTIVE else 0


cdef int check_spread(int64_t rows, int64_t wanted) except -1:
    """Refuses steps whose values of `rows` rows are none for `wanted` rows."""
    if rows != NO_ROWS and rows != wanted:
        raise ValueError(f"the steps must be prepared for {wanted} rows")
    return 0


cdef int32_t GUIDANCE = STEP_IDS["guidance"], CONTRASTIVE = STEP_IDS["contrastive"], D_EXPERTS = STEP_IDS["d_experts"]
cdef frozenset IN_LISTS = frozenset(map(STEP_IDS.get, ("sequence_bias", "bad_words", "dry")))
cdef frozenset WITH_VALUES = frozenset(map(STEP_IDS.get, (
    "logit_bias", "sequence_bias", "bad_words", "suppress_tokens", "begin_suppress_tokens", "min_length",
    "min_new_tokens",
)))


cdef bint plain_beside(tuple wanted, tuple rows, cnp.ndarray logits, int code, Rows *to,
                       const _c.fl_rows **beside) except *:
    """Whether `rows`, named as in BESIDE, are those wanted, ndarrays as the logits [V] are; lays them out."""
    cdef int i, n = 0
    for i in range(4):
        if (rows[i] is not None) != (BESIDE[i] in wanted):
            return False
        if rows[i] is None:
            continue
        if (not cnp.PyArray_CheckExact(rows[i]) or cnp.PyArray_NDIM(rows[i]) != 1 or code_of(rows[i]) != code
                or cnp.PyArray_DIM(rows[i], 0) != cnp.PyArray_DIM(logits, 0)):
            return False
        fill_rows(&to[n], rows[i], 0, code)
        beside[n] = &to[n].rows
        n += 1
    return True


cdef bint plain_ids(object context) noexcept:
    """Whether `context` is None or a contiguous int64 array of one axis."""
    return context is None or (
        cnp.PyArray_CheckExact(context) and cnp.PyArray_NDIM(context) == 1
        and cnp.PyArray_TYPE(context) == cnp.NPY_INT64 and cnp.PyArray_ISCARRAY_RO(context))


cdef bint plain_state(Plan plan, object state, int64_t n, context, prompt_length, position, keys):
    """Whether `state` is None, or is the plan's own, stands alone and knows that it fits logits of `n` tokens."""
    return state is None or (
        isinstance(state, Sequence) and (<Sequence>state).vocab == n and (<Sequence>state).plan is plan
        and context is None and position is None and keys is None and prompt_length is ZERO)


cdef object ZERO = 0
