#include "process.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace chaos {
namespace {

const passwd* server_user() {
    static const passwd* const user = ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr;
    return user;
}

[[noreturn]] void become(const std::vector<char*>& argv, const child_options& o, const passwd* user) {
    const int in = ::open("/dev/null", O_RDONLY);
    ::dup2(in, 0);
    if (!o.output.empty()) {
        const int out = ::open(o.output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (out < 0) ::_exit(126);
        ::dup2(out, 1);
        ::dup2(out, 2);
    }
    ::setsid();
    if (user && (::setgroups(0, nullptr) != 0 || ::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0)) ::_exit(126);
    if (user && ::chdir("/") != 0) ::_exit(126);
    ::prctl(PR_SET_PDEATHSIG, o.death_signal);  // after setuid, which takes it away
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
}

}  // namespace

pid_t spawn(const std::vector<std::string>& argv, const child_options& o) {
    std::vector<char*> raw;
    for (const std::string& a : argv) raw.push_back(const_cast<char*>(a.c_str()));
    raw.push_back(nullptr);
    const passwd* user = o.as_server ? server_user() : nullptr;
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
    if (child == 0) become(raw, o, user);
    return child;
}

int wait_for(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return status;
}

void run(const std::vector<std::string>& argv, const child_options& o) {
    const int status = wait_for(spawn(argv, o));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw std::runtime_error(argv[0] + " failed" + (o.output.empty() ? "" : ": see " + o.output));
}

std::string make_folder() {
    char name[] = "/tmp/chancy.chaos.XXXXXX";
    if (!::mkdtemp(name)) throw std::runtime_error(std::string("mkdtemp: ") + std::strerror(errno));
    give_to_server(name);
    return name;
}

void give_to_server(const std::string& path) {
    if (const passwd* user = server_user())
        if (::chown(path.c_str(), user->pw_uid, user->pw_gid) != 0)
            throw std::runtime_error("chown " + path + ": " + std::strerror(errno));
}

int free_port() {
    const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const bool ok = ::bind(s, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                    ::getsockname(s, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    ::close(s);
    if (!ok) throw std::runtime_error("no free port");
    return ntohs(address.sin_port);
}

}  // namespace chaos
