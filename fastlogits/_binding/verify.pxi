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
    cdef int64_t rows
    cdef tuple owners
    cdef readonly list failures  # (row, status, step, value) of each block that met a bad row

    def __cinit__(self, Plan plan not None, Plan draft_plan not None, cnp.ndarray target not None, *, ids not None,
                  parents, cnp.ndarray logits, cnp.ndarray probs, bint distinct, seed,
                  cnp.ndarray accepted not None, cnp.ndarray emitted not None, path not None, status,
                  tuple beside not None, context=None, offsets=None, bint placeholders=False, prompt_length=None,
                  position=None, keys=None, tuple states=None):
        cdef int i, last = last_axis(target)
        cdef int64_t at, drafts, vocab, rows = cnp.PyArray_SIZE(accepted)
        cdef cnp.ndarray drafted = logits if probs is None else probs
        fill_rows(&self.target, target, last, code_of(target))
        self.plan, self.draft_plan, self.failures, self.rows = plan, draft_plan, [], rows
        self.owners = (target, ids, parents, logits, probs, context, offsets, prompt_length, seed, position, keys, accepted,
                       emitted, path, status, beside,
                       pins((target, logits, probs)) if cnp.PyArray_SIZE(target) >= NOGIL_MIN else None)
        vocab, drafts = self.target.rows.n, columns_of(emitted) - 1
        if states is None:
            check_spread(plan.rows, rows)
            check_spread(draft_plan.rows, rows)
        if drafts < 0 or self.target.rows.rows != product(rows, drafts + 1) or vocab < max(plan.needs, draft_plan.needs):
            raise ValueError(f"{rows} sequences need {drafts + 1} target rows each, as long as biases and masks")
        if not companions(plan.storage) <= len(beside) <= _c.FL_MOST_BESIDE or (logits is not None and companions(draft_plan.storage)):
            raise ValueError(f"the first step combines {companions(plan.storage)} rows, got {len(beside)}")
        for i in range(len(beside)):
            fill_like(&self.beside[i], beside[i], target, last, False)
            self.given.beside[i] = &self.beside[i].rows
        self.drafts.drafts = drafts
        self.drafts.ids = <const int64_t *>elements(ids, cnp.NPY_INT64, rows * drafts)
        for at in range(rows * drafts):
            if self.drafts.ids[at] >= vocab:
                raise ValueError(f"token ids must be below {vocab}, got {self.drafts.ids[at]}")
        self.drafts.parents = <const int64_t *>elements(parents, cnp.NPY_INT64, rows * drafts)
        self.drafts.target = &self.target.rows
        if drafted is not None:
            fill_rows(&self.draft, drafted, last_axis(drafted), code_of(drafted))
            if cnp.PyArray_NDIM(drafted) < 2 or self.draft.rows.n != vocab:
                raise ValueError(f"drafts must be rows of {vocab} values")
            self.drafts.draft_rows = cnp.PyArray_DIM(drafted, cnp.PyArray_NDIM(drafted) - 2)
            if self.draft.rows.rows != product(rows, self.drafts.draft_rows):
                raise ValueError(f"drafts of {rows} sequences are needed here")
            if probs is None:
                self.drafts.draft = &self.draft.rows
            else:
                self.drafts.probs = &self.draft.rows
        self.drafts.distinct = distinct
        self.drafts.accepted = <int64_t *>results(accepted, cnp.NPY_INT64, rows)
        self.drafts.emitted = <int64_t *>results(emitted, cnp.NPY_INT64, rows * (drafts + 1))
        self.drafts.path = <int64_t *>results(path, cnp.NPY_INT64, rows * drafts)
        self.drafts.status = <int32_t *>results(status, cnp.NPY_INT32, rows)
        fill_context(&self.given, context, offsets, placeholders, rows)
        self.given.prompt_length = integers_per_row(prompt_length, rows)
        fill_seed(&self.given, seed, rows)
        self.given.position = integers_per_row(position, rows)
        self.given.keys = integers_per_row(keys, rows)
        if states is not None:
            self.sequences = Sequences(states, rows, drafts + 1, True, self.given.seeds.at is not NULL, vocab, plan,
                                       draft_plan)
            self.given.sequences = self.sequences.at

    def tell(self, int64_t vocab):
        """All sequences have run: their states hear of it."""
        if self.sequences is None or vocab != self.target.rows.n:
            raise ValueError(f"states of rows of {self.target.rows.n} values are needed here, got vocab {vocab}")
        self.sequences.tell(self.drafts.emitted, self.drafts.drafts + 1, vocab)

    def run(self, int64_t begin, int64_t end, Stop stop=None):
        """Sequences begin .. end - 1, up to the first bad one unless a status is wanted."""
        check_block(begin, end, self.rows)
        cdef _c.fl_scratch *pair[2]
        cdef _c.fl_where where
        pair[0] = take_stoppable(stop)
        try:
            pair[1] = take_stoppable(stop)
        except MemoryError:
            give_scratch(pair[0])
            raise
        if product(self.target.rows.rows, self.target.rows.n) >= NOGIL_MIN or stop is not None:
            with nogil:
                where = _c.fl_verify(kernels, pair, &self.plan.plan, &self.draft_plan.plan, &self.given, &self.drafts,
                                     begin, end)
        else:
            where = _c.fl_verify(kernels, pair, &self.plan.plan, &self.draft_plan.plan, &self.given, &self.drafts, begin,
                                 end)
        give_scratch(pair[0])
        give_scratch(pair[1])
        if where.status % _c.FL_OF_DRAFT == _c.FL_NO_MEMORY:
            raise MemoryError()
        if where.status != _c.FL_OK and self.drafts.status is NULL:
            banned = where.status % _c.FL_OF_DRAFT == _c.FL_ALL_BANNED
            self.failures.append((where.row, where.status, where.step, where.banned if banned else where.value))
