// The arguments of the process where there is no /proc, from which the Swift runtime reads them on Linux.
#pragma once

/// The number of arguments, the program's name included; 0 where the C library does not pass them.
int csmsbridge_argument_count(void);
/// The argument at a position; NULL where there is none.
const char *csmsbridge_argument(int position);
