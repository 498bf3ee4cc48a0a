/* fastlogits.h: the whole interface between the binding and the C library.
 *
 * One direction of flow: binding -> functions/, plan/, verify/ -> steps/, tokens/ -> rows/ -> the table of kernels.
 * Nothing here knows Python. Nothing holds state between calls except fl_scratch, which is an argument.
 */
#ifndef FASTLOGITS_H
#define FASTLOGITS_H

#include "base/interface.h"

/* ---- array functions: rows begin .. end - 1, special values as scipy.special ------------------- */
/* Each returns FL_OK or FL_NO_MEMORY. Output rows may be the input rows themselves (same base and strides), else
 * must not overlap them. Output dtype: any fl_dtype. */

int fl_softmax(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, fl_per_row temperature,
               int64_t begin, int64_t end);
int fl_log_softmax(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, fl_per_row temperature,
                   int64_t begin, int64_t end);
/* out: one value per row (n = 1). */
int fl_logsumexp(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, fl_per_row temperature,
                 int64_t begin, int64_t end);
/* ids[r]: first maximum; the first NaN if there is one. */
int fl_argmax(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t *ids, int64_t begin, int64_t end);
/* values, ids: C-contiguous [rows, top]; values have x's dtype; NaN sorts first, then value desc, then id asc. */
int fl_top_k(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t top, void *values, int64_t *ids,
             int64_t begin, int64_t end);

/* What rows say at the inverse temperatures b_k = (power + k) step, k < count, from one read; tails are
 * [rows, count]. A row that fails or is left out holds id -1 and NaN. targets and targets_at may be NULL. */
typedef struct {
    double step;            /* > 0, finite */
    int32_t power, count;   /* 1 or 4; 1 to FL_TEMPERATURES */
    const int64_t *targets; /* a token per row, in [0, n), else FL_CHANGED, or negative: the row is left out */
    double *targets_at;     /* logits of the targets */
    double *tops;           /* the largest logit x_top */
    int64_t *ids;           /* its first id */
    double *tails;          /* logsumexp(b_k x) - b_k x_top = -log p(top) >= 0 */
    double *means;          /* mean of x under softmax(b_k x), less x_top, for k = FL_MIDDLE; NaN if count is less */
    int32_t *status;        /* fl_status of the row */
} fl_tempered;
/* Returns FL_OK or FL_NO_MEMORY. */
int fl_temperatures(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_tempered *t, int64_t begin,
                    int64_t end);

/* Group sums of shards of rows, exp(x / T) in the unit that the whole row is summed in: floats [rows, groups], or
 * doubles [rows, 2 groups] (sums, then what their rounding lost), which rows summed in double need. Rows without a finite
 * top are left as they are. */
typedef struct {
    const double *guesses; /* of the whole rows: the largest of the values that give the first guess */
    const double *tops;    /* the largest value */
    float *sums;           /* one of these two, the other NULL */
    double *sums64;
    int64_t groups;
} fl_whole;

/* What rows say of their targets, from one read. Results that are NULL are not wanted, but logprobs and status always
 * are. A row that fails or is left out holds -1 and NaN. Log-probs are those of p = softmax(x / temperature). */
typedef struct {
    fl_per_row temperature; /* > 0, finite */
    const int64_t *targets; /* a token per row, in [0, n), or negative: the row is left out and not read */
    const int64_t *given;   /* `count` further tokens in [0, n) per row; for others, FL_CHANGED */
    int64_t count;
    int64_t given_step; /* from row to row: count, or 0 for the same tokens in all */
    double *logprobs;   /* of the targets */
    int64_t *ranks;     /* 1 + number of logits strictly greater than the target's */
    int64_t top_n;      /* columns of the next two, by (logit desc, id asc), padded with -1 and -inf */
    int64_t *top_ids;
    double *top_logprobs;
    int64_t *best;          /* first maximum */
    double *entropies;      /* mean of -log p */
    double *varentropies;   /* variance of -log p */
    double *logsumexps;     /* ln sum exp(x / T) */
    double *margins;        /* log-prob of the best token less that of the next; +inf if there is none */
    double *given_logprobs; /* [rows, count] */
    int32_t *status;        /* fl_status of the row */
    const double *levels;   /* logits that ranks count from, instead of the target's, or NULL */
    double *rests;          /* mass of all tokens but the first maximum, in units of its mass */
    fl_whole whole;         /* sums of shards are wanted if guesses is not NULL */
} fl_scores;
/* Returns FL_OK or FL_NO_MEMORY. */
int fl_score(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_scores *o, int64_t begin, int64_t end);

