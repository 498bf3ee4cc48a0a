/* job.h: what plan.c, the ends and the steps share: one row on its way from logits to results. */
#ifndef FL_PIPELINE_H
#define FL_PIPELINE_H

#include "tokens/history.h"

enum { FL_BLEND, FL_EDIT, FL_MAP, FL_CUT, FL_PICK }; /* kinds of steps.def */
enum {                                               /* what its steps need of all survivors, or of the tokens before */
       FL_NEEDS_NOTHING = 0,
       FL_NEEDS_MASS = 1,
       FL_NEEDS_ENTROPY = 2 | FL_NEEDS_MASS,
       FL_NEEDS_POWER = 4 | FL_NEEDS_MASS,
       FL_NEEDS_SPREAD = 8,
       FL_NEEDS_LIST = 16,
       FL_NEEDS_CONTEXT = 32,
       FL_NEEDS_PREFIX = 64
};
enum { FL_HEARS_NOTHING, FL_HEARS_SURPRISE, FL_HEARS_SHARE }; /* what a step wants to know of the drawn token */

/* A step with the parameters of one row. */
typedef struct {
    int32_t op, kind;
    int32_t index; /* in the user's plan */
    int32_t flags; /* FL_TIES_KEEP and so on */
    int32_t needs; /* FL_NEEDS_...; nothing once resolved */
    int32_t resolved;
    double value, second, third;
    double floor;    /* of a resolved step: it keeps what has logit >= floor */
    double u;        /* random number of a random step */
    uint64_t stream; /* where it comes from; 0: the step is not random */
    int64_t min_keep, window;
    int64_t vocab;       /* length of the row */
    int32_t hears, slot; /* FL_HEARS_...; which of those that hear a share */
    double memory[FL_MEMORY];
    const int64_t *ids;     /* of an edit: its tokens, with a value each where it has any */
    const int64_t *offsets; /* as in fl_lists; NULL once an edit is resolved */
    const double *values;
    int64_t entries;
    const uint32_t *words; /* of an edit: it bans what they do not allow */
    int64_t words_n;
} fl_step_values;

/* The tokens before the one to come. */
typedef struct {
    const int64_t *ids;
    int64_t n, prompt_length;
    const fl_history *history; /* that holds them, or NULL */
} fl_context;

/* The steps of one row that do something. at[0 .. head - 1] are the edits and temperatures before the first cut. */
typedef struct {
    fl_step_values at[FL_MAX_STEPS];
    int32_t count, head;
    int32_t edits;      /* edit steps in the head */
    double temperature; /* product over the head */
    int32_t shares;     /* steps that hear a share */
    double skew;        /* the draw's u becomes u^exp(-skew) */
    int repair;         /* NaN and infinities become numbers before the row is read */
    int renormalise;    /* the last step: logits are told as log-probs */
} fl_program;

/* ---- program.c ---------------------------------------------------------------------------------- */

int64_t fl_integer_at(fl_per_row_i p, int64_t r, int64_t unset);
/* A step with the parameters of row r. */
fl_step_values fl_step_values_of(const fl_step *s, int64_t r, int32_t index);
/* Finds the head again, after the first step behind it was replaced. */
void fl_program_head(fl_program *p);
/* memory: of the row, or NULL. FL_OK or FL_NO_MEMORY. */
int fl_program_read(fl_program *p, fl_scratch *s, const fl_plan *plan, int64_t r, int64_t n, const fl_context *c,
                    const double *memory);

/* ---- context.c: edits that depend on the tokens before ------------------------------------------- */

/* Makes plain entries, or words, or nothing of a step; ids and values have room for entries + c->n. */
#define FL_PROTO_NOTHING(name)
#define FL_PROTO_MASS(name)
#define FL_PROTO_ENTROPY(name)
#define FL_PROTO_POWER(name)
#define FL_PROTO_SPREAD(name)
#define FL_PROTO_LIST(name)
#define FL_PROTO_CONTEXT(name)                                                                                         \
    void fl_resolve_##name(const fl_context *c, fl_step_values *v, int64_t *ids, double *values);
