#include "job.hpp"

#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

namespace chancy::cli {
namespace {

struct options {
    std::string file, name, policy = "fail", id, then, age = "7d";
    std::optional<std::string> state;
    int up_to = 100;
    bool errors = false;
};

on_failure read_policy(const std::string& text) {
    if (text == "fail") return on_failure::fail;
    if (text == "continue") return on_failure::go_on;
    if (text == "compensate") return on_failure::compensate;
    throw CLI::ValidationError("--on-failure", "fail, continue or compensate, not " + text);
}

std::string read_all(const std::string& file) {
    std::ifstream opened;
    if (file != "-") {
        opened.open(file);
        if (!opened) throw CLI::ValidationError("file", "cannot be read: " + file);
    }
    std::istream& in = file == "-" ? std::cin : opened;
    return {std::istreambuf_iterator<char>(in), {}};
}

int push(const context& with, const options& o) {
    json steps = read_json("file", read_all(o.file));
    client db = with.connect();
    const uuid id = db.push_workflow(workflow::from(o.name, std::move(steps), read_policy(o.policy)));
    if (with.json) print_json({{"id", id.to_string()}});
    else std::cout << id.to_string() << '\n';
    return ok;
}

int group(const context& with, const options& o) {
    std::istringstream in(read_all(o.file));
    std::vector<new_job> jobs;
    int number = 0;
    for (std::string line; ++number, std::getline(in, line);) {
        if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
        try {
            jobs.push_back(read_job(line, {}));
        } catch (const std::exception& e) {
            throw CLI::ValidationError("file", "line " + std::to_string(number) + ": " + e.what());
        }
    }
    new_job then;
    try {
        then = read_job(o.then, {});
    } catch (const std::exception& e) {
        throw CLI::ValidationError("--then", e.what());
    }
    const uuid id = with.connect().push_group(o.name, jobs, then);
    if (with.json) print_json({{"id", id.to_string()}});
    else std::cout << id.to_string() << '\n';
    return ok;
}

int prune(const context& with, const options& o) {
    client db = with.connect();
    const auto age = read_duration(o.age);
    int deleted = 0;
    for (int n = 1; n > 0; deleted += n) n = db.prune_workflows(age, 1000);
    if (with.json) print_json({{"deleted", deleted}});
    else std::cout << deleted << " deleted\n";
    return ok;
}

int add_more(const context& with, const options& o) {
    json steps = read_json("file", read_all(o.file));
    with.connect().add_steps(read_id(o.id), workflow::from("", std::move(steps)));
    return ok;
}

int results(const context& with, const options& o) {
    client db = with.connect();
    table out({"step", "state", "result"});
    for (const step_result& r : db.step_results(read_id(o.id))) {
        if (with.json) print_json(r);
        else out.add({r.step, r.state, r.result ? r.result->dump(-1, ' ', false, json::error_handler_t::replace) : ""});
    }
    if (!with.json) out.print();
    return ok;
}

int told(const context& with, bool done, const char* otherwise) {
    if (with.json) print_json({{"done", done}});
    else if (!done) std::cerr << "chancy: " << otherwise << '\n';
    return done ? ok : not_found;
}

int show(const context& with, const options& o) {
    client db = with.connect();
    const uuid id = read_id(o.id);
    const auto w = db.get_workflow(id);
    if (!w) return told(with, false, "there is no such workflow");
    const auto steps = db.get_workflow_steps(id);
    if (with.json) {
        json all = *w;
        all["steps"] = steps;
        print_json(all);
        return ok;
    }
    std::cout << w->name << ": " << w->status << ", pushed " << relative(w->created_at) << "\n\n";
    table out({"step", "state", "after", "func", "queue", "job", "error"});
    for (const step_row& s : steps)
        out.add({s.step, s.state, join(s.after), s.func, s.queue, s.job_id ? s.job_id->to_string() : "", o.errors ? "" : short_error(s.error.value_or(""))});
    out.print();
    bool more = false;
    for (const step_row& s : steps) {
        if (!s.error) continue;
        if (o.errors) std::cout << '\n' << s.step << ", job " << s.job_id->to_string() << ":\n" << *s.error << '\n';
        else more |= short_error(*s.error) != *s.error;
    }
    if (more) std::cout << "\nWhole errors: chancy workflow show " << o.id << " --errors; each attempt's: chancy job show JOB\n";
    if (w->status == "failed") std::cout << "\nGo on: chancy workflow retry " << o.id << "\nor, with another payload of a step: chancy job retry JOB --kwargs '{…}'\n";
    return ok;
}

int list(const context& with, const options& o) {
    client db = with.connect();
    table out({"id", "name", "status", "on failure", "pushed", "finished"});
    for (const workflow_row& w : db.list_workflows(o.state, o.up_to)) {
        if (with.json) print_json(w);
        else out.add({w.id.to_string(), w.name, w.status, w.on_failure, relative(w.created_at), relative(w.finished_at)});
    }
    if (!with.json) out.print();
    return ok;
}

int draw(const context& with, const std::optional<std::string>& graph) {
    if (!graph) return told(with, false, "there is no such workflow");
    std::cout << *graph;
    return ok;
}

}  // namespace

void add_workflow(CLI::App& app, context& with) {
    auto o = std::make_shared<options>();
    CLI::App* all = app.add_subcommand("workflow", "Jobs that wait for other jobs");
    all->require_subcommand(1);
    all->fallthrough();
    all->footer("Examples:\n  chancy workflow push report steps.json\n  chancy workflow list --state failed\n  chancy workflow show ID --errors\n  chancy workflow retry ID");
    const auto add = [&](const char* name, const char* what, auto run) {
        CLI::App* c = all->add_subcommand(name, what);
        c->fallthrough();
        c->callback([o, &with, run] { with.command = [o, &with, run] { return run(with, *o); }; });
        return c;
    };
    const auto with_id = [&](CLI::App* c) { c->add_option("id", o->id, "The workflow's id")->required(); };

    CLI::App* c = add("push", "Push the steps in a file, and print the workflow's id", push);
    c->add_option("name", o->name, "A name for people")->required();
    c->add_option("file", o->file, "A JSON array of steps, or - for standard input")->required();
    c->add_option("--on-failure", o->policy, "fail, continue or compensate")->capture_default_str();
    c->footer(R"(A step is {"step": name, "after": [names], "when": "succeeded" | "finished", "undo": {job}} with the keys of a job: func, kwargs, queue …

Example:
  echo '[{"step": "a", "func": "fetch"}, {"step": "b", "func": "mail", "after": ["a"]}]' | chancy workflow push report -)");
    c = add("add", "Add the steps in a file to a workflow that runs", add_more);
    with_id(c);
    c->add_option("file", o->file, "A JSON array of steps, or - for standard input")->required();
    c = add("group", "Push the jobs in a file, and one more when all of them have ended; prints the workflow's id", group);
    c->add_option("name", o->name, "A name for people")->required();
    c->add_option("file", o->file, "A JSON object for each job, one a line, or - for standard input")->required();
    c->add_option("--then", o->then, "The job that runs when all have ended, however they ended: a JSON object")->required();
    c->footer(R"(Example:
  printf '{"func": "resize", "kwargs": {"n": %d}}\n' 1 2 3 | chancy workflow group album - --then '{"func": "album.ready"}')");
    add("prune", "Delete workflows that finished long ago, not their jobs", prune)->add_option("--age", o->age, "Finished longer ago than this")->capture_default_str();
    add("results", "What the steps returned that a step's job waited for", results)->add_option("job", o->id, "The job's id")->required();
    c = add("show", "The steps of a workflow", show);
    with_id(c);
    c->add_flag("--errors", o->errors, "Whole errors, below the table");
    c = add("list", "Workflows, the newest first", list);
    c->add_option("--state", o->state, "running, completed, failed, cancelled, compensating or compensated");
    c->add_option("--limit", o->up_to, "At most so many")->capture_default_str();
    with_id(add("cancel", "End a workflow: its live jobs are cancelled", [](const context& w, const options& p) {
        return told(w, w.connect().cancel_workflow(read_id(p.id)), "no such workflow, or it has finished");
    }));
    with_id(add("retry", "Run a failed or cancelled workflow on, from its failed steps", [](const context& w, const options& p) {
        return told(w, w.connect().retry_workflow(read_id(p.id)), "no such workflow, or it has not failed, or it was compensated");
    }));
    with_id(add("dot", "The workflow as a graph for Graphviz", [](const context& w, const options& p) {
        return draw(w, w.connect().workflow_dot(read_id(p.id)));
    }));
    with_id(add("mermaid", "The workflow as a Mermaid flowchart", [](const context& w, const options& p) {
        return draw(w, w.connect().workflow_mermaid(read_id(p.id)));
    }));
}

}  // namespace chancy::cli
