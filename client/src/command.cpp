#include <chancy/command.hpp>

#include "attempt.hpp"
#include "descriptor.hpp"

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

namespace chancy {
namespace {

using detail::clock;
using detail::descriptor;
using detail::failure;
using std::chrono::milliseconds;

constexpr std::size_t longest_tail = 8 * 1024;       // of both outputs, for the error
constexpr std::size_t longest_result = 1024 * 1024;  // a longer standard output is no result
constexpr std::size_t longest_report = 1024 * 1024;

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
[[noreturn]] void become(const char* shell, const int streams[4], std::optional<rlim_t> memory, pid_t worker) {
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
        limit.rlim_cur = *memory < limit.rlim_max ? *memory : limit.rlim_max;
        limit.rlim_max = limit.rlim_cur;
        ::setrlimit(RLIMIT_AS, &limit);
    }
    const char* const argv[] = {"sh", "-c", shell, nullptr};
    ::execve("/bin/sh", const_cast<char* const*>(argv), environ);
    ::_exit(127);
}

child start(const std::string& shell, std::optional<std::int64_t> memory) {
    auto in = make_pipe(), out = make_pipe(), err = make_pipe(), reports = make_pipe();
    const int streams[] = {in[0].get(), out[1].get(), err[1].get(), reports[1].get()};
    const std::optional<rlim_t> limit = memory ? std::optional(static_cast<rlim_t>(*memory)) : std::nullopt;
    const pid_t self = ::getpid();
    // No handler of a signal may run in the child before it is itself.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = ::vfork();
    if (pid == 0) become(shell.c_str(), streams, limit, self);
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

// Reads what there is, but not for ever from one that writes without end; closes at the end of the stream.
void drain(descriptor& from, std::string& tail, std::string* whole) {
    char block[65536];
    for (int blocks = 0; blocks < 16; ++blocks) {
        const ssize_t n = ::read(from.get(), block, sizeof block);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return from.close();
        tail.append(block, static_cast<std::size_t>(n));
        if (tail.size() > longest_tail) tail.erase(0, tail.size() - longest_tail);
        if (whole && whole->size() <= longest_result) whole->append(block, static_cast<std::size_t>(n));
    }
}

// What the command says of its progress: a JSON object a line. Throws what is wrong with it.
progress read_report(const std::string& line) {
    progress out;
    for (const auto& [key, value] : json::parse(line).get<json::object_t>()) {
        if (key == "percent") out.percent = value.get<double>();
        else if (key == "message") out.message = value.get<std::string>();
        else if (key == "checkpoint") out.checkpoint = value;
        else throw std::invalid_argument('"' + key + "\" is not known: percent, message and checkpoint are");
    }
    return out;
}

// All whole lines that have come. What cannot be read is told with the other output of the command.
void report_lines(const job_context& to, std::string& come, std::string& tail, bool at_end) {
    if (at_end && !come.empty()) come += '\n';
    std::size_t begin = 0;
    const auto refuse = [&](const std::string& why) { tail += "progress: " + why + '\n'; };
    for (std::size_t end; (end = come.find('\n', begin)) != std::string::npos; begin = end + 1) {
        try {
            to.report(read_report(come.substr(begin, end - begin)));
        } catch (const std::exception& e) {
            refuse(e.what());
        }
    }
    come.erase(0, begin);
    if (come.size() <= longest_report) return;
    refuse("a line is longer than 1 MiB");
    come.clear();
}

std::string describe(const job_context& context) {
    json out = context.job();
    if (auto state = context.checkpoint()) out["checkpoint"] = std::move(*state);
    if (context.job().meta.contains("workflow_id")) {
        json& steps = out["step_results"] = json::object();
        for (const step_result& r : context.step_results()) steps[r.step] = {{"state", r.state}, {"result", r.result ? *r.result : json()}};
    }
    return out.dump() + '\n';
}

}  // namespace

std::optional<json> command::operator()(job_context& context) const {
    const std::string input = describe(context);
    child c = start(m_shell, detail::limit_of(context.job(), "memory"));
    const descriptor asked(::eventfd(0, EFD_CLOEXEC));
    const std::stop_callback ask(context.stop_token(), [&] { ::eventfd_write(asked.get(), 1); });

    std::size_t written = 0;
    std::string output, tail, reports;
    const auto drain_reports = [&] {
        std::string unused;
        drain(c.reports, unused, &reports);
        report_lines(context, reports, tail, c.reports.get() < 0);
    };
    constexpr auto never = clock::time_point::max();
    auto deadline = context.deadline().value_or(never);
    bool stopping = false, timed_out = false, killed = false;
    int status = 0;
    bool running = true;
    while (running) {
        const auto left = deadline == never ? -1 : std::max<long long>(0, std::chrono::ceil<milliseconds>(deadline - clock::now()).count());
        pollfd p[] = {{c.input.get(), POLLOUT, 0},
                      {c.output.get(), POLLIN, 0},
                      {c.errors.get(), POLLIN, 0},
                      {c.exited.get(), POLLIN, 0},
                      {stopping ? -1 : asked.get(), POLLIN, 0},
                      {c.reports.get(), POLLIN, 0}};
        ::poll(p, 6, static_cast<int>(std::min<long long>(left, 1'000'000)));
        if (p[0].revents != 0) {
            const ssize_t n = write_quietly(c.input.get(), input.data() + written, input.size() - written);
            if (n > 0) written += static_cast<std::size_t>(n);
            if (written == input.size() || (n < 0 && errno != EAGAIN && errno != EINTR)) c.input.close();
        }
        if (p[1].revents != 0) drain(c.output, tail, &output);
        if (p[2].revents != 0) drain(c.errors, tail, nullptr);
        if (p[5].revents != 0) drain_reports();
        if (p[3].revents != 0) {
            ::waitpid(c.pid, &status, 0);
            running = false;
            break;
        }
        const bool late = clock::now() >= deadline;
        if (stopping && late && !killed) {
            ::kill(-c.pid, SIGKILL);
            killed = true;
            deadline = never;
        } else if (!stopping && (late || p[4].revents != 0)) {
            // It is asked for by the same deadline.
            timed_out = deadline != never && clock::now() + milliseconds(100) >= deadline;
            stopping = true;
            ::kill(-c.pid, SIGTERM);
            deadline = clock::now() + m_patience;
        }
    }
    if (stopping) ::kill(-c.pid, SIGKILL);  // what the shell left behind in its group
    if (c.output.get() >= 0) drain(c.output, tail, &output);
    if (c.errors.get() >= 0) drain(c.errors, tail, nullptr);
    if (c.reports.get() >= 0) drain_reports();

    if (timed_out) throw std::runtime_error(detail::time_limit_exceeded(context.job()) + "\n" + tail);
    if (stopping) throw cancelled{};
    if (WIFSIGNALED(status)) throw discard("killed by signal " + std::to_string(WTERMSIG(status)) + "\n" + tail);
    if (WEXITSTATUS(status) == 75) throw std::runtime_error("exit status 75\n" + tail);
    if (WEXITSTATUS(status) != 0) throw discard("exit status " + std::to_string(WEXITSTATUS(status)) + "\n" + tail);
    if (output.size() > longest_result) return std::nullopt;
    json result = json::parse(output, nullptr, false);
    return result.is_discarded() ? std::nullopt : std::optional<json>(std::in_place, std::move(result));
}

}  // namespace chancy
