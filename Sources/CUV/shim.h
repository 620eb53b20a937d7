// libuv for Swift. Only what its headers do not import by themselves is wrapped here.
#pragma once
#include <uv.h>
