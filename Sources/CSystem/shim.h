// Calls of the system that Swift does not see: glibc declares them only under _GNU_SOURCE, which a module cannot set for
// itself, or not in the headers of its Swift module.
#pragma once
#include <pthread.h>

#if defined(__APPLE__)
static inline void csystem_set_thread_name(const char *name) { pthread_setname_np(name); }
static inline long csystem_file_system_type(const char *path) { (void)path; return 0; }
#else
#include <sys/vfs.h>
extern int pthread_setname_np(pthread_t thread, const char *name);
/// Linux keeps 15 bytes of a name and refuses a longer one.
static inline void csystem_set_thread_name(const char *name) { (void)pthread_setname_np(pthread_self(), name); }
/// The magic number of the file system that a path is on (statfs(2)); 0 when it cannot be told.
static inline unsigned csystem_file_system_type(const char *path) {
    struct statfs status;
    return statfs(path, &status) == 0 ? (unsigned)status.f_type : 0;
}
#endif
