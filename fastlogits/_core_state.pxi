# Sequences: what `fastlogits.State` keeps of one sequence, and how the rows of a call find theirs.

cdef enum:
    MOST_IDS = 0x7fffffff

cdef class Plan


#: What stands behind ``__new__`` wherever a sequence is filled at once.
MADE = object()


cdef class Sequence:
    """The tokens of one sequence with what a plan's steps ask of them; `fastlogits.State` inherits from it."""

    cdef _c.fl_history *history
    cdef readonly Plan plan
    cdef readonly int64_t row     # whose parameters of the plan
    cdef readonly int64_t vocab   # 0: not known yet
    cdef int64_t shift            # position less the number of tokens
    cdef readonly object key      # None: the row number of the call
    # What the token last drawn is to the steps that remember, should it be accepted next.
    cdef double *heard
    cdef int64_t heard_token, heard_at

    def __cinit__(self, *arguments):
        if arguments != (MADE,):
            raise TypeError(f"a {type(self).__name__} is made by Sampler.state")
        self.heard_at = -1

    def __dealloc__(self):
        _c.fl_history_free(self.history)
        PyMem_Free(self.heard)

    def _fill(self, Plan plan not None, int64_t row, cnp.ndarray tokens not None, int64_t prompt_length, key,
              position, int64_t vocab, tuple memory=None):
        """Begins with checked ``tokens`` and what `_memory` gave; possible once."""
        cdef double *kept
        if self.history is not NULL:
            raise TypeError(f"{type(self).__name__} is made once")
        self.history = _c.fl_history_new(&plan.plan, row, prompt_length)
        if self.history is NULL:
            raise MemoryError()
        self.plan, self.row, self.key, self.vocab = plan, row, key, vocab
        if _c.fl_history_memory(self.history, &kept):
            self.heard = <double *>PyMem_Calloc(plan.plan.count, sizeof(double))
            if self.heard is NULL:
                raise MemoryError()
        self._add(tokens)
        self.shift = 0 if position is None else position - self.length()
        if memory is not None:
            self.recall(memory)

    cdef int recall(self, tuple memory) except -1:
        """Takes what `_memory` of a like state gave."""
        cdef double *kept
        cdef int64_t width = _c.fl_history_memory(self.history, &kept)
        values, heard, self.heard_token, self.heard_at = memory
        memcpy(kept, elements(values, cnp.NPY_DOUBLE, width * self.length()), width * self.length() * sizeof(double))
        memcpy(self.heard, elements(heard, cnp.NPY_DOUBLE, self.plan.plan.count), self.plan.plan.count * sizeof(double))
        return 0

    def _memory(self):
        """What the steps remember behind each token, and of the token last drawn; None if none remembers."""
        cdef double *kept
        cdef cnp.npy_intp width = _c.fl_history_memory(self.history, &kept)
        if not width:
            return None
        return (copy_of(kept, width * self.length()), copy_of(self.heard, self.plan.plan.count), self.heard_token,
                self.heard_at)

    cdef void hear(self, int64_t token, const double *observed) noexcept:
        """The call drew ``token``, which is ``observed`` to the steps."""
        memcpy(self.heard, observed, self.plan.plan.count * sizeof(double))
        self.heard_token, self.heard_at = token, self.length()

    cdef int64_t length(self) noexcept:
        cdef const int64_t *tokens
        return _c.fl_history_tokens(self.history, &tokens)

    cdef int own(self) except -1:
        """Makes this sequence the only user of its history."""
        cdef _c.fl_history *mine = _c.fl_history_own(self.history)
        if mine is NULL:
            raise MemoryError()
        self.history = mine
        return 0

    cdef int add(self, const int64_t *tokens, int64_t count) except -1:
        cdef bint drawn = count > 0 and self.heard_at == self.length() and self.heard_token == tokens[0]
        self.own()
        if _c.fl_history_accept(self.history, tokens, count, &self.plan.plan, self.row,
                                self.heard if drawn else NULL) != _c.FL_OK:
            raise MemoryError()
        return 0

    def _add(self, cnp.ndarray tokens not None):
        """Accepts checked tokens."""
        self.add(<const int64_t *>elements(tokens, cnp.NPY_INT64, 0), cnp.PyArray_SIZE(tokens))

    def accept(self, token):
        """Append a token, or several: none of them if one is bad.

        Parameters
        ----------
        token : int, or sequence of ints
            Ids in [0, V); V is known from ``vocab`` or from the first use.

        Raises
        ------
        ValueError, TypeError
            A token outside the vocabulary, or no integer; the state stays as it was.

        Examples
        --------
        >>> import fastlogits as fl
        >>> state = fl.Sampler(repetition_penalty=1.3).state([1, 2])
        >>> state.accept(3)
        >>> state.tokens
        array([1, 2, 3])
        """
        cdef int64_t id = -1
        if PyLong_CheckExact(token) and int64_of(token, &id) and 0 <= id < (self.vocab or MOST_IDS):
            self.add(&id, 1)
        else:
            self._add(self._checked(token))

    def rollback(self, n=1):
        """Take back the last tokens, as if they had never been accepted.

        Parameters
        ----------
        n : int >= 0, default 1
            How many; at most ``len(state)``.

        Raises
        ------
        ValueError, TypeError
            More tokens than there are, or no integer; the state stays as it was.

        Examples
        --------
        >>> import fastlogits as fl
        >>> state = fl.Sampler(repetition_penalty=1.3).state([1, 2, 3])
        >>> state.rollback(2)
        >>> state.tokens
        array([1])
        """
        cdef int64_t count = self._checked_count(n)
        if count:
            self.own()
            _c.fl_history_rollback(self.history, count)

    def copy(self):
        """Another state with the same tokens, at once: both share them until one of the two changes.

        Returns
        -------
        State

        Examples
        --------
        >>> import fastlogits as fl
        >>> state = fl.Sampler(repetition_penalty=1.3).state([1, 2])
        >>> branch = state.copy()
        >>> branch.accept(3)
        >>> len(state), len(branch)
        (2, 3)
        """
        cdef Sequence other = type(self).__new__(type(self), MADE)
        other.history = _c.fl_history_share(self.history)
        other.plan, other.row, other.key, other.vocab, other.shift = (
            self.plan, self.row, self.key, self.vocab, self.shift)
        if self.heard is not NULL:
            other.heard = <double *>PyMem_Calloc(self.plan.plan.count, sizeof(double))
            if other.heard is NULL:
                raise MemoryError()
            memcpy(other.heard, self.heard, self.plan.plan.count * sizeof(double))
            other.heard_token, other.heard_at = self.heard_token, self.heard_at
        return other

    def __len__(self):
        return self.length()

    @property
    def tokens(self):
        """The token ids so far, int64 (a copy)."""
        cdef const int64_t *tokens
        cdef cnp.npy_intp n = _c.fl_history_tokens(self.history, &tokens)
        array = cnp.PyArray_SimpleNew(1, &n, cnp.NPY_INT64)
        if n:
            memcpy(cnp.PyArray_DATA(array), tokens, n * sizeof(int64_t))
        return array

    @property
    def prompt_length(self):
        """How many tokens at the beginning are the prompt."""
        return _c.fl_history_prompt(self.history)

    @property
    def position(self):
        """Which number of the stream (seed, key) the next draw takes; each accepted token moves it by one."""
        return self.shift + self.length()

    def _name(self, int64_t key):
        """The random stream of a state that has none yet."""
        self.key = key

    def _largest(self):
        """The largest token id, -1 without any."""
        cdef const int64_t *tokens
        cdef int64_t i, largest = -1, count = _c.fl_history_tokens(self.history, &tokens)
        for i in range(count):
            largest = max(largest, tokens[i])
        return largest

    cdef void fill(self, _c.fl_sequence *to, int64_t r) noexcept:
        """The row's sequence; its history is shared until `leave`."""
        to.plan = NULL
        to.row = self.row
        to.history = _c.fl_history_share(self.history)
        to.position = self.shift + self.length()
        to.key = r if self.key is None else <int64_t>self.key
        to.observed = NULL


cdef object copy_of(const double *values, cnp.npy_intp n):
    """The values as an array."""
    array = cnp.PyArray_SimpleNew(1, &n, cnp.NPY_DOUBLE)
    if n:
        memcpy(cnp.PyArray_DATA(array), values, n * sizeof(double))
    return array

