// workflow: its input, as a graph. Checked whole, in time linear in steps and dependencies: names once, all
// dependencies known, no cycle; and put into an order in which dependencies come first.
#include "role.hpp"
#include "workflow.hpp"

extern "C" {
#include "common/hashfn.h"
}

namespace chancy {

const char *name(failure_policy p) {
    static const char *const names[] = {"fail", "continue", "compensate"};
    return names[static_cast<int>(p)];
}

const char *name(run_when w) { return w == run_when::succeeded ? "succeeded" : "finished"; }

namespace {

constexpr const char *step_keys = "step, after, when, undo";
constexpr int max_dependencies = 1000000;  // of all steps together
constexpr const char *undo_prefix = "undo:";

struct reader {
    new_step *step;
    place where;
    const job_defaults *defaults;
    int *dependencies;  // so far, of all steps
};

void read_after(const reader &r, JsonbValue *value) {
    place at = r.where.at("after");
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data) || JsonContainerIsScalar(value->val.binary.data))
        refuse(at, "must be an array", "Give the names of the steps that this one waits for, such as [\"a\", \"b\"].");
    size_t count = JsonContainerSize(value->val.binary.data);
    if ((*r.dependencies += count) > max_dependencies)
        refuse_size(at, psprintf("brings the dependencies to more than %d", max_dependencies),
                    "Put a step between many and many: it waits for all of the first, and all of the second wait for it.");
    auto *names = static_cast<bytes *>(palloc_extended(sizeof(bytes) * (count + 1), MCXT_ALLOC_HUGE));
    JsonbIterator *iterator = JsonbIteratorInit(value->val.binary.data);
    JsonbValue element;
    JsonbIteratorToken token;
    int n = 0;
    while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
        if (token == WJB_ELEM) {
            names[n] = json_text(&element, r.where.at(psprintf("after[%d]", n)));
            n++;
        }
    r.step->after = {names, count};
}

// A step has its turn when its dependencies have ended; if its key is live then, the live job is the step's.
void check_step_job(const new_job &job, place where) {
    const char *hint = "A step whose key is live at its turn takes the live job.";
    if (job.mode != on_conflict::keep) refuse(where.at("on_conflict"), "does not go with a step", hint);
    if (job.unique_for != 0) refuse(where.at("unique_for"), "does not go with a step", hint);
}

// A step is pushed later, from inside a result, where a live key's job can only be kept.
void check_kept(const new_job &job, place where) {
    const char *hint = "A step whose key is live runs the job that has it.";
    if (job.mode != on_conflict::keep) refuse(where.at("on_conflict"), "of a step can only be \"keep\"", hint);
    if (job.unique_for != 0) refuse(where.at("unique_for"), "does not go with a step", hint);
}

void read_undo(const reader &r, JsonbValue *value) {
    place at{path(r.where.at("undo")), -1, nullptr};
    if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
        refuse(at, "must be an object", "Give a job: an object with push's parameter names as keys.");
    r.step->undo = static_cast<new_job *>(palloc(sizeof(new_job)));
    read_job_object(value->val.binary.data, at, *r.defaults, r.step->undo, nullptr);
    check_kept(*r.step->undo, at);
    check_step_job(*r.step->undo, at);
}

bool take_field(void *context, bytes name, JsonbValue *value) {
    const reader &r = *static_cast<reader *>(context);
    if (name == view("step")) {
        if (value != nullptr) r.step->name = json_text(value, r.where.at("step"));
    } else if (name == view("after")) {
        if (value != nullptr) read_after(r, value);
    } else if (name == view("when")) {
        if (value == nullptr) return true;
        bytes text = json_text(value, r.where.at("when"));
        if (!(text == view("succeeded")) && !(text == view("finished")))
            refuse(r.where.at("when"), psprintf("is not known: \"%s\"", shown(text)),
                   "Known: \"succeeded\", when all dependencies have succeeded, and \"finished\", when all have ended.");
        r.step->when = text == view("finished") ? run_when::finished : run_when::succeeded;
    } else if (name == view("undo")) {
        if (value != nullptr) read_undo(r, value);
    } else {
        return false;
    }
    return true;
}

void read_step(JsonbContainer *object, int i, const job_defaults &d, new_step *step, int *dependencies) {
    *step = {};
    step->element = i;
    place where{"steps", i, nullptr};
    reader r{step, where, &d, dependencies};
    more_fields more{take_field, &r, step_keys};
    read_job_object(object, where, d, &step->job, &more);
    check_kept(step->job, where);
    check_step_job(step->job, where);
    if (step->name.data == nullptr) refuse(where.at("step"), "is missing", "Every step needs a name.");
    check_text(where.at("step"), step->name, max_name);
    int reserved = strlen(undo_prefix);
    if (step->name.size >= reserved && memcmp(step->name.data, undo_prefix, reserved) == 0)
        refuse(where.at("step"), "must not begin with \"undo:\"", "The steps that undo others are called so.");
}

// Step names to indexes: open addressing, at most half full.
struct name_table {
    int *slots;  // index + 1; 0: free
    uint32 mask;
    std::span<new_step> steps;

    // Where the name is, or where it would be.
    int &find(bytes name) {
        uint32 at = hash_bytes(reinterpret_cast<const unsigned char *>(name.data), name.size);
        while (slots[at & mask] != 0 && !(steps[slots[at & mask] - 1].name == name)) at++;
        return slots[at & mask];
    }
};

