#include "shell.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <poll.h>
#include <csignal>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace chancy::detail {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t longest_tail = 8 * 1024;       // of both outputs, for the error
constexpr std::size_t longest_output = 16 * 1024 * 1024;

std::array<descriptor, 2> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) throw failure("pipe");
    return {descriptor(fds[0]), descriptor(fds[1])};
}

// A shell with the command, leader of its own process group, with its four streams.
struct child {
    pid_t pid = -1;
    descriptor input, output, errors, reports;
    descriptor exited;  // a pidfd
};

// Between vfork and exec the child runs in our memory while we wait: only system calls, and nothing that it changes is read
// after it.
[[noreturn]] void become(const char* shell, char* const* environment, const int streams[4], std::optional<std::int64_t> memory, pid_t worker) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // when the thread that waits for it is gone, and so when the worker is killed
    if (::getppid() != worker) ::_exit(127);
    for (int i = 0; i < 4; ++i) {
        if (streams[i] == i) ::fcntl(i, F_SETFD, 0);
        else ::dup2(streams[i], i);
    }
    struct sigaction usual{};
    usual.sa_handler = SIG_DFL;
    for (int s = 1; s < NSIG; ++s) ::sigaction(s, &usual, nullptr);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (memory) {
        rlimit limit{};
        ::getrlimit(RLIMIT_AS, &limit);
        limit.rlim_cur = limit.rlim_max = std::min(static_cast<rlim_t>(*memory), limit.rlim_max);
        ::setrlimit(RLIMIT_AS, &limit);
    }
    const char* const argv[] = {"sh", "-c", shell, nullptr};
    ::execve("/bin/sh", const_cast<char* const*>(argv), environment);
    ::_exit(127);
}

// The function that calls vfork returns to the parent alone, and has nothing else in it that the child could spoil.
pid_t begin(const char* shell, char* const* environment, const int streams[4], std::optional<std::int64_t> memory) {
    const pid_t worker = ::getpid(), pid = ::vfork();
    if (pid == 0) become(shell, environment, streams, memory, worker);
    return pid;
}

// The worker's own variables, and in the place of its trace the job's: a job without one must not seem to belong to what started the worker.
std::vector<char*> environment_of(const std::optional<trace_context>& trace, std::vector<std::string>& own) {
    if (trace) own.push_back("TRACEPARENT=" + trace->traceparent);
    if (trace && !trace->tracestate.empty()) own.push_back("TRACESTATE=" + trace->tracestate);
    std::vector<char*> out;
    for (char** e = environ; *e; ++e)
        if (std::strncmp(*e, "TRACEPARENT=", 12) != 0 && std::strncmp(*e, "TRACESTATE=", 11) != 0) out.push_back(*e);
    for (std::string& variable : own) out.push_back(variable.data());
    out.push_back(nullptr);
    return out;
}

child start(const std::string& shell, std::optional<std::int64_t> memory, const std::optional<trace_context>& trace) {
    std::vector<std::string> own;
    const std::vector<char*> environment = environment_of(trace, own);
    auto in = make_pipe(), out = make_pipe(), err = make_pipe(), reports = make_pipe();
    const int streams[] = {in[0].get(), out[1].get(), err[1].get(), reports[1].get()};
    // No handler of a signal may run in the child before it is itself.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = begin(shell.c_str(), environment.data(), streams, memory);
    const int problem = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) throw std::runtime_error(std::string("cannot start a shell: ") + std::strerror(problem));
    child c;
    c.pid = pid;
    c.input = std::move(in[1]);
    c.output = std::move(out[0]);
    c.errors = std::move(err[0]);
    c.reports = std::move(reports[0]);
    c.exited = descriptor(static_cast<int>(::syscall(SYS_pidfd_open, c.pid, 0)));
    for (const descriptor* d : {&c.input, &c.output, &c.errors, &c.reports}) ::fcntl(d->get(), F_SETFL, O_NONBLOCK);
    return c;
}

