# Sequences: what `fastlogits.State` keeps of one sequence, and how the rows of a call find theirs.

cdef enum:
    MOST_IDS = 0x7fffffff

cdef class Plan


#: What stands behind ``__new__`` wherever a sequence is filled at once.
cdef object MADE = object()


cdef class Sequence:
    """The tokens of one sequence with what a plan's steps ask of them; `fastlogits.State` inherits from it."""

    cdef _c.fl_history *history
    cdef readonly Plan plan
    cdef readonly int64_t row     # whose parameters of the plan
    cdef readonly int64_t vocab   # 0: not known yet
    cdef int64_t shift            # position less the number of tokens
    cdef readonly object key      # None: the row number of the call
    cdef readonly bint _named     # the key is none that a caller chose
    # What the tokens last drawn, one behind the other from `heard_at` on, are to the steps that remember, should they be
    # accepted: [heard_count, steps]. NULL if none remembers.
    cdef readonly bint _placeholders  # whether ids outside the vocabulary are placeholders: -1 - their place
    cdef double *heard
    cdef int64_t *heard_tokens
    cdef int64_t heard_count, heard_room, heard_at

    def __cinit__(self, *arguments):
        if arguments != (MADE,):
            raise TypeError(f"a {type(self).__name__} is made by Sampler.state")
        self.heard_at = -1

    def __dealloc__(self):
        _c.fl_history_free(self.history)
        PyMem_Free(self.heard)
        PyMem_Free(self.heard_tokens)

    def _fill(self, Plan plan not None, int64_t row, cnp.ndarray tokens not None, int64_t prompt_length, key,
              position, int64_t vocab, tuple memory=None, bint named=False, bint placeholders=False):
        """Begins with ``tokens`` and what `_memory` gave; possible once."""
        cdef double *kept
        cdef int64_t place = 0, stream = 0
        if not int64_of(position, &place) or not int64_of(key, &stream):
            raise TypeError(f"key and position must be integers below 2^63 or None, got {key!r} and {position!r}")
        if self.history is not NULL:
            raise TypeError(f"{type(self).__name__} is made once")
        if row < 0 or not has_row(plan, row):
            raise ValueError(f"row must be one of the Sampler's, got {row}")
        if prompt_length < 0 or not 0 <= vocab <= MOST_IDS:
            raise ValueError(f"prompt_length and vocab must be at least 0, got {prompt_length} and {vocab}")
        self.plan, self.row, self.key, self.vocab, self._named = plan, row, key, vocab, key is None or named
        self._placeholders = placeholders
        self.history = _c.fl_history_new(&plan.plan, row, prompt_length)
        if self.history is NULL:
            raise MemoryError()
        if _c.fl_history_memory(self.history, &kept):
            self.room_to_hear(1)
        self._add(tokens)
        self.shift = 0 if position is None else <int64_t>(<uint64_t>place - <uint64_t>self.length())
        if memory is not None:
            self.recall(memory)

    cdef int recall(self, tuple memory) except -1:
        """Takes what `_memory` of a like state gave."""
        cdef double *kept
        cdef int64_t width = _c.fl_history_memory(self.history, &kept), count, at
        values, heard, tokens, at = memory
        count = size_of_array(tokens)
        if not width or values is None or heard is None or not -1 <= at <= self.length():
            raise ValueError("memory must be that of a like state")
        memcpy(kept, elements(values, cnp.NPY_DOUBLE, width * self.length()), width * self.length() * sizeof(double))
        self.hear(<int64_t *>elements(tokens, cnp.NPY_INT64, count), count,
                  <double *>elements(heard, cnp.NPY_DOUBLE, product(count, self.plan.plan.count)), self.plan.plan.count,
                  at)
        return 0

    cdef int room_to_hear(self, int64_t count) except -1:
        """Room for what so many tokens are to the steps; contents are not kept."""
        PyMem_Free(self.heard)
        PyMem_Free(self.heard_tokens)
        self.heard = <double *>PyMem_Calloc(count * self.plan.plan.count, sizeof(double))
        self.heard_tokens = <int64_t *>PyMem_Calloc(count, sizeof(int64_t))
        self.heard_count = 0
        self.heard_room = count
        if self.heard is NULL or self.heard_tokens is NULL:
            self.heard_room = 0
            raise MemoryError()
        return 0

    def _memory(self):
        """What the steps remember behind each token, and of the token last drawn; None if none remembers."""
        cdef double *kept
        cdef cnp.npy_intp width = _c.fl_history_memory(self.history, &kept)
        if not width:
            return None
        return (copy_of(kept, width * self.length()), copy_of(self.heard, self.heard_count * self.plan.plan.count),
                np.array([self.heard_tokens[i] for i in range(self.heard_count)], np.int64), self.heard_at)

    cdef int hear(self, const int64_t *tokens, int64_t count, const double *observed, int64_t step, int64_t at) except -1:
        """A call drew ``tokens``, to be token ``at`` and so on, each of which is ``observed`` to the steps."""
        cdef int64_t i, steps = self.plan.plan.count
        if count > self.heard_room:
            self.room_to_hear(count)
        for i in range(count):
            memcpy(self.heard + i * steps, observed + i * step, steps * sizeof(double))
            self.heard_tokens[i] = tokens[i]
        self.heard_count, self.heard_at = count, at
        return 0

    cdef int64_t known(self, const int64_t *tokens, int64_t count, const double **observed) noexcept:
        """How many of the tokens to come are those that were drawn here; and what they are to the steps."""
        cdef int64_t i = 0, behind = self.length() - self.heard_at
        cdef const int64_t *held
        _c.fl_history_tokens(self.history, &held)
        if self.heard_count == 0 or behind < 0 or behind >= self.heard_count:
            return 0
        for i in range(behind):
            if held[self.heard_at + i] != self.heard_tokens[i]:
                return 0
        i = 0
        while i < count and behind + i < self.heard_count and tokens[i] == self.heard_tokens[behind + i]:
            i += 1
        observed[0] = self.heard + behind * self.plan.plan.count
        return i

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
        cdef const double *observed = NULL
        cdef int64_t i, drawn, length = self.length()
        cdef object owner = None
        cdef int64_t *mine = NULL
        for i in range(count):  # here, for whoever calls may have checked them before Python code ran
            if 0 <= tokens[i] < (self.vocab or MOST_IDS):
                continue
            if not self._placeholders:
                raise ValueError(f"token id {tokens[i]} must be in [0, {self.vocab or 'V'})")
            if owner is None:
                owner = np.array([tokens[each] for each in range(count)], np.int64)
                mine = <int64_t *>cnp.PyArray_DATA(owner)
                tokens = mine
            mine[i] = -1 - (length + i)
        drawn = self.known(tokens, count, &observed)
        self.own()
        if _c.fl_history_accept(self.history, tokens, count, &self.plan.plan, self.row, observed, drawn) != _c.FL_OK:
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
        if not 0 <= count <= self.length():
            raise ValueError(f"n must be in [0, {self.length()}], the number of tokens, got {count}")
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
        cdef Sequence other = Sequence.__new__(type(self), MADE)
        other.history = _c.fl_history_share(self.history)
        other.plan, other.row, other.key, other._named, other.vocab, other.shift, other._placeholders = (
            self.plan, self.row, self.key, self._named, self.vocab, self.shift, self._placeholders)
        if self.heard is not NULL:
            other.room_to_hear(max(1, self.heard_count))
            other.hear(self.heard_tokens, self.heard_count, self.heard, self.plan.plan.count, self.heard_at)
        return other

    def __len__(self):
        return self.length()

    @property
    def tokens(self):
        """The token ids so far, int64 (a copy); -1 for a placeholder."""
        cdef const int64_t *tokens
        cdef cnp.npy_intp n = _c.fl_history_tokens(self.history, &tokens)
        array = cnp.PyArray_SimpleNew(1, &n, cnp.NPY_INT64)
        if n:
            memcpy(cnp.PyArray_DATA(array), tokens, n * sizeof(int64_t))
        return np.maximum(array, -1) if self._placeholders else array

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
        return self.largest()

    cdef int64_t largest(self) noexcept:
        cdef const int64_t *tokens
        cdef int64_t i, largest = -1, count = _c.fl_history_tokens(self.history, &tokens)
        for i in range(count):
            largest = max(largest, tokens[i])
        return largest

    cdef Sequence within(self, int64_t vocab):
        """The state as rows of `vocab` tokens read it: itself, or one where ids beyond them are placeholders."""
        cdef Sequence other
        if self.vocab or not self._placeholders or self.largest() < vocab:
            return self
        other = Sequence.__new__(type(self), MADE)
        other._fill(self.plan, self.row, self.tokens, self.prompt_length, self.key, self.position, vocab, self._memory(),
                    self._named, True)
        return other

    cdef void adopt(self, Sequence other) noexcept:
        """Takes over what `within` made, unless there are other tokens by now."""
        cdef const int64_t *mine
        cdef const int64_t *theirs
        cdef int64_t i, count = _c.fl_history_tokens(self.history, &mine)
        if self.vocab or count != _c.fl_history_tokens(other.history, &theirs):
            return
        for i in range(count):
            if mine[i] != theirs[i] and theirs[i] >= 0:
                return
        _c.fl_history_free(self.history)
        self.history, self.vocab = _c.fl_history_share(other.history), other.vocab

    cdef void fill(self, _c.fl_sequence *to, int64_t r) noexcept:
        """The row's sequence; its history is shared until `leave`."""
        to.plan = NULL
        to.row = self.row
        to.history = _c.fl_history_share(self.history)
        to.position = self.shift + self.length()
        to.key = r if self.key is None else <int64_t>self.key
        to.observed = NULL


cdef bint has_row(Plan plan, int64_t row) noexcept:
    """Whether the plan has parameters for that row: one of its rows, or any if all have the same."""
    return plan.rows == NO_ROWS or row < plan.rows


def sequence(cls, *fields):
    """A sequence of class ``cls`` of the checked fields of `Sequence._fill`."""
    cdef Sequence made = Sequence.__new__(cls, MADE)
    made._fill(*fields)
    return made


cdef object copy_of(const double *values, cnp.npy_intp n):
    """The values as an array."""
    array = cnp.PyArray_SimpleNew(1, &n, cnp.NPY_DOUBLE)
    if n:
        memcpy(cnp.PyArray_DATA(array), values, n * sizeof(double))
    return array
