/* The names of a table's rows, as they lie in shared memory: 64 bytes, filled up with zeros. */
#ifndef LIBPROC_TABLE_NAME_H
#define LIBPROC_TABLE_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_NAME_WORDS 8

struct table_name {
    uint64_t words[TABLE_NAME_WORDS];
    size_t used; /* words, the last of which has the NUL; what follows is not set */
    uint32_t hash;
};

/* EINVAL: it is empty, or longer than 63 bytes. */
int table_name_make(struct table_name *name, const char *text);

/* The hash of a name that lies there. */
uint32_t table_name_hash(const uint64_t words[TABLE_NAME_WORDS]);

#endif