#define FL_STEP(id, name, kind, needs) FL_PROTO_##needs(name)
#include "steps/steps.def"
#undef FL_STEP
/* Whether the context ends with these tokens. */
int fl_context_ends(const fl_context *c, const int64_t *ids, int64_t n);
void fl_resolve(const fl_context *c, fl_step_values *v, int64_t *ids, double *values);

/* ---- edits.c: tokens carried beside the row ----------------------------------------------------- */

typedef struct { /* the edited tokens and what the steps so far made of them */
    const fl_kernels *k;
    double *logit;
    int32_t *id, *count; /* count: occurrences in the window counted last */
    int32_t *last;       /* last position in the context, as far as penalties read it, or -1 */
    int32_t *number;     /* in the history, or -1 */
    int64_t n;
    uint64_t *table; /* open addressing, 2^(32 - shift) places */
    uint32_t shift;
    int32_t *slots; /* entry of each context position, -1 = none */
    fl_context context;
    int64_t counted_from; /* first position of the window counted last */
} fl_edits;

/* Entries for every token that the head's edits name, with the row's values; live: the tokens of the dense passes, NULL
 * if all take part. Returns FL_OK, FL_BAD_TOKEN, FL_STEP_INF, FL_NO_MEMORY. */
int fl_edits_open(fl_scratch *s, const fl_program *p, const fl_row *row, fl_edits *e, const uint16_t **live,
                  fl_where *where);
/* Occurrences of every entry in the context from `start` on. */
void fl_edits_count(fl_edits *e, int64_t start);
/* First context position that the step counts, whatever its window. */
int64_t fl_counts_from(const fl_step_values *v, int64_t prompt_length);
/* First context position that the step reads. */
int64_t fl_window_start(const fl_edits *e, const fl_step_values *v);
/* count[i] = whether entry i occurs from `start` on. */
void fl_edits_mark(fl_edits *e, int64_t start);
/* Entry of a token, -1 if it is not edited. */
int64_t fl_edits_find(const fl_edits *e, int64_t id);
/* What the head makes of an unedited value: the temperatures, one after the other. */
double fl_head_value(const fl_program *p, double value);
void fl_head_values(const fl_kernels *k, const fl_program *p, double *values, int64_t n);

/* ---- cands.c: the short list -------------------------------------------------------------------- */

/* Candidates of a row. raw_*: as collected, by token id. id, logit, pos: sorted by (logit descending, id ascending);
 * the first n are alive; pos is the place in raw. mass: exp(logit - logit[0]) of the first `known`. */
typedef struct {
    const fl_kernels *k;
    fl_scratch *s;
    int64_t raw, n, known;
    int32_t *raw_id, *id, *pos, *order;
    double *raw_logit, *logit, *mass;
    double total; /* mass of all tokens that the next mass step counts, also of those not collected; 0: the list */
    double entropy, least; /* entropy and least logit of them, where total or partial says that they count */
    int partial;           /* tokens below the last of the list may be missing */
    int more;              /* the step needs some of them, */
    double reach;          /* as far as is known those of at least this mass; 0: not known */
    int failed;            /* FL_OK, or why a step could not work */
    double *joint;         /* masses remembered at the first joint cut, by pos, or NULL */
    double joint_total;
    double *shares;        /* [slots, raw]: probabilities where a step hears them, by pos, or NULL */
    const fl_edits *edits; /* context of edits behind a cut */
} fl_cands;

int fl_cands_room(fl_cands *c, int64_t room);
/* Sorts raw into the alive list. */
int fl_cands_sort(fl_cands *c);
/* Masses exp(logit - logit[0]) of the first n alive, at least. */
const double *fl_cands_masses(fl_cands *c, int64_t n);
/* Total mass of the list alone, in sorted order. */
double fl_cands_total(fl_cands *c);
void fl_cands_keep(fl_cands *c, int64_t n);
/* The least sum that ends a prefix by mass: the step's share of total, or, if strict, what lies right above it. */
double fl_target(const fl_step_values *v, double total);
/* Takes -inf off the end: a division may have made it. */
void fl_cands_drop_banned(fl_cands *c);
/* Remembers masses and total at the first joint cut. */
void fl_cands_join(fl_cands *c);

