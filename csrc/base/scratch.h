/* scratch.h: buffers that grow on demand and are kept between calls. */
#ifndef FL_SCRATCH_H
#define FL_SCRATCH_H

#include "base/interface.h"

enum {                /* what each buffer of the scratch holds */
       FL_BUF_PACKED, /* a strided row, values side by side */
       FL_BUF_SECOND, /* the same of rows beside it */
       FL_BUF_THIRD,
       FL_BUF_WIDE,     /* the row as double */
       FL_BUF_IMAGE,    /* the float image of a double row */
       FL_BUF_GMAX,     /* group maxima */
       FL_BUF_SMAX,     /* super-group maxima */
       FL_BUF_GSUM,     /* group sums of exponentials */
       FL_BUF_MOMENT,   /* group sums of their moments */
       FL_BUF_GROUPS,   /* other values per group */
       FL_BUF_E,        /* exponentials of a row */
       FL_BUF_LIVE,     /* one bit per token: takes part in the dense passes */
       FL_BUF_EDITS,    /* edited tokens */
       FL_BUF_TABLE,    /* hash table over their ids */
       FL_BUF_SLOTS,    /* edited token of every context position */
       FL_BUF_CANDS,    /* the candidate list */
       FL_BUF_SORT,     /* room to sort it */
       FL_BUF_JOINT,    /* masses remembered at the first joint cut */
       FL_BUF_SHARES,   /* probabilities that a step hears of later */
       FL_BUF_EDITED,   /* logits and masses of the edited tokens */
       FL_BUF_SUMS,     /* masses by block */
       FL_BUF_EXTRA,    /* logits of survivors told apart from the dense ones */
       FL_BUF_BAND,     /* one bit per token: those that a band keeps */
       FL_BUF_BANNED,   /* tokens that a step removed before anything was listed */
       FL_BUF_REPAIRED, /* a row without NaN and infinities */
       FL_BUF_RESOLVED, /* what steps that read the context come to */
       FL_BUF_ROW,      /* a result row on its way to another type or stride */
       FL_BUF_DRAWN,    /* drawn tokens */
       FL_BUF_NOISE,    /* bounds of blocks in Gumbel-max */
       FL_BUF_PATH,     /* a context of the row's own, with accepted tokens */
       FL_BUF_BY_ID,    /* probabilities of the list by id */
       FL_BUF_RESIDUAL, /* what is left of a target distribution */
       FL_BUFFERS
};

struct fl_scratch {
    void *raw[FL_BUFFERS];
    void *room[FL_BUFFERS]; /* raw rounded up to a cache line */
    size_t bytes[FL_BUFFERS];
    const volatile int32_t *stop; /* another thread sets it to end the call; or NULL */
};

/* Whether the call is to end: then no more buffers are given, and it fails as without memory. */
static inline int fl_stopped(const fl_scratch *s) { return s->stop && *s->stop; }

/* Buffer `which` with at least `bytes` bytes (contents not kept when it grows), or NULL. Passes over a row begin with one,
 * so a call that is to end does so at the next pass. */
void *fl_buffer(fl_scratch *s, int which, size_t bytes);

/* An index from an array that other threads may write: read once, so that what is checked is what is used. */
static inline int64_t fl_peek(const int64_t *at) { return *(const volatile int64_t *)at; }

#endif
