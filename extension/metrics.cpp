// metrics: recording values of one's own, folding what was counted (tally.cpp) into the history, and the depth of queues.
#include "buffer.hpp"
#include "compat.hpp"
#include "rows.hpp"
#include "statement.hpp"
#include "task.hpp"

namespace chancy {

namespace {

enum sample_column : int { sample_at = 1, sample_key, sample_type, sample_value };

constexpr const char *type_names[] = {"counter", "gauge", "histogram"};

struct sample {
    bytes key;
    const char *type;
    double value;
};

const char *type_of(bytes text, place where) {
    for (const char *name : type_names)
        if (text == view(name)) return name;
    refuse(where, psprintf("is not a known type: \"%s\"", shown(text)), "Known: counter, gauge, histogram.");
}

double number_of(JsonbValue *value, place where) {
    double number = 0;
    if (value->type != jbvNumeric) refuse(where, "must be a number", "Give a JSON number.");
    number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
    if (!(number >= -1e300 && number <= 1e300)) refuse(where, "is too large", "Give a number from -1e300 to 1e300.");
    return number;
}

void read_sample(JsonbContainer *object, place where, sample *s) {
    bool valued = false;
    *s = {{nullptr, 0}, "counter", 0};
    each_field(object, [&](bytes name, JsonbValue *value) {
        bool given = value->type != jbvNull;
        if (name == view("metric_key")) {
            if (given) s->key = json_text(value, where.at("metric_key"));
        } else if (name == view("type")) {
            if (given) s->type = type_of(json_text(value, where.at("type")), where.at("type"));
        } else if (name == view("value")) {
            if ((valued = given)) s->value = number_of(value, where.at("value"));
        } else {
            refuse_field(where, name, "metric_key, value, type");
        }
    });
    if (s->key.data == nullptr) refuse(where.at("metric_key"), "is missing", "Such as \"shop:orders\".");
    check_text(where.at("metric_key"), s->key, max_queue);
    if (!valued) refuse(where.at("value"), "is missing", "Give a JSON number.");
}

int record_metrics(Jsonb *batch) {
    int count = batch_size(batch, "metrics");
    auto *samples = static_cast<sample *>(palloc_extended(sizeof(sample) * (count + 1), MCXT_ALLOC_HUGE));
    each_object(batch, "metrics", [&](int i, JsonbContainer *object) { read_sample(object, {"metrics", i, nullptr}, &samples[i]); });
    require(role_kind::worker);
    TimestampTz now = GetCurrentTimestamp();
    with_table("samples", false, [=](table &t) {
        for (const sample &s : std::span(samples, static_cast<size_t>(count))) {
            ExecClearTuple(t.next);
            set(t, sample_at, TimestampTzGetDatum(now));
            set(t, sample_key, text_datum(s.key));
            set(t, sample_type, text_datum(view(s.type)));
            set(t, sample_value, Float8GetDatum(s.value));
            insert(t);
        }
    });
    return count;
}

constexpr int32 fold_batch = 100000;

int64 first_number() {
    bool null;
    return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
}

// Locks our rows of metrics, or tells that somebody holds one.
bool try_lock_history() {
    run("WITH locked AS (SELECT FROM chancy.metrics m WHERE m.worker_id OPERATOR(pg_catalog.=) 'chancy'"
        " ORDER BY m.metric_key, m.resolution FOR NO KEY UPDATE SKIP LOCKED)"
        " SELECT (SELECT pg_catalog.count(*) FROM chancy.metrics m WHERE m.worker_id OPERATOR(pg_catalog.=) 'chancy')"
        " OPERATOR(pg_catalog.-) (SELECT pg_catalog.count(*) FROM locked)");
    return first_number() == 0;
}

// Maintenance never waits: while somebody holds a row of the history, all that was counted stays for the next run.
task_result run_metrics(const task_settings &s) {
    int64 folded = 0;
    uint64 deleted = 0;
    bool busy = false;
    TimestampTz before = GetCurrentTimestamp() - s.span("keep", 90 * USECS_PER_DAY);
    with_owner([&] {
        with_spi([&] {
            run("SELECT 1 FROM chancy.tallies UNION ALL SELECT 1 FROM chancy.samples LIMIT 1");
            if (SPI_processed > 0 && !(busy = !try_lock_history())) {
                parameter up_to{INT4OID, Int32GetDatum(fold_batch), false};
                run("SELECT chancy.fold_metrics($1)", {&up_to, 1});
                folded = first_number();
            }
            parameter time{TIMESTAMPTZOID, TimestampTzGetDatum(before), false};
            deleted = run(
                "DELETE FROM chancy.metrics m WHERE m.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT o.ctid FROM chancy.metrics o"
                " WHERE o.updated_at OPERATOR(pg_catalog.<) $1 FOR UPDATE SKIP LOCKED))",
                {&time, 1});
        });
    });
    const char *did = psprintf("{\"folded\": " INT64_FORMAT ", \"deleted\": " UINT64_FORMAT "%s}", folded, deleted,
                               busy ? ", \"busy\": true" : "");
    return {did, busy || folded >= fold_batch ? USECS_PER_SEC : 0, {nullptr, 0}};
}

constexpr task_setting known[] = {
    {"keep", task_setting::span, SECS_PER_DAY, 10.0 * 366 * SECS_PER_DAY, nullptr},
};

}  // namespace

extern const task metrics_task;
constinit const task metrics_task{"metrics", 60 * USECS_PER_SEC, known, run_metrics, nullptr};

namespace {

// Live jobs of a queue.
struct depth {
    bytes queue;
    int64 pending, retrying, scheduled, running;
    TimestampTz oldest_due;  // 0: none
};

struct depths {
    depth *items;
    size_t count, capacity;
    size_t at;  // the one found last: both indexes are in the order of queues

