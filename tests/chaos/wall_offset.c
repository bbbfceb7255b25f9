// Gives one program a wall clock of its own: preloaded, it adds to every reading of the wall clock the nanoseconds that
// stand in the file named by WALL_OFFSET_FILE, 8 bytes in the machine's order. Writing there makes the clock jump, in
// the running program, at once. Without the variable nothing changes.
//
// CLOCK_MONOTONIC and CLOCK_BOOTTIME are untouched: a set clock does not change how long things take. Whoever waits
// until a time of the wall clock reads it here and waits in the kernel, which knows nothing of the offset, so these
// waits are translated back. (Of the real thing this leaves out that a jump also moves the end of a wait that has
// begun.)
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t kNanos = 1000000000;
// What is later can only be meant for the wall clock: no machine has been up for thirty years.
static const int64_t kWallSeconds = 1000000000;

static const volatile int64_t* offset_nanos;

__attribute__((constructor)) static void MapOffset(void) {
  const char* name = getenv("WALL_OFFSET_FILE");
  if (name == NULL) return;
  int file = open(name, O_RDONLY | O_CLOEXEC);
  if (file < 0) abort();
  void* map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (map == MAP_FAILED) abort();
  close(file);
  offset_nanos = map;
}

static struct timespec Add(struct timespec time, int64_t nanos) {
  int64_t sum = time.tv_sec * kNanos + time.tv_nsec + nanos;
  struct timespec result = {.tv_sec = sum / kNanos, .tv_nsec = sum % kNanos};
  return result;
}

static int64_t Offset(void) {
  return offset_nanos == NULL ? 0 : *offset_nanos;
}

static struct timespec Wall(void) {
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  return Add(now, Offset());
}

int clock_gettime(clockid_t id, struct timespec* time) {
  if (syscall(SYS_clock_gettime, id, time) != 0) return -1;
  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE || id == CLOCK_TAI) *time = Add(*time, Offset());
  return 0;
}

int gettimeofday(struct timeval* restrict time, void* restrict zone) {
  (void)zone;
  struct timespec now = Wall();
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) {
  struct timespec now = Wall();
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}

// The kernel's time for `deadline`, and in `id` the clock that it is meant for.
static struct timespec Kernel(const struct timespec* deadline, clockid_t* id) {
  if (deadline->tv_sec < kWallSeconds) {
    *id = CLOCK_MONOTONIC;
    return *deadline;
  }
  *id = CLOCK_REALTIME;
  return Add(*deadline, -Offset());
}

int pthread_cond_timedwait(pthread_cond_t* restrict cond, pthread_mutex_t* restrict mutex,
                           const struct timespec* restrict deadline) {
  clockid_t id;
  struct timespec until = Kernel(deadline, &id);
  return pthread_cond_clockwait(cond, mutex, id, &until);
}

int sem_timedwait(sem_t* restrict semaphore, const struct timespec* restrict deadline) {
  clockid_t id;
  struct timespec until = Kernel(deadline, &id);
  return sem_clockwait(semaphore, id, &until);
}
