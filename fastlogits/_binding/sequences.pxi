# `Sequences`: the states of a call's rows.

cdef class Sequences:
    """The states of a call's rows as C reads them, and room for what is drawn from each."""

    cdef _c.fl_sequence *at
    cdef double *observed  # [rows, most, MAX_STEPS], where some state remembers
    cdef int64_t most      # tokens heard per row
    cdef tuple states
    cdef list seen         # the states as rows of that vocabulary read them

    def __cinit__(self, tuple states not None, int64_t rows, int64_t most, bint own, bint seeded, int64_t vocab,
                  *plans):
        """Rows of `vocab` tokens go through these plans, or with ``own`` through those of their states.

        With ``seeded`` each has a seed of its own, so that a key that nobody chose is 0.
        """
        cdef int64_t r
        cdef Sequence state
        if len(states) != rows:
            raise ValueError(f"{rows} states are needed here, got {len(states)}")
        for each in states:
            if not isinstance(each, Sequence):
                raise TypeError(f"states are needed here, got {type(each).__name__}")
            state = each
            if state.vocab != vocab if state.vocab else state.largest() >= vocab and not state._placeholders:
                raise ValueError(f"a state must hold tokens of [0, {vocab}) alone")
            if own and state.plan.needs > vocab:
                raise ValueError(f"biases and masks need rows of {state.plan.needs} values, got {vocab}")
            for plan in plans:
                if not has_row(plan, state.row):
                    raise ValueError(f"row must be one of the Sampler's, got {state.row}")
        self.most = most
        self.at = <_c.fl_sequence *>PyMem_Calloc(rows + 1, sizeof(_c.fl_sequence))
        if self.at is NULL:
            raise MemoryError()
        if any((<Sequence>state).heard is not NULL for state in states):
            self.observed = <double *>PyMem_Calloc(product(rows * MAX_STEPS, most), sizeof(double))
            if self.observed is NULL:
                raise MemoryError()
        self.states = states
        self.seen = [(<Sequence>state).within(vocab) for state in states]
        for r in range(rows):
            state = self.seen[r]
            state.fill(&self.at[r], r)
            if seeded and state._named:
                self.at[r].key = 0
            if state.heard is not NULL:
                self.at[r].observed = self.observed + r * most * MAX_STEPS
            if own:
                self.at[r].plan = &state.plan.plan

    def __dealloc__(self):
        cdef int64_t r
        for r in range(len(self.states) if self.states is not None else 0):
            _c.fl_history_free(self.at[r].history)
        PyMem_Free(self.at)
        PyMem_Free(self.observed)

    cdef int tell(self, const int64_t *ids, int64_t step, int64_t vocab) except -1:
        """All rows have run: their states know the size of the vocabulary, and the tokens that were drawn, if any."""
        cdef int64_t r, n
        cdef Sequence state
        for r in range(len(self.states)):
            state = self.states[r]
            if self.seen[r] is not state:
                state.adopt(self.seen[r])
            elif not state.vocab and state.largest() < vocab:
                state.vocab = vocab
            if state.heard is NULL or ids is NULL:
                continue
            n = 0
            while n < self.most and ids[r * step + n] >= 0:
                n += 1
            if n:
                state.hear(ids + r * step, n, self.at[r].observed, MAX_STEPS, state.length())
        return 0