/* ---- shards of rows merged ----------------------------------------------------------------------- */

/* What shards, in the order of their tokens, say of rows: [rows, shards] each. tails of the whole rows come from the group
 * sums of all shards if there are any, else from tops and rests. Rows whose top is not finite are left as they are. */
typedef struct {
    fl_per_row temperature; /* > 0, finite */
    int64_t shards;
    const double *tops, *rests;             /* as of fl_score; top is -inf where a shard holds nothing finite */
    const double *entropies, *varentropies; /* NULL where not wanted; the latter only with the former */
    int32_t dtype;                          /* of the rows */
    fl_whole whole;                         /* tops, and sums of all groups; changed for a while */
    const int64_t *own;                     /* the group of the first maximum, counted over all shards */
    const double *beside;                   /* [rows, 16]: its other values, -inf where there is none */
    double *tails;                          /* -log p(top) */
    double *whole_entropies, *whole_varentropies;
} fl_merging;
/* Returns FL_OK or FL_NO_MEMORY. */
int fl_merge(const fl_kernels *k, fl_scratch *s, const fl_merging *m, int64_t begin, int64_t end);

/* ---- two rows compared -------------------------------------------------------------------------- */

/* Measures of p = softmax(a / T) beside q = softmax(b / T), row by row; a pointer that is NULL is not wanted. p counts as
 * 0 where exp(log p) is 0 in double; such a token adds nothing to p log(p / q), and any other one with b = -inf makes it
 * infinite. Rows that fail hold NaN. */
typedef struct {
    fl_per_row temperature;
    double beta;                   /* of FL_JS: m = beta p + (1 - beta) q, beta KL(p, m) + (1 - beta) KL(q, m) */
    double *measures[FL_MEASURES]; /* one value per row */
    int32_t *status_a, *status_b;  /* fl_status of the rows */
} fl_comparison;
/* Rows of one shape, of any types; two scratches. Returns FL_OK or FL_NO_MEMORY. */
int fl_compare(const fl_kernels *k, fl_scratch *const *s, const fl_rows *a, const fl_rows *b, const fl_comparison *c,
               int64_t begin, int64_t end);

/* The read-once kernel alone (largest value of each contiguous row): the unit of every benchmark. Works on
 * fl_f32 contiguous rows only. */
float fl_read_once(const fl_kernels *k, const float *x, int64_t n);

/* ---- the pipeline ----------------------------------------------------------------------------- */

enum { /* one id per line of steps.def: FL_OP_temperature, FL_OP_top_k, ... */
#define FL_STEP(id, name, kind, needs, off) FL_OP_##name = id,
#include "steps/steps.def"
#undef FL_STEP
       FL_OP_END
};

/* Bits of fl_step.flags; FL_PROMPT: the prompt counts too; FL_OUTPUT_ONLY: it does not. */
enum { FL_TIES_KEEP = 1, FL_JOINT = 2, FL_PROMPT = 4, FL_RAW = 8, FL_STRICT = 16, FL_OUTPUT_ONLY = 32 };

enum { FL_MOST_BESIDE = 2 };

/* Lists of tokens, each with a number or none. List i is ids[offsets[i]] .. ids[offsets[i + 1] - 1], or the single token
 * ids[i] if offsets is NULL; values[i] is its number. Lists rows[r] .. rows[r + 1] - 1 belong to row r, or all `count` of
 * them to every row if rows is NULL. ids lie in [0, n) (checked by the binding). */
typedef struct {
    const int64_t *ids;
    const int64_t *offsets;
    const double *values;
    const int64_t *rows;
    int64_t count;
} fl_lists;

/* One step as the user wrote it. Unused fields are zero / NULL. */
typedef struct {
    int32_t op;
    fl_per_row value;  /* the step's parameter (temperature, k, p, theta, alpha ...) as a double */
    fl_per_row second; /* those behind it, of steps that have them */
    fl_per_row third;
    fl_per_row_i min_keep; /* truncating steps: at.NULL means 1 */
    fl_per_row_i flags;    /* FL_TIES_KEEP and so on; at.NULL means 0 */
    fl_per_row_i window;   /* penalties: the last n tokens count, negative = all; at.NULL means all */
    fl_lists lists;        /* the tokens that the step names */
    /* mask: bit i % 32 of word i / 32 set = allowed; ids >= 32 * words are banned. words_step is the number of words
     * from row to row, 0 for one mask for all rows. */
    const uint32_t *words;
    ptrdiff_t words_step;
    int64_t words_n;
} fl_step;

