// What the commands about jobs share.
#pragma once

#include "cli.hpp"

#include <span>

namespace chancy::cli {

// job cancel, job retry: all jobs in these states that match the filter.
struct bulk {
    const char* what;  // "cancelled"
    std::vector<job_state> states;
    bool dry_run, yes;
    std::function<std::ptrdiff_t(client&, std::span<const uuid>)> change;  // how many of them it has changed
};
int change_matching(const context& with, const job_filter& filter, const bulk& how);

[[nodiscard]] std::string short_error(const std::string& text);  // error_line, 60 characters of it, the last … if there are more
[[nodiscard]] std::string last_error(const job& of);  // the line of the last error that says what went wrong; empty: none
void print_errors(const job& of);                     // whole, numbered, since a retry counts its attempts anew

}  // namespace chancy::cli
