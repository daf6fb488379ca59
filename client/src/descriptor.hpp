// A file descriptor that closes itself.
#pragma once

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include <unistd.h>

namespace chancy::detail {

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

inline std::runtime_error failure(const char* what) { return std::runtime_error(std::string(what) + ": " + std::strerror(errno)); }

}  // namespace chancy::detail
