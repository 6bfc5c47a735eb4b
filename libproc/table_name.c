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

static uint32_t hash_of(const uint64_t *words, size_t used)
{
    uint64_t state = used;

    for (size_t i = 0; i < used; i++)
        state = mix(state, words[i]);
    return (uint32_t)(mix(state, 0) >> 32);
}

static size_t words_for(size_t length)
{
    return length / sizeof(uint64_t) + 1;
}

/* Up to seven bytes and the NUL. A memcpy() of a length that is not known would be slower than all the rest. */
static uint64_t last_word(const char *text)
{
    uint64_t word = 0;

    for (unsigned i = 0; text[i] != '\0'; i++)
        word |= (uint64_t)(unsigned char)text[i] << 8 * i;
    return le64toh(word);
}

int table_name_make(struct table_name *name, const char *text)
{
    size_t length = text ? strnlen(text, sizeof name->words) : 0;

    if (length == 0 || length == sizeof name->words) {
        errno = EINVAL;
        return -1;
    }
    name->used = words_for(length);
    for (size_t i = 0; i < name->used - 1; i++)
        memcpy(&name->words[i], text + i * sizeof *name->words, sizeof *name->words);
    name->words[name->used - 1] = last_word(text + length / sizeof *name->words * sizeof *name->words);
    name->hash = hash_of(name->words, name->used);
    return 0;
}

uint32_t table_name_hash(const uint64_t words[TABLE_NAME_WORDS])
{
    return hash_of(words, words_for(strnlen((const char *)words, TABLE_NAME_WORDS * sizeof *words - 1)));
}
