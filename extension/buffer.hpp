// Writes at commit (rule 7): calls in a transaction block are kept in the backend and made at
// pre-commit, merged and in the one order, when the application can take no further lock.
#pragma once

#include "change.hpp"
#include "role.hpp"

namespace chancy {

// When a call takes effect.
enum class moment : uint8 { now, commit };

// By chancy.push_mode: auto (now only in a SELECT of the client's own, outside a transaction block, before
// the transaction has written; else at commit), immediate, at_commit.
moment when();

// The memory that holds the buffered calls until the transaction ends: what a call keeps is made here.
MemoryContext buffer_memory();

// Buffers a call of the function name. The changes, and all that they point to, live in buffer_memory().
void buffer(const char *name, std::span<change> changes);

// Buffers a call of delete_queue; the name lives in buffer_memory().
struct deleted_queue;
void buffer_delete(const deleted_queue &queue);

// Buffers a call of push_workflow and its like, which lives in buffer_memory().
struct workflow_change;
void buffer_workflow(const char *name, const workflow_change &workflow);

// Will this transaction delete the queue at commit?
bool delete_is_buffered(bytes queue);

// An event to be sent at commit, unless the subtransaction of the moment rolls back. Both are copied. With a queue
// it is a wake-up for that: sent only while somebody sleeps.
void buffer_event(const char *payload, bytes wakes);

// Drops the event again, if this subtransaction has buffered it just before.
void take_back_event(const char *payload);

// Says that this transaction holds locks of ours: from now on its flush tries and does not wait.
void note_locks();

// Registers the transaction callbacks, once, when the library is loaded.
void start_buffer();

// Runs body in memory that lives as long as what it makes: buffer_memory() for calls at commit.
template <jumpable Body>
auto with_call_memory(moment m, const char *name, Body body) {
    if (m == moment::now) return with_memory(name, body);
    MemoryContext outer = MemoryContextSwitchTo(buffer_memory());
    if constexpr (std::is_void_v<decltype(body())>) {
        body();
        MemoryContextSwitchTo(outer);
    } else {
        auto result = body();
        MemoryContextSwitchTo(outer);
        return result;
    }
}

}  // namespace chancy