// write, without the SIGPIPE that would end the program when the command does not read its input.
ssize_t write_quietly(int fd, const char* data, std::size_t size) {
    sigset_t pipe, pending, before;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    ::sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    const ssize_t n = ::write(fd, data, size);
    const int problem = errno;
    if (n < 0 && problem == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
        constexpr timespec now{};
        while (::sigtimedwait(&pipe, nullptr, &now) < 0 && errno == EINTR) continue;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = problem;
    return n;
}

void keep_end(std::string& tail) {
    if (tail.size() > longest_tail) tail.erase(0, tail.size() - longest_tail);
}

// Reads what there is, but not for ever from one that writes without end; closes at the end of the stream.
void drain(descriptor& from, std::string& tail, std::string* whole) {
    char block[65536];
    for (int blocks = 0; blocks < 16; ++blocks) {
        const ssize_t n = ::read(from.get(), block, sizeof block);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return from.close();
        tail.append(block, static_cast<std::size_t>(n));
        keep_end(tail);
        if (whole && whole->size() <= longest_output) whole->append(block, static_cast<std::size_t>(n));
    }
}

}  // namespace

shell_end run_shell(const shell_run& what) {
    child c = start(what.command, what.memory, what.trace);
    shell_end end;
    std::size_t written = 0;
    std::string reports;
    const auto drain_reports = [&] {
        std::string unused;
        drain(c.reports, unused, &reports);
        if (what.on_reports) what.on_reports(reports, end.tail, c.reports.get() < 0);
        else reports.clear();
        keep_end(end.tail);
    };
    constexpr auto never = clock::time_point::max();
    auto deadline = what.deadline;
    bool killed = false, running = true;
    while (running) {
        const auto left = deadline == never ? -1 : std::max<long long>(0, std::chrono::ceil<milliseconds>(deadline - clock::now()).count());
        pollfd p[] = {{c.input.get(), POLLOUT, 0},
                      {c.output.get(), POLLIN, 0},
                      {c.errors.get(), POLLIN, 0},
                      {c.exited.get(), POLLIN, 0},
                      {end.stopped ? -1 : what.bell, POLLIN, 0},
                      {c.reports.get(), POLLIN, 0}};
        ::poll(p, 6, static_cast<int>(std::min<long long>(left, 1'000'000)));
        if (p[0].revents != 0) {
            const ssize_t n = write_quietly(c.input.get(), what.input.data() + written, what.input.size() - written);
            if (n > 0) written += static_cast<std::size_t>(n);
            if (written == what.input.size() || (n < 0 && errno != EAGAIN && errno != EINTR)) c.input.close();
        }
        if (p[1].revents != 0) drain(c.output, end.tail, &end.output);
        if (p[2].revents != 0) drain(c.errors, end.tail, nullptr);
        if (p[5].revents != 0) drain_reports();
        if (p[3].revents != 0) {
            ::waitpid(c.pid, &end.status, 0);
            running = false;
            break;
        }
        bool rung = false;
        if (p[4].revents != 0) {
            eventfd_t times;
            ::eventfd_read(what.bell, &times);
            rung = what.must_stop();
        }
        const bool late = clock::now() >= deadline;
        if (end.stopped && late && !killed) {
            ::kill(-c.pid, SIGKILL);
            killed = true;
            deadline = never;
        } else if (!end.stopped && (late || rung)) {
            // It is asked for by the same deadline.
            end.timed_out = deadline != never && clock::now() + milliseconds(100) >= deadline;
            end.stopped = true;
            ::kill(-c.pid, SIGTERM);
            deadline = clock::now() + what.patience;
        }
    }
    if (end.stopped) ::kill(-c.pid, SIGKILL);  // what the shell left behind in its group
    if (c.output.get() >= 0) drain(c.output, end.tail, &end.output);
    if (c.errors.get() >= 0) drain(c.errors, end.tail, nullptr);
    if (c.reports.get() >= 0) drain_reports();
    end.whole = end.output.size() <= longest_output;
    return end;
}

void throw_what_status_says(const shell_end& end) {
    if (WIFSIGNALED(end.status)) throw discard("killed by signal " + std::to_string(WTERMSIG(end.status)) + "\n" + end.tail);
    if (WEXITSTATUS(end.status) == 75) throw std::runtime_error("exit status 75\n" + end.tail);
    if (WEXITSTATUS(end.status) != 0) throw discard("exit status " + std::to_string(WEXITSTATUS(end.status)) + "\n" + end.tail);
}

}  // namespace chancy::detail