/* The entropy of all survivors, in nats. */
double fl_cands_entropy(fl_cands *c);
/* Keeps the entries i with keep[i] != 0; keep may be c->order. */
void fl_cands_compact(fl_cands *c, const int32_t *keep);
/* Puts the alive list back in order after an edit. -inf leaves it. FL_OK, FL_ALL_BANNED or FL_NO_MEMORY. */
int fl_cands_resort(fl_cands *c);

/* An edit behind a cut: acts on the survivors, which are sorted again. */
int fl_cands_edit(fl_cands *c, const fl_step_values *v);
/* Any step on the list: FL_OK, FL_STEP_INF, FL_ALL_BANNED, FL_NO_MEMORY. */
int fl_cands_step(fl_cands *c, const fl_step_values *v);

/* One function per line of steps.def: edits act on entries, the other kinds on the list. */
#define FL_PROTO_BLEND(name)
#define FL_PROTO_EDIT(name) void fl_edit_##name(fl_edits *e, const fl_step_values *v);
#define FL_PROTO_MAP(name) void fl_list_##name(fl_cands *c, const fl_step_values *v);
#define FL_PROTO_CUT(name) FL_PROTO_MAP(name)
#define FL_PROTO_PICK(name) FL_PROTO_MAP(name)
#define FL_STEP(id, name, kind, needs) FL_PROTO_##kind(name)
#include "steps/steps.def"
#undef FL_STEP
void fl_edits_apply(fl_edits *e, const fl_step_values *v);

/* steps/feedback.c: what a step remembers before the first token, and behind one that was `observed`. */
void fl_memory_begin(const fl_step_values *v, double *memory);
void fl_memory_next(const fl_step_values *v, double observed, double *memory);

/* What the floor steps ask of all survivors: total and power in units of the top's mass to that power. */
typedef struct {
    double top, total, entropy, power, deviation, least;
    int64_t alive;
} fl_shape;
/* The logit from which on a step (min_p, epsilon_cutoff, eta_cutoff, top_a, p_less, top_n_sigma, mirostat 2) keeps
 * tokens, and the cut there, by the shape of the list if that is not known. */
double fl_floor_of_step(const fl_shape *s, const fl_step_values *v);
void fl_list_floor(fl_cands *c, const fl_step_values *v);
/* The temperature that a dynamic one comes to. */
double fl_dynamic_temperature(const fl_shape *s, const fl_step_values *v);
/* c->order[i] = 1 for the tokens that typical_p takes by their distance from the logit `middle` until sum, which counts
 * from that given, reaches the target. Returns how many, -1 if the list is too short; last: the distance of the
 * last of them. */
int64_t fl_typical_walk(fl_cands *c, const fl_step_values *v, double middle, double sum, double target, double *last);
/* keep[i] = 0 for the tokens of the list that xtc removes, and their number; 0 if less than min_keep of `alive` tokens
 * would stay. */
int64_t fl_xtc_removed(fl_cands *c, const fl_step_values *v, int64_t alive, int32_t *keep);

/* ---- plan.c and the ends ------------------------------------------------------------------------ */

/* Tokens drawn from a row. */
typedef struct {
    int64_t room, n;
    double base; /* what Gumbel-max subtracts from logits before it adds noise */
    int64_t *id, *rank;
    double *logit, *perturbed;
} fl_drawn;

/* The survivors of a row that were never listed: tokens before (cut_logit, cut_id) in the order, or equal to it.
 * Unedited survivors are those with value >= low before id `split` (a multiple of FL_BLOCK), with value >= high from
 * there on, and the extra ones. */
typedef struct {
    fl_mass mass;
    double cut_logit;
    int64_t cut_id, split;
    float low, high;
    const int32_t *extra;
    double *extra_logit, *extra_mass; /* masses in the unit of mass */
    int64_t extra_n;
    double *sums;            /* masses of the survivors by block, extra and edited ones included, in the unit of mass */
    double total, total_low; /* total_low: what rounding total lost */
    double log_total;        /* ln(total / mass of the top) */
    const fl_step_values *smooth; /* the map behind the head, or NULL; it has worked on edited tokens already */
    int64_t uniform;              /* > 0: so many survivors, all unedited and equal to the top value */
} fl_dense;

