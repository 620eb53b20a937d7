// libcurl for Swift. curl_easy_setopt and curl_easy_getinfo are variadic and do not import: typed wrappers stand here.
#pragma once
#include <curl/curl.h>
