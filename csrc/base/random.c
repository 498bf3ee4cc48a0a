/* random.c: random words from (seed, key, position). */
#include "base/interface.h"

/* Philox4x64-10 (Salmon, Moraes, Dror and Shaw, 2011): ten rounds of two 128-bit products, key raised by Weyl
 * constants each round. */
void fl_philox(uint64_t seed, uint64_t key, const uint64_t *counter, uint64_t *words) {
    uint64_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        unsigned __int128 a = (unsigned __int128)0xD2E7470EE14C6C93u * c0,
                          b = (unsigned __int128)0xCA5A826395121157u * c2;
        c0 = (uint64_t)(b >> 64) ^ c1 ^ seed;
        c2 = (uint64_t)(a >> 64) ^ c3 ^ key;
        c1 = (uint64_t)b;
        c3 = (uint64_t)a;
        seed += 0x9E3779B97F4A7C15u;
        key += 0xBB67AE8584CAA73Bu;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

double fl_uniform(uint64_t seed, uint64_t key, uint64_t position, uint64_t stream, uint64_t number) {
    uint64_t counter[4] = {position, stream, number, 0}, words[4];
    fl_philox(seed, key, counter, words);
    return (double)(words[0] >> 11) * 0x1p-53;
}
