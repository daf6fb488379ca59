#include "access.hpp"

#include <httplib.h>

#include <crypt.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace chancy::dashboard {
namespace {

using namespace std::chrono_literals;

constexpr const char* cookie_name = "chancy_session=";
constexpr auto session_life = 12h;
constexpr auto basic_life = 1min;   // so long a checked password need not be hashed again
constexpr int free_failures = 5;    // in failure_window, from one address
constexpr auto failure_window = 1min;
constexpr std::size_t most_sessions = 10'000;

// Takes as long whatever is equal.
bool same(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    unsigned char difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
    return difference == 0;
}

bool matches(const std::string& password, const std::string& hash) {
    crypt_data work{};
    const char* made = crypt_r(password.c_str(), hash.c_str(), &work);
    return made && made[0] != '*' && same(made, hash);
}

std::string hash_of(const std::string& password) {
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    crypt_data work{};
    if (!crypt_gensalt_rn("$y$", 0, nullptr, 0, setting, sizeof setting)) throw std::runtime_error("crypt(3) knows no yescrypt");
    const char* made = crypt_r(password.c_str(), setting, &work);
    if (!made || made[0] == '*') throw std::runtime_error("crypt(3) failed");
    return made;
}

std::optional<std::string> from_base64(const std::string& text) {
    static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    unsigned bits = 0;
    int have = 0;
    for (char c : text) {
        if (c == '=') break;
        const auto at = digits.find(c);
        if (at == std::string::npos) return std::nullopt;
        bits = bits << 6 | static_cast<unsigned>(at);
        if ((have += 6) >= 8) out += static_cast<char>(bits >> (have -= 8) & 255);
    }
    return out;
}

std::string cookie_of(const httplib::Request& request) {
    const std::string all = request.get_header_value("Cookie");
    for (std::size_t at = 0; at < all.size();) {
        std::size_t end = all.find(';', at);
        if (end == std::string::npos) end = all.size();
        while (at < end && all[at] == ' ') ++at;
        if (all.compare(at, std::strlen(cookie_name), cookie_name) == 0) {
            at += std::strlen(cookie_name);
            return all.substr(at, end - at);
        }
        at = end + 1;
    }
    return {};
}

}  // namespace

std::string_view to_string(role r) {
    return r == role::admin ? "admin" : r == role::operators ? "operator" : "reader";
}

std::optional<role> read_role(std::string_view text) {
    for (role r : {role::reader, role::operators, role::admin})
        if (to_string(r) == text) return r;
    return std::nullopt;
}

std::string random_text(std::size_t bytes) {
    std::string raw(bytes, '\0'), out;
    if (::getrandom(raw.data(), raw.size(), 0) != static_cast<ssize_t>(raw.size())) throw std::runtime_error("no random bytes");
    for (unsigned char c : raw) {
        out += "0123456789abcdef"[c >> 4];
        out += "0123456789abcdef"[c & 15];
    }
    return out;
}

std::string user_line(const std::string& name, role r, const std::string& password) {
    if (name.empty() || name.find_first_of(":\n\r#") != std::string::npos)
        throw std::runtime_error("a user's name has no colon, no # and no line break");
    return name + ':' + std::string(to_string(r)) + ':' + hash_of(password);
}

access::access(const options& how) : m_how(how) {
    if (!how.users.empty() && ::access(how.users.c_str(), F_OK) == 0) {
        read_users(how.users);
        return;
    }
    m_new_password = random_text(12);
    if (how.users.empty()) m_users["admin"] = {role::admin, hash_of(m_new_password)};
    else make_users(how.users);
}

void access::read_users(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error(path + " cannot be read: " + std::strerror(errno));
    int number = 0;
    for (std::string line; std::getline(file, line);) {
        ++number;
        if (line.empty() || line[0] == '#') continue;
        const auto first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
        const auto may = second == std::string::npos ? std::nullopt : read_role(line.substr(first + 1, second - first - 1));
        if (!may || first == 0)
            throw std::runtime_error(path + ":" + std::to_string(number) + ": not name:role:hash, with reader, operator or admin as role");
        m_users[line.substr(0, first)] = {*may, line.substr(second + 1)};
    }
    if (m_users.empty() && m_how.proxy.empty()) throw std::runtime_error(path + " has no user");
}

void access::make_users(const std::string& path) {
    const std::string line = user_line("admin", role::admin, m_new_password) + '\n';
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const bool written = fd >= 0 && ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    if (fd >= 0) ::close(fd);
    if (!written) throw std::runtime_error(path + " cannot be written: " + std::strerror(errno));
    read_users(path);
}

std::optional<role> access::check(const std::string& address, const std::string& name, const std::string& password) {
    // An unknown name takes as long as a wrong password.
    static const std::string nobody = hash_of(random_text(8));
    const auto known = m_users.find(name);
    if (matches(password, known == m_users.end() ? nobody : known->second.hash) && known != m_users.end()) return known->second.may;
    const std::lock_guard lock(m_mutex);
    const auto now = clock::now();
    forget_old(now);
    failures& f = m_failures[address];
    if (f.count++ == 0) f.since = now;
    return std::nullopt;
}

