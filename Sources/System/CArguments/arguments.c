#include "include/arguments.h"

#include <stddef.h>
#include <stdlib.h>

static int count;
static char **arguments;

#if defined(__GLIBC__) || defined(__APPLE__)
// These C libraries pass main's arguments to constructors; musl does not.
__attribute__((constructor)) static void keep(int argc, char **argv) {
    count = argc;
    arguments = argv;
}
#endif

int csmsbridge_argument_count(void) { return arguments ? count : 0; }

const char *csmsbridge_argument(int position) {
    return position >= 0 && position < csmsbridge_argument_count() ? arguments[position] : NULL;
}