name_table make_table(std::span<new_step> steps) {
    uint32 size = 16;
    while (size < 2 * steps.size()) size *= 2;
    return {static_cast<int *>(palloc0(sizeof(int) * size)), size - 1, steps};
}

void resolve(new_step &step, name_table &by_name, bool outside, int *last_user) {
    step.dependencies = static_cast<int32 *>(palloc_extended(sizeof(int32) * (step.after.size() + 1), MCXT_ALLOC_HUGE));
    for (size_t k = 0; k < step.after.size(); k++) {
        place at = place{"steps", step.element, nullptr}.at(psprintf("after[%zu]", k));
        int found = by_name.find(step.after[k]);
        if (found == 0 && !outside)
            refuse(at, psprintf("is not a step: \"%s\"", shown(step.after[k])), "A step waits for steps of the same workflow.");
        if (found != 0 && last_user[found - 1] == step.element + 1)
            refuse(at, psprintf("is there twice: \"%s\"", shown(step.after[k])), "Name each dependency once.");
        if (found != 0) last_user[found - 1] = step.element + 1;
        step.dependencies[k] = found - 1;
    }
}

// Every step that is left waits for one that is left: so a walk along them comes round.
[[noreturn]] void refuse_cycle(std::span<new_step> steps, const int *open) {
    int at = 0;
    while (open[at] == 0) at++;
    auto *seen = static_cast<bool *>(palloc0(sizeof(bool) * steps.size()));
    auto before = [&](int i) {
        for (size_t k = 0; k < steps[i].after.size(); k++)
            if (int d = steps[i].dependencies[k]; d >= 0 && open[d] > 0) return d;
        return -1;
    };
    while (!seen[at]) {
        seen[at] = true;
        at = before(at);
    }
    char *text = shown(steps[at].name);
    int shown_steps = 0;
    for (int i = before(at); i != at; i = before(i))
        if (++shown_steps <= 8) text = psprintf("%s, which waits for %s", text, shown(steps[i].name));
    if (shown_steps > 8) text = psprintf("%s, and so on over %d steps", text, shown_steps + 1);
    text = psprintf("%s, which waits for %s", text, shown(steps[at].name));
    refuse({"steps", steps[at].element, "after"}, psprintf("is a cycle: %s", text), "Take one of these dependencies away.");
}

// Kahn's algorithm: a step comes as soon as its dependencies have.
std::span<new_step> sort(std::span<new_step> steps) {
    size_t count = steps.size();
    auto allot = [](size_t n) { return static_cast<int *>(palloc_extended(sizeof(int) * (n + 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO)); };
    int *open = allot(count), *first = allot(count + 1), *place_of = allot(count), *order = allot(count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < steps[i].after.size(); k++)
            if (int d = steps[i].dependencies[k]; d >= 0) {
                open[i]++;
                first[d + 1]++;
            }
    for (size_t i = 0; i < count; i++) first[i + 1] += first[i];
    int *users = allot(first[count]), *filled = allot(count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < steps[i].after.size(); k++)
            if (int d = steps[i].dependencies[k]; d >= 0) users[first[d] + filled[d]++] = i;
    size_t known = 0;
    for (size_t i = 0; i < count; i++)
        if (open[i] == 0) order[known++] = i;
    for (size_t next = 0; next < known; next++)
        for (int u = first[order[next]]; u < first[order[next] + 1]; u++)
            if (--open[users[u]] == 0) order[known++] = users[u];
    if (known < count) refuse_cycle(steps, open);
    auto *sorted = static_cast<new_step *>(palloc_extended(sizeof(new_step) * (count + 1), MCXT_ALLOC_HUGE));
    for (size_t i = 0; i < count; i++) {
        place_of[order[i]] = i;
        sorted[i] = steps[order[i]];
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < sorted[i].after.size(); k++)
            if (int32 &d = sorted[i].dependencies[k]; d >= 0) d = place_of[d];
    return {sorted, count};
}

}  // namespace

graph read_graph(Jsonb *batch, bool outside) {
    size_t count = batch_size(batch, "steps");
    if (count == 0) refuse({"steps", -1, nullptr}, "must not be empty", "Give at least one step.");
    std::span<new_step> steps{static_cast<new_step *>(palloc_extended(sizeof(new_step) * count, MCXT_ALLOC_HUGE)), count};
    job_defaults d = make_defaults();
    int dependencies = 0;
    each_object(batch, "steps", [&](int i, JsonbContainer *object) {
        CHECK_FOR_INTERRUPTS();
        read_step(object, i, d, &steps[i], &dependencies);
    });
    name_table by_name = make_table(steps);
    for (size_t i = 0; i < count; i++) {
        int &slot = by_name.find(steps[i].name);
        if (slot != 0)
            refuse({"steps", static_cast<int>(i), "step"}, psprintf("is that of steps[%d] too: \"%s\"", slot - 1, shown(steps[i].name)),
                   "Each step has a name of its own.");
        slot = i + 1;
    }
    int *last_user = static_cast<int *>(palloc0(sizeof(int) * count));
    for (new_step &step : steps) resolve(step, by_name, outside, last_user);
    return {sort(steps)};
}

}  // namespace chancy
