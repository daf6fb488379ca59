// A request: who is it, may they, what do they ask, and the answer. Every problem has one form.
#pragma once

#include "dashboard.hpp"
#include "live.hpp"
#include "metrics.hpp"
#include "route.hpp"

#include <array>
#include <functional>
#include <memory>

namespace httplib {
class Server;
}
namespace spdlog {
class logger;
}

namespace chancy::dashboard {

struct requests {
    const options& how;
    access& who;
    std::array<std::reference_wrapper<connections>, 3> databases;  // by role
    live& events;
    const hiding& hidden;
    std::shared_ptr<spdlog::logger> audit;
    probe& metrics;
    probe& ready;
};

// The routes of /api/v1, and /metrics, /healthz and /readyz. all lives as long as the server.
void add_api(httplib::Server& server, requests& all);

}  // namespace chancy::dashboard
