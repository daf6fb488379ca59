// Limits of concurrency: see concurrency.cpp.
#pragma once

#include "fetch.hpp"

namespace chancy {

// The queue's turn: one fetch at a time counts and claims in a queue with a limit. Tried, never waited for, and let go
// when the claim is made: what the next one counts includes claims that are not committed.
bool take_turn(bytes queue);
void end_turn(bytes queue);

// Claims like claim_due, within the queue's limits; to be called in the queue's turn.
void claim_limited(claims &c, const queue_limits &limits);

}  // namespace chancy
