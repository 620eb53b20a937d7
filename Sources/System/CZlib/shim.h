// zlib for Swift: inflating the bodies of requests that come compressed.
#pragma once
#include <zlib.h>

// inflateInit2 is a macro. `bits`: 15 with a zlib head (RFC 1950), -15 without one (RFC 1951), 31 with a gzip head (RFC 1952).
static inline int smsbridge_inflate_init(z_stream *stream, int bits) { return inflateInit2(stream, bits); }
