#include <chancy/command.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <poll.h>
#include <csignal>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace chancy {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t longest_tail = 8 * 1024;       // of both outputs, for the error
constexpr std::size_t longest_result = 1024 * 1024;  // a longer standard output is no result

class descriptor {
public:
    explicit descriptor(int fd = -1) : m_fd(fd) {}
    descriptor(descriptor&& other) noexcept : m_fd(std::exchange(other.m_fd, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept { std::swap(m_fd, other.m_fd); return *this; }
    ~descriptor() { close(); }
    void close() { if (m_fd >= 0) ::close(std::exchange(m_fd, -1)); }
    [[nodiscard]] int get() const { return m_fd; }

private:
    int m_fd;
};

std::runtime_error failure(const char* what) { return std::runtime_error(std::string(what) + ": " + std::strerror(errno)); }

std::array<descriptor, 2> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) throw failure("pipe");
    return {descriptor(fds[0]), descriptor(fds[1])};
}

// A shell with the command, leader of its own process group, with its three streams.
struct child {
    pid_t pid = -1;
    descriptor input, output, errors;
    descriptor exited;  // a pidfd
};

child start(const std::string& shell) {
    auto in = make_pipe(), out = make_pipe(), err = make_pipe();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0].get(), 0);
    posix_spawn_file_actions_adddup2(&actions, out[1].get(), 1);
    posix_spawn_file_actions_adddup2(&actions, err[1].get(), 2);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    const char* const argv[] = {"sh", "-c", shell.c_str(), nullptr};
    child c;
    const int problem = ::posix_spawn(&c.pid, "/bin/sh", &actions, &attributes, const_cast<char* const*>(argv), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (problem != 0) throw std::runtime_error(std::string("cannot start a shell: ") + std::strerror(problem));
    c.input = std::move(in[1]);
    c.output = std::move(out[0]);
    c.errors = std::move(err[0]);
    c.exited = descriptor(static_cast<int>(::syscall(SYS_pidfd_open, c.pid, 0)));
    for (const descriptor* d : {&c.input, &c.output, &c.errors}) ::fcntl(d->get(), F_SETFL, O_NONBLOCK);
    return c;
}

// Reads what there is; closes at the end of the stream.
void drain(descriptor& from, std::string& tail, std::string* whole) {
    char block[65536];
    for (;;) {
        const ssize_t n = ::read(from.get(), block, sizeof block);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return from.close();
        tail.append(block, static_cast<std::size_t>(n));
        if (tail.size() > longest_tail) tail.erase(0, tail.size() - longest_tail);
        if (whole && whole->size() <= longest_result) whole->append(block, static_cast<std::size_t>(n));
    }
}

std::optional<milliseconds> time_limit(const json& limits) {
    for (const json& limit : limits)
        if (limit.value("t", "") == "time") return milliseconds(limit.value("v", std::int64_t{0}) * 1000);
    return std::nullopt;
}

}  // namespace

std::optional<json> command::operator()(job_context& context) const {
    const std::string input = json(context.job()).dump() + '\n';
    child c = start(m_shell);
    const descriptor asked(::eventfd(0, EFD_CLOEXEC));
    const std::stop_callback ask(context.stop_token(), [&] { ::eventfd_write(asked.get(), 1); });

    std::size_t written = 0;
    std::string output, tail;
    const auto limit = time_limit(context.job().limits);
    constexpr auto never = clock::time_point::max();
    auto deadline = limit ? clock::now() + *limit : never;
    bool stopping = false, timed_out = false, killed = false;
    int status = 0;
    bool running = true;
    while (running) {
        const auto left = deadline == never ? -1 : std::max<long long>(0, std::chrono::ceil<milliseconds>(deadline - clock::now()).count());
        pollfd p[] = {{c.input.get(), POLLOUT, 0},
                      {c.output.get(), POLLIN, 0},
                      {c.errors.get(), POLLIN, 0},
                      {c.exited.get(), POLLIN, 0},
                      {stopping ? -1 : asked.get(), POLLIN, 0}};
        ::poll(p, 5, static_cast<int>(std::min<long long>(left, 1'000'000)));
        if (p[0].revents != 0) {
            const ssize_t n = ::write(c.input.get(), input.data() + written, input.size() - written);
            if (n > 0) written += static_cast<std::size_t>(n);
            if (written == input.size() || (n < 0 && errno != EAGAIN && errno != EINTR)) c.input.close();
        }
        if (p[1].revents != 0) drain(c.output, tail, &output);
        if (p[2].revents != 0) drain(c.errors, tail, nullptr);
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
            timed_out = late;
            stopping = true;
            ::kill(-c.pid, SIGTERM);
            deadline = clock::now() + m_patience;
        }
    }
    if (stopping) ::kill(-c.pid, SIGKILL);  // what the shell left behind in its group
    if (c.output.get() >= 0) drain(c.output, tail, &output);
    if (c.errors.get() >= 0) drain(c.errors, tail, nullptr);

    if (timed_out) throw std::runtime_error("time limit of " + std::to_string(limit->count() / 1000) + " s exceeded\n" + tail);
    if (stopping) throw cancelled{};
    if (WIFSIGNALED(status)) throw discard("killed by signal " + std::to_string(WTERMSIG(status)) + "\n" + tail);
    if (WEXITSTATUS(status) == 75) throw std::runtime_error("exit status 75\n" + tail);
    if (WEXITSTATUS(status) != 0) throw discard("exit status " + std::to_string(WEXITSTATUS(status)) + "\n" + tail);
    if (output.size() > longest_result) return std::nullopt;
    json result = json::parse(output, nullptr, false);
    return result.is_discarded() ? std::nullopt : std::optional<json>(std::in_place, std::move(result));
}

}  // namespace chancy
