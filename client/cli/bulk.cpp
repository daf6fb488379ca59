// job cancel and job retry by a filter: what matches is counted, asked about, and changed job by job, as in the browser.
#include "job.hpp"

#include <algorithm>
#include <iostream>

#include <unistd.h>

namespace chancy::cli {
namespace {

constexpr int page = 1000;

std::vector<uuid> matching(client& db, job_filter filter, std::span<const job_state> states) {
    std::vector<uuid> out;
    filter.up_to = page;
    for (const job_state s : states) {
        filter.state = s;
        filter.after.reset();
        for (std::vector<job> jobs; (jobs = db.list_jobs(filter)), !jobs.empty(); filter.after = out.back()) {
            for (const job& j : jobs) out.push_back(j.id);
            if (static_cast<int>(jobs.size()) < page) break;
        }
    }
    return out;
}

bool agreed(const std::string& question) {
    if (::isatty(STDIN_FILENO) == 0) throw CLI::ValidationError("nobody is there to be asked: say --yes, or --dry-run to see how many match");
    std::cerr << question << " [y/N] ";
    std::string said;
    std::getline(std::cin, said);
    return said == "y" || said == "Y" || said == "yes";
}

}  // namespace

int change_matching(const context& with, const job_filter& filter, const bulk& how) {
    client db = with.connect();
    const std::vector<uuid> ids = matching(db, filter, how.states);
    const std::string jobs = std::to_string(ids.size()) + (ids.size() == 1 ? " job" : " jobs");
    if (how.dry_run) {
        if (with.json) print_json({{"matching", ids.size()}});
        else std::cout << jobs << " would be " << how.what << '\n';
        return ids.empty() ? not_found : ok;
    }
    if (!ids.empty() && !how.yes && !agreed(jobs + " will be " + how.what + ". Go on?")) return failure;
    std::ptrdiff_t done = 0;
    for (std::size_t at = 0; at < ids.size(); at += page) done += how.change(db, std::span(ids).subspan(at, std::min<std::size_t>(page, ids.size() - at)));
    if (with.json) print_json({{"tried", ids.size()}, {"done", done}});
    else std::cout << done << " of " << jobs << ' ' << how.what << '\n';
    return done > 0 ? ok : not_found;
}

}  // namespace chancy::cli
