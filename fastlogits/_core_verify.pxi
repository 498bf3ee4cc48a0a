# Speculative decoding: `VerifyTask` holds one checked call of `fastlogits.verify`.


NEGATIVE, OF_DRAFT = _c.FL_NEGATIVE, _c.FL_OF_DRAFT


cdef class VerifyTask:
    """Drafted tokens beside target rows; `run` works on a block of sequences."""

    cdef Plan plan
    cdef Plan draft_plan
    cdef Rows target
    cdef Rows draft
    cdef _c.fl_inputs given
    cdef _c.fl_drafts drafts
    cdef tuple owners
    cdef readonly list failures  # (row, status, step, value) of each block that met a bad row

    def __init__(self, Plan plan not None, Plan draft_plan not None, cnp.ndarray target not None, *, ids, parents, logits,
                 probs, distinct, context, offsets, prompt_length, seed, position, keys, accepted, emitted, path, status):
        cdef int last = cnp.PyArray_NDIM(target) - 1
        cdef int64_t rows
        fill_rows(&self.target, target, last, code_of(target))
        rows = len(accepted)
        self.plan, self.draft_plan, self.failures = plan, draft_plan, []
        self.owners = (target, ids, parents, logits, probs, context, offsets, prompt_length, position, keys, accepted,
                       emitted, path, status)
        self.drafts.drafts = emitted.shape[1] - 1
        self.drafts.ids = <const int64_t *>elements(ids, cnp.NPY_INT64, rows * self.drafts.drafts)
        self.drafts.parents = <const int64_t *>elements(parents, cnp.NPY_INT64, rows * self.drafts.drafts)
        self.drafts.target = &self.target.rows
        beside = logits if probs is None else probs
        if beside is not None:
            fill_rows(&self.draft, beside, last, code_of(beside))
            self.drafts.draft_rows = beside.shape[last - 1]
            if probs is None:
                self.drafts.draft = &self.draft.rows
            else:
                self.drafts.probs = &self.draft.rows
        self.drafts.distinct = distinct
        self.drafts.accepted = <int64_t *>elements(accepted, cnp.NPY_INT64, rows)
        self.drafts.emitted = <int64_t *>elements(emitted, cnp.NPY_INT64, rows * (self.drafts.drafts + 1))
        self.drafts.path = <int64_t *>elements(path, cnp.NPY_INT64, rows * self.drafts.drafts)
        self.drafts.status = <int32_t *>elements(status, cnp.NPY_INT32, rows)
        self.given.context = <const int64_t *>elements(context, cnp.NPY_INT64, 0)
        self.given.context_n = 0 if context is None else len(context)
        self.given.context_offsets = <const int64_t *>elements(offsets, cnp.NPY_INT64, rows + 1)
        self.given.prompt_length = integers_per_row(prompt_length, rows)
        self.given.seed = seed
        self.given.position = integers_per_row(position, rows)
        self.given.keys = integers_per_row(keys, rows)

    def run(self, int64_t begin, int64_t end):
        """Sequences begin .. end - 1, up to the first bad one unless a status is wanted."""
        cdef _c.fl_scratch *pair[2]
        cdef _c.fl_where where
        pair[0] = take_scratch()
        try:
            pair[1] = take_scratch()
        except MemoryError:
            give_scratch(pair[0])
            raise
        with nogil:
            where = _c.fl_verify(kernels, pair, &self.plan.plan, &self.draft_plan.plan, &self.given, &self.drafts, begin,
                                 end)
        give_scratch(pair[0])
        give_scratch(pair[1])
        if where.status % _c.FL_OF_DRAFT == _c.FL_NO_MEMORY:
            raise MemoryError()
        if where.status != _c.FL_OK and self.drafts.status is NULL:
            self.failures.append((where.row, where.status, where.step, where.value))
