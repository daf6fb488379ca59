// Everything of the client library of chancy, the job queue in PostgreSQL.
//
//     #include <chancy/chancy.hpp>
//     int main() {
//         chancy::client db;   // connects as psql does
//         db.push({.func = "hello", .kwargs = {{"name", "world"}}});
//     }
//
// Threads: each class says its own rule; a client is for one thread at a time.
#pragma once

#include <chancy/batch.hpp>
#include <chancy/calls.hpp>
#include <chancy/check.hpp>
#include <chancy/client.hpp>
#include <chancy/command.hpp>
#include <chancy/cron.hpp>
#include <chancy/error.hpp>
#include <chancy/event.hpp>
#include <chancy/handler.hpp>
#include <chancy/interop.hpp>
#include <chancy/job.hpp>
#include <chancy/maintenance.hpp>
#include <chancy/metrics.hpp>
#include <chancy/middleware.hpp>
#include <chancy/progress.hpp>
#include <chancy/push.hpp>
#include <chancy/queue.hpp>
#include <chancy/retry.hpp>
#include <chancy/session.hpp>
#include <chancy/sql_job.hpp>
#include <chancy/time.hpp>
#include <chancy/trace.hpp>
#include <chancy/update.hpp>
#include <chancy/uuid.hpp>
#include <chancy/worker.hpp>
#include <chancy/workflow.hpp>
