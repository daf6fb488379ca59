#include "nursery.hpp"

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace chancy::detail {

struct nursery::request {
    enum kind : int { fork, stop, end } what;
    pid_t pid = -1;
};

struct nursery::answer {
    int value = 0;    // fork: a pid; end: a wait status
    int problem = 0;  // an errno
};

namespace {

// A process as /proc shows it.
struct process {
    pid_t pid = -1, parent = -1, session = -1;
    char state = '?';
};

// A file of /proc, read whole. Not by a stream: that throws when the process ends meanwhile.
std::string contents(const std::string& path) {
    std::string out;
    const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char block[4096];
    for (ssize_t n; (n = ::read(file.get(), block, sizeof block)) > 0;) out.append(block, static_cast<std::size_t>(n));
    return out;
}

std::vector<process> processes() {
    std::vector<process> out;
    std::error_code ignored;
    for (std::filesystem::directory_iterator entry("/proc", ignored), end; entry != end; entry.increment(ignored)) {
        const std::string name = entry->path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        const std::string line = contents("/proc/" + name + "/stat");
        const std::size_t at = line.rfind(')');  // the name before it may hold anything
        if (at == std::string::npos) continue;
        process p;
        int group;
        if (std::sscanf(line.c_str() + at + 1, " %c %d %d %d", &p.state, &p.parent, &group, &p.session) != 4) continue;
        p.pid = std::stoi(name);
        out.push_back(p);
    }
    return out;
}

// Kills all that match, and tells whether any was alive.
template <class F>
bool kill_all(F matches) {
    bool found = false;
    for (const process& p : processes())
        if (p.state != 'Z' && p.state != 'X' && matches(p)) {
            ::kill(p.pid, SIGKILL);
            found = true;
        }
    if (found) ::usleep(1000);
    return found;
}

}  // namespace

// The nursery's own life, after the fork.
class nursery::keeper {
public:
    keeper(descriptor control, descriptor worker, std::function<void(int)> serve)
        : m_control(std::move(control)), m_worker(std::move(worker)), m_serve(std::move(serve)) {}

    [[noreturn]] void live() {
        ::prctl(PR_SET_NAME, "chancy-nursery");
        ::prctl(PR_SET_CHILD_SUBREAPER, 1);
        for (const int s : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) ::signal(s, SIG_IGN);  // the worker tells us when to end
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        ::sigprocmask(SIG_SETMASK, &set, nullptr);
        m_deaths = descriptor(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
        for (;;) {
            pollfd p[] = {{m_control.get(), POLLIN, 0}, {m_worker.get(), POLLIN, 0}, {m_deaths.get(), POLLIN, 0}};
            if (::poll(p, 3, -1) < 0) continue;
            if (p[2].revents != 0) {
                signalfd_siginfo what;
                while (::read(m_deaths.get(), &what, sizeof what) > 0) continue;
                reap();
            }
            if (p[1].revents != 0) break;
            if (p[0].revents != 0 && !serve()) break;
        }
        // Whatever descends from us comes to us once what is between has ended: only without a child are we without all. A
        // look at /proc alone would miss what a process has left to a thread of its own that is still ending.
        const pid_t self = ::getpid();
        for (const auto& [pid, status] : m_children) ::kill(-pid, SIGKILL);
        while (reap())
            if (!kill_all([&](const process& p) { return p.parent == self || m_children.contains(p.session); })) ::usleep(1000);
        ::_exit(0);
    }

private:
    // Whether there are children yet.
    bool reap() {
        int status;
        pid_t pid;
        while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0)
            if (const auto known = m_children.find(pid); known != m_children.end()) known->second = status;
        return pid == 0;
    }

    bool serve();
    int fork_child(int socket);

    descriptor m_control, m_worker, m_deaths;
    std::function<void(int)> m_serve;
    std::map<pid_t, std::optional<int>> m_children;  // and their wait status, when they have ended
};

bool nursery::keeper::serve() {
    request what;
    iovec data{&what, sizeof what};
    alignas(cmsghdr) char passed[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = passed;
    message.msg_controllen = sizeof passed;
    const ssize_t n = ::recvmsg(m_control.get(), &message, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) return true;
    if (n != sizeof what) return false;  // the worker has closed it
    descriptor socket;
    if (const cmsghdr* c = CMSG_FIRSTHDR(&message); c && c->cmsg_type == SCM_RIGHTS) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
        socket = descriptor(fd);
    }
    answer out;
    const auto known = m_children.find(what.pid);
    if (what.what == request::fork) {
        out.value = fork_child(socket.get());
        if (out.value < 0) out.problem = errno;
        socket.close();  // before the worker is told: as long as we have it too, nobody sees that the child has ended
    } else if (known == m_children.end()) {
        out.problem = ESRCH;
    } else if (what.what == request::stop) {
        if (!known->second) ::kill(what.pid, SIGTERM);
    } else {
        if (!known->second) ::kill(what.pid, SIGKILL);
        while (kill_all([&](const process& p) { return p.session == what.pid; })) continue;  // one may fork while we look
        while (!known->second) {
            int status;
            if (::waitpid(what.pid, &status, 0) == what.pid) known->second = status;
            else if (errno != EINTR) known->second = 0;
        }
        out.value = *known->second;
        m_children.erase(known);
        reap();
    }
    return ::send(m_control.get(), &out, sizeof out, MSG_NOSIGNAL) == sizeof out;
}

int nursery::keeper::fork_child(int socket) {
    const pid_t nursery = ::getpid();
    const pid_t pid = ::fork();
    if (pid > 0) m_children[pid] = std::nullopt;
    if (pid != 0) return pid;

    ::setsid();
    ::prctl(PR_SET_NAME, "chancy-child");
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != nursery) ::_exit(1);
    m_control.close();
    m_worker.close();
    m_deaths.close();
    for (const int s : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::signal(s, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    try {
        m_serve(socket);
    } catch (...) {
    }
    ::_exit(0);  // what was made before the fork is not ours to destroy
}

nursery::nursery(std::function<void(int)> serve) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw failure("socketpair");
    descriptor ours(ends[0]), theirs(ends[1]);
    descriptor self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    if (self.get() < 0) throw failure("pidfd_open");
    // What is buffered now would be written twice.
    std::cout.flush();
    std::fflush(nullptr);
    m_pid = ::fork();
    if (m_pid < 0) throw failure("fork");
    if (m_pid == 0) {
        ours.close();
        keeper(std::move(theirs), std::move(self), std::move(serve)).live();
    }
    m_control = std::move(ours);
}

nursery::~nursery() { end_all(); }

void nursery::end_all() noexcept {
    const std::lock_guard lock(m_mutex);
    if (m_pid < 0) return;
    m_control.close();
    m_gone = true;
    ::waitpid(m_pid, nullptr, 0);
    m_pid = -1;
}

bool nursery::gone() const noexcept {
    const std::lock_guard lock(m_mutex);
    return m_gone;
}

nursery::answer nursery::ask(const request& what, int pass) {
    request copy = what;
    iovec data{&copy, sizeof copy};
    alignas(cmsghdr) char passed[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (pass >= 0) {
        message.msg_control = passed;
        message.msg_controllen = sizeof passed;
        cmsghdr* c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(c), &pass, sizeof pass);
    }
    const std::lock_guard lock(m_mutex);
    answer out;
    ssize_t n = -1;
    if (!m_gone && ::sendmsg(m_control.get(), &message, MSG_NOSIGNAL) == sizeof copy)
        while ((n = ::recv(m_control.get(), &out, sizeof out, 0)) < 0 && errno == EINTR) continue;
    if (n != sizeof out) {
        m_gone = true;
        throw std::runtime_error("the process that forks children is gone");
    }
    if (out.problem != 0) {
        errno = out.problem;
        throw failure("a child process");
    }
    return out;
}

nursery::child nursery::fork_child() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw failure("socketpair");
    const descriptor theirs(ends[1]);
    child c;
    c.socket = descriptor(ends[0]);
    c.pid = ask({request::fork}, theirs.get()).value;
    return c;
}

void nursery::ask_to_stop(pid_t pid) { (void)ask({request::stop, pid}); }

int nursery::end(pid_t pid) { return ask({request::end, pid}).value; }

int thread_count() {
    std::error_code ignored;
    return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/task", ignored), {}));
}

}  // namespace chancy::detail