/* One row on its way. */
typedef struct {
    const fl_kernels *k;
    fl_scratch *s;
    const fl_inputs *in;
    const fl_results *out;
    int64_t r;
    int gumbel; /* tokens are drawn by Gumbel-max */
    fl_row row;
    int64_t position, key;
    fl_row
        parts[1 +
              FL_MOST_BESIDE];   /* the logits as they came and the rows beside them, if the first step combines them */
    int32_t parts_n, shift_free; /* shift_free: a constant added to all logits does not show */
    fl_blend blend;
    fl_program program;
    fl_edits edits;
    const uint16_t *live;
    float *gmax, *smax;
    fl_reached reached;                /* of gmax */
    int banned;                        /* FL_BUF_BANNED holds tokens */
    const fl_mass *known;              /* of the same live tokens at another temperature, or NULL */
    double top;                        /* largest logit of all tokens behind the head */
    double *edited_mass, edited_total; /* exp(logit - top) of the edited tokens, and their sum */
    fl_cands list;
    double *observed; /* of the row, or NULL */
    fl_drawn drawn;
    fl_dense *kept; /* instead of a result the distribution is kept: here, or in the list */
    int is_dense;
    fl_trace trace;
    fl_where where;
} fl_job;

/* ---- shapes.c: a first step that looks at all survivors ------------------------------------------- */

int fl_is_shaped(const fl_step_values *v);
int fl_run_shaped(fl_job *j);

/* ---- smoothing.c -------------------------------------------------------------------------------- */

/* max - k d^2 + s d^3 with d = l - max, k = f (3 - c) / 2, s = f (c - 1) / 2. */
double fl_smoothed(const fl_step_values *v, double logit, double top);
/* Smoothing is the only step behind the head and a token the only result. A status, or -1: list everything. */
int fl_run_smoothing(fl_job *j);

/* ---- band.c ------------------------------------------------------------------------------------- */

/* Leaves only what typical_p keeps alive. FL_OK, FL_NO_MEMORY, or -1: not found, list everything. */
int fl_typical_band(fl_job *j, const fl_mass *m, const fl_shape *s, const fl_step_values *v);

fl_context fl_context_of(const fl_inputs *in, int64_t r);
/* A job for the parameters of row r. */
void fl_job_begin(fl_job *j, const fl_kernels *k, fl_scratch *s, const fl_plan *plan, const fl_inputs *in,
                  const fl_results *out, int64_t r);
/* What the steps of a plan remember, of a history that may have been made for more of them; or NULL. */
const double *fl_remembered(const fl_history *h, const fl_plan *plan);
/* Runs row `at` of x and the rows beside it with the parameters of row `of`. The job knows key and position, and a context
 * whose tokens lie in the row. */
int fl_run_row(fl_job *j, const fl_plan *plan, const fl_rows *x, int64_t at, int64_t of, const double *memory);
int fl_run_all(fl_job *j);
int fl_run_floor(fl_job *j);
int fl_run_list(fl_job *j);
/* The steps from `from` on, on the list, and the end. */
int fl_run_rest(fl_job *j, int32_t from);
/* One scan for the maxima. */
int fl_scan_row(fl_job *j);
/* The same, and what row_spread tells of the values around centre, unless NULL. */
int fl_scan_spread(fl_job *j, float centre, double *spread);
int fl_set_top(fl_job *j, double live_top);
void fl_set_base(fl_job *j, fl_mass *m);
int fl_fail(fl_job *j, int status, int32_t step, double value);
/* Collects the live values >= floor and the edited tokens that reach it, sorted. FL_OK or a failure. */
int fl_collect(fl_job *j, float floor, int64_t equals);
/* Puts the edited tokens with low <= logit < high among the collected ones, by id. */
int fl_join_edited(fl_job *j, double low, double high);
/* floor.c's floor of a rank for the job's row. */
float fl_job_floor(fl_job *j, int64_t rank);
/* The row value whose head value is logit, rounded down far enough to lose nothing. */
float fl_value_below(const fl_job *j, double logit);
/* The smallest float whose head value reaches logit, or lies above it; FLT_MAX if there is none. */
float fl_exact_value(const fl_job *j, double logit, int above);

/* ---- blend.c: the first step of a plan, if it combines rows ------------------------------------------ */

