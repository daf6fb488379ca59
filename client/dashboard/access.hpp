// Who asks, and what they may do: users of a file, sessions by cookie, HTTP Basic for scripts, a reverse proxy's header.
// Threads: any.
#pragma once

#include "dashboard.hpp"

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace httplib {
struct Request;
}

namespace chancy::dashboard {

// Each may do what those before it may.
enum class role { reader, operators, admin };

[[nodiscard]] std::string_view to_string(role r);
[[nodiscard]] std::optional<role> read_role(std::string_view text);

struct identity {
    std::string name;
    role may = role::reader;
    std::string csrf{};       // what a browser must show beside the cookie before it may act
    bool by_browser = false;  // a browser sends the credentials along, whoever wrote the page: csrf counts
};

// A user's line: name:role:hash. The hash is crypt(3)'s.
[[nodiscard]] std::string user_line(const std::string& name, role r, const std::string& password);
[[nodiscard]] std::string random_text(std::size_t bytes);  // hexadecimal, from the kernel

class access {
public:
    // Reads the users' file; makes it, with one user admin, if it is not there. std::runtime_error if it cannot be read.
    explicit access(const options& how);

    // The password that was made; empty: none was.
    [[nodiscard]] const std::string& new_password() const { return m_new_password; }

    // Who sends the request; nullopt: nobody that is known.
    [[nodiscard]] std::optional<identity> of(const httplib::Request& request);
    struct login {
        std::string cookie{};              // its value
        std::optional<identity> who{};     // nullopt: wrong name or password, or
        int wait = 0;                      // so many seconds until this address may try again
    };
    [[nodiscard]] login log_in(const httplib::Request& request, const std::string& name, const std::string& password);
    void log_out(const httplib::Request& request);
    // Is it sent by a page of ours? Of requests that act.
    [[nodiscard]] bool same_origin(const httplib::Request& request) const;
    [[nodiscard]] bool is_https(const httplib::Request& request) const;

private:
    using clock = std::chrono::steady_clock;
    struct user {
        role may;
        std::string hash;
    };
    struct session {
        identity who;
        clock::time_point until;
    };
    struct failures {
        int count = 0;
        clock::time_point since{};
    };

    void read_users(const std::string& path);
    void make_users(const std::string& path);
    [[nodiscard]] bool from_proxy(const httplib::Request& request) const;
    [[nodiscard]] std::string address_of(const httplib::Request& request) const;
    [[nodiscard]] std::optional<identity> by_proxy(const httplib::Request& request);
    [[nodiscard]] std::optional<identity> by_basic(const httplib::Request& request, const std::string& header);
    [[nodiscard]] std::optional<identity> known(const std::string& key);
    // Under m_hashing, both in one go: else many tries at once would all be among the first ones.
    [[nodiscard]] int wait_of(const std::string& address);
    [[nodiscard]] std::optional<role> check(const std::string& address, const std::string& name, const std::string& password);
    void forget_old(clock::time_point now);

    const options& m_how;
    std::string m_new_password;
    std::map<std::string, user> m_users;
    std::mutex m_hashing;                         // one password at a time: guessing must not take the machine
    std::mutex m_mutex;                           // of what follows; after m_hashing
    std::map<std::string, session> m_sessions;    // by cookie, by the Authorization header, by the proxy's user
    std::map<std::string, failures> m_failures;   // by address
};

}  // namespace chancy::dashboard
