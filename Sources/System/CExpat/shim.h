// expat for Swift: XML that the vendor's polling interface returns.
#pragma once
#include <expat.h>
