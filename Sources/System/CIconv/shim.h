// iconv for Swift. It is a part of glibc and musl; on macOS Package.swift links libiconv.
#pragma once
#include <iconv.h>

// iconv_open's failure is a pointer of all ones.
static inline int smsbridge_iconv_is_open(iconv_t converter) { return converter != (iconv_t)-1; }
