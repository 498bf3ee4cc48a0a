"""Speed compared with other libraries: the same work on the same row, with the same result, timed in turns.

`jobs` is the registry of what is compared; `peers` holds how users of each library write it. `rows` makes the rows,
`checks` compares results, `timing` times. `comparison` does it all and gives a report, which `tables` and `picture`
show. The command ``fastlogits bench`` and the suite in benchmarks/ stand on it; the library never imports it.
"""