/* Opens the row as that step, `v`, makes it; v->kind is FL_BLEND. FL_OK or a failure. */
int fl_blend_open(fl_job *j, const fl_step_values *v, const fl_plan *plan, const fl_rows *x);
/* Writes the combination down: a row of doubles from then on. FL_OK or a failure. */
int fl_blend_settle(fl_job *j);
/* A shift that brings the top near 0, where floats are dense, if it does not show: the largest of some values. */
void fl_blend_center(fl_job *j);
/* Writes its nearest floats down, for masses. 0 where doubles must serve. */
int fl_blend_image(fl_job *j);
/* One scan of the combination for maxima in float. 0 where floats do not serve. */
int fl_blend_scan(fl_job *j);
/* A threshold in float, lowered so far that nothing is missed that reaches it in double. */
float fl_blend_lowered(const fl_job *j, float floor);
/* Largest value of the live tokens, `image` being the largest of gmax. */
double fl_blend_top(const fl_job *j, float image);
/* Fails for what is wrong with one of the rows, else with the step itself: `status`. */
int fl_blend_fault(fl_job *j, int status);

/* ---- nucleus.c ---------------------------------------------------------------------------------- */

/* edited_mass and edited_total of the job. 0, or -1 without memory. */
int fl_edited_masses(fl_job *j);
enum { FL_FLOOR_SURE = 1, FL_FLOOR_GUESSED = 2 };
/* A floor that the nucleus of mass `target` (in units of the top's mass) stays above, surely or as a guess that the list
 * must confirm by its mass; 0 if none is worth a list. */
int fl_nucleus_floor(fl_job *j, const fl_mass *m, double target, float *floor);
/* The next guess, lower. 0 if it is not worth a list. */
int fl_nucleus_lower(fl_job *j, const fl_mass *m, float *floor);
/* The nucleus as a cut of the dense row. FL_OK, FL_NO_MEMORY, or -1: not found, list everything. */
int fl_nucleus_cut(fl_job *j, double target, fl_dense *d);

/* ---- dense.c: survivors that were never listed ---------------------------------------------------- */

/* Sums and totals of d, from its mass. 0, or -1 without memory. */
int fl_dense_sums(fl_job *j, fl_dense *d);
/* All survivors equal to the top: counts instead of exponentials. 1 if so. */
int fl_dense_uniform(fl_job *j, fl_dense *d);
/* Logit of a token behind the head, -inf if it was masked or did not survive. */
double fl_dense_logit(const fl_job *j, const fl_dense *d, int64_t id);
int64_t fl_dense_draw(const fl_job *j, const fl_dense *d, double u);
int fl_end_dense(fl_job *j, fl_dense *d);

/* ---- gumbel.c: draws by Gumbel-max, into j->drawn -------------------------------------------------- */

/* From the list, or from survivors that were never listed, for which the group maxima alone are needed. FL_OK or a
 * failure. */
int fl_gumbel_list(fl_job *j);
int fl_gumbel_dense(fl_job *j, const fl_dense *d);

/* ---- ends.c ------------------------------------------------------------------------------------- */

/* Draws what is asked for into j->drawn: from the list, or from survivors that were never listed. FL_OK or a failure. */
int fl_draw_list(fl_job *j);
int fl_draw_dense(fl_job *j, const fl_dense *d);
int fl_end_list(fl_job *j);
/* FL_OK if the largest logit is finite in the type of the result. */
int fl_fits(fl_job *j, const fl_rows *out, double top);
/* The u of a draw from the row. */
double fl_draw_u(const fl_job *j, int64_t number);
/* Whether ids, and what comes with them for nothing, are all that is wanted. */
int fl_only_ids(const fl_job *j);
/* Room for the tokens that are asked for, in j->drawn. FL_OK or a failure. */
int fl_drawn_open(fl_job *j);
/* What j->drawn tells, and what steps hear of its first token; log_total: ln of the total in units of the mass of `top`. */
int fl_report_drawn(fl_job *j, double top, double log_total);
/* Log-prob of a survivor on the list. */
double fl_list_logprob(fl_cands *c, int64_t id);
/* What a drawn token is to the steps that remember, into j->observed: its surprise in bits, or its probability where the step
 * stood. */
void fl_observe(fl_job *j, int64_t id, double logprob);
/* The first of the sorted list as table of the best; log_total: ln of the total in units of the list's top. */
void fl_report_best(fl_job *j, const fl_cands *c, double log_total);

#endif
