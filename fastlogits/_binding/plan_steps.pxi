# Prepared steps as C reads them.

cdef list fill_step(_c.fl_step *to, step, int64_t *rows):
    """One prepared step, and the owners of its memory. `rows`: see `Plan`."""
    cdef cnp.ndarray words
    cdef list owners = [step.value, step.second, step.third, step.min_keep, step.flags, step.window, step.words]
    to.op = STEP_IDS[step.name]
    to.value = doubles_per_row(owners[0], 0)
    to.second = doubles_per_row(owners[1], 0)
    to.third = doubles_per_row(owners[2], 0)
    to.min_keep = integers_per_row(owners[3], 0)
    to.flags = integers_per_row(owners[4], 0)
    to.window = integers_per_row(owners[5], 0)
    for array in owners[:6]:
        if array is not None and size_of_array(array) != 1:
            add_rows(rows, size_of_array(array))
    if step.lists is not None:
        owners += fill_lists(to, step.lists, rows)
    words = owners[6]
    if words is not None:
        # [W], or [rows, W] with any distance between rows; elements of a row lie side by side.
        if not cnp.PyArray_EquivTypenums(cnp.PyArray_TYPE(words), cnp.NPY_UINT32) or not 1 <= cnp.PyArray_NDIM(words) <= 8 \
                or not cnp.PyArray_ISALIGNED(words) or not cnp.PyArray_ISNOTSWAPPED(words):
            raise TypeError(f"{step.name} needs packed words of uint32, got {words.dtype}")
        to.words_n = cnp.PyArray_DIM(words, cnp.PyArray_NDIM(words) - 1)
        if to.words_n > 1 and cnp.PyArray_STRIDE(words, cnp.PyArray_NDIM(words) - 1) != 4:
            raise ValueError(f"{step.name} needs words side by side")
        to.words = <const uint32_t *>cnp.PyArray_DATA(words)
        if cnp.PyArray_NDIM(words) > 2:
            rows[0] = MIXED_ROWS
        elif cnp.PyArray_NDIM(words) == 2:
            add_rows(rows, cnp.PyArray_DIM(words, 0))
            to.words_step = cnp.PyArray_STRIDE(words, 0) // 4
            if to.words_step * 4 != cnp.PyArray_STRIDE(words, 0):
                rows[0] = MIXED_ROWS
    return owners


cdef void add_rows(int64_t *rows, int64_t count) noexcept:
    """Values of so many rows, too."""
    rows[0] = count if rows[0] == NO_ROWS or rows[0] == count else MIXED_ROWS


cdef list fill_lists(_c.fl_step *to, lists, int64_t *rows):
    """The tokens that a step names; copies of the arrays, which hold indices, and so their owners."""
    cdef const int64_t *ids
    cdef int64_t i, size
    _, ids_given, offsets_given, values, rows_given = lists
    cdef list owners = [None if each is None else np.array(each, np.int64)
                        for each in (ids_given, offsets_given, rows_given)]
    size = size_of_array(owners[0])
    to.lists.count = size if owners[1] is None else size_of_array(owners[1]) - 1
    to.lists.ids = ids = <const int64_t *>elements(owners[0], cnp.NPY_INT64, 0)
    for i in range(size):
        if not 0 <= ids[i] < MOST_TOKENS:
            raise ValueError(f"token ids must be in [0, {<int64_t>MOST_TOKENS}), got {ids[i]}")
    if owners[1] is not None:
        to.lists.offsets = rising(owners[1], size, 1)
    elif size and to.op in IN_LISTS:
        raise ValueError("sequences of tokens come with offsets")
    if values is None and size and to.op in WITH_VALUES:
        raise ValueError("biases come with values")
    to.lists.values = <const double *>elements(values, cnp.NPY_DOUBLE, to.lists.count)
    if owners[2] is not None:
        to.lists.rows = rising(owners[2], to.lists.count, 0)
        add_rows(rows, size_of_array(owners[2]) - 1)
    return [*owners, values]


cdef const int64_t *rising(object array, int64_t most, int64_t least) except NULL:
    """Offsets from 0 to `most`, each at least so far behind the one before."""
    cdef int64_t i, size = size_of_array(array)
    cdef const int64_t *at = <const int64_t *>elements(array, cnp.NPY_INT64, 1)
    if at[0] < 0 or at[size - 1] > most:
        raise ValueError(f"offsets must lie in [0, {most}]")
    for i in range(size - 1):
        if at[i + 1] - at[i] < least or at[i + 1] > most:
            raise ValueError(f"offsets must rise by {least} at least")
    return at


cdef int64_t needs_of(const _c.fl_step *step) noexcept:
    """One more than the largest token id that the step names."""
    cdef int64_t i, size, most = -1
    size = step.lists.count if step.lists.offsets is NULL else step.lists.offsets[step.lists.count]
    for i in range(size):
        most = max(most, step.lists.ids[i])
    return most + 1
