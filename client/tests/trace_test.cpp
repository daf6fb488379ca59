// Trace context: from push to handler.
#include "support.hpp"

#include <cstdlib>

using chancy::trace_context;
using test::eventually;
using namespace std::chrono_literals;

namespace {

const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

class trace : public test::db_test {};

}  // namespace

TEST(trace_context, is_read_if_it_is_well_formed) {
    const auto t = trace_context::read(good, "vendor=1").value();
    EXPECT_EQ(t.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    EXPECT_EQ(t.span_id(), "00f067aa0ba902b7");
    EXPECT_TRUE(t.sampled());
    EXPECT_TRUE(trace_context::read("01" + good.substr(2) + "-more"));  // of a later version
    for (const std::string& bad : {std::string(), good + "x", good + "-x", "ff" + good.substr(2), good.substr(0, 54), "00-" + std::string(32, '0') + good.substr(35),
                                   good.substr(0, 36) + std::string(16, '0') + "-01", std::string("00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), good + "\n"})
        EXPECT_FALSE(trace_context::read(bad)) << bad;
    EXPECT_EQ(trace_context::read(good, "a\nb").value().tracestate, "");
    EXPECT_EQ(trace_context::read(good, std::string(513, 'a')).value().tracestate, "");
    EXPECT_FALSE(trace_context::of({{"traceparent", 7}}));
    EXPECT_EQ(t.into({{"mine", 1}}), (chancy::json{{"mine", 1}, {"traceparent", good}, {"tracestate", "vendor=1"}}));
    const auto child = t.child();
    EXPECT_EQ(child.trace_id(), t.trace_id());
    EXPECT_NE(child.span_id(), t.span_id());
    EXPECT_EQ(child.tracestate, "vendor=1");
    EXPECT_TRUE(child.sampled());
    EXPECT_FALSE(trace_context::read(good.substr(0, 53) + "00").value().child().sampled());
    EXPECT_TRUE(trace_context::read(child.traceparent));
}

TEST_F(trace, goes_from_push_to_the_handler_whatever_it_is) {
    chancy::worker w({.poll_interval = 1h});
    std::mutex mutex;
    std::map<std::string, chancy::json> seen;
    for (const char* func : {"pushed", "step", "again", "bad"})
        w.on(func, [&](chancy::job_context& job) {
            const std::lock_guard lock(mutex);
            seen[job.job().func] = job.job().meta;
        });
    const auto t = trace_context::read(good).value();
    const auto first = claim({.func = "again", .unique_key = "k", .meta = t.into()});
    (void)db.push({.func = "pushed", .meta = t.into()});
    (void)db.push({.func = "bad", .meta = {{"traceparent", "what is this"}}});
    (void)db.push_workflow(chancy::workflow("w").step("a", {.func = "pushed"}).then("b", {.func = "step", .meta = t.into()}));
    // One that runs is followed by the new one, which is of the new one's trace.
    const auto later = t.child();
    (void)db.push({.func = "again", .unique_key = "k", .meta = later.into(), .on_conflict = "rerun"});
    (void)db.apply_updates("tester", std::vector<chancy::update>{{.id = first.id, .started_at = *first.started_at}});
    const test::running runs(w);
    EXPECT_TRUE(eventually([&] {
        const std::lock_guard lock(mutex);
        return seen.size() == 4;
    }));
    EXPECT_EQ(trace_context::of(seen["step"]).value().traceparent, good);
    EXPECT_EQ(trace_context::of(seen["again"]).value().traceparent, later.traceparent);
    EXPECT_EQ(seen["bad"].at("traceparent"), "what is this");
    EXPECT_FALSE(trace_context::of(seen["bad"]));
}

TEST_F(trace, a_command_has_it_in_its_environment_and_pushes_within_it) {
    ::setenv("TRACEPARENT", good.c_str(), 1);  // the worker's own
    ::setenv("TRACESTATE", "w=1", 1);
    const auto pushed = test::shell(CHANCY_PROGRAM " push a && " CHANCY_PROGRAM " push b --meta '{\"traceparent\": \"mine\"}'");
    EXPECT_EQ(pushed.code, 0) << pushed.err;
    EXPECT_EQ(test::shell("echo '{\"func\": \"c\"}' | " CHANCY_PROGRAM " push --file -").code, 0);
    const auto meta_of = [&](const char* func) { return db.list_jobs({.func = func}).at(0).meta; };
    for (const char* func : {"a", "c"}) EXPECT_EQ(meta_of(func), (chancy::json{{"traceparent", good}, {"tracestate", "w=1"}}));
    EXPECT_EQ(meta_of("b"), (chancy::json{{"traceparent", "mine"}}));
    const std::string asked = trace_context::read(good).value().child().traceparent;
    const auto pushed_in_another = test::shell(CHANCY_PROGRAM " push g --traceparent " + asked + " --meta '{\"mine\": 1}'");
    EXPECT_EQ(pushed_in_another.code, 0) << pushed_in_another.err;
    EXPECT_EQ(meta_of("g"), (chancy::json{{"mine", 1}, {"traceparent", asked}}));
    for (const std::string& refused : {std::string("what"), asked + " --meta '{\"traceparent\": \"mine\"}'"})
        EXPECT_EQ(test::shell(CHANCY_PROGRAM " push d --traceparent " + refused).code, 2) << refused;
    // A line of a stream whose meta names none is in the trace, too.
    const auto streamed = test::shell("printf '{\"func\": \"e\", \"meta\": {\"mine\": 1}}\n{\"func\": \"f\", \"meta\": {\"traceparent\": \"own\"}}\n' | "
                                      CHANCY_PROGRAM " push --file -");
    EXPECT_EQ(streamed.code, 0) << streamed.err;
    EXPECT_EQ(meta_of("e"), (chancy::json{{"mine", 1}, {"traceparent", good}, {"tracestate", "w=1"}}));
    EXPECT_EQ(meta_of("f"), (chancy::json{{"traceparent", "own"}}));
    const auto told = [](const chancy::json& meta) {
        chancy::job job;
        job.func = "f";
        job.kwargs = chancy::json::object();
        job.meta = meta;
        chancy::job_context context(job, {});
        return *chancy::command("echo \\\"${TRACEPARENT-none} ${TRACESTATE-none}\\\"")(context);
    };
    const std::string other = trace_context::read(good).value().child().traceparent;
    EXPECT_EQ(told({{"traceparent", other}, {"tracestate", "v=1"}}), other + " v=1");
    EXPECT_EQ(told({{"traceparent", other}}), other + " none");
    EXPECT_EQ(told({{"traceparent", "$(reboot)"}}), "none none");
    EXPECT_EQ(told(chancy::json::object()), "none none");
    ::unsetenv("TRACEPARENT");
    ::unsetenv("TRACESTATE");
}

TEST_F(trace, a_command_for_a_batch_has_each_jobs_on_its_line_and_none_in_its_environment) {
    ::setenv("TRACEPARENT", good.c_str(), 1);  // the worker's own
    const std::string other = trace_context::read(good).value().child().traceparent;
    const auto one = db.push({.func = "b", .meta = {{"traceparent", good}}}), two = db.push({.func = "b", .meta = {{"traceparent", other}}});
    chancy::worker w({.poll_interval = 1h});
    w.on_batch("b", {.up_to = 2}, chancy::command_batch(R"(while read -r job; do
        id=${job#*'"id":"'}; trace=${job#*'"traceparent":"'}
        printf '{"id": "%s", "result": "%s %s"}\n' "${id%%'"'*}" "${trace%%'"'*}" "${TRACEPARENT-none}"
    done)"));
    const test::running runs(w);
    EXPECT_TRUE(eventually([&] { return db.get_job(one)->result && db.get_job(two)->result; }));
    EXPECT_EQ(db.get_job(one)->result, good + " none");
    EXPECT_EQ(db.get_job(two)->result, other + " none");
    ::unsetenv("TRACEPARENT");
}