typedef struct {
    const fl_step *steps;
    int32_t count;
    int32_t gumbel; /* tokens are drawn by Gumbel-max */
} fl_plan;

enum { FL_MEMORY = 2 }; /* numbers that a step remembers from token to token */
/* The step (guidance, contrastive or d_experts) on whole rows: x and the rows beside it, of its type and shape, to out, which has
 * them too and may be one of them. Where the step takes log-softmaxes, a row with NaN, +inf or nothing finite is NaN.
 * Returns FL_OK or FL_NO_MEMORY. */
int fl_combine(const fl_kernels *k, fl_scratch *s, const fl_step *step, const fl_rows *x, const fl_rows *const *beside,
               const fl_rows *out, int64_t begin, int64_t end);

/* ---- histories: tokens of one sequence, with what the steps of a plan ask of them --------------- */

typedef struct fl_history fl_history;
/* An empty one for the steps of a row of a plan; NULL without memory. */
fl_history *fl_history_new(const fl_plan *plan, int64_t row, int64_t prompt_length);
/* Users of a history: one more, which gets the same pointer; one less, the last of which frees it. */
fl_history *fl_history_share(fl_history *h);
void fl_history_free(fl_history *h);
/* What a user gets who wants to change it: h, if nobody else has it, else a copy in its place; NULL without memory. */
fl_history *fl_history_own(fl_history *h);
/* Adds tokens in [0, 2^31), or placeholders in (-2^31, 0), each of which the history holds once; observed: what the first
 * `heard` of them became to the steps, [heard, steps]. FL_OK, or FL_NO_MEMORY and nothing is changed. plan and row as they
 * were when the history was made. */
int fl_history_accept(fl_history *h, const int64_t *tokens, int64_t count, const fl_plan *plan, int64_t row,
                      const double *observed, int64_t heard);
/* Takes back the last tokens, at most all. */
void fl_history_rollback(fl_history *h, int64_t count);
/* Their number; they themselves, until the next change. */
int64_t fl_history_tokens(const fl_history *h, const int64_t **tokens);
int64_t fl_history_prompt(const fl_history *h);
/* What the steps remember behind each token, [tokens, width]; width is steps * FL_MEMORY, or 0 if none remembers. */
int64_t fl_history_memory(const fl_history *h, double **memory);

/* What a row has of its own in the place of a call's context, prompt length, position and key. The tokens of the
 * history lie in [0, n) or are placeholders. */
typedef struct {
    const fl_plan *plan; /* NULL: that of the call */
    int64_t row;         /* whose parameters of the plan */
    fl_history *history;
    int64_t position, key;
    double *observed;                      /* [steps]: what the drawn token is to each step that remembers, or NULL */
    const fl_rows *beside[FL_MOST_BESIDE]; /* with a plan of its own: what its first step combines, as in fl_inputs */
} fl_sequence;

/* Inputs of a call. context ids of row r: context[offsets[r] .. offsets[r + 1] - 1], or all `context_n` for every row
 * if offsets is NULL. A placeholder is a negative id that no other place of the context holds. u is made from (seed, key,
 * position) by fl_uniform. */
typedef struct {
    const int64_t *context;
    const int64_t *context_offsets;
    int64_t context_n;
    int32_t placeholders;       /* whether the context may hold placeholders */
    fl_per_row_i prompt_length; /* at.NULL means 0 */
    uint64_t seed;
    fl_per_row_i seeds;    /* in the place of seed, mod 2^64; at.NULL: seed is that of all rows */
    fl_per_row_i position; /* at.NULL: the number of context tokens of the row */
    fl_per_row_i keys;     /* at.NULL: the row number */
    const double *memory;  /* [rows, steps, FL_MEMORY]: what steps remember; NULL, or NaN in a place: nothing yet */
    const fl_sequence *sequences; /* one per row, or NULL */
    /* Rows that the first step combines with the logits, of their type and shape; NULL where it takes none. */
    const fl_rows *beside[FL_MOST_BESIDE];
    int64_t offset; /* of the first token in its vocabulary; Gumbel-max counts from there */
} fl_inputs;

