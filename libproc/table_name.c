/* Names and their hashes. All processes that use a table must come to the same hash: to change it takes a new version of the
 * segment. */
#include "table_name.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Each word changes all bits of what follows. */
static uint64_t mix(uint64_t state, uint64_t word)
{
    state = (state ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return state ^ state >> 29;
}

static uint32_t finish(uint64_t state)
{
    return (uint32_t)(mix(state, 0) >> 32);
}

static size_t words_for(size_t length)
{
    return length / sizeof(uint64_t) + 1;
}

/* ---- text as words, whose first byte is the lowest ---- */

static uint64_t eight_bytes(const char *text)
{
    uint64_t word;

    memcpy(&word, text, sizeof word);
    return le64toh(word);
}

static uint64_t four_bytes(const char *text)
{
    uint32_t word;

    memcpy(&word, text, sizeof word);
    return le32toh(word);
}

static uint64_t byte(const char *text, size_t i)
{
    return (uint64_t)(unsigned char)text[i] << 8 * i;
}

/* What follows the whole words, up to seven bytes and the NUL, from parts that overlap: a loop, or a memcpy() of a length that
 * is not known, would take longer than the search. */
static uint64_t last_word(const char *text, size_t length)
{
    size_t rest = length % sizeof(uint64_t);

    if (rest == 0)
        return 0;
    if (length > sizeof(uint64_t))
        return eight_bytes(text + length - sizeof(uint64_t)) >> 8 * (sizeof(uint64_t) - rest);
    if (length >= 4)
        return four_bytes(text) | four_bytes(text + length - 4) << 8 * (length - 4);
    return byte(text, 0) | byte(text, length / 2) | byte(text, length - 1);
}

/* ---- names ---- */

int table_name_make(struct table_name *name, const char *text)
{
    size_t length = text ? strnlen(text, sizeof name->words) : 0;

    if (length == 0 || length == sizeof name->words) {
        errno = EINVAL;
        return -1;
    }
    size_t used = words_for(length);
    uint64_t state = used;
    for (size_t i = 0; i < used; i++) {
        name->words[i] = htole64(i + 1 < used ? eight_bytes(text + i * sizeof(uint64_t)) : last_word(text, length));
        state = mix(state, name->words[i]);
    }
    name->used = used;
    name->hash = finish(state);
    return 0;
}

uint32_t table_name_hash(const uint64_t words[TABLE_NAME_WORDS])
{
    size_t used = words_for(strnlen((const char *)words, TABLE_NAME_WORDS * sizeof *words - 1));
    uint64_t state = used;

    for (size_t i = 0; i < used; i++)
        state = mix(state, words[i]);
    return finish(state);
}
