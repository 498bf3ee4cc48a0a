"""The wrong changes that tests/mutations.py makes, one at a time."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """One change: `old`, which `file` holds once, becomes `new`; a test in one of the files `tests` should fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    # ---- C: the short list, sums, scores, draws ----
    Mutation(
        "sort: equal values change places",
        "csrc/rows/sort.c",
        "for (; to > 0 && v[order[to - 1]] < v[own]; to--) {",
        "for (; to > 0 && v[order[to - 1]] <= v[own]; to--) {",
        ("edges", "dtypes", "errors", "plans"),
    ),
    Mutation(
        "exact sums: upper limb shifted by one",
        "csrc/base/exact.c",
        "high = m >> 1 >> (63 - bits);",
        "high = m >> 1 >> (62 - bits);",
        ("exact",),
    ),
    Mutation(
        "score: rank counts the target's equals",
        "csrc/functions/score.c",
        "return 1 + k->row_reach[row->dtype](row->x, row->n, gmax, fl_float_after((float)own));",
        "return k->row_reach[row->dtype](row->x, row->n, gmax, (float)own);",
        ("scoring",),
    ),
    Mutation(
        "cuts: top-p takes a token more where the mass is reached exactly",
        "csrc/steps/cuts.c",
        "while (keep < c->n && sum < target) {",
        "while (keep < c->n && sum <= target) {",
        ("presets",),
    ),
    Mutation(
        "penalties: border between the halves of the window",
        "csrc/steps/penalties.c",
        "last < start + (e->context.n - start) / 2",
        "last < start + (e->context.n - start + 1) / 2",
        ("repeats",),
    ),
    Mutation(
        "plan: a floor that forgets min_keep = 2",
        "csrc/plan/early_floor.c",
        "            if (v->min_keep > 1) {",
        "            if (v->min_keep > 2) {",
        ("edges", "plans"),
    ),
    Mutation(
        "history: a rollback leaves the first gram",
        "csrc/tokens/history.c",
        "if (at + 1 >= h->grams[i].order)",
        "if (at + 1 > h->grams[i].order)",
        ("state", "batch"),
    ),
    Mutation(
        "verify: a residual without q",
        "csrc/verify/verify.c",
        "if (keep * p < p - q) return id;",
        "if (keep * p < p) return id;",
        ("verify",),
    ),
    Mutation(
        "gumbel: a word of the seed shared with plain draws",
        "csrc/plan/gumbel.c",
        "uint64_t counter[4] = {z->position, z->number, at, (uint64_t)level + 1};",
        "uint64_t counter[4] = {z->position, z->number, at, (uint64_t)level};",
        ("gumbel",),
    ),
    # ---- C: kernels, compiled for every instruction set ----
    Mutation(
        "kernel: a block is skipped behind the last of the equals",
        "csrc/kernels/collect_tpl.h",
        "to = run[r] + 1;",
        "to = run[r] + 2;",
        ("kernels", "plans"),
    ),
    Mutation(
        "kernel: NaN is forgotten but for the last vectors",
        "csrc/kernels/scan_tpl.h",
        "*bad = vm_or(*bad, vf_nlt(vf_sum4(v), vf_set1(INFINITY)));",
        "*bad = vf_nlt(vf_sum4(v), vf_set1(INFINITY));",
        ("kernels", "errors"),
    ),
    # ---- Cython ----
    Mutation(
        "border: the short way takes a negative prompt length",
        "fastlogits/_binding/plan.pxi",
        "                or not int64_of(prompt_length, &start) or start < 0\n",
        "                or not int64_of(prompt_length, &start)\n",
        ("arguments", "errors", "inputs"),
    ),
    # ---- Python ----
    Mutation(
        "sampler: an error blames the logits for the rows beside them",
        "fastlogits/sampling/sampler.py",
        "refuse_row((), row, Fault(status, step, value, logits.size, names), beside=self.beside)",
        "refuse_row((), row, Fault(status, step, value, logits.size, names))",
        ("guidance", "guidance_errors"),
    ),
    Mutation(
        "arguments: an open range takes its end",
        "fastlogits/_common/params.py",
        "if type(value) is float and low < value <= high and value < math.inf:",
        "if type(value) is float and low <= value <= high and value < math.inf:",
        ("arguments",),
    ),
    Mutation(
        "scoring: an error counts rows from the chunk",
        "fastlogits/scoring/targets.py",
        "refuse_row(self.outer, first + row, Fault(int(status[row])))",
        "refuse_row(self.outer, row, Fault(int(status[row])))",
        ("scoring",),
    ),
    Mutation(
        "calibration: torchmetrics' edge in the middle of odd bins",
        "fastlogits/calibration/_bins.py",
        "np.where(k < (bins + 1) // 2,",
        "np.where(k < bins // 2,",
        ("calibration", "calibration_fits"),
    ),
    Mutation(
        "texts: bytes counted as characters",
        "fastlogits/scoring/texts.py",
        "words, size = len(re.split(r\"\\s+\", text)), len(text.encode())",
        "words, size = len(re.split(r\"\\s+\", text)), len(text)",
        ("texts",),
    ),
    Mutation(
        "command line: of equal extremes the last row",
        "fastlogits/cli/compare.py",
        "key=lambda extreme: (extreme.value, -extreme.row)",
        "key=lambda extreme: (extreme.value, extreme.row)",
        ("cli_long",),
    ),
    Mutation(
        "presets: vLLM's bad words look at the prompt too",
        "fastlogits/sampling/presets.py",
        '{"top_k": _TIES, "bad_words": {"bad_words_output_only": True}},',
        '{"top_k": _TIES},',
        ("builders", "presets"),
    ),
    Mutation(
        "explain: numbers of the row, not of the state's row",
        "fastlogits/sampling/explain.py",
        "own = row if state is None else state.row",
        "own = row",
        ("explain",),
    ),
)  # fmt: skip
