// chancy::future_client: every call returns at once, its answer is a std::future; many calls are in flight on one connection.
// For programs without coroutines (async.hpp is for those with).
//
//     chancy::future_client db;                                    // PGHOST, PGDATABASE, … as psql reads them
//     std::vector<std::future<chancy::uuid>> ids;
//     for (int i = 0; i < 1000; ++i) ids.push_back(db.push({.func = "mail.send", .kwargs = {{"to", i}}}));
//     for (auto& id : ids) std::cout << id.get() << '\n';           // or throws chancy::error
//
// Each call is a transaction of its own, and an error of one is nothing to the others. Calls are sent in the order in which they
// were made. Repeated, or reported as in doubt, by client's rules (client.hpp); what is repeated may come after later calls: where
// the order matters, wait for the answer. A future that is thrown away leaves its call to be made all the same.
// Connects with the first call. A thread of its own does the waiting. PgBouncer in transaction mode will do.
// Threads: any, also several at once.
#pragma once

#include <chancy/calls.hpp>
#include <chancy/pipeline.hpp>

#include <future>
#include <memory>
#include <string>

namespace chancy {

namespace detail {

class promising {
protected:
    promising(std::string conninfo, async_options options, std::size_t max_unanswered);
    promising(promising&&) noexcept;
    promising& operator=(promising&&) noexcept;
    ~promising();

    template <class T> using answer = std::future<T>;

    template <class T>
    std::future<T> make(call<T> wanted) {
        auto one = std::make_shared<promised<T>>(std::move(wanted));
        std::future<T> out = one->answer.get_future();
        take(std::move(one));
        return out;
    }

    struct state;
    std::unique_ptr<state> m_state;

private:
    template <class T>
    struct promised : pending {
        explicit promised(call<T> wanted) : pending(std::move(wanted.what)), read(wanted.read) {}
        void done(result&& rows) noexcept override {
            try {
                if constexpr (std::is_void_v<T>) read(rows), answer.set_value();
                else answer.set_value(read(rows));
            } catch (...) {
                answer.set_exception(std::current_exception());
            }
        }
        void failed(const error& why) noexcept override { answer.set_exception(std::make_exception_ptr(why)); }

        T (*read)(const result&);
        std::promise<T> answer;
    };

    void take(std::shared_ptr<pending> call);
};

}  // namespace detail

class future_client : public calls_of<detail::promising> {
public:
    // conninfo by libpq's rules. While max_unanswered calls are unanswered, the next one waits before it returns.
    explicit future_client(std::string conninfo = "", async_options options = {}, std::size_t max_unanswered = 10'000)
        : calls_of<detail::promising>(std::move(conninfo), std::move(options), max_unanswered) {}
    future_client(future_client&&) noexcept = default;
    future_client& operator=(future_client&&) noexcept = default;
    // Does not wait: calls without an answer fail with 57014, in doubt if they were sent.
    ~future_client() = default;

    // Waits until every call has its answer, or has failed.
    void finish();
};

}  // namespace chancy
