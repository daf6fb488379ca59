#include "plain.hpp"

#include <chancy/calls.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>

namespace bench {

const char* const copy_statement = "COPY bench.plain (id, queue, func, kwargs, unique_key) FROM STDIN (FORMAT binary)";
const char* const insert_statement =
    "INSERT INTO bench.plain (id, queue, func, kwargs, unique_key) VALUES (gen_random_uuid(), 'default', 'bench.work', $1::jsonb, $2)";
const char* const unnest_statement =
    "INSERT INTO bench.plain (id, queue, func, kwargs, unique_key)"
    " SELECT gen_random_uuid(), 'default', 'bench.work', k, u FROM unnest($1::jsonb[], $2::text[]) AS j (k, u)";

namespace {

// Each statement once, with parameters: custom plans, since the generic one walks the whole backlog.
constexpr const char* complete_statement =
    "WITH held AS (SELECT p.id, p.started_at FROM unnest($1::uuid[], $2::timestamptz[]) AS u (id, started_at)"
    " JOIN bench.plain p ON p.id = u.id AND p.started_at = u.started_at AND p.taken_by = $3 AND p.state = 'running'"
    " ORDER BY coalesce(p.unique_key, '') COLLATE \"C\", p.id FOR NO KEY UPDATE OF p)"
    " UPDATE bench.plain p SET state = 'succeeded', attempts = attempts + 1, completed_at = clock_timestamp()"
    " FROM held WHERE p.id = held.id AND p.started_at = held.started_at";
constexpr const char* fetch_statement =
    "WITH due AS (SELECT id FROM bench.plain WHERE queue = $1 AND state IN ('pending', 'retrying') AND scheduled_at <= now()"
    " AND attempts < max_attempts ORDER BY priority DESC, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)"
    " UPDATE bench.plain p SET state = 'running', taken_by = $3, started_at = clock_timestamp() FROM due WHERE p.id = due.id RETURNING p.*";

void put(std::string& data, std::uint32_t value, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) data += static_cast<char>(value >> shift);
}

void put_field(std::string& data, const std::string& value) {
    put(data, static_cast<std::uint32_t>(value.size()), 4);
    data += value;
}

// In Chancy's layout: ticks first, so that they come into the index in order.
std::string make_id() {
    static std::atomic<std::uint64_t> tick{static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) / 100};
    static std::mt19937_64 random{std::random_device{}()};
    const std::uint64_t high = tick++ << 4 | 7, low = (random() & ~(std::uint64_t{3} << 62)) | std::uint64_t{2} << 62;
    std::string id;
    for (const std::uint64_t half : {high, low}) {
        put(id, static_cast<std::uint32_t>(half >> 32), 4);
        put(id, static_cast<std::uint32_t>(half), 4);
    }
    return id;
}

std::string array(const std::vector<std::string>& elements) {
    std::string text = "{";
    for (const std::string& element : elements) text += (text.size() > 1 ? "," : "") + element;
    return text + "}";
}

}  // namespace

void make_plain(connection& server) {
    server.run("CREATE SCHEMA IF NOT EXISTS bench; DROP TABLE IF EXISTS bench.plain; CREATE TABLE bench.plain (LIKE chancy.jobs INCLUDING ALL)");
}

batch make_batch(int jobs, keys how) {
    static std::atomic<long long> serial{0};
    batch made;
    made.jobs = jobs;
    made.copy = std::string("PGCOPY\n\377\r\n\0", 11) + std::string(8, '\0');
    nlohmann::json list = nlohmann::json::array();
    std::vector<std::string> all_kwargs, all_keys;
    std::vector<chancy::new_job> typed;
    for (int i = 0; i < jobs; i++) {
        const long long n = how == keys::same ? i : serial++;
        const std::string kwargs = "{\"n\": " + std::to_string(n) + "}", key = "key:" + std::to_string(n * 7919 % 1'000'003) + ":" + std::to_string(n);
        nlohmann::json job{{"func", "bench.work"}, {"kwargs", {{"n", n}}}};
        if (how != keys::none) job["unique_key"] = key;
        typed.push_back({.func = "bench.work", .kwargs = {{"n", n}}, .unique_key = how == keys::none ? std::nullopt : std::optional(key)});
        list.push_back(std::move(job));
        put(made.copy, 5, 2);
        put_field(made.copy, make_id());
        put_field(made.copy, "default");
        put_field(made.copy, "bench.work");
        put_field(made.copy, "\1" + kwargs);
        if (how == keys::none)
            put(made.copy, 0xffffffff, 4);
        else
            put_field(made.copy, key);
        all_kwargs.push_back("\"{\\\"n\\\": " + std::to_string(n) + "}\"");
        all_keys.push_back(how == keys::none ? "NULL" : key);
    }
    put(made.copy, 0xffff, 2);
    made.json = list.dump();
    made.typed = chancy::detail::describe::push_many(typed).what;
    made.kwargs[0] = array(all_kwargs);
    made.kwargs[1] = array(all_keys);
    return made;
}

int plain_worker::exchange(int up_to) {
    std::vector<std::pair<const char*, std::vector<std::string>>> statements;
    const int completed = static_cast<int>(m_ids.size());
    if (completed > 0) statements.push_back({complete_statement, {array(m_ids), array(m_starts), m_name}});
    statements.push_back({fetch_statement, {"default", std::to_string(up_to), m_name}});
    const std::vector<result> answers = m_server.run_together(statements);
    const result& jobs = answers.back();
    const int id = PQfnumber(jobs.get(), "id"), started_at = PQfnumber(jobs.get(), "started_at");
    m_ids.clear();
    m_starts.clear();
    for (int row = 0; row < PQntuples(jobs.get()); row++) {
        m_ids.emplace_back(cell(jobs, row, id));
        m_starts.push_back("\"" + std::string(cell(jobs, row, started_at)) + "\"");
    }
    return completed;
}

}  // namespace bench
