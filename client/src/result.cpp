// Decoding PostgreSQL's binary formats.
#include "statement.hpp"

#include <libpq-fe.h>

#include <cstring>

namespace chancy::detail {
namespace {

// PostgreSQL counts from 2000-01-01.
constexpr std::chrono::microseconds epoch_2000 = std::chrono::sys_days{std::chrono::January / 1 / 2000}.time_since_epoch();

std::uint64_t big_endian(const char* bytes, int size) {
    std::uint64_t value = 0;
    for (int i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
}

}  // namespace

void result::clear::operator()(PGresult* r) const noexcept { PQclear(r); }
std::string_view result::command() const noexcept { return PQcmdStatus(m_result.get()); }
int result::rows() const noexcept { return PQntuples(m_result.get()); }
int result::column(const char* name) const noexcept { return PQfnumber(m_result.get(), name); }
bool result::null(int row, int column) const noexcept {
    return column < 0 || PQgetisnull(m_result.get(), row, column) != 0;
}
std::string_view result::bytes(int row, int column) const noexcept {
    return {PQgetvalue(m_result.get(), row, column), static_cast<std::size_t>(PQgetlength(m_result.get(), row, column))};
}
std::string result::text(int row, int column) const { return std::string(bytes(row, column)); }
int result::integer(int row, int column) const noexcept {
    return static_cast<int>(static_cast<std::uint32_t>(big_endian(bytes(row, column).data(), 4)));
}
bool result::boolean(int row, int column) const noexcept { return bytes(row, column)[0] != 0; }
uuid result::id(int row, int column) const noexcept {
    std::array<std::uint8_t, 16> raw;
    std::memcpy(raw.data(), bytes(row, column).data(), raw.size());
    return uuid(raw);
}
timestamp result::time(int row, int column) const noexcept {
    const auto raw = static_cast<std::int64_t>(big_endian(bytes(row, column).data(), 8));
    if (raw == INT64_MAX) return timestamp::max();
    if (raw == INT64_MIN) return timestamp::min();
    return timestamp(std::chrono::microseconds(raw) + epoch_2000);
}
json result::document(int row, int column) const {
    std::string_view raw = bytes(row, column);
    if (!raw.empty() && raw.front() == 1) raw.remove_prefix(1);  // jsonb's format version
    if (raw == "{}") return json::object();
    if (raw == "[]") return json::array();
    return json::parse(raw);
}
std::vector<std::string> result::texts(int row, int column) const {
    // dimensions, has nulls, element type, then for each dimension length and lower bound, then the elements
    std::vector<std::string> out;
    const char* at = bytes(row, column).data();
    if (big_endian(at, 4) == 0) return out;
    const auto count = big_endian(at + 12, 4);
    at += 20;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto length = static_cast<std::int32_t>(big_endian(at, 4));
        at += 4;
        out.emplace_back(at, at + std::max(length, 0));
        at += std::max(length, 0);
    }
    return out;
}

job_reader::job_reader(const result& r)
    : m_rows(r), m_id(r.column("id")), m_queue(r.column("queue")), m_func(r.column("func")),
      m_kwargs(r.column("kwargs")), m_limits(r.column("limits")), m_meta(r.column("meta")), m_state(r.column("state")),
      m_priority(r.column("priority")), m_attempts(r.column("attempts")), m_max_attempts(r.column("max_attempts")),
      m_taken_by(r.column("taken_by")), m_created_at(r.column("created_at")), m_started_at(r.column("started_at")),
      m_completed_at(r.column("completed_at")), m_scheduled_at(r.column("scheduled_at")),
      m_unique_key(r.column("unique_key")), m_errors(r.column("errors")), m_recoveries(r.column("recoveries")),
      m_result(r.column("result")), m_concurrency_key(r.column("concurrency_key")), m_next_run(r.column("next_run")),
      m_unique_until(r.column("unique_until")) {}

job_state read_state(std::string_view name) {
    for (job_state s : {job_state::running, job_state::retrying, job_state::succeeded, job_state::failed})
        if (to_string(s) == name) return s;
    return job_state::pending;
}

job job_reader::read(int row) const {
    const auto text = [&](int c) {
        return absent(row, c) ? std::nullopt : std::optional<std::string>(m_rows.text(row, c));
    };
    const auto time = [&](int c) {
        return absent(row, c) ? std::nullopt : std::optional<timestamp>(m_rows.time(row, c));
    };
    job j;
    j.id = m_rows.id(row, m_id);
    j.queue = m_rows.text(row, m_queue);
    j.func = m_rows.text(row, m_func);
    j.kwargs = m_rows.document(row, m_kwargs);
    j.limits = m_rows.document(row, m_limits);
    j.meta = m_rows.document(row, m_meta);
    j.state = m_state < 0 ? job_state::running : read_state(m_rows.bytes(row, m_state));
    j.priority = m_rows.integer(row, m_priority);
    j.attempts = m_rows.integer(row, m_attempts);
    j.max_attempts = m_rows.integer(row, m_max_attempts);
    j.taken_by = text(m_taken_by);
    j.created_at = m_rows.time(row, m_created_at);
    j.started_at = time(m_started_at);
    j.completed_at = time(m_completed_at);
    j.scheduled_at = m_rows.time(row, m_scheduled_at);
    j.unique_key = text(m_unique_key);
    j.errors = m_rows.document(row, m_errors);
    j.recoveries = absent(row, m_recoveries) ? 0 : m_rows.integer(row, m_recoveries);
    if (!absent(row, m_result)) j.result = m_rows.document(row, m_result);
    if (!absent(row, m_next_run)) j.next_run = m_rows.document(row, m_next_run);
    j.unique_until = time(m_unique_until);
    j.concurrency_key = text(m_concurrency_key);
    return j;
}

std::vector<job> read_jobs(const result& rows) {
    const job_reader reader(rows);
    std::vector<job> out;
    out.reserve(static_cast<std::size_t>(rows.rows()));
    for (int row = 0; row < rows.rows(); ++row) out.push_back(reader.read(row));
    return out;
}

std::optional<job> read_one_job(const result& rows) {
    const job_reader reader(rows);
    if (rows.rows() == 0 || reader.missing(0)) return std::nullopt;
    return reader.read(0);
}

}  // namespace chancy::detail
