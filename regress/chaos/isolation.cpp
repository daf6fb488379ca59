#include "isolation.hpp"

#include "process.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

namespace chaos {
namespace {

void need(bool ok, const char* what) {
    if (!ok) throw std::system_error(errno, std::generic_category(), what);
}

// Who is not root may do it within a user namespace, as the same user.
void enter(int spaces) {
    if (::geteuid() == 0) return need(::unshare(spaces) == 0, "unshare");
    const std::string user = std::to_string(::geteuid()), group = std::to_string(::getegid());
    need(::unshare(spaces | CLONE_NEWUSER) == 0, "unshare");
    std::ofstream("/proc/self/uid_map") << user << ' ' << user << " 1";
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/gid_map") << group << ' ' << group << " 1";
}

}  // namespace

void isolate_network() {
    enter(CLONE_NEWNET);
    set_loopback(true);
}

void set_loopback(bool up) {
    const int s = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq lo{};
    std::strcpy(lo.ifr_name, "lo");
    bool ok = ::ioctl(s, SIOCGIFFLAGS, &lo) == 0;
    lo.ifr_flags = static_cast<short>(up ? lo.ifr_flags | IFF_UP : lo.ifr_flags & ~IFF_UP);
    ok = ok && ::ioctl(s, SIOCSIFFLAGS, &lo) == 0;
    ::close(s);
    need(ok, "the loopback interface");
}

void mount_small(const std::string& path, int megabytes) {
    enter(CLONE_NEWNS);
    need(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mount --make-private");
    need(::mount("tmpfs", path.c_str(), "tmpfs", 0, ("mode=0700,size=" + std::to_string(megabytes) + "m").c_str()) == 0, "mount");
    give_to_server(path);
}

}  // namespace chaos
