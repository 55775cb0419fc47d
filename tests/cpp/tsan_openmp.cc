// Makes OpenMP's fork and join visible to ThreadSanitizer. libgomp is not compiled for it, so that every
// hand-over of data to and from a team would look like a race; suppressing those by name would hide the races
// between two tasks of one loop, which are what the tests look for. Linked into the tests of the tsan preset,
// where this GOMP_parallel comes before libgomp's.
#include <dlfcn.h>

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
}

namespace {

struct Region {
  void (*body)(void*);
  void* data;
  char begin, end;  // their addresses name the two hand-overs
};

// Not instrumented: the pointer to the region itself reaches the team unseen.
__attribute__((no_sanitize("thread"))) void run_region(void* context) {
  Region* region = static_cast<Region*>(context);
  __tsan_acquire(&region->begin);
  region->body(region->data);
  __tsan_release(&region->end);
}

}  // namespace

extern "C" __attribute__((visibility("default"), no_sanitize("thread"))) void GOMP_parallel(
    void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
  static const Parallel real = reinterpret_cast<Parallel>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  Region region{body, data, 0, 0};
  __tsan_release(&region.begin);
  real(run_region, &region, threads, flags);
  __tsan_acquire(&region.end);
}
