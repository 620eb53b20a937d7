// The name of a thread: glibc declares the call only under _GNU_SOURCE, which a module cannot set for itself.
#pragma once
#include <pthread.h>

#if defined(__APPLE__)
static inline void cthreads_set_name(const char *name) { pthread_setname_np(name); }
#else
extern int pthread_setname_np(pthread_t thread, const char *name);
/// Linux keeps 15 bytes of a name and refuses a longer one.
static inline void cthreads_set_name(const char *name) { (void)pthread_setname_np(pthread_self(), name); }
#endif
