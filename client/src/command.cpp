#include <chancy/command.hpp>

#include "shell.hpp"

#include <deque>
#include <stdexcept>

#include <sys/eventfd.h>

namespace chancy {
namespace {

using detail::clock;
using detail::descriptor;

constexpr std::size_t longest_result = 1024 * 1024;  // a longer standard output is no result
constexpr std::size_t longest_report = 1024 * 1024;

// What the command says of its progress: a JSON object a line. Throws what is wrong with it.
progress read_report(const std::string& line) {
    progress out;
    for (const auto& [key, value] : json::parse(line).get<json::object_t>()) {
        if (key == "percent") out.percent = value.get<double>();
        else if (key == "message") out.message = value.get<std::string>();
        else if (key == "checkpoint") out.checkpoint = value;
        else throw std::invalid_argument('"' + key + "\" is not known: percent, message and checkpoint are");
    }
    return out;
}

// All whole lines that have come. What cannot be read is told with the other output of the command.
void report_lines(const job_context& to, std::string& come, std::string& tail, bool at_end) {
    if (at_end && !come.empty()) come += '\n';
    std::size_t begin = 0;
    const auto refuse = [&](const std::string& why) { tail += "progress: " + why + '\n'; };
    for (std::size_t end; (end = come.find('\n', begin)) != std::string::npos; begin = end + 1) {
        try {
            to.report(read_report(come.substr(begin, end - begin)));
        } catch (const std::exception& e) {
            refuse(e.what());
        }
    }
    come.erase(0, begin);
    if (come.size() <= longest_report) return;
    refuse("a line is longer than 1 MiB");
    come.clear();
}

std::string describe(const job_context& context) {
    json out = context.job();
    if (auto state = context.checkpoint()) out["checkpoint"] = std::move(*state);
    if (context.job().meta.contains("workflow_id")) {
        json& steps = out["step_results"] = json::object();
        for (const step_result& r : context.step_results()) steps[r.step] = {{"state", r.state}, {"result", r.result ? *r.result : json()}};
    }
    return out.dump() + '\n';
}

// Rings when one of them is asked to stop.
class stop_bell {
public:
    void add(std::stop_token token) {
        m_asks.emplace_back(std::move(token), ring{m_bell.get()});
    }
    [[nodiscard]] int get() const { return m_bell.get(); }

private:
    struct ring {
        int bell;
        void operator()() const { ::eventfd_write(bell, 1); }
    };
    descriptor m_bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    std::deque<std::stop_callback<ring>> m_asks;
};

}  // namespace

std::optional<json> command::operator()(job_context& context) const {
    stop_bell bell;
    bell.add(context.stop_token());
    const detail::shell_end end = detail::run_shell({
        .command = m_shell, .input = describe(context), .memory = detail::limit_of(context.job(), "memory"), .trace = trace_context::of(context.job().meta),
        .deadline = context.deadline().value_or(clock::time_point::max()), .patience = m_patience, .bell = bell.get(),
        .must_stop = [] { return true; },
        .on_reports = [&](std::string& come, std::string& tail, bool at_end) { report_lines(context, come, tail, at_end); }});
    if (end.timed_out) throw std::runtime_error(detail::time_limit_exceeded(context.job()) + "\n" + end.tail);
    if (end.stopped) throw cancelled{};
    detail::throw_what_status_says(end);
    if (end.output.size() > longest_result) return std::nullopt;
    json result = json::parse(end.output, nullptr, false);
    return result.is_discarded() ? std::nullopt : std::optional<json>(std::in_place, std::move(result));
}

namespace {

// A line of the output that answers for one of the jobs. Others are what the command says to people.
void take_answer(batch& jobs, const std::string& line) {
    const json said = json::parse(line, nullptr, false);
    const auto text = [&](const char* key) { return said.contains(key) && said[key].is_string() ? std::optional(said[key].get<std::string>()) : std::nullopt; };
    const auto id = said.is_object() ? uuid::parse(text("id").value_or("")) : std::nullopt;
    if (!id) return;
    for (batch_job& job : jobs) {
        if (job.job().id != *id) continue;
        if (auto error = text("discard")) job.end(discard(std::move(*error)));
        else if (auto failed = text("error")) job.fail(std::move(*failed));
        else job.succeed(said.contains("result") ? std::optional<json>(said["result"]) : std::nullopt);
    }
}

}  // namespace

void command_batch::operator()(batch& jobs) const {
    std::string input;
    std::optional<std::int64_t> memory;
    stop_bell bell;
    for (batch_job& job : jobs) {
        input += json(job.job()).dump() + '\n';
        if (const auto least = detail::limit_of(job.job(), "memory")) memory = std::min(memory.value_or(*least), *least);
        bell.add(job.stop_token());
    }
    // It is one process: a cancel of one job does not end the others, its time limit does.
    const auto must_stop = [&] {
        bool all = true, late = false;
        for (const batch_job& job : jobs) {
            const bool asked = job.stop_token().stop_requested();
            all = all && asked;
            late = late || (asked && job.deadline() && clock::now() >= *job.deadline());
        }
        return all || late;
    };
    const detail::shell_end end = detail::run_shell({.command = m_shell, .input = input, .memory = memory, .patience = m_patience, .bell = bell.get(),
                                                     .must_stop = must_stop});
    if (end.stopped) throw cancelled{};
    detail::throw_what_status_says(end);
    if (!end.whole) throw std::runtime_error("its output is longer than 16 MiB: answers may be missing");
    for (batch_job& job : jobs) job.succeed();
    for (std::size_t begin = 0, next; begin < end.output.size(); begin = next + 1) {
        next = std::min(end.output.find('\n', begin), end.output.size());
        take_answer(jobs, end.output.substr(begin, next - begin));
    }
}

}  // namespace chancy
