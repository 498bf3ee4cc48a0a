# Speculative decoding: `VerifyTask` holds one checked call of `fastlogits.verify`.


NEGATIVE, UNDRAWN, OF_DRAFT = _c.FL_NEGATIVE, _c.FL_UNDRAWN, _c.FL_OF_DRAFT


cdef class VerifyTask:
    """Drafted tokens beside target rows; `run` works on a block of sequences."""

    cdef Plan plan
    cdef Plan draft_plan
    cdef Rows target
    cdef Rows draft
    cdef Rows beside[_c.FL_MOST_BESIDE]
    cdef Sequences sequences
    cdef _c.fl_inputs given
    cdef _c.fl_drafts drafts
    cdef tuple owners
    cdef readonly list failures  # (row, status, step, value) of each block that met a bad row

    def __init__(self, Plan plan not None, Plan draft_plan not None, cnp.ndarray target not None, *, ids, parents, logits,
                 probs, distinct, seed, accepted, emitted, path, status, tuple beside, context=None, offsets=None,
                 prompt_length=None, position=None, keys=None, states=None):
        cdef int i, last = cnp.PyArray_NDIM(target) - 1
        cdef int64_t rows
        fill_rows(&self.target, target, last, code_of(target))
        rows = len(accepted)
        self.plan, self.draft_plan, self.failures = plan, draft_plan, []
        self.owners = (target, ids, parents, logits, probs, context, offsets, prompt_length, position, keys, accepted,
                       emitted, path, status, beside)
        for i in range(len(beside)):
            fill_rows(&self.beside[i], beside[i], last, code_of(beside[i]))
            self.given.beside[i] = &self.beside[i].rows
        self.drafts.drafts = emitted.shape[1] - 1
        self.drafts.ids = <const int64_t *>elements(ids, cnp.NPY_INT64, rows * self.drafts.drafts)
        self.drafts.parents = <const int64_t *>elements(parents, cnp.NPY_INT64, rows * self.drafts.drafts)
        self.drafts.target = &self.target.rows
        drafted = logits if probs is None else probs
        if drafted is not None:
            fill_rows(&self.draft, drafted, last, code_of(drafted))
            self.drafts.draft_rows = drafted.shape[last - 1]
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
        if states is not None:
            self.sequences = Sequences(states, rows, self.drafts.drafts + 1, True)
            self.given.sequences = self.sequences.at

    def tell(self, int64_t vocab):
        """All sequences have run: their states hear of it."""
        self.sequences.tell(self.drafts.emitted, self.drafts.drafts + 1, vocab)

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
            banned = where.status % _c.FL_OF_DRAFT == _c.FL_ALL_BANNED
            self.failures.append((where.row, where.status, where.step, where.banned if banned else where.value))
