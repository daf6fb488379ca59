// chancy::detail::call: a call as a value, not yet made: one SQL statement, and how its rows are read. It is described once,
// and every way of making calls shares the description: blocking (calls.hpp), as a std::future, as a coroutine.
// Not for applications. Threads: plain values.
#pragma once

#include <chancy/job.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct pg_result;
typedef struct pg_result PGresult;

namespace chancy::detail {

// May the statement be run again when nobody knows whether it was committed?
enum class repeat {
    harmless,  // it only looks
    safe,      // it writes the same twice
    never,
};

using parameter = std::optional<std::string>;  // nullopt: NULL

struct statement {
    const char* function;  // for errors
    const char* sql;
    std::vector<parameter> parameters{};
    repeat again = repeat::harmless;
    bool binary = false;  // the parameters
};

// Binary rows do not depend on DateStyle, TimeZone or IntervalStyle, which are not ours to set.
class result {
public:
    explicit result(PGresult* owned) : m_result(owned) {}

    [[nodiscard]] std::string_view command() const noexcept;  // its tag, "COMMIT"
    [[nodiscard]] int rows() const noexcept;
    [[nodiscard]] int column(const char* name) const noexcept;  // -1: none
    [[nodiscard]] bool null(int row, int column) const noexcept;
    [[nodiscard]] std::string_view bytes(int row, int column) const noexcept;

    [[nodiscard]] std::string text(int row, int column) const;
    [[nodiscard]] int integer(int row, int column) const noexcept;
    [[nodiscard]] bool boolean(int row, int column) const noexcept;
    // A verdict of a call that stands buffered until the commit is NULL: taken for true.
    [[nodiscard]] bool verdict(int row, int column) const noexcept { return null(row, column) || boolean(row, column); }
    [[nodiscard]] uuid id(int row, int column) const noexcept;
    [[nodiscard]] timestamp time(int row, int column) const noexcept;
    [[nodiscard]] json document(int row, int column) const;
    [[nodiscard]] std::vector<std::string> texts(int row, int column) const;

private:
    struct clear { void operator()(PGresult* r) const noexcept; };
    std::unique_ptr<PGresult, clear> m_result;
};

template <class T>
struct call {
    statement what;
    T (*read)(const result& rows);
};

// A way to make calls derives from a form: answer<T> is what a call returns, make() makes it. This one blocks.
class blocking {
public:
    virtual ~blocking() = default;

protected:
    blocking() = default;
    blocking(const blocking&) = default;
    blocking(blocking&&) = default;
    blocking& operator=(const blocking&) = default;
    blocking& operator=(blocking&&) = default;

    template <class T> using answer = T;
    template <class T> T make(const call<T>& wanted) { return wanted.read(execute(wanted.what)); }
    virtual result execute(const statement& what) = 0;
};

}  // namespace chancy::detail
