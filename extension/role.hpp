// Who may do what on which queues.
//
// EXECUTE on a function comes from the grant functions too, but a queue can be checked only inside
// the call. The extension's owner and superusers may do everything.
#pragma once

#include "value.hpp"

namespace chancy {

enum class role_kind : uint8 { producer, worker, admin, reader };

// What the current user may do in one role: everything, or the listed queues.
struct permit {
    bool all;
    bytes *queues;
    int count;
};

// 42501 when the current user has no such role. An admin has all of them.
permit require(role_kind kind);

// Is the queue among those permitted?
bool permits(const permit &may, bytes queue);

// 42501 when the queue is not among those permitted.
void check_queue(const permit &may, bytes queue);

}  // namespace chancy
