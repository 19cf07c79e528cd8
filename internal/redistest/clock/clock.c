// gettimeofday returns the true time plus an offset. The file named by CLOCK contains the offset in
// microseconds, as eight bytes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>

static volatile long long *step;
static int (*real)(struct timeval *, void *);

__attribute__((constructor)) static void begin(void) {
  real = dlsym(RTLD_NEXT, "gettimeofday");
  step = mmap(0, sizeof *step, PROT_READ, MAP_SHARED, open(getenv("CLOCK"), O_RDONLY), 0);
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
  int err = real(tv, tz);
  long long us = tv->tv_sec * 1000000LL + tv->tv_usec + *step;
  tv->tv_sec = us / 1000000;
  tv->tv_usec = us % 1000000;
  return err;
}
