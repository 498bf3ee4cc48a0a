# The C contract of csrc/fastlogits.h as Cython sees it. Declarations only.
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "fastlogits.h" nogil:
    uint64_t fl_env_enter() nogil
    void fl_env_leave(uint64_t saved) nogil

    enum: FL_F32, FL_F16, FL_BF16, FL_F64
    enum: FL_OK, FL_NAN, FL_POS_INF, FL_NO_FINITE, FL_STEP_INF, FL_ALL_BANNED, FL_BAD_TOKEN, FL_NO_MEMORY
    enum: FL_OP_END
    enum: FL_TIES_KEEP, FL_JOINT, FL_PROMPT, FL_RAW, FL_STRICT, FL_OUTPUT_ONLY
    enum: FL_MEMORY

    ctypedef struct fl_where:
        int32_t status
        int32_t step
        int64_t row
        double value
        uint64_t banned

    ctypedef struct fl_kernels:
        pass

    int fl_isa_count()
    const char *fl_isa_name(int i)
    int fl_isa_compiled(int i)
    int fl_isa_supported(int i)
    const fl_kernels *fl_isa_kernels(int i)

    ctypedef struct fl_rows:
        char *base
        const ptrdiff_t *shape
        const ptrdiff_t *strides
        int64_t rows
        int64_t n
        ptrdiff_t stride
        int32_t ndim
        int32_t dtype

    ctypedef struct fl_scratch:
        pass

    fl_scratch *fl_scratch_new()
    void fl_scratch_free(fl_scratch *s)
    void fl_scratch_stop(fl_scratch *s, const volatile int32_t *stop)

    ctypedef struct fl_per_row:
        const double *at
        ptrdiff_t step

    ctypedef struct fl_per_row_i:
        const int64_t *at
        ptrdiff_t step

    int fl_softmax(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, fl_per_row temperature,
                   int64_t begin, int64_t end)
    int fl_log_softmax(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out,
                       fl_per_row temperature, int64_t begin, int64_t end)
    int fl_logsumexp(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, fl_per_row temperature,
                     int64_t begin, int64_t end)
    int fl_argmax(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t *ids, int64_t begin, int64_t end)
    int fl_top_k(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t top, void *values, int64_t *ids,
                 int64_t begin, int64_t end)
    enum: FL_TEMPERATURES, FL_MIDDLE

    ctypedef struct fl_tempered:
        double step
        int32_t power
        int32_t count
        const int64_t *targets
        double *targets_at
        double *tops
        int64_t *ids
        double *tails
        double *means
        int32_t *status

    int fl_temperatures(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_tempered *t, int64_t begin,
                        int64_t end)
    ctypedef struct fl_whole:
        const double *guesses
        const double *tops
        float *sums
        double *sums64
        int64_t groups

    ctypedef struct fl_scores:
        fl_per_row temperature
        const int64_t *targets
        const int64_t *given
        int64_t count
        int64_t given_step
        double *logprobs
        int64_t *ranks
        int64_t top_n
        int64_t *top_ids
        double *top_logprobs
        int64_t *best
        double *entropies
        double *varentropies
        double *logsumexps
        double *margins
        double *given_logprobs
        int32_t *status
        const double *levels
        double *rests
        fl_whole whole

    ctypedef struct fl_merging:
        fl_per_row temperature
        int64_t shards
        const double *tops
        const double *rests
        const double *entropies
        const double *varentropies
        int32_t dtype
        fl_whole whole
        const int64_t *own
        const double *beside
        double *tails
        double *whole_entropies
        double *whole_varentropies

    int fl_merge(const fl_kernels *k, fl_scratch *s, const fl_merging *m, int64_t begin, int64_t end)
    int fl_score(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_scores *o, int64_t begin, int64_t end)

    enum: FL_KL, FL_REVERSE_KL, FL_JS, FL_TOTAL_VARIATION, FL_CROSS_ENTROPY, FL_MEASURES

    ctypedef struct fl_comparison:
        fl_per_row temperature
        double beta
        double *measures[5]
        int32_t *status_a
        int32_t *status_b

    int fl_compare(const fl_kernels *k, fl_scratch *const *s, const fl_rows *a, const fl_rows *b,
                   const fl_comparison *c, int64_t begin, int64_t end)
    enum: FL_EXACT_LIMBS

    double fl_exact_add(const double *v, int64_t n, int64_t *limbs)
    float fl_read_once(const fl_kernels *k, const float *x, int64_t n)

    ctypedef struct fl_lists:
        const int64_t *ids
        const int64_t *offsets
        const double *values
        const int64_t *rows
        int64_t count

    ctypedef struct fl_step:
        int32_t op
        fl_per_row value
        fl_per_row second
        fl_per_row third
        fl_per_row_i min_keep
        fl_per_row_i flags
        fl_per_row_i window
        fl_lists lists
        const uint32_t *words
        ptrdiff_t words_step
        int64_t words_n

    ctypedef struct fl_plan:
        const fl_step *steps
        int32_t count
        int32_t gumbel

    ctypedef struct fl_history:
        pass

    fl_history *fl_history_new(const fl_plan *plan, int64_t row, int64_t prompt_length)
    fl_history *fl_history_share(fl_history *h)
    void fl_history_free(fl_history *h)
    fl_history *fl_history_own(fl_history *h)
    int fl_history_accept(fl_history *h, const int64_t *tokens, int64_t count, const fl_plan *plan, int64_t row,
                          const double *observed, int64_t heard)
    void fl_history_rollback(fl_history *h, int64_t count)
    int64_t fl_history_tokens(const fl_history *h, const int64_t **tokens)
    int64_t fl_history_prompt(const fl_history *h)
    int64_t fl_history_memory(const fl_history *h, double **memory)

    ctypedef struct fl_sequence:
        const fl_plan *plan
        int64_t row
        fl_history *history
        int64_t position
        int64_t key
        double *observed
        const fl_rows *beside[2]

    int fl_combine(const fl_kernels *k, fl_scratch *s, const fl_step *step, const fl_rows *x,
                   const fl_rows *const *beside, const fl_rows *out, int64_t begin, int64_t end)

    enum: FL_MOST_BESIDE

    ctypedef struct fl_inputs:
        const int64_t *context
        const int64_t *context_offsets
        int64_t context_n
        int32_t placeholders
        fl_per_row_i prompt_length
        uint64_t seed
        fl_per_row_i seeds
        fl_per_row_i position
        fl_per_row_i keys
        const double *memory
        const fl_sequence *sequences
        const fl_rows *beside[2]
        int64_t offset

    double fl_uniform(uint64_t seed, uint64_t key, uint64_t position, uint64_t stream, uint64_t number)

    ctypedef struct fl_trace:
        int32_t mode
        int32_t passes
        int64_t edited
        int64_t collected
        double floor

    ctypedef struct fl_listing:
        int64_t *ids
        double *logits
        double *logprobs
        int64_t count
        int64_t room

    void fl_listing_free(fl_listing *l)

    ctypedef struct fl_results:
        int64_t draws
        int32_t distinct
        int64_t *ids
        double *perturbed
        double *bases
        double *logprobs
        double *observed
        double *raw_logprobs
        int64_t *ranks
        int64_t top_n
        int64_t *top_ids
        double *top_logprobs
        const fl_rows *probs
        const fl_rows *logits
        fl_listing *listing
        int64_t *counts
        int32_t *status
        fl_trace *trace

    fl_where fl_plan_run(const fl_kernels *k, fl_scratch *s, const fl_plan *plan, const fl_rows *x,
                         const fl_inputs *inputs, const fl_results *out, int64_t begin, int64_t end)
    void fl_plan_remember(const fl_plan *plan, int64_t row, const double *observed, double *memory)

    enum: FL_NEGATIVE, FL_UNDRAWN, FL_OF_DRAFT

    ctypedef struct fl_drafts:
        int64_t drafts
        const int64_t *ids
        const int64_t *parents
        const fl_rows *target
        const fl_rows *draft
        const fl_rows *probs
        int64_t draft_rows
        int32_t distinct
        int64_t *accepted
        int64_t *emitted
        int64_t *path
        int32_t *status

    fl_where fl_verify(const fl_kernels *k, fl_scratch *const *s, const fl_plan *plan, const fl_plan *draft_plan,
                       const fl_inputs *inputs, const fl_drafts *d, int64_t begin, int64_t end)
