// expat for Swift: XML that the vendor's polling interface returns.
#pragma once
#include <expat.h>
#include <stdint.h>

// Newer versions (Debian 13 has one) deprecate these in favour of 64-bit forms, which older ones do not have.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static inline int64_t shim_xml_line(XML_Parser parser) { return (int64_t)XML_GetCurrentLineNumber(parser); }
static inline int64_t shim_xml_offset(XML_Parser parser) { return (int64_t)XML_GetCurrentByteIndex(parser); }
static inline int64_t shim_xml_length(XML_Parser parser) { return (int64_t)XML_GetCurrentByteCount(parser); }
#pragma GCC diagnostic pop