/* What became of a row, for explain(). */
typedef struct {
    int32_t mode;      /* 0 dense (no list), 1 floor (scan + short list), 2 mass (exponential pass + short list),
                           3 mass + dense cut, 4 float64 fallback of a float row is flagged by bit 8 */
    int32_t passes;    /* dense passes over the row */
    int64_t edited;    /* distinct tokens carried beside the row */
    int64_t collected; /* candidates collected from the row */
    double floor;      /* threshold of the collecting, in units of the row */
} fl_trace;

typedef struct { /* growing list of candidates of consecutive rows, one per thread */
    int64_t *ids;
    double *logits;
    double *logprobs;
    int64_t count, room;
} fl_listing;
void fl_listing_free(fl_listing *l);

/* Where results go. Pointers that are NULL are not wanted. All are indexed by row. */
typedef struct {
    int64_t draws;        /* tokens drawn from each row, 0 for 1: columns of the next five */
    int32_t distinct;     /* without replacement, by Gumbel-max; padded with id -1, rank -1 and -inf */
    int64_t *ids;         /* drawn token (a plan with step `greedy`, or temperature 0, draws the maximum) */
    double *perturbed;    /* its logit, less the base of the row, + Gumbel noise; asks for Gumbel-max */
    double *bases;        /* [rows], 0 unless the largest logit is huge; beside perturbed */
    double *logprobs;     /* processed log-prob of the drawn token */
    double *observed;     /* [rows, steps]: what the drawn token is to each step that remembers, else NaN */
    double *raw_logprobs; /* its log-softmax in the logits as they came */
    int64_t *ranks;       /* 1 + number of strictly greater processed logits */
    int64_t top_n;        /* columns of the next two; rows with fewer survivors are padded with id -1 and -inf */
    int64_t *top_ids;
    double *top_logprobs;
    const fl_rows *probs;  /* dense results, or NULL */
    const fl_rows *logits; /* dense processed logits, or NULL */
    fl_listing *listing;   /* survivors sorted by (logit desc, id asc), appended; counts[r] of them */
    int64_t *counts;
    int32_t *status; /* per row fl_status; with status != NULL a bad row gets id -1, NaN and the run goes on */
    fl_trace *trace; /* per row */
} fl_results;

/* Runs rows begin .. end - 1. Returns where it failed first (status FL_OK: nowhere). */
fl_where fl_plan_run(const fl_kernels *k, fl_scratch *s, const fl_plan *plan, const fl_rows *x, const fl_inputs *in,
                     const fl_results *out, int64_t begin, int64_t end);

/* ---- speculative decoding ----------------------------------------------------------------------- */

enum {
    FL_NEGATIVE = 8, /* a given probability below 0 */
    FL_UNDRAWN = 9,  /* a drafted token whose probability in the draft is 0; where.value is its node */
    FL_OF_DRAFT = 64 /* added where the bad row is one of the draft */
};

/* Drafted tokens of sequences: n = drafts nodes each, and n + 1 rows of target logits, row 0 behind the context, row i + 1
 * behind node i. */
typedef struct {
    int64_t drafts;
    const int64_t *ids;     /* [rows, n], negative: the draft ends before; else below the vocabulary */
    const int64_t *parents; /* [rows, n]: an earlier node, -1: the context. NULL: each node follows the one before */
    const fl_rows *target;
    const fl_rows *draft; /* logits that the children of each node were drawn from, placed as the target's; or NULL */
    const fl_rows *probs; /* or probabilities. Neither: every draft token had probability 1 */
    int64_t draft_rows;   /* of these, rows per sequence */
    int32_t distinct;     /* children of a node were drawn without replacement */
    int64_t *accepted;    /* how many nodes */
    int64_t *emitted;     /* [rows, n + 1]: their tokens and one more, padded with -1 */
    int64_t *path;        /* [rows, n]: these nodes, padded with -1 */
    int32_t *status;      /* per sequence, as in fl_results */
} fl_drafts;

/* Sequences begin .. end - 1; two scratches. Contexts have been checked. Returns where it failed first: row counts those of
 * the target or of the draft, or sequences (FL_UNDRAWN). in->sequences, if any, have a plan each, that of their histories, and
 * in `observed` room for FL_MAX_STEPS numbers of each emitted token. */
fl_where fl_verify(const fl_kernels *k, fl_scratch *const *s, const fl_plan *plan, const fl_plan *draft_plan,
                   const fl_inputs *in, const fl_drafts *d, int64_t begin, int64_t end);

/* What the steps remember, [steps, FL_MEMORY], once the row's token became `observed`, [steps]. */
void fl_plan_remember(const fl_plan *plan, int64_t row, const double *observed, double *memory);

#endif