bool access::from_proxy(const httplib::Request& request) const { return !m_how.proxy.empty() && request.remote_addr == m_how.proxy; }

std::string access::address_of(const httplib::Request& request) const {
    if (!from_proxy(request)) return request.remote_addr;
    // The last entry is the proxy's own word; what stands before it anybody may have sent.
    const std::string all = request.get_header_value("X-Forwarded-For");
    const auto at = all.find_last_of(", ");
    return all.empty() ? request.remote_addr : at == std::string::npos ? all : all.substr(at + 1);
}

std::optional<identity> access::by_proxy(const httplib::Request& request) {
    const std::string name = request.get_header_value(m_how.user_header);
    const std::string told = m_how.role_header.empty() ? "" : request.get_header_value(m_how.role_header);
    if (name.empty()) return std::nullopt;
    const auto known = m_users.find(name);
    auto may = told.empty() ? std::optional(known == m_users.end() ? role::reader : known->second.may) : read_role(told);
    if (!may) return std::nullopt;
    const std::lock_guard lock(m_mutex);
    forget_old(clock::now());
    session& s = m_sessions["proxy " + name];
    if (s.who.csrf.empty()) s.who = {name, *may, random_text(24), true};
    s.who.may = *may;
    s.until = clock::now() + session_life;
    return s.who;
}

std::optional<identity> access::by_basic(const httplib::Request& request, const std::string& header) {
    if (auto who = known("basic " + header)) return who;
    const auto text = from_base64(header.substr(6));
    const auto colon = text ? text->find(':') : std::string::npos;
    if (colon == std::string::npos) return std::nullopt;
    const std::lock_guard one(m_hashing);
    if (auto who = known("basic " + header)) return who;  // of many that came together, the first one has hashed it
    const std::string address = address_of(request), name = text->substr(0, colon);
    if (wait_of(address) > 0) return std::nullopt;
    const auto may = check(address, name, text->substr(colon + 1));
    if (!may) return std::nullopt;
    const std::lock_guard lock(m_mutex);
    const auto now = clock::now();
    forget_old(now);
    return (m_sessions["basic " + header] = {{name, *may, {}, false}, now + basic_life}).who;
}

std::optional<identity> access::known(const std::string& key) {
    const std::lock_guard lock(m_mutex);
    const auto at = m_sessions.find(key);
    if (at == m_sessions.end() || at->second.until < clock::now()) return std::nullopt;
    return at->second.who;
}

std::optional<identity> access::of(const httplib::Request& request) {
    if (from_proxy(request))
        if (auto who = by_proxy(request)) return who;
    if (const std::string header = request.get_header_value("Authorization"); header.starts_with("Basic ")) return by_basic(request, header);
    const std::string cookie = cookie_of(request);
    return cookie.empty() ? std::nullopt : known("cookie " + cookie);
}

int access::wait_of(const std::string& address) {
    const std::lock_guard lock(m_mutex);
    const auto at = m_failures.find(address);
    if (at == m_failures.end() || at->second.count < free_failures) return 0;
    const auto left = at->second.since + failure_window - clock::now();
    return std::max(0, static_cast<int>(std::chrono::ceil<std::chrono::seconds>(left).count()));  // 0 when the window is over
}

access::login access::log_in(const httplib::Request& request, const std::string& name, const std::string& password) {
    const std::string address = address_of(request);
    const std::lock_guard one(m_hashing);
    if (const int wait = wait_of(address); wait > 0) return {{}, std::nullopt, wait};
    const auto may = check(address, name, password);
    if (!may) return {};
    const std::string cookie = random_text(32);
    const std::lock_guard lock(m_mutex);
    const auto now = clock::now();
    forget_old(now);
    const session& s = m_sessions["cookie " + cookie] = {{name, *may, random_text(24), true}, now + session_life};
    return {cookie, s.who, 0};
}

void access::log_out(const httplib::Request& request) {
    const std::lock_guard lock(m_mutex);
    m_sessions.erase("cookie " + cookie_of(request));
}

void access::forget_old(clock::time_point now) {
    std::erase_if(m_failures, [&](const auto& f) { return f.second.since + failure_window < now; });
    std::erase_if(m_sessions, [&](const auto& s) { return s.second.until < now; });
    if (m_sessions.size() > most_sessions) m_sessions.clear();
}

bool access::same_origin(const httplib::Request& request) const {
    const std::string site = request.get_header_value("Sec-Fetch-Site");
    if (!site.empty() && site != "same-origin" && site != "none") return false;
    const std::string origin = request.get_header_value("Origin");
    if (origin.empty()) return true;  // no browser's, or one that asks its own server
    if (!m_how.origin.empty()) return origin == m_how.origin;
    const auto host = origin.find("://");
    return host != std::string::npos && origin.substr(host + 3) == request.get_header_value("Host");
}

bool access::is_https(const httplib::Request& request) const {
    return m_how.origin.starts_with("https://") || (from_proxy(request) && request.get_header_value("X-Forwarded-Proto") == "https");
}

}  // namespace chancy::dashboard
