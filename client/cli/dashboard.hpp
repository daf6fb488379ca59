// The command that needs the dashboard's library.
#pragma once

#include "cli.hpp"

namespace chancy::cli {

void add_dashboard(CLI::App& app, context& with);

}  // namespace chancy::cli
