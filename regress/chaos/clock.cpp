// The wall clock of this process, wrong by as much as the board says. These stand before the C library's for the C++
// library and libpq too. The kernel's own waits, and the clocks that do not jump, are the real ones: as it is when
// somebody sets the clock of a host.
#include "clock.hpp"

#include <ctime>

#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

chaos::board* shown_by = nullptr;

}  // namespace

void chaos::set_clock_by(board& shared) { shown_by = &shared; }

extern "C" {

int clock_gettime(clockid_t which, timespec* out) noexcept {
    const long result = ::syscall(SYS_clock_gettime, which, out);
    if (!shown_by || which != CLOCK_REALTIME || result != 0) return static_cast<int>(result);
    const std::int64_t shift = shown_by->clock_shift;
    if (shift != 0) ++shown_by->clock_looks;
    out->tv_sec += shift;
    return 0;
}

int gettimeofday(timeval* out, void*) noexcept {
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    out->tv_sec = t.tv_sec;
    out->tv_usec = t.tv_nsec / 1000;
    return 0;
}

time_t time(time_t* out) noexcept {
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}

}
