/* Preloaded into a worker: its disk is full while the file that DISK_FULL_WHEN names is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FULL(name, type)                                                        \
  int name(const char *path, struct type *found) {                              \
    int (*real)(const char *, struct type *) = dlsym(RTLD_NEXT, #name);         \
    const char *when = getenv("DISK_FULL_WHEN");                                \
    int answer = real(path, found);                                             \
    if (answer == 0 && when && access(when, F_OK) == 0)                         \
      found->f_bavail = found->f_bfree = 0;                                     \
    return answer;                                                              \
  }

FULL(statvfs, statvfs)
FULL(statvfs64, statvfs64)
