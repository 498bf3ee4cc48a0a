/* shards.h: rows of which only a part of the tokens is here. */
#ifndef FL_SHARDS_H
#define FL_SHARDS_H

#include "fastlogits.h"

/* The group sums of row r in the unit of the whole row. Returns FL_OK or FL_NO_MEMORY. */
int fl_shard_sums(const fl_kernels *k, fl_scratch *s, const fl_rows *x, int64_t r, const fl_whole *whole, double t);

#endif