    depth &of(bytes queue) {
        while (at < count && compare(items[at].queue, queue) < 0) at++;
        if (at < count && items[at].queue == queue) return items[at];
        make_room(items, count, capacity);
        std::copy_backward(items + at, items + count, items + count + 1);
        count++;
        return items[at] = {view(pnstrdup(queue.data, queue.size)), 0, 0, 0, 0, 0};
    }
};

template <jumpable Body>
void each_job(Relation jobs, const char *index_name, Body body) {
    Relation index = index_open(get_relname_relid(index_name, schema()), AccessShareLock);
    IndexScanDesc scan = compat::begin_index_scan(jobs, index, GetActiveSnapshot(), 0);
    index_rescan(scan, nullptr, 0, nullptr, 0);
    TupleTableSlot *slot = table_slot_create(jobs, nullptr);
    while (index_getnext_slot(scan, ForwardScanDirection, slot)) {
        CHECK_FOR_INTERRUPTS();
        body(read_job(slot));
    }
    ExecDropSingleTupleTableSlot(slot);
    index_endscan(scan);
    index_close(index, AccessShareLock);
}

void queue_depths(const rows &out) {
    require(role_kind::reader);
    TimestampTz now = GetCurrentTimestamp();
    depths all{};
    Relation jobs = table_open(table_oid("jobs"), AccessShareLock);
    each_job(jobs, "jobs_fetch", [&](const job_row &row) {
        depth &d = all.of(row.queue);
        (row.is == state::pending ? d.pending : d.retrying)++;
        if (row.scheduled_at > now)
            d.scheduled++;
        else
            d.oldest_due = d.oldest_due == 0 ? row.scheduled_at : std::min(d.oldest_due, row.scheduled_at);
    });
    all.at = 0;
    each_job(jobs, "jobs_running", [&](const job_row &row) { all.of(row.queue).running++; });
    table_close(jobs, AccessShareLock);
    for (const depth &d : std::span(all.items, all.count)) {
        Datum values[] = {text_datum(d.queue),         Int64GetDatum(d.pending), Int64GetDatum(d.retrying),
                          Int64GetDatum(d.scheduled),  Int64GetDatum(d.running), TimestampTzGetDatum(d.oldest_due)};
        bool nulls[] = {false, false, false, false, false, d.oldest_due == 0};
        out.put(values, nulls);
    }
}

}  // namespace

}  // namespace chancy

extern "C" {

CHANCY_FUNCTION(chancy_record_metrics) {
    using namespace chancy;
    PreventCommandIfReadOnly("chancy.record_metrics()");
    check_given(fcinfo, 0, "metrics");
    PG_RETURN_INT32(with_memory("chancy record_metrics", [=] { return record_metrics(PG_GETARG_JSONB_P(0)); }));
}

CHANCY_FUNCTION(chancy_queue_depths) {
    chancy::rows out = chancy::begin_rows(fcinfo);
    chancy::with_memory("chancy queue_depths", [=] { chancy::queue_depths(out); });
    return 0;
}
}
