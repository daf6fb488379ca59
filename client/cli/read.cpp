// Reading what people type.
#include "cli.hpp"

#include <cctype>
#include <cmath>
#include <ctime>

namespace chancy::cli {
namespace {

[[noreturn]] void wrong(const std::string& text, const char* what) { throw CLI::ValidationError("\"" + text + "\" is not " + what); }

// A number and the letters after it, from position at on.
bool number_and_unit(const std::string& text, std::size_t& at, double& number, std::string& unit) {
    const std::size_t digits = text.find_first_not_of("0123456789.", at);
    const std::string figure = text.substr(at, digits == std::string::npos ? digits : digits - at);
    if (figure.empty() || figure == "." || std::count(figure.begin(), figure.end(), '.') > 1) return false;
    number = std::stod(figure);
    at += figure.size();
    unit.clear();
    while (at < text.size() && std::isalpha(static_cast<unsigned char>(text[at]))) unit += text[at++];
    return true;
}

}  // namespace

json read_json(const std::string& option, const std::string& text) {
    json value = json::parse(text, nullptr, false);
    if (value.is_discarded()) throw CLI::ValidationError(option + ": not JSON: " + text);
    return value;
}

uuid read_id(const std::string& text) {
    const auto id = uuid::parse(text);
    if (!id) wrong(text, "an id (a UUID)");
    return *id;
}

std::chrono::milliseconds read_duration(const std::string& text) {
    constexpr const char* what = "a duration, such as 90, 1.5s, 10m, 1h30m or 2d";
    double total = 0, number = 0;
    std::string unit;
    std::size_t at = 0;
    do {
        if (!number_and_unit(text, at, number, unit)) wrong(text, what);
        if (unit == "ms") total += number;
        else if (unit.empty() || unit == "s") total += number * 1e3;
        else if (unit == "m" || unit == "min") total += number * 60e3;
        else if (unit == "h") total += number * 3600e3;
        else if (unit == "d") total += number * 86400e3;
        else wrong(text, what);
    } while (at < text.size());
    if (total > 1e14) wrong(text, "a duration of less than 3000 years");
    return std::chrono::milliseconds(std::llround(total));
}

timestamp read_time(const std::string& text) {
    constexpr const char* what = "a time, such as 2026-01-31, \"2026-01-31 12:00\" (local) or 2026-01-31T12:00:00Z";
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, end = 0, n = 0;
    double second = 0;
    if (std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &year, &month, &day, &n) != 3) wrong(text, what);
    end = n;
    const char* rest = text.c_str() + end;
    if (*rest == 'T' || *rest == ' ') {
        ++rest;
        if (std::sscanf(rest, "%2d:%2d%n", &hour, &minute, &n) != 2) wrong(text, what);
        rest += n;
        if (*rest == ':') {
            if (std::sscanf(rest, ":%lf%n", &second, &n) != 1) wrong(text, what);
            rest += n;
        }
    }
    const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second >= 61) wrong(text, what);
    const std::chrono::microseconds clock_time =
        std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::microseconds(std::llround(second * 1e6));

    while (*rest == ' ') ++rest;
    if (*rest == 'Z' && rest[1] == '\0') return timestamp(std::chrono::sys_days(date).time_since_epoch() + clock_time);
    if (*rest == '+' || *rest == '-') {
        int hours = 0, minutes = 0;
        const int read = std::sscanf(rest + 1, "%2d%n:%2d%n", &hours, &n, &minutes, &n);
        if (read < 1 || rest[1 + n] != '\0') wrong(text, what);
        const std::chrono::minutes offset((*rest == '-' ? -1 : 1) * (hours * 60 + minutes));
        return timestamp(std::chrono::sys_days(date).time_since_epoch() + clock_time - offset);
    }
    if (*rest != '\0') wrong(text, what);
    std::tm local{};
    local.tm_year = year - 1900;
    local.tm_mon = month - 1;
    local.tm_mday = day;
    local.tm_hour = hour;
    local.tm_min = minute;
    local.tm_isdst = -1;
    const std::chrono::microseconds seconds_part(std::llround(second * 1e6));
    return timestamp(std::chrono::seconds(std::mktime(&local)) + seconds_part);
}

json read_limit(const std::string& text) {
    if (text.starts_with("time=")) {
        const auto span = read_duration(text.substr(5));
        return {{"t", "time"}, {"v", std::chrono::ceil<std::chrono::seconds>(span).count()}};
    }
    std::size_t at = 7;
    double number = 0;
    std::string unit;
    if (!text.starts_with("memory=") || !number_and_unit(text, at, number, unit) || at != text.size())
        wrong(text, "a limit, such as time=30s or memory=512M");
    const std::string units = "KMGT";
    double factor = 1;
    if (!unit.empty()) {
        const auto power = units.find(static_cast<char>(std::toupper(unit[0])));
        if (power == std::string::npos) wrong(text, "a size in K, M, G or T");
        factor = std::pow(1024.0, static_cast<double>(power + 1));
    }
    return {{"t", "memory"}, {"v", static_cast<std::int64_t>(number * factor)}};
}

}  // namespace chancy::cli
