/* Loaded before libc (LD_PRELOAD): fsync and fdatasync take longer.

   SLOW_DISK names a file that begins with an int, the milliseconds; it is mapped, so that what is
   written into it holds at once. Without the variable, and with 0, nothing is different. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile int *milliseconds;

__attribute__((constructor)) static void map_the_file(void) {
    const char *name = getenv("SLOW_DISK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof(int), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        milliseconds = mapped;
}

static int late(const char *name, int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    if (milliseconds && *milliseconds > 0)
        usleep((useconds_t)*milliseconds * 1000);
    return real(file);
}

int fsync(int file) { return late("fsync", file); }

int fdatasync(int file) { return late("fdatasync", file); }
