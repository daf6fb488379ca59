// What runs in a child process.
#pragma once

#include "attempt.hpp"

namespace chancy::detail {

// Reads jobs from the socket, runs their handlers, and writes how they ended; returns when the socket is closed.
void serve_child(int socket, const handlers& known);

}  // namespace chancy::detail
